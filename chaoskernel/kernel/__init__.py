"""Facts of the host: its kernel's features and symbols, its processes."""
