"""The Fault: what to make fail, for whom, how often and for how long; it knows no host."""
