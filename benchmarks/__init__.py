"""What an injection costs, in instructions of an emulated machine; see docs/performance.md."""
