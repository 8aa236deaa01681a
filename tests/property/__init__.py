"""Properties that hold for inputs of a grammar of their own, found by a seed."""
