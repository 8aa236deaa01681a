"""The kernel's own types, said by an agent to whoever compiles predicates for it elsewhere."""

from __future__ import annotations

from pathlib import Path

from chaoskernel.agent import protocol
from chaoskernel.agent.output import Output
from chaoskernel.errors import AgentError, UnsupportedKernel
from chaoskernel.fault.checks import packed

_TYPES = Path("/sys/kernel/btf/vmlinux")
_PIECE = 12_000
"""Characters of one message: container runtimes break lines of 16 kB."""

_PIECE_SECONDS = 30.0
"""How long somebody may take to read a piece: they are more than may wait to be written."""


def say_types(output: Output, types: Path = _TYPES) -> None:
    """Say all types of the kernel, piece by piece.

    :raises UnsupportedKernel: it does not have them.
    :raises AgentError: nobody reads them.
    """
    try:
        image = types.read_bytes()
    except OSError as error:
        raise UnsupportedKernel(
            "this kernel does not have its types, which predicates are compiled on",
            needs="CONFIG_DEBUG_INFO_BTF, or the engine bcc",
        ) from error
    text = packed(image)
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    for number, piece in enumerate(pieces):
        output.say({"type": protocol.TYPES, "number": number, "of": len(pieces), "text": piece})
        if not output.flush(_PIECE_SECONDS):
            raise AgentError("nobody reads the types of this kernel")
