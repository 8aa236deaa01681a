"""Counters of faults where people already look: OpenTelemetry and Prometheus, when asked."""
