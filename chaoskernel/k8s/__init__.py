"""Faults on the nodes of a cluster: one Job for each node, which runs the same agent."""
