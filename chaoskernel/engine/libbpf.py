"""The distribution's libbpf, as far as one object needs it; see docs/decisions/008-core.md.

The only module that calls libbpf.  Standard library only.  Its messages, the verifier's
among them, come with the error that they belong to.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

from chaoskernel.engine.tables import MapCalls, Table, in_memory
from chaoskernel.errors import EngineError, MissingTool, UnsupportedKernel

_LIBRARY = "libbpf.so.1"
_ERRORS = {524: "the kernel does not support that"}
"""Numbers that do not leave the kernel as a rule: ENOTSUPP, include/linux/errno.h."""

_MESSAGE_BYTES = 1 << 16
_ARRAY, _MMAPABLE = 2, 1 << 10  # BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE

_Print = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_POINTER, _TEXT, _INT, _BOOL = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_bool
_SIZE, _U32, _U64 = ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint64

_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (_POINTER, (_Print,)),
    "libbpf_num_possible_cpus": (_INT, ()),
    "bpf_object__open_mem": (_POINTER, (_POINTER, _SIZE, _POINTER)),
    "bpf_object__load": (_INT, (_POINTER,)),
    "bpf_object__close": (None, (_POINTER,)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_object__find_program_by_name": (_POINTER, (_POINTER, _TEXT)),
    "bpf_object__find_map_by_name": (_POINTER, (_POINTER, _TEXT)),
    "bpf_program__set_autoload": (_INT, (_POINTER, _BOOL)),
    "bpf_program__set_attach_target": (_INT, (_POINTER, _INT, _TEXT)),
    "bpf_program__fd": (_INT, (_POINTER,)),
    "bpf_program__attach": (_POINTER, (_POINTER,)),
    "bpf_program__attach_kprobe": (_POINTER, (_POINTER, _BOOL, _TEXT)),
    "bpf_link__destroy": (_INT, (_POINTER,)),
    "bpf_link__fd": (_INT, (_POINTER,)),
    "bpf_iter_create": (_INT, (_INT,)),
    "bpf_map__fd": (_INT, (_POINTER,)),
    "bpf_map__value_size": (_U32, (_POINTER,)),
    "bpf_map__reuse_fd": (_INT, (_POINTER, _INT)),
    "bpf_map_create": (_INT, (_INT, _TEXT, _U32, _U32, _U32, _POINTER)),
    "bpf_map__set_max_entries": (_INT, (_POINTER, _U32)),
    "bpf_map__initial_value": (_POINTER, (_POINTER, ctypes.POINTER(_SIZE))),
    "bpf_map_update_elem": (_INT, (_INT, _POINTER, _POINTER, _U64)),
    "bpf_map_lookup_elem": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_map_delete_elem": (_INT, (_INT, _POINTER)),
    "bpf_map_get_next_key": (_INT, (_INT, _POINTER, _POINTER)),
}


class _MapOptions(ctypes.Structure):
    """`struct bpf_map_create_opts` of libbpf 1.0."""

    _fields_ = (
        ("sz", _SIZE),
        *((name, _U32) for name in ("btf_fd", "btf_key_type_id", "btf_value_type_id")),
        *((name, _U32) for name in ("btf_vmlinux_value_type_id", "inner_map_fd", "map_flags")),
        ("map_extra", _U64),
        ("numa_node", _U32),
        ("map_ifindex", _U32),
    )


class _Library:
    """libbpf, and what it has printed since the last call that was looked at."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.functions = ctypes.CDLL(_LIBRARY, use_errno=True)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self.functions, name)
            function.restype, function.argtypes = result, arguments
        self._format = ctypes.CDLL(None).vsnprintf
        self._format.argtypes = (_POINTER, _SIZE, _TEXT, _POINTER)
        self._print = _Print(self._keep)  # as long-lived as the library
        self.functions.libbpf_set_print(self._print)

    def _keep(self, level: int, text: bytes, arguments: int) -> int:
        if level == 0:  # LIBBPF_WARN; what comes below is of use to libbpf's developers
            buffer = ctypes.create_string_buffer(_MESSAGE_BYTES)
            self._format(buffer, _MESSAGE_BYTES, text, arguments)
            self.said.append(buffer.value.decode(errors="replace"))
        return 0


@functools.cache
def _library() -> _Library:
    """Load libbpf.

    :raises MissingTool: it is not installed.
    """
    try:
        return _Library()
    except (OSError, AttributeError) as absent:  # the linker's words: not there, or what it lacks
        raise MissingTool(
            f"libbpf 1.0 or newer cannot be loaded: {absent}", hint="apt-get install libbpf1"
        ) from absent


def require_library() -> None:
    """Check that libbpf is here.

    :raises MissingTool: it is not, or cannot be loaded.
    """
    _library()


class Refused(EngineError):
    """libbpf or the kernel refused something.

    :param log: all that was said.
    :param number: the error's.
    """

    def __init__(self, message: str, log: str, number: int = 0) -> None:
        super().__init__(message)
        self.log = log
        self.number = number


def _checked(what: str, call: Callable[[], Any]) -> Any:
    """Make a call that returns a pointer or 0, and raise what went wrong.

    :raises Refused: it returned nothing, or an error number.
    """
    library = _library()
    library.said.clear()
    ctypes.set_errno(0)
    result = call()
    if result is None or (isinstance(result, int) and result < 0):
        number = ctypes.get_errno() or (-result if result else 0)
        why = _ERRORS.get(number) or os.strerror(number)
        raise Refused(f"{what}: {why}", "".join(library.said), number)
    return result


class Object:
    """An object file, opened; then loaded; then closed, which takes its programs along.

    :param image: the contents of the file.
    :raises Refused: they are no such file.
    """

    def __init__(self, image: bytes) -> None:
        self._calls = _library().functions
        self._image = ctypes.create_string_buffer(image, len(image))
        self._handle = _checked(
            "the program's object cannot be read",
            lambda: self._calls.bpf_object__open_mem(self._image, len(image), None),
        )
        program = self._calls.bpf_object__next_program(self._handle, None)
        while program:
            self._calls.bpf_program__set_autoload(program, False)
            program = self._calls.bpf_object__next_program(self._handle, program)

    def want(self, program: str, function: str = "") -> None:
        """Have a program loaded.

        :param function: what a trampoline program will be attached to.
        :raises Refused: the kernel's types do not have it.
        """
        handle = self._program(program)
        self._calls.bpf_program__set_autoload(handle, True)
        if function:
            _checked(
                f"{function} cannot be found",
                lambda: self._calls.bpf_program__set_attach_target(handle, 0, function.encode()),
            )

    def resize(self, table: str, entries: int) -> None:
        """Say how many values a table of an object that is not loaded yet has."""
        self._calls.bpf_map__set_max_entries(self._map(table), entries)

    def share(self, section: str) -> None:
        """Make the table of an object's variables, all of them 0, before the object is loaded.

        libbpf would write its own copy of them to the table, which takes as much memory again.

        :raises Refused: the kernel does not make it.
        """
        handle = self._map(section)
        size = self._calls.bpf_map__value_size(handle)
        options = _MapOptions(sz=ctypes.sizeof(_MapOptions), map_flags=_MMAPABLE)
        descriptor = _checked(
            "the kernel refused a table",
            lambda: self._calls.bpf_map_create(
                _ARRAY, f"inject{section}".encode(), 4, size, 1, ctypes.byref(options)
            ),
        )
        try:
            _checked(
                "a table cannot be used",
                lambda: self._calls.bpf_map__reuse_fd(handle, descriptor),
            )
        finally:
            os.close(descriptor)

    def load(self) -> None:
        """Load the programs that are wanted, and the tables.

        :raises Refused: the kernel does not take one.
        """
        _checked("the kernel refused", lambda: self._calls.bpf_object__load(self._handle))

    def shared(self, section: str, kind: Any) -> Any:
        """Return the variables of a loaded object, or a table, in memory that its programs share.

        :param kind: its type, as ctypes has it.
        """
        return in_memory(self.map_descriptor(section), kind)

    def map_descriptor(self, name: str) -> int:
        """Return the descriptor of a table of a loaded object."""
        return int(self._calls.bpf_map__fd(self._map(name)))

    def initial(self, section: str, kind: type[ctypes.Structure]) -> Any:
        """Return a pointer to what the variables of an object will be once it is loaded."""
        size = _SIZE()
        place = self._calls.bpf_map__initial_value(self._map(section), ctypes.byref(size))
        assert size.value == ctypes.sizeof(kind), f"{section} is laid out as {kind.__name__}"
        return ctypes.cast(place, ctypes.POINTER(kind))

    def table(self, name: str, key: type[Any], value: type[Any]) -> Table:
        """Return a table of a loaded object."""
        calls = MapCalls(
            update=self._calls.bpf_map_update_elem,
            lookup=self._calls.bpf_map_lookup_elem,
            delete=self._calls.bpf_map_delete_elem,
            next_key=self._calls.bpf_map_get_next_key,
        )
        return Table(calls, self.map_descriptor(name), key, value)

    def descriptor(self, program: str) -> int:
        """Return the descriptor of a loaded program."""
        return int(self._calls.bpf_program__fd(self._program(program)))

    def attach(self, program: str, place: str) -> Callable[[], object]:
        """Attach a program to what its section or `want` says; return what detaches it.

        :param place: what that is.
        :raises Refused: the kernel does not attach it.
        """
        handle = self._program(program)
        return self._linked(place, lambda: self._calls.bpf_program__attach(handle))

    def attach_kprobe(
        self, program: str, function: str, *, at_return: bool
    ) -> Callable[[], object]:
        """Attach a kprobe, or a kretprobe, that ends with its descriptor.

        :raises Refused: the kernel does not attach it.
        """
        handle, name = self._program(program), function.encode()
        return self._linked(
            function, lambda: self._calls.bpf_program__attach_kprobe(handle, at_return, name)
        )

    def iterate(self, program: str) -> None:
        """Run a program over all that it iterates over; it prints nothing.

        :raises Refused: the kernel does not run it.
        """
        handle = self._program(program)
        link = _checked(f"{program} cannot run", lambda: self._calls.bpf_program__attach(handle))
        try:
            run = _checked(
                f"{program} cannot run",
                lambda: self._calls.bpf_iter_create(self._calls.bpf_link__fd(link)),
            )
            _read_to_end(run)
        finally:
            self._calls.bpf_link__destroy(link)

    def close(self) -> None:
        """Unload what no link holds any more."""
        self._calls.bpf_object__close(self._handle)

    def _linked(self, what: str, attach: Callable[[], Any]) -> Callable[[], object]:
        link = _checked(f"{what} cannot be attached to", attach)
        return lambda: self._calls.bpf_link__destroy(link)

    def _program(self, name: str) -> Any:
        handle = self._calls.bpf_object__find_program_by_name(self._handle, name.encode())
        assert handle, f"the object has a program {name}"
        return handle

    def _map(self, name: str) -> Any:
        handle = self._calls.bpf_object__find_map_by_name(self._handle, name.encode())
        assert handle, f"the object has a table {name}"
        return handle


def _read_to_end(descriptor: int) -> None:
    """Read a file that has nothing in it, and close it."""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while file.read(1) is None:  # EAGAIN: it goes on after a million objects
            pass


def possible_cpus() -> int:
    """Return how many values a per-CPU table has for each key.

    :raises UnsupportedKernel: nobody knows, since /sys is not mounted.
    """
    count = int(_library().functions.libbpf_num_possible_cpus())
    if count < 1:
        raise UnsupportedKernel(
            f"the number of CPUs is not known ({os.strerror(-count)})",
            needs="mount /sys: /sys/devices/system/cpu/possible has it",
        )
    return count
