"""The program: C text, and the pure function Fault -> program."""
