"""What the table of hooks is made of: a hook, a row, and where a hook is called for.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import errno


class Subject(enum.StrEnum):
    """What of a hook's arguments says where it is called for, by its type in the kernel."""

    NONE = ""
    FILE = "struct file"
    PATH = "struct path"
    DENTRY = "struct dentry"
    PROGRAM = "struct linux_binprm"
    DESTINATION = "struct sockaddr"  # of connect
    MESSAGE = "struct msghdr"  # its destination, or that of its socket
    SOCKET = "struct socket"  # its other end
    SERVER = "struct sock"  # the second: who is connected to
    OWN_NAME = "struct sockaddr, own"
    LISTENER = "struct socket, own"

    @property
    def type(self) -> str:
        """The type in the kernel's words."""
        return self.value.partition(",")[0]

    @property
    def is_file(self) -> bool:
        """Tell whether `paths` are compared with it."""
        return self in (Subject.FILE, Subject.PATH, Subject.DENTRY, Subject.PROGRAM)

    @property
    def is_socket(self) -> bool:
        """Tell whether `peers` are compared with it."""
        return self is not Subject.NONE and not self.is_file


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A function of the kernel that can be made to fail.

    :param symbol: its name, or a system call's portable one (sys_fsync).
    :param parameters: in C, where a predicate may be asked of them; empty where it may not:
        what an allocation hook is given is not initialised yet.
    :param value: what it returns to fail, in C; empty is the fault's error number.
    :param subject: what `paths` or `peers` are compared with.
    :param argument: the place of a mask among its arguments; with `bits`, calls whose mask has
        none of them are another request's.
    :param bits: of that mask.
    :param last: of several arguments of the subject's type the last one alone says where: a
        link is made there, whatever it leads to.
    :param unless: calls whose mask has one of `bits` are the other request's.
    :param option: of the kernel's configuration, without which it is not there or never called.
    :param optional: a kernel may lack it, and the kind is whole without it.
    :param of_unix_peers: taken where a peer is a Unix socket, and only then.
    """

    symbol: str
    parameters: str = ""
    value: str = ""
    subject: Subject = Subject.NONE
    argument: int = 0
    bits: int = 0
    last: bool = False
    option: str = "CONFIG_SECURITY"
    optional: bool = False
    unless: bool = False
    of_unix_peers: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault.

    :param fails: what a program sees fail, in its words.
    :param hooks: all of them are armed, or none is.
    :param errors: those that the manual pages of its system calls document, the usual one first;
        empty where the fault has one error of its own.
    :param own_error: the number of the one error that programs get then; 0 where it is not known.
    :param failtype: of KernelChaos.
    :param inject_py: its mode of BCC's inject.py.
    :param needs_place: it would hit standard streams and the like: where has to be said.
    :param note: what programs get where it is not the fault's error.
    """

    fails: str
    hooks: tuple[Hook, ...]
    errors: tuple[str, ...] = ()
    own_error: int = 0
    failtype: int | None = None
    inject_py: str = ""
    needs_place: bool = False
    note: str = ""

    @property
    def error(self) -> int:
        """The error number that is usual; 0 where the fault has one of its own."""
        return int(getattr(errno, self.errors[0])) if self.errors else 0

    @property
    def needs_core(self) -> bool:
        """Tell whether only the engine core knows how."""
        return bool(self.errors)

    @property
    def takes_predicate(self) -> bool:
        """Tell whether a predicate can be asked of its one hook's arguments."""
        return len(self.hooks) == 1 and bool(self.hooks[0].parameters)

    @property
    def takes_paths(self) -> bool:
        """Tell whether every hook knows which file it is called for."""
        return bool(self.hooks) and all(hook.subject.is_file for hook in self.hooks)

    @property
    def takes_peers(self) -> bool:
        """Tell whether every hook knows which peer it is called for."""
        return bool(self.hooks) and all(hook.subject.is_socket for hook in self.hooks)
