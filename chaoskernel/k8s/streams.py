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
_LONG = 1 << 12
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


def lines(stream: Any, over: threading.Event, turns: Turns | None = None) -> Iterator[str]:
    """Yield the lines of an answer as they come; one that breaks off ends.

    Of a line that is too long its beginning is yielded, marked as such: it is not JSON.

    :param turns: shared by the many streams that may each have a long line at the same time: a few
        are read at once, and the others wait in the kernel.
    """
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client's own transport

    size = _CHUNK_OF_MANY if turns else _CHUNK
    try:
        with contextlib.suppress(HTTPError, OSError, ValueError):
            for line in _split(stream.stream(size, decode_content=False), turns):
                if over.is_set():
                    return
                if text := line.decode(errors="replace"):
                    yield text
    finally:
        with contextlib.suppress(HTTPError, OSError):
            stream.close()
            stream.release_conn()


def _split(chunks: Iterator[bytes], turns: Turns | None) -> Iterator[bytes]:
    """Yield lines, also a last one without a line feed."""
    rest = bytearray()
    too_long = False
    with _Turn(turns) as mine:
        for chunk in chunks:
            *ended, begun = chunk.split(b"\n")
            for piece in ended:
                rest += piece
                yield _bounded(rest, too_long)
                rest, too_long = bytearray(), False
                mine.end()
            rest += begun
            if len(rest) > _LONG:
                mine.begin()
            if len(rest) > MAX_LINE:
                del rest[_SHOWN:]
                too_long = True
        yield _bounded(rest, too_long)


class Turns:
    """Lets a few at a time do something, and nobody wait for one that has come to a halt.

    :param most: how many at a time; more than one, as each may wait for its network.
    :param seconds: without anybody's end, after which the others go on.
    """

    def __init__(self, most: int = 4, seconds: float = 5.0) -> None:
        self._free = threading.Semaphore(most)
        self._seconds = seconds
        self._ended = 0

    def begin(self) -> bool:
        """Wait for one's turn; return whether it was given, and is to be ended."""
        while True:
            before = self._ended
            if self._free.acquire(timeout=self._seconds):
                return True
            if self._ended == before:
                return False

    def end(self) -> None:
        """End one's turn."""
        self._ended += 1
        self._free.release()


class _Turn:
    """The turn of one stream, which it takes for a line and ends behind it."""

    def __init__(self, turns: Turns | None) -> None:
        self._turns = turns
        self._asked = self._mine = False

    def __enter__(self) -> _Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        if self._turns and not self._asked:
            self._asked = True
            self._mine = self._turns.begin()

    def end(self) -> None:
        if self._turns and self._mine:
            self._turns.end()
        self._asked = self._mine = False


def _bounded(line: bytearray, too_long: bool) -> bytes:
    if too_long or len(line) > MAX_LINE:
        return bytes(line[:_SHOWN]) + "…".encode()
    return bytes(line)
