"""Linux kernel fault injection for the Chaos Toolkit.

Nothing is imported at module level: the agent runs under a Python that may have
neither chaoslib nor kubernetes.
"""

__version__ = "0.1.0"


def discover(discover_system: bool = True) -> dict[str, object]:  # noqa: ARG001
    """Return what this extension offers to `chaos discover`.

    :param discover_system: asked for by the toolkit; nothing about the system is looked up.
    """
    from chaoslib.discovery.discover import (  # noqa: PLC0415
        discover_actions,
        discover_probes,
        initialize_discovery_result,
    )

    found = initialize_discovery_result("chaostoolkit-kernel", __version__, "kernel")
    # The functions of the control are no activities: `chaos init` would offer them as such.
    activities = [
        *discover_actions("chaoskernel.actions"),
        *discover_probes("chaoskernel.probes"),
    ]
    return {**found, "activities": activities}
