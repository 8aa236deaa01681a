"""What a peer may be, and what is said of a text that is none."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.fault.where import MAX_PEERS, Peer, Where, peer_of, where_of

ONE = Scope(pids=(42,))


@pytest.mark.parametrize(
    ("text", "network", "port"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", 0),
        ("10.0.0.5", "10.0.0.5/32", 0),
        ("10.0.0.5:5432", "10.0.0.5/32", 5432),
        ("10.0.0.0/8:5432", "10.0.0.0/8", 5432),
        ("0.0.0.0/0", "0.0.0.0/0", 0),
        ("[2001:db8::/32]:443", "2001:db8::/32", 443),
        ("[2001:db8::/32]", "2001:db8::/32", 0),
        ("2001:db8::1", "2001:db8::1/128", 0),
        ("2001:DB8:0::1", "2001:db8::1/128", 0),
        ("::", "::/128", 0),
        ("::/0", "::/0", 0),
        ("::ffff:10.0.0.1", "10.0.0.1/32", 0),
        ("[::ffff:10.0.0.0/104]:80", "10.0.0.0/8", 80),
        ("::ffff:0:0/96", "0.0.0.0/0", 0),
    ],
)
def test_an_address_or_network_may_have_a_port(text: str, network: str, port: int) -> None:
    assert peer_of(text) == Peer(ipaddress.ip_network(network), port)


def test_a_port_alone_is_one_of_any_address() -> None:
    assert peer_of(":5432") == Peer(None, 5432)


def test_a_unix_socket_is_a_path_or_an_abstract_name() -> None:
    assert peer_of("unix:/run/x.sock").path == "/run/x.sock"
    assert peer_of("unix:@bus") == Peer(name=b"\0bus")
    assert peer_of("unix:@bus").path == ""
    assert len(peer_of("unix:/" + "x" * 106).name) == 107


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "[]", "[]:80", "[::1", "::1]", "[[::1]]", "[::1]80", "[::1]:", "[::1]:x"),
        *("10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+80", ":0x50"),
        *(
            ":99999999999999999999",
            ":٥",
            "10.0.0.1:80:80",
            "[10.0.0.1]:80",
            "10.0.0.1/33",
            "::1/129",
        ),
        *("10.0.0.1/8", "2001:db8::1/32", "10.0.0.0/255.0.0.0", "10.0.0.0/", "10.0.0.0/-1"),
        *("/8", "10.0.0", "010.0.0.1", "0x7f000001", "2130706433", "fe80::1%eth0", "localhost"),
        *("localhost:80", "db.example.com:5432", "*", "*:80", "10.0.0.1,10.0.0.2", " 10.0.0.1"),
        *("10.0.0.1\n", "10.0.0.1\x00", "١٠.0.0.1", "\x1b[31m", "1" * 5000, ":" * 5000),
        *("unix:", "unix:@", "unix:/", "unix:x", "unix:./x", "unix:/a\0b", "unix:@a\0b"),
        *("UNIX:/x", "unix:/" + "x" * 107, "unix:@" + "x" * 107, "unix:/" + "é" * 54),
        *("tcp://10.0.0.1", "unix:///run/x.sock\0"),
        *(5432, None, True, b"10.0.0.1", ["10.0.0.1"], {"host": "x"}),
    ],
)
def test_what_is_no_peer_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(InvalidFault, match=r"^peers: ") as refused:
        Where(peers=(text,))
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_so_many_peers_are_refused_before_they_are_read() -> None:
    assert len(Where(peers=(":1",) * MAX_PEERS).peers) == MAX_PEERS
    with pytest.raises(InvalidFault, match="^peers: 65 peers; at most 64"):
        Where(peers=("nonsense",) * (MAX_PEERS + 1))


def test_a_document_has_what_it_was_made_of() -> None:
    where = Where(peers=("10.0.0.0/8", "unix:@x"))
    assert where_of(where.to_json()) == where


@pytest.mark.parametrize("kind", Kind)
def test_peers_are_of_faults_about_sockets_alone(kind: Kind) -> None:
    takes = (Kind.CONNECT, Kind.BIND, Kind.ACCEPT, Kind.SEND, Kind.RECV)
    assert TABLE[kind].takes_peers == (kind in takes)
    function = "sys_connect" if kind is Kind.FUNCTION else ""
    if kind in takes:
        assert Fault("x", kind, ONE, where=Where(peers=(":80",))).where.peers == (":80",)
        return
    with pytest.raises(InvalidFault, match=f"^peers: not for a fault of {kind.value} "):
        Fault("x", kind, ONE, function=function, where=Where(peers=(":80",)))


def test_paths_are_not_of_faults_about_sockets() -> None:
    with pytest.raises(InvalidFault, match=r"^paths: "):
        Fault("x", Kind.CONNECT, ONE, where=Where(paths=("/run/x.sock",)))


def test_connections_of_unix_sockets_are_hooked_where_one_is_named() -> None:
    def hooks(kind: Kind, *peers: str) -> list[str]:
        return [hook.symbol for hook in Fault("x", kind, ONE, where=Where(peers=peers)).hooks]

    assert hooks(Kind.CONNECT) == ["security_socket_connect"]
    assert hooks(Kind.CONNECT, ":80", "::1") == ["security_socket_connect"]
    assert hooks(Kind.CONNECT, ":80", "unix:@x") == [
        "security_socket_connect",
        "security_unix_stream_connect",
    ]
    assert hooks(Kind.SEND, "unix:/x") == ["security_socket_sendmsg"]


def test_a_socket_that_bind_is_to_make_need_not_be_there() -> None:
    where = Where(peers=("unix:/run/x.sock",))
    assert Fault("x", Kind.BIND, ONE, where=where).to_open.sockets == ()
    assert Fault("x", Kind.CONNECT, ONE, where=where).to_open.sockets == ("/run/x.sock",)
