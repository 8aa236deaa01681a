"""The engine `core`: an object that was compiled once, and is relocated when it is loaded.

It takes neither a compiler nor headers, but the kernel's types (BTF) and libbpf.  A fault
with predicates brings an object of its own; see chaoskernel.compiler.objects.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoskernel.bpf import abi
from chaoskernel.bpf.abi import EXEMPT, WITNESS
from chaoskernel.bpf.placement import Attach, Entry, Placement
from chaoskernel.bpf.plan import (
    LEARNED_AT,
    LEARNER,
    MARKER,
    WATCHING,
    Kernel,
    Plan,
    names_of,
    plan,
)
from chaoskernel.bpf.text import file, object_name
from chaoskernel.engine import Progress, events, libbpf
from chaoskernel.engine.arming import Armed, arm, full
from chaoskernel.engine.tables import LISTED, ProgramTables, Table, state_in
from chaoskernel.errors import (
    EngineError,
    InvalidFault,
    MissingHook,
    MissingTool,
    UnsupportedKernel,
)
from chaoskernel.fault.checks import unpacked
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.origin import origin
from chaoskernel.fault.spec import Fault
from chaoskernel.kernel import bpf, btf, files, symbols
from chaoskernel.kernel.addresses import without_addresses
from chaoskernel.kernel.files import Place
from chaoskernel.kernel.text import Text
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.engine import sites
    from chaoskernel.engine.sites import SiteTable
else:
    sites = Lazy("chaoskernel.engine.sites")  # of faults with sites

_CACHE_SIZE = Path("/sys/kernel/slab/kmem_cache/object_size")


class CoreEngine:
    """Loads an object through libbpf; see `Engine`.

    :param image: the object that was compiled for the fault, packed; empty is the shipped one.
    """

    name = "core"

    def __init__(self, image: str = "") -> None:
        self._image = image

    def arm(self, fault: Fault, *, progress: Progress) -> Armed:
        """See `Engine.arm`.

        :raises MissingTool: there is no libbpf, or no object.
        """
        if fault.has_predicates and not self._image:
            raise MissingTool(
                "the fault has predicates, and no object that was compiled with them",
                hint="apt-get install clang libbpf-dev bpftool where the experiment runs, "
                "or use the engine bcc",
            )
        require_core(fault.why_core)
        return arm(fault, functools.partial(loaded, self._image), progress)


def require_core(why: str = "") -> None:
    """Check that the engine core can be used here.

    :param why: why bcc is no remedy, as a clause; empty where it is one.
    :raises MissingTool: libbpf or the object is not installed.
    :raises EngineError: the object cannot be read.
    :raises UnsupportedKernel: the kernel lacks what it builds on.
    """
    shipped_object()
    if not btf.present():
        raise UnsupportedKernel(
            "this kernel does not have its types",
            needs="CONFIG_DEBUG_INFO_BTF has them; "
            + (
                f"the engine bcc, which needs none, is not enough when {why}"
                if why
                else "the engine bcc needs none"
            ),
        )
    libbpf.require_library()
    bpf.require_fetching_atomics()


def shipped_object() -> bytes:
    """Return the object for faults without predicates.

    :raises MissingTool: this installation has none.
    :raises EngineError: it has one that cannot be read.
    """
    place = file(object_name())
    try:
        return place.read_bytes()
    except FileNotFoundError as absent:
        raise MissingTool(
            f"this installation has no {place.name}",
            hint="it was made without clang; install it again after apt-get install "
            "clang libbpf-dev bpftool",
        ) from absent
    except OSError as unreadable:
        raise EngineError(
            f"{place} cannot be read: {unreadable.strerror}",
            hint="the file is part of this installation: see to its rights and its disk, or "
            "install it again",
        ) from unreadable


@contextlib.contextmanager
def loaded(
    packed: str, fault: Fault, placement: Placement, watchers: Sequence[Entry] = ()
) -> Iterator[CoreModule]:
    """Load what a fault needs of the object, and unload it at the end.

    :param packed: the object that was compiled for the fault; empty is the shipped one.
    :param watchers: entry points beside the fault's own, which watch system calls.
    :raises ChaosKernelError: the kernel does not take it.
    """
    image = unpacked(packed) if packed else shipped_object()
    text = sites.running_text() if fault.sites else None
    wanted = planned(fault, placement, text)
    entries = (*wanted.entries, *watchers)
    sizes = {**wanted.sizes, **(WATCHING if watchers else {})}
    # libbpf has a copy of the types while it loads: the process is never larger than then.
    symbols.running().forget()
    btf.running().forget()
    with contextlib.ExitStack() as undo, _users_errors(fault, compiled=bool(packed)):
        module = libbpf.Object(image)
        undo.callback(module.close)
        module.initial(".rodata.switches", abi.Switches)[0] = wanted.switches
        for entry in (*entries, *wanted.near, *wanted.cleanups):
            traced = entry.attach in (Attach.FENTRY, Attach.FEXIT, Attach.FMOD_RET)
            module.want(entry.function, entry.symbol if traced else "")
        if fault.where.named or fault.where.sockets:
            module.want(LEARNER, LEARNED_AT)
        if fault.scope.by_cgroup:
            module.want(MARKER)
        for table, size in sizes.items():
            module.resize(table, size)
        module.share(".bss")
        module.load()
        names = module.table("names", abi.Name, ctypes.c_uint8)
        for name in names_of(fault.where):
            names[name] = LISTED
        undo.pop_all()
    try:
        yield CoreModule(module, wanted._replace(entries=entries), fault, placement, text)
    finally:
        module.close()


def planned(fault: Fault, placement: Placement, text: Text | None = None) -> Plan:
    """Return what a fault is in the program, with what this kernel has of what it needs.

    :param text: the kernel's, for a fault with sites.
    :raises UnsupportedKernel: see `_subsystem`.
    """
    kernel = Kernel(
        cgroup_subsystem=_subsystem(placement),
        has_task_pt_regs=bool(fault.callchain or fault.sites or fault.tells_page_faults)
        and bpf.has_task_pt_regs(),
        text=text.base if text else 0,
        system_calls=symbols.running().address("sys_call_table") if text else 0,
        cache_size=_cache_size() if fault.kind is Kind.SLAB else 0,
    )
    return plan(fault, placement, kernel)


def _cache_size() -> int:
    """Return how many bytes a slab cache has itself; 0 where the kernel does not show that."""
    try:
        return int(_CACHE_SIZE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _subsystem(placement: Placement) -> int:
    """Return the number of the controller that has the scope's cgroups; 0 with v2.

    :raises UnsupportedKernel: the kernel's types do not tell.
    """
    controller = placement.layout.cgroup_controller
    if not controller:
        return 0
    number = btf.running().enumerator("cgroup_subsys_id", f"{controller}_cgrp_id")
    if number is None:
        raise UnsupportedKernel(
            f"the kernel's types do not tell the number of the controller {controller}",
            needs="the engine bcc asks the kernel's headers",
        )
    return number


@contextlib.contextmanager
def _users_errors(fault: Fault, *, compiled: bool) -> Iterator[None]:
    """Show what the verifier says of the user's own C at its key in the fault."""
    try:
        yield
    except libbpf.Refused as refused:
        lines = [line for line in refused.log.splitlines() if line.strip()]
        key = next((found for line in reversed(lines) if (found := origin(line))), "")
        verdict = _verdict(lines) or refused.message
        if unlisted := re.search(r"\b(\w+)\(\) is not modifiable", refused.log):
            raise MissingHook(
                f"{unlisted[1]} cannot be overridden: this kernel lets nobody",
                needs="CONFIG_FUNCTION_ERROR_INJECTION lists what may be; "
                "`chaoskernel lab` boots such a kernel",
            ) from refused
        if key and compiled:
            raise InvalidFault(
                key,
                fault.c_of(key),
                f"accepted by the kernel: {verdict}",
                hint="the engine bcc may take it; it reads memory in another way",
            ) from refused
        raise EngineError(f"{refused.message}: {verdict}") from refused


def _verdict(lines: Sequence[str]) -> str:
    """Return the line of a log that says why: the verifier's last word, or libbpf's first."""
    log = [line for line in lines if not re.match(r"processed \d+ insns|libbpf: |-- ", line)]
    own = [line.removeprefix("libbpf: ") for line in lines if line.startswith("libbpf: ")]
    return without_addresses((log[-1:] or own[:1] or [""])[0].strip())


class CoreModule(ProgramTables):
    """A loaded object with its tables; see `arming.Module`."""

    def __init__(
        self,
        module: libbpf.Object,
        planned: Plan,
        fault: Fault,
        placement: Placement,
        text: Text | None,
    ) -> None:
        state = state_in(module.map_descriptor(".bss"))
        super().__init__(state, module.table, libbpf.possible_cpus())
        self._object = module
        self._unlisted = abi.BY_GROUP if fault.scope.by_cgroup else 0
        self.entries, self.near, self.cleanups = planned.entries, planned.near, planned.cleanups
        self._places = module.table("places", ctypes.c_uint64, ctypes.c_uint8)
        self.sites = self._sites(fault, placement, text) if text else None

    def _sites(self, fault: Fault, placement: Placement, text: Text) -> SiteTable:
        memory = sites.Memory(
            self._state.head,
            self._object.shared("sites", abi.Site * abi.MAX_SITES),
            self._object.shared("text", ctypes.c_uint64 * abi.NR_TEXT_PAGES),
        )
        return sites.SiteTable(
            memory,
            text,
            hooks=[placed.probe.symbol for placed in placement.hooks],
            error=fault.reported,
            lost=lambda: self.counters()["unlisted_sites"],
            describe=functools.partial(events.arguments_of, fault.kind),
        )

    @property
    def programs(self) -> Sequence[int]:
        """See `Module.programs`."""
        return tuple(
            bpf.program_id(self._object.descriptor(entry.function)) for entry in self.entries
        )

    def table(self, name: str, key: type[Any], value: type[Any]) -> Table:
        """Return one of the object's tables."""
        return self._object.table(name, key, value)

    def load(self, entry: Entry) -> int:
        """See `Module.load`: an object is loaded as a whole."""
        return self._object.descriptor(entry.function)

    def attach(self, entry: Entry) -> Callable[[], object]:
        """See `Module.attach`."""
        if entry.attach in (Attach.KPROBE, Attach.KRETPROBE):
            return self._object.attach_kprobe(
                entry.function, entry.symbol, at_return=entry.attach is Attach.KRETPROBE
            )
        try:
            return self._object.attach(entry.function, entry.symbol)
        except libbpf.Refused as refused:
            if refused.number == errno.E2BIG:
                raise full(entry.symbol) from refused
            raise

    def list_places(self, places: Iterable[Place]) -> Sequence[int]:
        """See `Module.list_places`: a program sees where each lies when it is asked about."""
        places = list(places)
        if not places:
            return ()
        found: list[int] = []
        detach = self._object.attach(LEARNER, LEARNED_AT)
        self.list_processes([os.getpid()], WITNESS)
        try:
            for place in places:
                found.append(address := self._address(place))
                self._state.places[address // 64 % abi.NR_PLACES] = LISTED
                self._places[address] = LISTED
        except (EngineError, OSError):
            self.unlist_places(found)
            raise
        finally:
            self.list_processes([os.getpid()], EXEMPT)
            detach()
        return found

    def _address(self, place: Place) -> int:
        self._state.head.whole, self._state.head.learned = place.whole, 0
        files.identity(place.descriptor)
        if address := int(self._state.head.learned):
            return address
        raise UnsupportedKernel(
            f"this kernel does not tell where a file lies: {LEARNED_AT} was not called",
            needs="CONFIG_SECURITY; or leave out paths and devices",
        )

    def unlist_places(self, addresses: Iterable[int]) -> None:
        """See `Module.unlist_places`; the bitmap, whose bytes places share, is left."""
        for address in addresses:
            self._places.pop(address)

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        """See `Tables.list_cgroups`.

        The program marks whoever moves into a group or is forked into it from then on, and
        whoever is there already when it is run over all tasks.
        """
        identities = list(identities)
        super().list_cgroups(identities, pod)
        if identities:
            self._object.iterate(MARKER)
