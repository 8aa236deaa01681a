"""Which files and peers a fault is about: a part of the Fault that validates itself.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import check_count, check_flag, only, sequence_of

MAX_PATHS = 64
MAX_PEERS = 64
"""MAX_PEERS of the program."""

UNIX_PATH_MAX = 108
"""Bytes of a Unix socket's path, or of an abstract name after the byte that says so (unix(7))."""

_LONGEST_PEER = 128
_UNIX = "unix:"
_EXAMPLES = "write 10.0.0.0/8, 10.0.0.5:5432, :5432, [2001:db8::/32]:443 or unix:/run/x.sock"
_MAPPED = "::ffff:0:0/96"
_IN_BRACKETS = re.compile(r"\[(?P<network>[^][]*)\](?::(?P<port>.*))?")
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?")
_MAX_BYTES = 4096  # PATH_MAX, include/uapi/linux/limits.h


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Files by what they are, whatever they are called when they are used.

    :param paths: files, and directories with all that is or will be below them.
    :param devices: block devices that are mounted, or mount points: all of the file system.
    :param any_file: every file, standard streams, pipes and sockets among them.
    :param peers: the other ends of sockets; of bind and accept, the own ends. See `peer_of`.
    """

    paths: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    any_file: bool = False
    peers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in ("paths", "devices"):
            for path in getattr(self, key):
                _check_path(key, path)
            hint = "name a directory that has them"
            check_count(key, len(getattr(self, key)), MAX_PATHS, key, hint=hint)
        hint = "name a network that has them"
        check_count("peers", len(self.peers), MAX_PEERS, "peers", hint=hint)
        for peer in self.peers:
            peer_of(peer)
        check_flag("any_file", self.any_file)
        if self.any_file and self.named:
            raise InvalidFault(
                "any_file", "", problem="not together with paths or devices", hint="keep one"
            )

    @property
    def named(self) -> tuple[str, ...]:
        """All that is named, paths first."""
        return self.paths + self.devices

    @property
    def sockets(self) -> tuple[str, ...]:
        """The paths among the peers."""
        return tuple(peer.path for peer in map(peer_of, self.peers) if peer.path)

    @property
    def has_unix_peers(self) -> bool:
        """Tell whether a peer is a Unix socket."""
        return any(peer.name for peer in map(peer_of, self.peers))

    def to_json(self) -> dict[str, Any]:
        """Return this as an object of JSON types."""
        return {
            "paths": list(self.paths),
            "devices": list(self.devices),
            "any_file": self.any_file,
            "peers": list(self.peers),
        }


def where_of(document: Mapping[str, Any]) -> Where:
    """Return what a document says.

    :raises InvalidFault: a key is unknown or has an impossible value.
    """
    only(document, [field.name for field in dataclasses.fields(Where)], "where.")
    return Where(
        paths=sequence_of("paths", document.get("paths", [])),
        devices=sequence_of("devices", document.get("devices", [])),
        any_file=document.get("any_file", False),
        peers=sequence_of("peers", document.get("peers", [])),
    )


class Peer(NamedTuple):
    """One end of a socket.

    :param network: None is any address, of either family.
    :param port: 0 is any.
    :param name: of a Unix socket, as its address has it: a path, or a zero byte and a name.
    """

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    port: int = 0
    name: bytes = b""

    @property
    def path(self) -> str:
        """The file of a Unix socket; empty where it has none."""
        return "" if self.name.startswith(b"\0") else self.name.decode(errors="surrogateescape")


def peer_of(text: Any) -> Peer:
    """Return the peer that a text means: an address or network, a port, both, or a Unix socket.

    :raises InvalidFault: it means none.
    """
    if not isinstance(text, str):
        raise InvalidFault("peers", text, "text", hint=f"{_EXAMPLES}, in quotes")
    return _peer_of(text)


@functools.lru_cache(maxsize=4 * MAX_PEERS)
def _peer_of(text: str) -> Peer:
    if text.startswith(_UNIX):
        return Peer(name=_unix_name(text))
    if not text.isascii() or len(text) > _LONGEST_PEER:
        raise InvalidFault("peers", text[:40], "an address", hint=_EXAMPLES)
    if found := _IN_BRACKETS.fullmatch(text):
        network, port = found["network"], found["port"]
        if ":" not in network:
            raise InvalidFault("peers", text, "an IPv6 address in brackets", hint=_EXAMPLES)
    elif text.count(":") < 2:
        network, colon, after = text.partition(":")
        port = after if colon else None
        if not network and not port:
            raise InvalidFault("peers", text, "an address or a port", hint=_EXAMPLES)
    else:
        network, port = text, None
    return Peer(
        network=_network(text, network) if network else None,
        port=0 if port is None else _port(text, port),
    )


def _unix_name(text: str) -> bytes:
    name = text.removeprefix(_UNIX)
    where = name.encode(errors="surrogateescape")
    if b"\0" in where or len(name) < 2 or name[0] not in "/@":
        raise InvalidFault(
            "peers",
            text[:40],
            "a Unix socket",
            hint="write unix:/run/x.sock, or unix:@name for an abstract one",
        )
    if len(where) >= UNIX_PATH_MAX:
        raise InvalidFault(
            "peers",
            text[:40],
            f"possible: its name has {len(where)} bytes",
            hint=f"an address has room for {UNIX_PATH_MAX - 1}",
        )
    return b"\0" + where[1:] if name[0] == "@" else where


def _network(text: str, network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network; an IPv4 one that is written as IPv6 (::ffff:…) is IPv4."""
    if not _NETWORK.fullmatch(network):
        raise InvalidFault(
            "peers",
            text,
            "an address",
            hint=f"{_EXAMPLES}; a host's name is not known to the kernel",
        )
    try:
        found = ipaddress.ip_network(network, strict=False)
        if str(ipaddress.ip_address(network.partition("/")[0])) != str(found.network_address):
            hint = f"{found} is the network that it lies in"
            raise InvalidFault("peers", text, "a network: it has bits after its prefix", hint=hint)
    except ValueError as wrong:
        raise InvalidFault("peers", text, "an address", hint=_EXAMPLES) from wrong
    if isinstance(found, ipaddress.IPv6Network):
        mapped = ipaddress.IPv6Network(_MAPPED)
        if found.subnet_of(mapped):
            address = found.network_address.ipv4_mapped
            return ipaddress.IPv4Network((int(address or 0), found.prefixlen - mapped.prefixlen))
    return found


def _port(text: str, port: str) -> int:
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 0
    if not 0 < number < 1 << 16:
        raise InvalidFault(
            "peers", text, "an address with a port", hint="a port is a number from 1 to 65535"
        )
    return number


def _check_number(key: str, items: tuple[Any, ...], most: int, hint: str) -> None:
    if len(items) > most:
        problem = f"{len(items)} of them; at most {most} are allowed"
        raise InvalidFault(key, "", problem=problem, hint=hint)


def _check_path(key: str, path: Any) -> None:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise InvalidFault(
            key, path, "an absolute path", hint="write it as /var/lib/postgresql, for one"
        )
    if len(path.encode(errors="surrogateescape")) >= _MAX_BYTES:
        raise InvalidFault(key, path[:40], f"a path of less than {_MAX_BYTES} bytes")
