"""Actions: what an experiment names in this package; each lives in a module of the toolkit's.

Arguments become a Fault, and the backend of this process does the rest.  Types are
plain, and annotations are evaluated: `chaos discover` shows anything else as
"object", which breaks `chaos init`.
"""

from chaoskernel.toolkit.exploration import explore
from chaoskernel.toolkit.injection import start_injection, stop_injection
from chaoskernel.toolkit.kernel_chaos import (
    apply_kernel_chaos,
    apply_pod_kernel_chaos,
    delete_kernel_chaos,
    pause_kernel_chaos,
    resume_kernel_chaos,
)
from chaoskernel.toolkit.pod_injection import start_pod_injection, stop_pod_injection
from chaoskernel.toolkit.waiting import wait_for_injection

__all__ = [
    "apply_kernel_chaos",
    "apply_pod_kernel_chaos",
    "delete_kernel_chaos",
    "explore",
    "pause_kernel_chaos",
    "resume_kernel_chaos",
    "start_injection",
    "start_pod_injection",
    "stop_injection",
    "stop_pod_injection",
    "wait_for_injection",
]
