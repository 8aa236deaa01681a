"""`chaoskernel gallery`: complete experiments, as they come with the package."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from click.shell_completion import CompletionItem
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import chaoskernel
from chaoskernel.errors import ChaosKernelError
from chaoskernel.terminal import document, shown

_PACKAGE = Path(chaoskernel.__file__).parent
_PLACES = (_PACKAGE / "experiments", _PACKAGE.parent / "experiments")
"""In a wheel, and in a checkout."""

_FOLDER = "experiments"
"""What experiments call the directory of their files; CHAOSKERNEL_EXPERIMENTS names another."""

_KINDS = (".json", ".yaml")


def place() -> Path:
    """Return the directory of the experiments.

    :raises ChaosKernelError: there is none.
    """
    for each in _PLACES:
        if (each / "mount-enomem.json").is_file():
            return each
    raise ChaosKernelError(
        "the experiments are not where they were installed", hint="install the package again"
    )


def experiments() -> dict[str, dict[str, Any]]:
    """Return the experiments by their names."""
    paths = sorted(path for path in place().iterdir() if path.suffix in _KINDS)
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def files_of(name: str) -> list[Path]:
    """Return the files of an experiment, itself first, as they lie below the gallery.

    :raises ChaosKernelError: there is none of that name.
    """
    root = place()
    there = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    own = [key for key in (f"{name}{kind}" for kind in _KINDS) if key in there]
    if not own:
        raise ChaosKernelError(
            f"the gallery has no experiment '{name[:60]}'", hint="`chaoskernel gallery` lists them"
        )
    found, waiting = list[str](), own
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.append(each)
            waiting += _mentioned(there[each].read_text(encoding="utf-8"), there)
    return [Path(each) for each in found]


def _mentioned(text: str, there: dict[str, Path]) -> Iterator[str]:
    """Yield the files that a text names, below a directory or alone; a source without its end."""
    words = set(re.findall(r"[\w./-]+", text))
    names = {word.rpartition(f"{_FOLDER}/")[2].removeprefix("/") for word in words}
    names |= {name.removeprefix("./").rpartition("/")[2] for name in words}
    compiled = {f"{name}.c" for name in re.findall(r"\bcompile (\w+)", text)}
    yield from sorted((names | compiled) & there.keys())


def _complete(
    _context: click.Context, _argument: click.Parameter, begun: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in experiments() if name.startswith(begun)]


@click.group(name="gallery", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List complete experiments, and copy one to start from.

    \b
    Examples:
      chaoskernel gallery
      chaoskernel gallery copy redis-enospc
      sudo chaos run experiments/redis-enospc.json
    """
    if context.invoked_subcommand:
        return
    found = experiments()
    if as_json:
        rows = [{"name": name, **_described(each)} for name, each in found.items()]
        click.echo(document(rows))
        return
    Console().print(_table(found))
    click.echo("chaoskernel gallery copy NAME copies one, with the files that it needs", err=True)


@command.command()
@click.argument("name", shell_complete=_complete)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def copy(name: str, directory: Path, force: bool) -> None:
    """Copy the experiment NAME, and the files that it needs, to experiments/ below DIRECTORY.

    \b
    Examples:
      chaoskernel gallery copy redis-enospc
      chaoskernel gallery copy mount-enomem /tmp/trial
    """
    root, target = place(), directory / _FOLDER
    files = files_of(name)
    _check_free(target, files, force=force)
    try:
        for each in files:
            (target / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / each, target / each)
    except OSError as error:
        raise ChaosKernelError(
            f"{error.filename} cannot be written: {error.strerror}", hint="name another directory"
        ) from error
    for each in files:
        click.echo(shown(target / each))
    there = "" if directory == Path() else f"cd {directory} && "
    click.echo(shown(f"run it as root: {there}chaos run {_FOLDER}/{files[0]}"), err=True)


def _check_free(target: Path, files: Sequence[Path], *, force: bool) -> None:
    """Check that no file of the user's is overwritten; one with the same content is none.

    :raises ChaosKernelError: one would be.
    """
    root = place()
    for each in files:
        other = target / each
        if other.exists() and not force and other.read_bytes() != (root / each).read_bytes():
            raise ChaosKernelError(
                f"{other} is there, and differs", hint="name another directory, or give --force"
            )


def _described(experiment: dict[str, Any]) -> dict[str, Any]:
    return {key: experiment.get(key) for key in ("title", "description", "tags")}


def _table(found: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        Column("name", no_wrap=True),
        Column("what it shows", overflow="fold"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, each in found.items():
        table.add_row(Text(shown(name)), Text(shown(each["title"])))
    return table
