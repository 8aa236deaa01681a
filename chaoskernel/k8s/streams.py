"""Bodies of answers, read in bounded memory: whole ones, and those that come line by line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

MAX_LINE = 4 << 20
"""Longest line, in bytes: etcd keeps no object of half of that, and an agent says no more."""

MAX_BODY = 128 << 20
"""Longest body, in bytes: a page of 100 pods has some 2 MB."""

_CHUNK = 1 << 16
_CHUNK_OF_MANY = 1 << 13
_LONG = 1 << 14
_TURN_SECONDS = 5.0
_SHOWN = 200


class TooLong(ValueError):
    """A body is longer than it may be."""


def body(answer: Any, longest: int = MAX_BODY) -> bytes:
    """Return the whole body of an answer.

    :raises TooLong: it is longer; the connection is closed.
    """
    found = bytearray()
    for chunk in answer.stream(_CHUNK, decode_content=True):
        found += chunk
        if len(found) > longest:
            answer.close()
            raise TooLong(f"an answer of more than {longest} bytes")
    answer.release_conn()
    return bytes(found)


def beginning(answer: Any, longest: int) -> bytes:
    """Return at most so many bytes of a body; the connection is closed."""
    found = bytearray()
    for chunk in answer.stream(_CHUNK, decode_content=True):
        found += chunk
        if len(found) >= longest:
            break
    answer.close()
    return bytes(found[:longest])


def lines(stream: Any, over: threading.Event, turn: threading.Lock | None = None) -> Iterator[str]:
    """Yield the lines of an answer as they come; one that breaks off ends.

    Of a line that is too long its beginning is yielded, marked as such: it is not JSON.

    :param turn: shared by the many streams that may each have a long line at the same time; they
        are read one after the other, and the others wait in the kernel.
    """
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client's own transport

    size = _CHUNK_OF_MANY if turn else _CHUNK
    try:
        with contextlib.suppress(HTTPError, OSError, ValueError):
            for line in _split(stream.stream(size, decode_content=False), turn):
                if over.is_set():
                    return
                if text := line.decode(errors="replace"):
                    yield text
    finally:
        with contextlib.suppress(HTTPError, OSError):
            stream.close()
            stream.release_conn()


def _split(chunks: Iterator[bytes], turn: threading.Lock | None) -> Iterator[bytes]:
    """Yield lines, also a last one without a line feed."""
    rest = bytearray()
    too_long = False
    with _Turn(turn) as mine:
        for chunk in chunks:
            *ended, begun = chunk.split(b"\n")
            for piece in ended:
                rest += piece
                yield _bounded(rest, too_long)
                rest, too_long = bytearray(), False
                mine.pass_on()
            rest += begun
            if len(rest) > _LONG:
                mine.take()
            if len(rest) > MAX_LINE:
                del rest[_SHOWN:]
                too_long = True
        yield _bounded(rest, too_long)


class _Turn:
    """One of those who take turns; whoever has waited too long goes on without."""

    def __init__(self, turn: threading.Lock | None) -> None:
        self._turn = turn
        self._asked = self._mine = False

    def __enter__(self) -> _Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.pass_on()

    def take(self) -> None:
        """Wait for one's turn, once until it is passed on."""
        if self._turn and not self._asked:
            self._asked = True
            self._mine = self._turn.acquire(timeout=_TURN_SECONDS)

    def pass_on(self) -> None:
        """End one's turn, if it is."""
        if self._turn and self._mine:
            self._turn.release()
        self._asked = self._mine = False


def _bounded(line: bytearray, too_long: bool) -> bytes:
    if too_long or len(line) > MAX_LINE:
        return bytes(line[:_SHOWN]) + "…".encode()
    return bytes(line)
