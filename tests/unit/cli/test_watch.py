"""`chaoskernel watch`: from calls to faults, and to the arguments that hit them."""

from __future__ import annotations

from click.testing import CliRunner

from chaoskernel.cli.watch import arguments, command, met
from chaoskernel.engine.watching import Seen
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope

DB = "/srv/disk/notes.db"
CALLS = [
    Seen("pwrite64", 40, file=DB),
    Seen("fdatasync", 12, file=DB),
    Seen("read", 7, peer="127.0.0.1", on_socket=True),
    Seen("connect", 3, peer="127.0.0.1:5432", on_socket=True),
    Seen("clone", 2),
    Seen("bio", 30, file="/dev/vda"),
    Seen("write", 1),
]


def test_a_fault_is_met_by_all_calls_of_its_family() -> None:
    found = met(CALLS)
    assert dict(found[Kind.WRITE].calls) == {"pwrite64": 40, "write": 1}
    assert dict(found[Kind.WRITE].files) == {DB: 40}
    assert dict(found[Kind.FSYNC].calls) == {"fdatasync": 12}
    assert dict(found[Kind.RECV].peers) == {"127.0.0.1": 7}
    assert found[Kind.BIO].count == 30
    assert list(found) == [kind for kind in TABLE if kind in found]


def test_what_is_to_be_copied_is_a_fault() -> None:
    for kind, each in met(CALLS).items():
        said = arguments(kind, each, {"pids": [42]})
        scope = Scope(pids=tuple(said.pop("pids")))
        assert fault_of(scope=scope, **said).kind is kind


def test_what_is_to_be_copied_names_the_file_or_peer_of_most_calls() -> None:
    found = met(CALLS)
    assert arguments(Kind.WRITE, found[Kind.WRITE], {"pids": [42]}) == {
        "name": "write-fails",
        "fault": "write",
        "errno": "ENOSPC",
        "pids": [42],
        "paths": [DB],
    }
    assert arguments(Kind.CONNECT, found[Kind.CONNECT], {})["peers"] == ["127.0.0.1:5432"]


def test_watching_nobody_names_the_options_that_say_whom() -> None:
    ended = CliRunner().invoke(command, [])
    assert ended.exit_code == 2
    assert "give --pid, --pid-file, --command" in ended.output
    assert "or a COMMAND after --" in ended.output
