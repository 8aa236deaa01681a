"""C to BPF objects: the shipped one, and those of faults with predicates."""
