"""The few system calls that need no engine: is a helper there, is a program loaded, does one run?

Both engines' libraries differ in what they wrap; the system calls do not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from chaoskernel.errors import NotPermitted, UnsupportedKernel

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280, "s390x": 351, "riscv64": 280}

_MEMBARRIER_NUMBERS = {"x86_64": 324, "aarch64": 283, "s390x": 356, "riscv64": 283}
_MEMBARRIER_CMD_GLOBAL = 1
_GRACE_SECONDS = 0.1

_PROG_LOAD = 5
_PROG_GET_FD_BY_ID = 13
_PROG_TYPE_KPROBE = 2
_FUNC_OVERRIDE_RETURN = 58
_FUNC_GET_CURRENT_TASK_BTF = 158
_FUNC_TASK_PT_REGS = 175

_CALL = 0x85
_MOV_IMMEDIATE = 0xB7
_MOV_REGISTER = 0xBF
_STORE_IMMEDIATE = 0x7A
_ATOMIC = 0xDB
_FETCH_ADD = 0x01
_EXIT = 0x95
_STACK = 10  # the register that has its end


def has_override_helper() -> bool:
    """Tell whether kprobe programs may call bpf_override_return.

    :raises NotPermitted: the process may not load programs.
    """
    # r2 = 0, the value; r1 is the context
    return _loads((_MOV_IMMEDIATE, 2, 0, 0), (_CALL, 0, 0, _FUNC_OVERRIDE_RETURN))


def has_task_pt_regs() -> bool:
    """Tell whether programs can ask where a thread's registers are (Linux 5.15).

    :raises NotPermitted: the process may not load programs.
    """
    return _loads(
        (_CALL, 0, 0, _FUNC_GET_CURRENT_TASK_BTF),
        (_MOV_REGISTER, 1, 0, 0),  # r1 = r0
        (_CALL, 0, 0, _FUNC_TASK_PT_REGS),
    )


def has_fetching_atomics() -> bool:
    """Tell whether programs can add to a number and read it in one step (Linux 5.12).

    :raises NotPermitted: the process may not load programs.
    """
    return _loads(
        (_STORE_IMMEDIATE, _STACK, -8, 0),
        (_MOV_IMMEDIATE, 1, 0, 1),
        (_ATOMIC, _STACK | 1 << 4, -8, _FETCH_ADD),  # of r1
    )


def require_fetching_atomics() -> None:
    """Check that programs can do what they number events and count `times` by.

    :raises UnsupportedKernel: they cannot.
    :raises NotPermitted: the process may not load programs.
    """
    if not has_fetching_atomics():
        raise UnsupportedKernel(
            "this kernel's BPF programs cannot add to a number and read it in one step",
            needs="those of Linux 5.12 can",
        )


def _loads(*body: tuple[int, int, int, int]) -> bool:
    """Tell whether the kernel takes a kprobe program that does this and returns 0.

    :param body: code, registers, offset and immediate value of each instruction.
    :raises NotPermitted: the process may not load programs.
    """
    whole = (*body, (_MOV_IMMEDIATE, 0, 0, 0), (_EXIT, 0, 0, 0))
    instructions = b"".join(struct.pack("=BBhi", *instruction) for instruction in whole)
    text = ctypes.create_string_buffer(instructions)
    license_text = ctypes.create_string_buffer(b"GPL")
    # The verifier wants the running kernel's version of kprobe programs before 5.0.
    attributes = struct.pack(
        "=IIQQIIQII",
        _PROG_TYPE_KPROBE,
        len(instructions) // 8,
        ctypes.addressof(text),
        ctypes.addressof(license_text),
        0,
        0,
        0,
        _version_code(),
        0,
    )
    descriptor, error = _bpf(_PROG_LOAD, attributes)
    if descriptor >= 0:
        os.close(descriptor)
        return True
    if error == errno.EPERM:
        hint = "root lacks CAP_SYS_ADMIN here, or seccomp refuses bpf(2); a container is given both"
        raise NotPermitted(
            "this process may not load BPF programs",
            hint="run it as root" if os.geteuid() else hint,
        )
    return False


def program_id(descriptor: int) -> int:
    """Return the id of a program, as `bpftool prog` lists it."""
    text = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    found = re.search(r"(?m)^prog_id:\s*(\d+)", text)
    assert found, "the descriptor is not a program's"
    return int(found[1])


def still_loaded(programs: Iterable[int], *, seconds: float = 1.0) -> list[int]:
    """Return which of these programs are loaded after so long.

    The kernel frees a program a little after its last descriptor is closed.
    """
    end = time.monotonic() + seconds
    left = [number for number in programs if _is_loaded(number)]
    while left and time.monotonic() < end:
        time.sleep(0.02)
        left = [number for number in left if _is_loaded(number)]
    return left


def wait_for_programs() -> bool:
    """Wait until no run of a program is left that began before this call.

    Programs run within RCU read sections, and membarrier(2) waits for those of all CPUs.  Where
    the kernel refuses it (nohz_full, seccomp), or has one CPU and waits for nothing, it is a pause:
    a run takes microseconds.

    :return: whether the kernel has said so.
    """
    number = _MEMBARRIER_NUMBERS.get(os.uname().machine)
    if number is not None and os.sysconf("SC_NPROCESSORS_ONLN") > 1:
        library = ctypes.CDLL(None, use_errno=True)
        command = ctypes.c_long(_MEMBARRIER_CMD_GLOBAL)
        if library.syscall(ctypes.c_long(number), command, ctypes.c_long(0), ctypes.c_long(0)) == 0:
            return True
    time.sleep(_GRACE_SECONDS)
    return False


def _is_loaded(program: int) -> bool:
    descriptor, error = _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", program, 0, 0))
    if descriptor >= 0:
        os.close(descriptor)
        return True
    return error != errno.ENOENT


def _bpf(command: int, attributes: bytes) -> tuple[int, int]:
    """Make the system call; return its result and the error number."""
    number = _SYSCALL_NUMBERS.get(os.uname().machine)
    if number is None:
        raise UnsupportedKernel(
            f"the number of bpf(2) on {os.uname().machine} is not known",
            needs=f"run on {', '.join(_SYSCALL_NUMBERS)}",
        )
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = library.syscall(
        ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_ulong(len(attributes))
    )
    return int(result), ctypes.get_errno()


def _version_code() -> int:
    numbers = [int(part) for part in re.findall(r"\d+", os.uname().release)[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return (major << 16) + (minor << 8) + min(patch, 255)
