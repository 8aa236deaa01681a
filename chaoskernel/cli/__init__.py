"""The command line: one module per command, and one place that turns errors into text."""

from __future__ import annotations

import difflib
import importlib
import io
import logging
import sys

import click
from logzero import LogFormatter, setup_logger

import chaoskernel
from chaoskernel import terminal
from chaoskernel.cli.statuses import Status
from chaoskernel.errors import ChaosKernelError, InvalidManifest
from chaoskernel.terminal import shown


class _Formatter(LogFormatter):  # type: ignore[misc]
    """Writes what is wrong and nothing before it, as compilers do: editors find the place by that.

    A line may quote what others wrote, such as a document or the name of a file.
    """

    def __init__(self) -> None:
        super().__init__(fmt="%(color)s%(message)s%(end_color)s")

    def format(self, record: logging.LogRecord) -> str:
        record.msg, record.args = shown(record.getMessage()), None
        return str(super().format(record))


logger = setup_logger("chaoskernel-cli", formatter=_Formatter())

_COMMANDS = {
    "agent": "Inject one fault, described as JSON on standard input.",
    "check": "Show what this kernel and host offer to faults, and what is missing.",
    "completion": "Print what makes a shell complete commands and options.",
    "convert": "Write an experiment that does what KernelChaos documents say.",
    "explore": "Find every place where the kernel can fail a program, and fail each.",
    "faults": "List what can be made to fail, and whether it can on this kernel.",
    "gallery": "List complete experiments, and copy one to start from.",
    "lab": "Boot a throwaway virtual machine whose kernel can be made to fail.",
    "ps": "Show the faults of this host, or of a cluster.",
    "render": "Print the program that would run on this kernel.",
    "report": "Write a page to look at, from journals and explorations.",
    "run": "Inject without an experiment, and show the counters.",
    "stop": "End faults of this host, or of a cluster, whoever started them.",
    "summary": "Show what an experiment made the kernel do.",
    "watch": "Show which faults processes would meet, and where.",
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"{ctx.info_name} --help lists them"
            raise click.UsageError(f"there is no command '{args[0][:60]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"chaoskernel.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(chaoskernel.__version__, prog_name="chaoskernel")
def cli() -> None:
    """Inject Linux kernel faults, count them, and take them back."""


def main() -> None:
    """Run the command line; an error of ours becomes one line and exit status 1.

    A document may have several things wrong: each has its line.
    """
    terminal.write_what_can_be_written()
    try:
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(file=said)
        # click quotes some words as they are.
        click.echo(shown(said.getvalue(), lines=True), err=True, nl=False)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Aborted!", err=True)
        sys.exit(Status.FAILED)
    except InvalidManifest as error:
        for problem in error.problems:
            place = problem if problem[:1].isdigit() else f" {problem}"
            logger.error(f"{error.source}:{place}")
        sys.exit(Status.FAILED)
    except ChaosKernelError as error:
        logger.error(error)
        sys.exit(Status.FAILED)
    except OSError as error:
        logger.error(f"{error.filename or 'the output'}: {error.strerror}")
        sys.exit(Status.FAILED)
