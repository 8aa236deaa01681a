"""How a local agent is launched: under which Python, and with which privilege.

For the engine core any Python will do.  For bcc it takes the binding that only the
distribution has: its package is tied to the distribution's Python, and PyPI's `bcc` is an
unrelated library.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import ChaosKernelError, InvalidFault, MissingTool, NotPermitted
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.choice import Facts, choose
from chaoskernel.fault.spec import EngineName

PYTHON_VARIABLE = "CHAOSKERNEL_PYTHON"
START_VARIABLE = "CHAOSKERNEL_START_SECONDS"

# Under emulation (the lab without hardware virtualisation) arming takes some 40 s.
_START_SECONDS = 180.0
MAX_START_SECONDS = 3600.0
_LOOK_SECONDS = 20.0
_TYPES = Path("/sys/kernel/btf/vmlinux")
_LIBBPF = "libbpf.so.1"
_DISTRIBUTION_PYTHON = "/usr/bin/python3"
_CAP_SYS_ADMIN = 21  # include/uapi/linux/capability.h

# This package's directory comes last on the path: the modules of the agent's own
# Python, built for it, win over those beside this package.
_BOOTSTRAP = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from chaoskernel.agent.start import main; raise SystemExit(main(int(sys.argv[2])))"
)
_LOOK = (
    "import importlib.machinery, os, sys; "
    "spec = importlib.machinery.PathFinder.find_spec('bcc', sys.path); "
    "found = list(spec.submodule_search_locations or ()) if spec else []; "
    "sys.exit(not any(os.path.exists(os.path.join(p, 'libbcc.py')) for p in found))"
)


def launch_agent(given: Assignment) -> subprocess.Popen[str]:
    """Start an agent for a fault, whose standard streams are pipes to this process.

    It stays in this process's group, so that Ctrl-C and a hang-up of the terminal
    reach it too.

    :raises NotPermitted: this process may not load BPF programs.
    :raises MissingTool: the fault needs BCC's binding, and no Python on this host has it.
    """
    require_privilege(os.geteuid(), Path("/proc/self/status").read_text("ascii", "replace"))
    return process.start(
        agent_command(agent_python(needs_bcc=needs_bcc(given)), owner=os.getpid()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        own_group=False,
    )


def agent_command(python: str, *, owner: int) -> list[str]:
    """Return the command that runs this package's agent under a Python.

    :param owner: the process that starts it; the agent does not outlive that.
    """
    package_parent = str(Path(__file__).resolve().parents[2])
    # What is installed beside that Python is looked for where bcc is: engine/choice.py.
    return [python, "-I", "-S", "-c", _BOOTSTRAP, package_parent, str(owner)]


def needs_bcc(given: Assignment, *, types: Path = _TYPES, library: str = _LIBBPF) -> bool:
    """Tell whether a fault's agent will need BCC, as far as can be told from outside of it."""
    facts = Facts(bool(given.object), lambda: types.exists() and _is_library(library))
    return choose(given.fault, facts) is EngineName.BCC


def agent_python(
    environment: Mapping[str, str] = os.environ,
    *,
    needs_bcc: bool = True,
    current: str = sys.executable,
    has_bcc: Callable[[str], bool] | None = None,
    is_python: Callable[[str], bool] | None = None,
) -> str:
    """Return the Python to run agents under: the one asked for, this one, the distribution's.

    :param needs_bcc: whether it has to have BCC's binding.
    :raises MissingTool: none of them has BCC's binding, or one that was asked for is no
        Python; it is not replaced by another.
    """
    usable, runs = has_bcc or _has_bcc, is_python or _is_python
    hint = f"apt-get install python3-bpfcc, or set {PYTHON_VARIABLE} to a Python that has it"
    asked = environment.get(PYTHON_VARIABLE, "")
    if asked and not runs(asked):
        raise MissingTool(
            f"{PYTHON_VARIABLE}={asked} is no Python that runs", hint="name one, or unset it"
        )
    if not needs_bcc and (asked or current):
        return asked or current
    if asked:
        if usable(asked):
            return asked
        raise MissingTool(f"{PYTHON_VARIABLE}={asked} has no BCC binding", hint=hint)
    for python in (current, _DISTRIBUTION_PYTHON):
        if python and usable(python):
            return python
    raise MissingTool(
        f"neither {current or 'this Python'} nor {_DISTRIBUTION_PYTHON} has BCC's Python binding",
        hint=hint,
    )


def any_python() -> str:
    """Return the Python for an agent whose fault is not known yet: one with BCC, or else this."""
    try:
        return agent_python()
    except MissingTool:
        if os.environ.get(PYTHON_VARIABLE):
            raise
        return sys.executable


def require_privilege(euid: int, status: str) -> None:
    """Check that this process may load tracing programs.

    :param status: the text of /proc/self/status.
    :raises NotPermitted: it is not root and lacks CAP_SYS_ADMIN.
    """
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    effective = int(fields.get("CapEff", "0").strip(), 16)
    if euid != 0 and not effective >> _CAP_SYS_ADMIN & 1:
        raise NotPermitted("kernel faults need root", hint="run chaos as root, or with sudo")


def start_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """Return how many seconds an agent may take until its fault is armed.

    :raises InvalidFault: the environment asks for something else than a time.
    """
    text = environment.get(START_VARIABLE, "")
    if not text:
        return _START_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_START_SECONDS:
        raise InvalidFault(
            START_VARIABLE,
            text,
            f"a number of seconds above 0 and up to {MAX_START_SECONDS:g}",
            hint=f"unset it for {_START_SECONDS:g} s",
        )
    return seconds


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


@functools.cache
def _is_python(program: str) -> bool:
    try:
        said = process.run([program, "-I", "-c", "print(1)"], seconds=_LOOK_SECONDS, check=False)
    except ChaosKernelError:
        return False
    return said.stdout == "1\n"


@functools.cache
def _has_bcc(python: str) -> bool:
    """Look the way the agent will: what this process has on its path may not be there then."""
    try:
        look = process.run([python, "-I", "-c", _LOOK], seconds=_LOOK_SECONDS, check=False)
    except ChaosKernelError:
        return False
    return look.returncode == 0
