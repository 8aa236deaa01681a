"""A fault with predicates -> an object that has them, for the engine core.

It is compiled where the experiment runs and travels beside the fault: on the types of this kernel,
or, for nodes of another architecture, on those of one of their kernels.  Where the nodes' kernels
have the members elsewhere, libbpf sees to it.
"""

from __future__ import annotations

import functools
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chaoskernel import process, scratch
from chaoskernel.compiler import clang
from chaoskernel.errors import EngineError, InvalidFault, MissingTool, UnsupportedKernel
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed
from chaoskernel.fault.choice import Facts, choose
from chaoskernel.fault.origin import marked, origin
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.lazy import Lazy
from chaoskernel.process import CommandFailed

if TYPE_CHECKING:
    from chaoskernel.fault import predicate
else:
    predicate = Lazy("chaoskernel.fault.predicate")

_TYPES = Path("/sys/kernel/btf/vmlinux")
_HELPERS = Path("/usr/include/bpf/bpf_helpers.h")
_STRICT = ("-Wno-everything", "-Werror=implicit-function-declaration")
"""A macro that is none is an error here, and not when the program is loaded."""

_MAX_PARAMETERS = 6
_SECONDS = 60.0


class Target(NamedTuple):
    """What an object is for.

    :param machine: as `uname -m` prints it; empty for this one.
    :param types: returns the types (BTF) of a kernel of that machine; None for this kernel's.
    """

    machine: str = ""
    types: Callable[[], bytes] | None = None


HERE = Target()


def wants_object(fault: Fault) -> bool:
    """Tell whether a fault is brought onto a kernel by an object of its own, where one can be made.

    Core may work on the nodes, whatever this kernel is.
    """
    return fault.has_predicates and _engine(fault, compiled=True) is EngineName.CORE


def _engine(fault: Fault, *, compiled: bool) -> EngineName:
    return choose(fault, Facts(compiled, lambda: True))


def assigned(fault: Fault, target: Target = HERE) -> Assignment:
    """Return a fault beside the object that it needs, if any.

    Where the object cannot be made, and bcc can do without it, the fault is left to bcc.

    :raises InvalidFault: the compiler does not take what the user wrote.
    :raises MissingTool: the fault needs core, and something that compiling takes is missing.
    :raises UnsupportedKernel: it needs core, which does not know the registers of the machine.
    """
    if not wants_object(fault):
        return Assignment(fault)
    wanted = _engine(fault, compiled=False) is EngineName.CORE
    machine = target.machine or platform.machine()
    try:
        clang.architecture_of(machine)
        require_tools(or_bcc=not fault.needs_core, own_types=target.types is None)
        image = compiled(fault, target)
    except (MissingTool, UnsupportedKernel):
        if wanted:
            raise
        return Assignment(fault)
    except InvalidFault:
        # Macros of a header are not among the types; bcc reads the header.
        if wanted or not fault.headers:
            raise
        return Assignment(fault)
    return Assignment(fault, packed(image), machine)


def compiled(fault: Fault, target: Target = HERE) -> bytes:
    """Return the object with a fault's predicates.

    :raises InvalidFault: the compiler does not take what the user wrote.
    :raises EngineError: it does not take the rest.
    """
    with scratch.directory() as directory:
        text = source(fault)
        types = target.types() if target.types else b""
        (directory / "vmlinux.h").write_text(_vmlinux_h(types), encoding="utf-8")
        (directory / "users.h").write_text(text, encoding="utf-8")
        output = directory / "inject.bpf.o"
        try:
            clang.compile_object(
                output,
                [*_STRICT, f"-I{directory}", '-DPREDICATES="users.h"'],
                machine=target.machine,
            )
        except CommandFailed as failed:
            raise _error(fault, text, failed) from failed
        return output.read_bytes()


@functools.lru_cache(maxsize=4)
def _vmlinux_h(types: bytes = b"") -> str:
    """Return the types of a kernel in C; schedules compile again and again.

    :param types: its BTF; empty for that of the running one.
    """
    if not types:
        return _dumped(_TYPES)
    with scratch.directory() as directory:
        file = directory / "btf"
        file.write_bytes(types)
        return _dumped(file)


def _dumped(types: Path) -> str:
    command = ["bpftool", "btf", "dump", "file", str(types), "format", "c"]
    return process.run(command, seconds=_SECONDS).stdout


def source(fault: Fault) -> str:
    """Return the C of a fault's predicates, as inject.bpf.c includes it."""
    frames = [n for n, frame in enumerate(fault.callchain) if frame.predicate]
    tests = "".join(
        f"\tif (named & {1 << n:#x} && !frame_{n}_matches(arguments))\n"
        f"\t\tmatched &= ~{1 << n:#x}U;\n"
        for n in frames
    )
    own = fault.hooks[0].parameters
    return "\n".join(
        [
            # Its own programs alone: a Job carries the object, and has little room.
            _programs("FRAME", len(fault.callchain)),
            # What stands in may have more hooks.
            *([] if fault.stand_in else [_programs("HOOK", len(fault.hooks))]),
            _function("hook_matches", own, fault.predicate or "1", ""),
            *(
                _function(
                    f"frame_{n}_matches",
                    fault.callchain[n].parameters,
                    fault.callchain[n].predicate,
                    f"callchain[{n}].",
                )
                for n in frames
            ),
            "static __always_inline u32 frames_matched(const u64 *arguments, u32 named)\n"
            f"{{\n\tu32 matched = named;\n\n{tests}\treturn matched;\n}}\n",
        ]
    )


def _programs(macro: str, number: int) -> str:
    """Return what inject.bpf.c has instead of all programs of a sort."""
    return f"#define {macro}S " + " ".join(f"{macro}({n})" for n in range(number)) + "\n"


def _function(name: str, parameters: str, test: str, at: str) -> str:
    declared = "\n".join(_parameters(parameters, test, at))
    return f"""\
static __always_inline bool {name}(const u64 *__arguments)
{{
{declared}
	return {predicate.reading(test)}; {marked(f"{at}predicate")}
}}
"""


def _parameters(parameters: str, test: str, at: str) -> Iterator[str]:
    """Yield the declarations of those parameters that a predicate asks for."""
    for number, (name, text) in enumerate(predicate.declarations(parameters)):
        if not re.search(rf"\b{name}\b", test):
            continue
        if number >= _MAX_PARAMETERS:
            raise InvalidFault(
                f"{at}predicate",
                test,
                problem=f"{name} is parameter {number + 1} of its function",
                hint=f"a program sees the first {_MAX_PARAMETERS}",
            )
        yield f"\t{text} = (__typeof__({name}))__arguments[{number}]; {marked(f'{at}parameters')}"


def require_tools(*, or_bcc: bool = True, own_types: bool = True) -> None:
    """Check that predicates can be compiled here.

    :param or_bcc: whether the engine bcc is a remedy too.
    :param own_types: whether this kernel's types are what they are compiled on.
    :raises MissingTool: something is not there.
    """
    absent = [tool for tool in clang.NEEDED if not shutil.which(tool)]
    files = (_HELPERS, _TYPES) if own_types else (_HELPERS,)
    absent += [str(path) for path in files if not path.exists()]
    if absent:
        bcc = ", or use the engine bcc" if or_bcc else ""
        raise MissingTool(
            f"predicates are compiled here, and there is no {' and no '.join(absent)}",
            hint=f"apt-get install {clang.PACKAGES}{bcc}",
        )


def _error(fault: Fault, text: str, failed: CommandFailed) -> InvalidFault | EngineError:
    found = re.search(r"(?m)users\.h:(\d+):\d+: (?:fatal )?error: (.+)$", failed.output)
    line = text.splitlines()[int(found[1]) - 1] if found else ""
    if found and (key := origin(line)):
        return InvalidFault(
            key,
            fault.c_of(key),
            f"accepted by the compiler: {found[2]}",
            hint="check names and types against the kernel's source; the engine core knows its "
            "types, and bcc the macros of its headers too",
        )
    verdict = re.search(r"(?m)error: (.+)$", failed.output)
    return EngineError(f"the program does not compile: {verdict[1] if verdict else failed}")
