"""Ties the life of a whole process tree to that of its parent.

A virtual machine is several processes, some of them daemons that leave their
process group.  In a PID namespace of its own the tree has a first process, and
the kernel kills all the others with it; that first process is killed with
`unshare`, and `unshare` with the process that started it, even by SIGKILL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence


def tied(command: Sequence[str], *, root: bool | None = None) -> list[str]:
    """Return the command, tied to the life of its parent.

    The parent's death is the death of the thread that starts the command, so
    start it from a thread that lives as long as the command shall.

    :param root: whether the caller is root, who needs no user namespace.
    """
    is_root = os.geteuid() == 0 if root is None else root
    user = [] if is_root else ["--user", "--map-current-user"]
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("unshare", *user, "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
        *command,
    ]
