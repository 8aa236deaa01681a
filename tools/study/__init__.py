"""What known programs do not survive: explored by one command, and written to docs/study.md."""
