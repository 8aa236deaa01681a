"""What faults cost on a cluster of many nodes, against the bare client; see docs/performance.md."""
