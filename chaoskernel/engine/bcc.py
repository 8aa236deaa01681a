"""The engine on BCC: compiles on the target, with the distribution's python3-bpfcc.

The only module that imports bcc, and it does so when a fault is armed: the
import alone takes seconds on a slow machine.  bcc raises bare Exception, and on
some errors calls sys.exit: neither leaves this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from chaoskernel.bpf.program import (
    COUNTERS,
    Attach,
    Entry,
    Placement,
    Program,
    origin,
    render,
)
from chaoskernel.engine import Progress, events
from chaoskernel.engine.place import placements
from chaoskernel.engine.prove import prove
from chaoskernel.engine.seed import Follower, seed
from chaoskernel.errors import (
    ChaosKernelError,
    EngineError,
    InvalidFault,
    MissingTool,
    UnsupportedKernel,
)
from chaoskernel.kernel import bpf, btf, cgroups, features, podgroups, processes, symbols
from chaoskernel.kernel.cgroups import Cgroup, Hierarchy
from chaoskernel.spec import Fault

_KEY_0 = ctypes.c_int(0)
_ENTRY, _RETURN = 0, 1


class BccEngine:
    """Compiles a fault's program with LLVM and attaches it; see `Engine`."""

    name = "bcc"

    def arm(self, fault: Fault, *, progress: Progress) -> BccArmedFault:
        """See `Engine.arm`."""
        processes.require_kernels_ids()
        progress("looking at the kernel")
        kernel_symbols, kernel_features = symbols.running(), features.running()
        pods = fault.scope.pods
        hierarchy, groups = cgroups.scoped(
            fault.scope.cgroups,
            fault.scope.containers,
            needed=(lambda each: podgroups.require(pods, each.directory)) if pods else None,
        )
        refused: EngineError | None = None
        for placement in placements(
            fault, kernel_symbols, kernel_features, btf.running(), hierarchy
        ):
            try:
                return _arm(fault, placement, _Groups(hierarchy, groups), progress)
            except EngineError as error:
                refused = refused or error
                progress(f"{placement.hook.mechanism.value} was refused: {error.message}")
        assert refused is not None, "there is at least one placement"
        features.require_traceable(
            kernel_symbols.resolve(frame.funcname) for frame in fault.callchain
        )
        raise refused


@dataclasses.dataclass(frozen=True, slots=True)
class _Groups:
    """The control groups that a scope names.

    :param hierarchy: that has them, and those of its pods.
    """

    hierarchy: Hierarchy | None
    named: Sequence[Cgroup]


class BccArmedFault:
    """A fault that BCC attached; see `ArmedFault`."""

    def __init__(
        self,
        fault: Fault,
        placement: Placement,
        targets: Sequence[Mapping[str, Any]],
        module: _Module,
        undo: contextlib.ExitStack,
        expires: int,
        follower: Follower | None,
    ) -> None:
        self._follower = follower
        self.placement = placement
        self._fault = fault
        self._boot = time.time() - time.monotonic()
        self.targets = targets
        self.programs = module.programs
        self.expires = expires
        self._module = module
        self._undo = undo
        self._final: dict[str, Any] | None = None
        self._last: tuple[Sequence[events.Event], int] = ((), 0)

    def counters(self) -> dict[str, Any]:
        """See `ArmedFault.counters`."""
        return dict(self._final) if self._final is not None else self._count()

    def events(self, limit: int) -> dict[str, Any]:
        """See `ArmedFault.events`."""
        found, dropped = self._last if self._final is not None else self._module.events(limit)
        hook, kept = self.placement.hook.symbol, found[max(0, len(found) - limit) :]
        return {
            "events": events.to_json(
                kept, self._fault.hook, hook, symbols.running(), boot=self._boot
            ),
            "dropped": dropped,
        }

    def follow(self) -> None:
        """See `ArmedFault.follow`."""
        if self._follower and self._final is None:
            self._follower.look()

    def disarm(self) -> list[int]:
        """See `ArmedFault.disarm`."""
        if self._final is None:
            # One store ends the injections; only then are the last counters final.
            self._module.set_deadline(0)
            self._last = self._module.events(events.KEPT)
            self._final = self._count()
        self._undo.close()
        return bpf.still_loaded(self.programs)

    def _count(self) -> dict[str, Any]:
        return {
            **self._module.counters(),
            "frames": [
                {"symbol": probe.symbol, **self._module.frame(number)}
                for number, probe in enumerate(self.placement.frames)
            ],
            "processes": self._module.hits(),
            **({"pods": self._pods()} if self._fault.scope.pods else {}),
        }

    def _pods(self) -> list[dict[str, Any]]:
        return [
            {"pod": str(pod), "injected": self._module.pod(number)}
            for number, pod in enumerate(self._fault.scope.pods)
        ]


def _arm(fault: Fault, placement: Placement, groups: _Groups, progress: Progress) -> BccArmedFault:
    program = render(fault, placement)
    with contextlib.ExitStack() as undo:
        progress("compiling")
        module = undo.enter_context(_compiled(program))
        progress("attaching")
        trackers = [e for e in program.entries if e.attach is Attach.RAW_TRACEPOINT]
        probes = [e for e in program.entries if e.attach is not Attach.RAW_TRACEPOINT]
        for entry in probes:  # what the verifier refuses is refused before anything is attached
            module.load(entry)
        # Whoever forks must be seen before the processes are listed, and who is
        # in scope must be settled before anything can be overridden.
        for entry in trackers:
            undo.callback(module.attach(entry))
        follower = None
        if fault.scope.pods and groups.hierarchy:
            follower = Follower(module, fault.scope.pods, groups.hierarchy.directory)
        targets = seed(module, fault.scope, groups.named, follower)
        for entry in probes:
            undo.callback(module.attach(entry))
        progress("proving that the hook is alive")
        prove(module, fault, placement.hook.symbol)
        expires = time.monotonic_ns() + round(fault.limits.duration * 1e9)
        module.set_deadline(expires)
        return BccArmedFault(fault, placement, targets, module, undo.pop_all(), expires, follower)


class _Module:
    """One compiled text with its maps and programs.

    :param module: a `bcc.BPF`.
    :param bcc: the package.
    :param program: what was compiled.
    """

    def __init__(self, module: Any, bcc: Any, program: Program) -> None:
        self._bpf = module
        self._program = program
        self._bcc = bcc
        self._descriptors: dict[str, int] = {}

    @property
    def programs(self) -> tuple[int, ...]:
        """Ids of the loaded programs."""
        return tuple(bpf.program_id(fd) for fd in self._descriptors.values())

    def load(self, entry: Entry) -> int:
        """Load an entry point, once, and return its descriptor."""
        if entry.function not in self._descriptors:
            kinds = {
                Attach.RAW_TRACEPOINT: self._bcc.BPF.RAW_TRACEPOINT,
                Attach.KPROBE: self._bcc.BPF.KPROBE,
                Attach.KRETPROBE: self._bcc.BPF.KPROBE,
            }
            kind = kinds.get(entry.attach, self._bcc.BPF.TRACING)
            with _bcc_errors(f"the kernel refused the program on {entry.symbol}", self._program):
                function = self._bpf.load_func(entry.function.encode(), kind)
            self._descriptors[entry.function] = function.fd
        return self._descriptors[entry.function]

    def attach(self, entry: Entry) -> Callable[[], None]:
        """Attach an entry point; return what detaches it."""
        program = self.load(entry)
        library, symbol = self._bcc.lib, entry.symbol.encode()
        with _bcc_errors(f"{entry.attach.value} on {entry.symbol} failed"):
            if entry.attach in (Attach.KPROBE, Attach.KRETPROBE):
                way = _RETURN if entry.attach is Attach.KRETPROBE else _ENTRY
                event = f"chaoskernel_{os.getpid()}_{entry.function}".encode()
                link = library.bpf_attach_kprobe(program, way, event, symbol, 0, 0)
                if link >= 0:
                    return lambda: library.bpf_close_perf_event_fd(link)
            elif entry.attach is Attach.RAW_TRACEPOINT:
                link = library.bpf_attach_raw_tracepoint(program, symbol)
            else:
                link = library.bpf_attach_kfunc(program)
            if link < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return lambda: os.close(link)

    def set_deadline(self, until: int) -> None:
        """Let the program inject until then (CLOCK_MONOTONIC, ns); 0 ends it."""
        self._bpf[b"deadline"][_KEY_0] = ctypes.c_uint64(until)

    def counters(self) -> dict[str, int]:
        """Return the counters, summed over the CPUs."""
        table = self._bpf[b"counters"]
        return {name: int(sum(table[ctypes.c_int(number)])) for number, name in enumerate(COUNTERS)}

    def frame(self, number: int) -> dict[str, int]:
        """Return how often a frame's function was entered, and took its place in the chain."""
        table = self._bpf[b"frames"]
        entered, matched = (int(sum(table[ctypes.c_int(2 * number + n)])) for n in (0, 1))
        return {"entered": entered, "matched": matched}

    def pod(self, number: int) -> int:
        """Return how many requests of the scope's pod failed; 0 is its first."""
        return int(sum(self._bpf[b"pods"][ctypes.c_int(number)]))

    def hits(self) -> list[dict[str, Any]]:
        """Return the processes that were hit, the first one first, and how often."""
        found = sorted(self._bpf[b"hit"].items(), key=lambda item: int(item[0].started))
        return [
            {
                "pid": int(process.pid),
                "command": hits.command.decode(errors="replace"),
                "injected": int(hits.count),
            }
            for process, hits in found
        ]

    def events(self, limit: int) -> tuple[Sequence[events.Event], int]:
        """Return the latest events, and how many have made room for them."""
        table = self._bpf[b"events"]
        written = int(self._bpf[b"last_event"][_KEY_0].value)

        def slot(number: int) -> bytes:
            leaf = table[ctypes.c_int(number)]
            return ctypes.string_at(ctypes.addressof(leaf), ctypes.sizeof(leaf))

        return events.latest(written, limit, slot)

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        """See `Tables.list_processes`."""
        table = self._bpf[b"processes"]
        for pid in pids:
            table[ctypes.c_uint32(pid)] = ctypes.c_uint8(membership)

    def unlist_processes(self, pids: Iterable[int]) -> None:
        """See `Tables.unlist_processes`."""
        table = self._bpf[b"processes"]
        for pid in pids:
            with contextlib.suppress(KeyError):  # the program took it off before us
                del table[ctypes.c_uint32(pid)]

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        """See `Tables.list_cgroups`."""
        for identity in identities:
            self._bpf[b"cgroups"][ctypes.c_uint64(identity)] = ctypes.c_uint16(pod)

    def list_commands(self, names: Iterable[str]) -> None:
        """See `Tables.list_commands`."""
        for name in names:
            table = self._bpf[b"commands"]
            table[table.Key(name.encode())] = ctypes.c_uint8(1)

    def close(self) -> None:
        """Close every descriptor of programs and maps."""
        self._bpf.cleanup()


@contextlib.contextmanager
def _compiled(program: Program) -> Iterator[_Module]:
    try:
        import bcc  # noqa: PLC0415 - see the module's text
    except ImportError as absent:
        raise MissingTool(
            "this Python has no bcc", hint="apt-get install python3-bpfcc"
        ) from absent

    class Source(bcc.BPF):  # type: ignore[misc]
        def _trace_autoload(self) -> None:
            """Attach nothing by the names of functions: the order is ours."""

    with _bcc_errors("the program does not compile", program):
        source = Source(text=program.text.encode())
    module = _Module(source, bcc, program)
    try:
        yield module
    finally:
        module.close()


@contextlib.contextmanager
def _bcc_errors(what: str, program: Program | None = None) -> Iterator[None]:
    """Turn whatever bcc does on an error into one of ours.

    Clang and the verifier write to standard error: the line that says why is
    taken from there.

    :param program: where the user's own C is in it, an error there is shown as such.
    """
    # In memory: the disk may be full, or may be what fails.
    with os.fdopen(os.memfd_create("output"), "w+b") as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        failure: BaseException | None = None
        try:
            yield
        except (Exception, SystemExit) as error:
            failure = error
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        if failure is not None:
            caught.seek(0)
            output = caught.read().decode(errors="replace")
            raise _error(what, output, failure, program) from failure


def _error(
    what: str, output: str, failure: BaseException, program: Program | None
) -> ChaosKernelError:
    """Return the error that a compiler's or the verifier's output tells of.

    One in the user's own C is shown as what it is: at its key in the fault.
    """
    if "Unable to find kernel headers" in output or "chdir(/lib/modules/" in output:
        return UnsupportedKernel(
            "the headers of the running kernel are missing, and BCC compiles with them",
            needs=f"apt-get install linux-headers-{platform.release()}, "
            "or a kernel with CONFIG_IKHEADERS, has them",
        )
    if compiler := re.search(r"(?m)(?:main\.c:(\d+):\d+: )?(?:fatal )?error: (.+)$", output):
        number, verdict = compiler.groups()
        source = program.text.splitlines()[int(number) - 1] if program and number else ""
    else:
        lines = [line for line in output.splitlines() if line.strip()]
        verdicts = [line for line in lines if not re.match(r"processed \d+ insns|HINT", line)]
        verdict = verdicts[-1] if verdicts else str(failure)
        source = next((line for line in reversed(lines) if line.startswith("; ")), "")
    key = origin(source)
    if program and program.users.get(key):
        return InvalidFault(
            key,
            program.users[key],
            f"accepted by the compiler and the kernel: {verdict}",
            hint="check names and types against the kernel's source; types come with headers",
        )
    return EngineError(f"{what}: {verdict}")
