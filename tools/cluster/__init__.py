"""A Kubernetes cluster made of processes, for tests; see docs/cluster.md."""
