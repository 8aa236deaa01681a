"""`chaoskernel completion`: what makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PROGRAM = "chaoskernel"


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a SHELL complete commands and options.

    \b
    Examples:
      chaoskernel completion bash > /etc/bash_completion.d/chaoskernel
      chaoskernel completion zsh > ~/.zfunc/_chaoskernel
      chaoskernel completion fish > ~/.config/fish/completions/chaoskernel.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, _PROGRAM, f"_{_PROGRAM.upper()}_COMPLETE").source())
