"""Faults about the peers of sockets, on an unmodified kernel: those named fail, and no others."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from tests.stock.conftest import Arm
from tests.talker import Talker

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
REFUSED, RESET, FULL = errno.ECONNREFUSED, errno.ECONNRESET, errno.EMFILE
INET, INET6, UNIX = "AF_INET", "AF_INET6", "AF_UNIX"
STREAM, DATAGRAM, PACKETS = "SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET"


@pytest.fixture(scope="module")
def loopback(lab: None) -> None:
    """The interface, which is down where nobody has set it up."""
    with socket.socket() as any_socket:
        asked = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


@pytest.fixture
def victim(loopback: None, tmp_path: Path) -> Iterator[Talker]:
    with Talker(tmp_path / "victim") as started:
        yield started


@pytest.fixture
def neighbour(loopback: None, tmp_path: Path) -> Iterator[Talker]:
    with Talker(tmp_path / "neighbour") as started:
        yield started


@contextlib.contextmanager
def served(family: str, kind: str, address: Any) -> Iterator[Any]:
    """Answer each byte that comes to an address with one, in this process; yield the address."""
    server = socket.socket(getattr(socket, family), getattr(socket, kind))
    server.bind(address)
    if kind != DATAGRAM:
        server.listen(64)

    def echo(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            while received := one.recv(1):
                one.send(received)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while kind == DATAGRAM:
                received, sender = server.recvfrom(1)
                if sender:
                    server.sendto(received, sender)
            while True:
                threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        name = server.getsockname()
        yield list(name[:2]) if isinstance(name, tuple) else address
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def connected(talker: Talker, family: str, kind: str, address: Any) -> int:
    assert talker.calls("open", family, kind) == 0
    return talker.calls("connect", address)


def text(address: Any) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_connect_fails_to_an_ipv4_address_and_port_alone(
    kind: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    with (
        served(INET, kind, ("127.0.0.1", 0)) as named,
        served(INET, kind, ("127.0.0.1", 0)) as other_port,
        served(INET, kind, ("127.0.0.2", named[1])) as other_address,
    ):
        fault = arm(victim.pid, fault="connect", peers=[text(named)])
        assert connected(victim, INET, kind, named) == REFUSED
        assert connected(victim, INET, kind, ["0.0.0.0", named[1]]) == REFUSED
        assert connected(victim, INET, kind, other_port) == 0
        assert connected(victim, INET, kind, other_address) == 0
        assert connected(neighbour, INET, kind, named) == 0
        counters = fault.counters()
        assert (counters["reached"], counters["injected"]) == (4, 2)
        assert fault.disarm() == []
        assert connected(victim, INET, kind, named) == 0


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_connect_fails_to_an_ipv6_address_and_port_alone(
    kind: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    with (
        served(INET6, kind, ("::1", 0)) as named,
        served(INET6, kind, ("::1", 0)) as other_port,
        served(INET, kind, ("127.0.0.1", named[1])) as other_family,
    ):
        arm(victim.pid, fault="connect", peers=[text(named), "2001:db8::/32"])
        assert connected(victim, INET6, kind, named) == REFUSED
        assert connected(victim, INET6, kind, ["::", named[1]]) == REFUSED
        assert connected(victim, INET6, kind, ["2001:db8:1::1", 9]) == REFUSED
        assert connected(victim, INET6, kind, other_port) == 0
        assert connected(victim, INET, kind, other_family) == 0
        assert connected(neighbour, INET6, kind, named) == 0


def test_an_ipv4_address_in_an_ipv6_socket_is_that_address(arm: Arm, victim: Talker) -> None:
    with served(INET, STREAM, ("127.0.0.1", 0)) as named:
        mapped = ["::ffff:127.0.0.1", named[1]]
        first = arm(victim.pid, fault="connect", peers=[text(named)])
        assert connected(victim, INET6, STREAM, mapped) == REFUSED
        assert first.disarm() == []
        second = arm(victim.pid, fault="connect", peers=["::/0"])
        assert connected(victim, INET6, STREAM, mapped) == 0
        assert second.disarm() == []
        arm(victim.pid, fault="connect", peers=["::ffff:127.0.0.0/104"])
        assert connected(victim, INET, STREAM, named) == REFUSED


def test_a_port_is_that_of_any_address_and_a_network_has_any_port(arm: Arm, victim: Talker) -> None:
    with (
        served(INET, STREAM, ("127.0.0.1", 0)) as one,
        served(INET, STREAM, ("127.0.0.3", 0)) as in_network,
        served(INET, STREAM, ("127.0.0.4", 0)) as beside,
    ):
        fault = arm(victim.pid, fault="connect", peers=[f":{one[1]}", "127.0.0.2/31"])
        assert connected(victim, INET, STREAM, one) == REFUSED
        assert connected(victim, INET6, STREAM, ["::1", one[1]]) == REFUSED
        assert connected(victim, INET, STREAM, in_network) == REFUSED
        assert connected(victim, INET, STREAM, beside) == 0
        assert fault.counters()["injected"] == 3


def test_the_last_of_64_peers_is_compared_too(arm: Arm, victim: Talker) -> None:
    with (
        served(INET, STREAM, ("127.0.0.1", 0)) as named,
        served(INET, STREAM, ("127.0.0.1", 0)) as other,
    ):
        peers = [*(f"10.{n}.0.0/16:{n + 1}" for n in range(63)), text(named)]
        arm(victim.pid, fault="connect", peers=peers, times=1)
        assert connected(victim, INET, STREAM, other) == 0
        assert connected(victim, INET, STREAM, named) == REFUSED
        assert connected(victim, INET, STREAM, named) == 0


def test_an_end_of_a_connection_is_no_peer(arm: Arm, victim: Talker) -> None:
    """connect(2) with an address of no family ends the connection of a datagram socket."""
    with served(INET, DATAGRAM, ("127.0.0.1", 0)) as named:
        assert connected(victim, INET, DATAGRAM, named) == 0
        arm(victim.pid, fault="connect", peers=["0.0.0.0/0", "::/0"])
        assert victim.calls("connect_to", bytes(16).hex()) == 0


@pytest.mark.parametrize(("family", "host"), [(INET, "127.0.0.1"), (INET6, "::1")])
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_send_and_recv_fail_on_a_socket_that_is_connected_to_a_peer(
    kind: str, family: str, host: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    with (
        served(family, kind, (host, 0)) as named,
        served(family, kind, (host, 0)) as other,
    ):
        sending = arm(victim.pid, fault="send", peers=[text(named)])
        for talker, address, ended in (
            (victim, other, 0),
            (neighbour, named, 0),
            (victim, named, RESET),
        ):
            assert connected(talker, family, kind, address) == 0
            assert talker.calls("send") == ended
            assert talker.calls("write") == ended
            assert ended or talker.calls("receive") == 0
        assert sending.disarm() == []
        assert victim.calls("send") == 0
        receiving = arm(victim.pid, fault="recv", peers=[text(named)])
        assert victim.calls("receive") == RESET
        assert receiving.counters()["injected"] == 1
        assert receiving.disarm() == []
        assert victim.calls("receive") == 0


@pytest.mark.parametrize(("family", "host"), [(INET, "127.0.0.1"), (INET6, "::1")])
def test_a_datagram_goes_to_the_address_that_it_is_sent_to(
    family: str, host: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    with (
        served(family, DATAGRAM, (host, 0)) as named,
        served(family, DATAGRAM, (host, 0)) as other,
    ):
        arm(victim.pid, fault="send", peers=[text(named)])
        for talker in (victim, neighbour):
            assert talker.calls("open", family, DATAGRAM) == 0
        assert victim.calls("send_to", named) == RESET
        assert victim.calls("send_to", other) == 0
        assert neighbour.calls("send_to", named) == 0
        assert victim.calls("connect", named) == 0
        assert victim.calls("send_to", other) == 0
        assert victim.calls("send") == RESET


@pytest.mark.parametrize(("family", "host"), [(INET, "127.0.0.1"), (INET6, "::1")])
def test_bind_and_accept_fail_at_an_own_address(
    family: str, host: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    first, second = [host, 4711], [host, 4712]
    binding = arm(victim.pid, fault="bind", peers=[text(first)])
    for talker, address, ended in (
        (victim, first, errno.EADDRINUSE),
        (victim, second, 0),
        (neighbour, first, 0),
    ):
        assert talker.calls("open", family, STREAM) == 0
        assert talker.calls("bind", address) == ended
    assert binding.disarm() == []
    accepting = arm(victim.pid, fault="accept", peers=[text(second)])
    assert victim.calls("listen") == neighbour.calls("listen") == 0
    assert victim.calls("accept", second) == FULL
    assert neighbour.calls("accept", first) == 0
    assert accepting.disarm() == []
    arm(victim.pid, fault="accept", peers=[text(first), f"{host}/32" if family == INET else ":9"])
    assert victim.calls("accept", second) == (FULL if family == INET else 0)


@pytest.mark.parametrize("kind", [STREAM, PACKETS])
def test_a_unix_socket_is_known_however_it_is_called(
    kind: str, arm: Arm, victim: Talker, neighbour: Talker, tmp_path: Path
) -> None:
    named, other = str(tmp_path / "s"), str(tmp_path / "t")
    with served(UNIX, kind, named), served(UNIX, kind, other):
        link, hard = tmp_path / "link", tmp_path / "hard"
        link.symlink_to("s")
        hard.hardlink_to(named)
        fault = arm(victim.pid, fault="connect", peers=[f"unix:{named}"])
        for name in (named, "../s", str(link), str(hard), "/proc/self/cwd/../s"):
            assert connected(victim, UNIX, kind, name) == REFUSED, name
        assert connected(victim, UNIX, kind, other) == 0
        assert connected(neighbour, UNIX, kind, named) == 0
        assert {hook["symbol"]: hook["injected"] for hook in fault.counters()["hooks"]} == {
            "security_socket_connect": 0,
            "security_unix_stream_connect": 5,
        }


@pytest.mark.parametrize("kind", [STREAM, PACKETS, DATAGRAM])
def test_an_abstract_unix_socket_is_known_by_its_name(
    kind: str, arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    with (
        served(UNIX, kind, "\0chaos-named"),
        served(UNIX, kind, "\0chaos-named-too"),
        served(UNIX, kind, "\0chaos-name"),
    ):
        connecting = arm(victim.pid, fault="connect", peers=["unix:@chaos-named"])
        assert connected(victim, UNIX, kind, "@chaos-named") == REFUSED
        assert connected(victim, UNIX, kind, "@chaos-named-too") == 0
        assert connected(victim, UNIX, kind, "@chaos-name") == 0
        assert connected(neighbour, UNIX, kind, "@chaos-named") == 0
        assert connecting.disarm() == []
        arm(victim.pid, fault="send", peers=["unix:@chaos-named"])
        assert victim.calls("send") == 0
        assert connected(victim, UNIX, kind, "@chaos-named") == 0
        assert victim.calls("send") == RESET


def test_a_unix_datagram_goes_to_a_socket_by_its_path(
    arm: Arm, victim: Talker, tmp_path: Path
) -> None:
    named, other = str(tmp_path / "s"), str(tmp_path / "t")
    with served(UNIX, DATAGRAM, named), served(UNIX, DATAGRAM, other):
        sending = arm(victim.pid, fault="send", peers=[f"unix:{named}"])
        assert victim.calls("open", UNIX, DATAGRAM) == 0
        assert victim.calls("send_to", named) == RESET
        assert victim.calls("send_to", other) == 0
        assert connected(victim, UNIX, DATAGRAM, "../s") == 0
        assert victim.calls("send") == RESET
        assert sending.disarm() == []
        arm(victim.pid, fault="connect", peers=[f"unix:{named}"])
        assert connected(victim, UNIX, DATAGRAM, named) == REFUSED
        assert connected(victim, UNIX, DATAGRAM, other) == 0


def test_bind_and_accept_of_a_unix_socket(arm: Arm, victim: Talker, tmp_path: Path) -> None:
    named, other = str(tmp_path / "s"), str(tmp_path / "t")
    binding = arm(victim.pid, fault="bind", peers=[f"unix:{named}"])
    assert victim.calls("open", UNIX, STREAM) == 0
    assert victim.calls("bind", named) == errno.EADDRINUSE
    assert victim.calls("bind", other) == 0
    assert victim.calls("listen") == 0
    assert binding.disarm() == []
    arm(victim.pid, fault="accept", peers=[f"unix:{other}"])
    assert victim.calls("accept", other) == FULL


def test_a_socket_that_is_not_there_is_an_error(arm: Arm, victim: Talker, tmp_path: Path) -> None:
    with pytest.raises(InvalidFault, match=r"^peers: ") as refused:
        arm(victim.pid, fault="connect", peers=[f"unix:{tmp_path}/nothing"])
    assert "\n" not in str(refused.value)


def test_sockets_that_the_kernel_makes_for_itself_are_left_alone(
    arm: Arm, victim: Talker, neighbour: Talker
) -> None:
    assert neighbour.calls("new_network") == 0
    fault = arm(victim.pid, fault="socket")
    assert victim.calls("new_network") == 0
    assert fault.counters()["reached"] == 0
    assert victim.calls("open", INET, STREAM) == FULL
