"""Options of `chaoskernel lab`: the kernel that is booted, and what the guest gets."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chaoskernel.cli.options import seconds
from chaoskernel.lab import foreign, kernel, stock
from chaoskernel.lab.disks import MOUNTED_AT, Disk, disk_of
from chaoskernel.lab.foreign import ARCHITECTURES
from chaoskernel.lab.script import Extras, Port

_Function = TypeVar("_Function", bound=Callable[..., Any])

_PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?"
_SUITE_NAME = r"[a-z][a-z0-9.-]*(/[a-z]+)?"
_LAST_PORT = 65535
_LONGEST_SECONDS = 7 * 24 * 3600.0


def _size(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[MG]", value):
        raise click.BadParameter(f"{value!r} is not a size; write it as 512M or 2G")
    return value


def _variables(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> dict[str, str]:
    return variables(value)


def _disks(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[Disk, ...]:
    try:
        return tuple(map(disk_of, value))
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def _ports(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[Port, ...]:
    found = []
    for text in value:
        numbers = text.split(":")
        if len(numbers) > 2 or not all(re.fullmatch(r"[1-9]\d{0,4}", each) for each in numbers):
            raise click.BadParameter(f"{text!r} is not a port; write it as 8000 or 18000:8000")
        port = Port(int(numbers[0]), int(numbers[-1]))
        if max(port) > _LAST_PORT:
            raise click.BadParameter(f"{text!r} is not a port; the last one is {_LAST_PORT}")
        found.append(port)
    return tuple(found)


_OF_EVERY_GUEST = (
    click.option(
        "--cpus",
        default=2,
        show_default=True,
        type=click.IntRange(1, 64),
        help="How many processors the guest has.",
    ),
    click.option(
        "--memory",
        default="2G",
        show_default=True,
        callback=_size,
        metavar="SIZE",
        help="How much memory the guest has.",
    ),
    click.option(
        "--rw",
        multiple=True,
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A directory that the guest may write to; repeatable.",
    ),
    click.option(
        "--env",
        multiple=True,
        callback=_variables,
        metavar="NAME[=VALUE]",
        help="A variable that the command gets; repeatable.",
    ),
    click.option(
        "--disk",
        "disks",
        multiple=True,
        callback=_disks,
        metavar="SIZE[:FS]",
        help="An empty disk with a file system, ext4 unless FS is xfs or btrfs, at "
        f"{MOUNTED_AT}, then {MOUNTED_AT}2; repeatable.",
    ),
    click.option(
        "--copy",
        "copies",
        multiple=True,
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A directory that the guest may change for itself alone; repeatable.",
    ),
    click.option(
        "--port",
        "ports",
        multiple=True,
        callback=_ports,
        metavar="[HOST:]PORT",
        help="A TCP port of the guest that 127.0.0.1 leads to; the service has to listen at "
        "0.0.0.0.  Repeatable.",
    ),
)


def guest_options(limit: float) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the options that every guest takes.

    :param limit: the default time limit, in seconds.
    """
    options = (
        click.option(
            "--timeout",
            default=limit,
            show_default=True,
            callback=seconds(1, _LONGEST_SECONDS),
            metavar="SECONDS",
            help="How long the guest may take.",
        ),
        *_OF_EVERY_GUEST,
    )

    def add(function: _Function) -> _Function:
        function = _with_extras(function)
        for option in reversed(options):  # as stacked decorators are applied
            function = option(function)
        return function

    return add


def _with_extras(function: Callable[..., Any]) -> Any:
    """Have a function take disks, copies and ports together, as `extras`."""

    @functools.wraps(function)
    def with_extras(
        *, disks: tuple[Disk, ...], copies: tuple[Path, ...], ports: tuple[Port, ...], **others: Any
    ) -> Any:
        return function(extras=Extras(disks, copies, ports), **others)

    return with_extras


def _fragment(_context: click.Context, _option: click.Parameter, value: Path | None) -> str:
    text = value.read_text(encoding="utf-8", errors="replace") if value else ""
    for line in text.splitlines():
        if not re.fullmatch(r"(CONFIG_\w+=\S+|\s*#.*|\s*)", line):
            raise click.BadParameter(f"{line!r} is not an option; write it as CONFIG_NAME=y")
    return text


def _version(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(r"\d+(\.\d+)+", value):
        raise click.BadParameter(f"{value!r} is not a version of a source package, such as 6.12")
    return value


def _packages(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    files = [name for name in value if stock.is_file(name)]
    for name in value:
        if name in files:
            if not Path(name).is_file() or not os.access(name, os.R_OK):
                raise click.BadParameter(
                    f"{name!r} is not a file that can be read; give a package's name or file"
                )
        elif not re.fullmatch(_PACKAGE_NAME, name):
            raise click.BadParameter(
                f"{name!r} is not a package's name; give one such as {stock.DEFAULT_PACKAGE}"
            )
    if len(value) > 1 and len(files) < len(value):
        raise click.BadParameter("give one package's name, or files only")
    return tuple(str(Path(name).absolute()) for name in files) or value


def _suite(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(_SUITE_NAME, value):
        raise click.BadParameter(f"{value!r} is not a suite; give one such as unstable")
    return value


def kernel_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the kernel; the function takes them as `wanted`."""

    @functools.wraps(function)
    def with_kernel(
        *,
        source: str,
        config: str,
        package: tuple[str, ...],
        suite: str,
        arch: str | None,
        **others: Any,
    ) -> Any:
        if (package or suite) and (source or config):
            raise click.UsageError(
                "--package and --suite take a kernel as it is; leave out --source and --config"
            )
        if suite and package and stock.is_file(package[0]):
            raise click.UsageError("--suite: a package's file is in none; leave out --suite")
        return function(
            wanted=kernel.Wanted(source, config, package, suite, arch or foreign.default()),
            **others,
        )

    names = click.option(
        "--package",
        multiple=True,
        callback=_packages,
        metavar="NAME",
        help="Boot the distribution's own kernel from this package: its name, NAME=VERSION, or the "
        f"path of a .deb file (repeatable for a split one).  [default with --suite: "
        f"{stock.DEFAULT_PACKAGE}]",
    )
    suite = click.option(
        "--suite",
        default="",
        callback=_suite,
        metavar="SUITE",
        help="Take the package from this suite of the distribution, such as unstable, instead of "
        "this machine's apt sources.",
    )
    architecture = click.option(
        "--arch",
        default=None,
        type=click.Choice([*ARCHITECTURES]),
        metavar="ARCH",
        help="Boot a kernel for another architecture, arm64, emulated, on a root made of Debian's "
        "packages: the distribution's own, or with --source or --config one that is built.  "
        f"[default on arm64: arm64; default package: {ARCHITECTURES['arm64'].package}]",
    )
    version = click.option(
        "--source",
        default="",
        callback=_version,
        metavar="VERSION",
        help="Build it from the package linux-source-VERSION.",
    )
    options = click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_fragment,
        metavar="FILE",
        help="Options of the kernel that take the place of the lab's.",
    )
    return names(suite(architecture(version(options(with_kernel)))))


def variables(settings: tuple[str, ...]) -> dict[str, str]:
    """Return the variables to pass: NAME=VALUE, or NAME with the caller's value.

    :raises click.BadParameter: a name is none, or the caller has no variable of that name.
    """
    variables = {}
    for setting in settings:
        name, given, value = setting.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise click.BadParameter(f"{name!r} is not the name of a variable; write NAME=VALUE")
        if not given and name not in os.environ:
            raise click.BadParameter(f"there is no variable {name} here; write {name}=VALUE")
        variables[name] = value if given else os.environ[name]
    return variables
