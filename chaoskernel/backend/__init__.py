"""Where faults are injected: this host or a cluster, through an agent for each fault."""
