"""Whose requests may fail: a part of the Fault, and validates itself as the others do.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import check_count, check_flag, is_int, only, sequence_of
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import pods
    from chaoskernel.fault.pods import PodScope
else:
    pods = Lazy("chaoskernel.fault.pods")

MAX_PID = 2**22
"""PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h)."""

MAX_COMMANDS = 256
"""What the program's table of commands holds."""

_COMMAND = re.compile(r"[^\0/\n]+")
_COMMAND_BYTES = 15  # TASK_COMM_LEN without its NUL
_PATH_BYTES = 4095  # PATH_MAX without its NUL


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Whose requests may fail: the union of what is named.

    :param pids: processes, each with all its descendants.
    :param pid_files: files that each hold one such process id, read when the
        fault starts, on the host where it starts.
    :param commands: names of commands, as in /proc/PID/comm; every process that
        has such a name or takes it by exec, with its descendants.
    :param cgroups: control groups (v2) by path, each with all its descendants.
    :param containers: ids of containers, with or without `containerd://` and the like.
    :param pods: pods of a cluster, each with its containers as they come and go.
    :param system_wide: every process but the agent and its ancestors.
    :param later: processes, with their descendants, that whoever started the fault names while it
        is in force, before their first instruction.
    """

    pids: tuple[int, ...] = ()
    pid_files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    pods: tuple[PodScope, ...] = ()
    system_wide: bool = False
    later: bool = False

    def __post_init__(self) -> None:
        for pid in self.pids:
            if is_int(pid) and pid == 1:
                raise InvalidFault(
                    "pids",
                    1,
                    "a process to hit: every other one descends from it",
                    hint="name the service's own process, which ps -e shows, or all: system_wide",
                )
            if not is_int(pid) or not 1 < pid <= MAX_PID:
                raise InvalidFault(
                    "pids", pid, f"a process id from 2 to {MAX_PID}", hint="ps -e shows them"
                )
        for key, paths in (("pid_files", self.pid_files), ("cgroups", self.cgroups)):
            for path in paths:
                if not isinstance(path, str) or not path.startswith("/"):
                    raise InvalidFault(key, path, "an absolute path", hint="write it from / on")
                if "\0" in path or not 0 < _bytes_of(path) <= _PATH_BYTES:
                    raise InvalidFault(
                        key, path, f"a path of up to {_PATH_BYTES} bytes", hint="look for a typo"
                    )
        self._check_commands()
        for container in self.containers:
            if not isinstance(container, str) or not container:
                raise InvalidFault(
                    "containers",
                    container,
                    "a container's id",
                    hint="crictl ps shows them; cgroups takes paths",
                )
        self._require_one_way()

    @property
    def by_cgroup(self) -> bool:
        """Whether control groups have to be told apart."""
        return bool(self.cgroups or self.containers or self.pods)

    @property
    def has_views(self) -> bool:
        """Whether there are containers in it, each of which sees paths in its own way."""
        return bool(self.containers or self.pods)

    @property
    def has_hosts(self) -> bool:
        """Whether processes are named that are taken to see the host's paths."""
        return bool(self.pids or self.pid_files or self.commands or self.cgroups)

    def to_json(self) -> dict[str, Any]:
        """Return the scope as a document of JSON types."""
        # Not asdict(), which copies everything below: there is a scope for each of many nodes.
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        listed = {key: list(each) if isinstance(each, tuple) else each for key, each in own.items()}
        return {**listed, "pods": [pod.to_json() for pod in self.pods]}

    def _check_commands(self) -> None:
        for command in self.commands:
            if (
                not isinstance(command, str)
                or not _COMMAND.fullmatch(command)
                or not 0 < _bytes_of(command) <= _COMMAND_BYTES
            ):
                raise InvalidFault(
                    "commands",
                    command,
                    f"the name of a command, up to {_COMMAND_BYTES} bytes",
                    hint="ps -e -o comm shows them; the kernel keeps no more of a name",
                )
        check_count("commands", len(self.commands), MAX_COMMANDS, "names", hint="use a cgroup")

    def _require_one_way(self) -> None:
        check_flag("system_wide", self.system_wide)
        check_flag("later", self.later)
        named = any(
            (*self.pids, *self.pid_files, *self.commands, *self.cgroups, *self.containers)
        ) or bool(self.pods)
        ways = "pids, pid_files, commands, cgroups or containers"
        if named and self.system_wide:
            raise InvalidFault(
                "system_wide", "", problem=f"not together with {ways}", hint="keep one"
            )
        if not named and not self.system_wide and not self.later:
            raise InvalidFault(
                "scope",
                "",
                problem="missing",
                hint=f"name {ways}, or say system_wide: true to hit every process",
            )


def _bytes_of(text: str) -> int:
    """Return how many bytes the kernel sees; 0 of what cannot be written in UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def scope_of(scope: Mapping[str, Any]) -> Scope:
    """Return the scope that a document describes.

    :raises InvalidFault: a key is unknown, or has an impossible value.
    """
    only(scope, {field.name for field in dataclasses.fields(Scope)}, "scope.")
    parts: dict[str, Any] = {
        key: value if key in ("system_wide", "later") else sequence_of(key, value)
        for key, value in scope.items()
    }
    given = parts.get("pods", ())
    return Scope(**{**parts, "pods": () if given in ((), []) else pods.pods_of(given)})
