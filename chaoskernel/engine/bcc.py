"""The engine on BCC: compiles on the target, with the distribution's python3-bpfcc.

The only module that imports bcc, and it does so when a fault is armed: the
import alone takes seconds on a slow machine.  bcc raises bare Exception, and on
some errors calls sys.exit: neither leaves this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from chaoskernel.bpf.bcc_text import Program, render
from chaoskernel.bpf.placement import Attach, Entry, Layout, Placement, Span
from chaoskernel.bpf.text import HERE
from chaoskernel.engine import Progress
from chaoskernel.engine.arming import Armed, arm, full
from chaoskernel.engine.place import with_offsets
from chaoskernel.engine.tables import MapCalls, ProgramTables, Table, state_in
from chaoskernel.errors import (
    ChaosKernelError,
    EngineError,
    InvalidFault,
    MissingTool,
    UnsupportedKernel,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.origin import origin
from chaoskernel.fault.spec import Fault
from chaoskernel.kernel import addresses, bpf, btf, symbols
from chaoskernel.kernel.addresses import without_addresses
from chaoskernel.kernel.files import Place

_ENTRY, _RETURN = 0, 1
_LISTS_DATA = "CONFIG_KALLSYMS_ALL lists it"


_NO_PAGE_FAULTS = (
    "with the engine bcc, requests of page faults are not told apart, and fail with the others; "
    "the engine core tells them apart"
)


class BccEngine:
    """Compiles a fault's program with LLVM and attaches it; see `Engine`."""

    name = "bcc"

    def arm(self, fault: Fault, *, progress: Progress) -> Armed:
        """See `Engine.arm`."""
        bpf.require_fetching_atomics()
        armed = arm(fault, _compiled, progress)
        if fault.tells_page_faults:
            armed.warnings = [*armed.warnings, _NO_PAGE_FAULTS]
        return armed


class _Module(ProgramTables):
    """One compiled text with its maps and programs.

    :param module: a `bcc.BPF`.
    :param bcc: the package.
    :param program: what was compiled.
    """

    def __init__(self, module: Any, bcc: Any, program: Program) -> None:
        def fd(name: str) -> int:
            return int(bcc.lib.bpf_table_fd(module.module, name.encode()))

        calls = MapCalls(
            update=bcc.lib.bpf_update_elem,
            lookup=bcc.lib.bpf_lookup_elem,
            delete=bcc.lib.bpf_delete_elem,
            next_key=bcc.lib.bpf_get_next_key,
        )
        super().__init__(
            state_in(fd("memory")),
            lambda name, key, value: Table(calls, fd(name), key, value),
            len(bcc.utils.get_possible_cpus()),
        )
        self._bpf = module
        self._program = program
        self._bcc = bcc
        self._descriptors: dict[str, int] = {}

    sites = None
    near = ()
    cleanups = ()

    @property
    def entries(self) -> Sequence[Entry]:
        """See `Module.entries`."""
        return self._program.entries

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
            number = ctypes.get_errno()
            if link < 0 and number != errno.E2BIG:
                raise OSError(number, os.strerror(number))
        if link < 0:
            raise full(entry.symbol)
        return lambda: os.close(link)

    def list_places(self, places: Iterable[Place]) -> Sequence[int]:
        """See `Module.list_places`: this engine knows none."""
        assert not list(places), "a fault about files is the engine core's"
        return ()

    def unlist_places(self, addresses: Iterable[int]) -> None:
        """See `Module.unlist_places`."""

    def close(self) -> None:
        """Close every descriptor of programs and maps."""
        self._bpf.cleanup()


def _require_guard(fault: Fault, layout: Layout) -> None:
    """Check that the cache that caches are made from can be told from others.

    Nothing may fail there, and it is told by its address alone: the kernel's headers do not
    have the name in a cache.

    :raises UnsupportedKernel: the address is not known.
    """
    if fault.kind is Kind.SLAB and not layout.bootstrap_cache:
        why, remedy = addresses.hidden() or ("the kernel does not list kmem_cache", _LISTS_DATA)
        raise UnsupportedKernel(
            f"the guard of the slab cache that caches are made from needs its address: {why}",
            needs=f"{remedy}; the engine core needs no address",
        )


def on_this_kernel(placement: Placement) -> Placement:
    """Return a placement with what a program has to know of the kernel that it runs on.

    It walks no stack to see whom a request is made for: the verifier refuses that loop as BCC
    compiles it, so page faults are not told apart, and what cleans up fails too.  Nor does it
    count what is near.
    """
    found = with_offsets(placement, symbols.running(), btf.running())
    layout = found.layout._replace(page_fault=Span(), undone=())
    return found._replace(layout=layout, near=(), cleanups=())


@contextlib.contextmanager
def _compiled(fault: Fault, placement: Placement) -> Iterator[_Module]:
    placement = on_this_kernel(placement)
    _require_guard(fault, placement.layout)
    program = render(fault, placement)
    try:
        import bcc  # noqa: PLC0415 - see the module's text
    except ModuleNotFoundError as absent:
        raise MissingTool(
            "this Python has no bcc", hint="apt-get install python3-bpfcc"
        ) from absent
    except (ImportError, OSError) as broken:  # its library, or a file of its own
        raise MissingTool(
            f"bcc cannot be loaded: {broken}",
            hint="apt-get install --reinstall python3-bpfcc libbpfcc",
        ) from broken

    class Source(bcc.BPF):  # type: ignore[misc]
        def _trace_autoload(self) -> None:
            """Attach nothing by the names of functions: the order is ours."""

    with _bcc_errors("the program does not compile", program):
        source = Source(text=program.text.encode(), cflags=[f"-I{HERE}"])
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
    verdict = without_addresses(verdict)
    key = origin(source)
    if program and program.users.get(key):
        return InvalidFault(
            key,
            program.users[key],
            f"accepted by the compiler and the kernel: {verdict}",
            hint="check names and types against the kernel's source; types come with headers",
        )
    return EngineError(f"{what}: {verdict}")
