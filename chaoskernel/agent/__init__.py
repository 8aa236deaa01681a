"""The process beside the kernel: owns a fault's descriptors, and with them its end.

Standard library plus the engine's own binding; nothing else of the package's
dependencies is there when this runs on a node or under the distribution's Python.
"""
