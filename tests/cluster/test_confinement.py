"""What the Job of an agent that loads programs may do on a real node, in a pod of that form.

The nodes have the host's kernel, so that no fault is injected; the container runs a script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.k8s import job
from chaoskernel.k8s.access import access
from chaoskernel.k8s.job import Settings
from tests.cluster.kubectl import get, kubectl
from tests.waiting import within
from tools.cluster import images
from tools.cluster.cluster import Cluster

SPACE = "chaoskernel"
_CAP_SYS_RESOURCE = 24

# Numbers of x86-64 and arm64: bpf(BPF_MAP_CREATE), perf_event_open of a software clock.
SCRIPT = """
import ctypes, json, os, platform, struct
libc = ctypes.CDLL(None, use_errno=True)
bpf, perf = (321, 298) if platform.machine() == "x86_64" else (280, 241)
array = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 8, 1).ljust(128, b"\\0"))
clock = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0).ljust(112, b"\\0"))
seen = {
    "bpf": libc.syscall(bpf, 0, array, 128) >= 0,
    "perf": libc.syscall(perf, clock, 0, -1, -1, 0) >= 0,
    "seccomp": [line.split()[1] for line in open("/proc/self/status") if "Seccomp:" in line],
    "sys": [path for path in PATHS if os.path.exists(path)],
}
try:
    open("/sys/kernel/mm/chaoskernel", "w")
except OSError as error:
    seen["written"] = error.strerror
print(json.dumps(seen))
"""
PATHS = [
    *("/sys/kernel/btf", "/sys/kernel/tracing", "/sys/kernel/debug", "/sys/block"),
    "/sys/bus/event_source/devices",
]


def manifest() -> dict[str, Any]:
    scope = Scope(pods=(PodScope("shop", "db-0", "12345678-00", "node-1"),))
    fault = Fault(name="confined", kind=Kind.SLAB, scope=scope, engine=EngineName.CORE)
    made = job.job(
        Assignment(fault), "confined", 0, Settings(SPACE, images.AGENT), start_seconds=60
    )
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["command"] = ["python3", "-c", f"PATHS = {PATHS}\n{SCRIPT}"]
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (held,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")]
    if not int(held, 16) >> _CAP_SYS_RESOURCE & 1:  # this host is a container itself
        container["securityContext"]["capabilities"]["add"].remove("SYS_RESOURCE")
    return made


def test_programs_are_loaded_under_the_profile_of_the_runtime(shop: Cluster) -> None:
    made = manifest()
    name = made["metadata"]["name"]
    assert access().cluster.create_job(SPACE, made)
    try:
        assert within(60, lambda: bool(get("job", name, "-n", SPACE)["status"].get("succeeded")))
        seen = json.loads(kubectl("logs", "-n", SPACE, f"job/{name}"))
    finally:
        access().cluster.delete_job(SPACE, name)
    assert seen == {
        "bpf": True,
        "perf": True,
        "seccomp": ["2"],
        "sys": PATHS,
        "written": "Read-only file system",
    }
