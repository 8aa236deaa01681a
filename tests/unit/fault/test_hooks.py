"""The one table of hooks is complete, and says nothing that cannot be."""

from __future__ import annotations

import errno

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind, why_refused
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import MAX_PATHS, Where

ONE = Scope(pids=(42,))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_row(kind: Kind) -> None:
    assert kind in TABLE, f"fault/hooks.py: TABLE has no row for {kind}"


@pytest.mark.parametrize("kind", Kind)
def test_every_error_is_one_of_linux_and_stands_once(kind: Kind) -> None:
    errors = TABLE[kind].errors
    assert [name for name in errors if not hasattr(errno, name)] == []
    assert len(set(errors)) == len(errors)
    own_value = [hook.value for hook in TABLE[kind].hooks if hook.value]
    assert bool(errors) != bool(own_value) or kind is Kind.FUNCTION


@pytest.mark.parametrize("kind", Kind)
def test_no_hook_of_the_table_is_one_that_is_never_failed(kind: Kind) -> None:
    assert [hook.symbol for hook in TABLE[kind].hooks if why_refused(hook.symbol)] == []


@pytest.mark.parametrize(
    "function",
    [
        "security_bpf",
        "security_bpf_prog",
        "security_capable",
        "security_locked_down",
        "security_perf_event_open",
        "security_ptrace_access_check",
        "security_file_free",
        "security_bprm_committing_creds",
        "security_inode_post_setxattr",
        "security_sb_umount",
        "security_sock_rcv_skb",
    ],
)
def test_what_the_injector_lives_by_and_what_nobody_reads_is_refused(function: str) -> None:
    with pytest.raises(InvalidFault, match=f"^function: '{function}' is not failed by anybody: "):
        Fault("x", Kind.FUNCTION, ONE, function=function, errno=5)


def test_a_kind_has_a_usual_error_and_takes_another() -> None:
    assert Fault("x", Kind.CONNECT, ONE).error == errno.ECONNREFUSED
    assert Fault("x", Kind.CONNECT, ONE, errno=errno.ETIMEDOUT).error == errno.ETIMEDOUT
    with pytest.raises(InvalidFault, match="^errno: "):
        Fault("x", Kind.SLAB, ONE, errno=errno.EIO)


@pytest.mark.parametrize("kind", [Kind.READ, Kind.WRITE])
def test_where_has_to_be_said_when_standard_streams_would_be_hit(kind: Kind) -> None:
    with pytest.raises(InvalidFault, match="name paths or devices, or say any_file: true"):
        Fault("x", kind, ONE)
    for where in (Where(paths=("/a",)), Where(devices=("/dev/sda",)), Where(any_file=True)):
        assert Fault("x", kind, ONE, where=where).where == where
    assert Fault("x", kind, ONE, predicate="mask == 4").where == Where()


def test_paths_are_for_faults_about_files() -> None:
    for kind in (Kind.CONNECT, Kind.MEMORY, Kind.FSYNC, Kind.SLAB):
        with pytest.raises(InvalidFault, match=r"^paths: '/a' is not possible when .*read, write"):
            Fault("x", kind, ONE, where=Where(paths=("/a",)))


@pytest.mark.parametrize("path", ["", "a", "./a", 7, None, "/a\0b", "/" + "a" * 5000])
def test_a_path_is_absolute(path: object) -> None:
    with pytest.raises(InvalidFault, match=r"^paths: "):
        Where(paths=(path,))  # type: ignore[arg-type]


def test_there_are_only_so_many_paths() -> None:
    with pytest.raises(InvalidFault, match=f"at most {MAX_PATHS}"):
        Where(paths=tuple(f"/{n}" for n in range(MAX_PATHS + 1)))


def test_a_fault_about_files_survives_its_journey() -> None:
    where = Where(paths=("/var/lib/db",), devices=("/dev/sda1",))
    fault = Fault("x", Kind.WRITE, ONE, errno=errno.ENOSPC, where=where)
    assert Fault.from_json(fault.to_json()) == fault


def test_an_allocations_arguments_cannot_be_asked() -> None:
    with pytest.raises(InvalidFault, match="^predicate: "):
        Fault("x", Kind.FORK, ONE, predicate="1")


def test_bcc_says_what_it_does_not_know() -> None:
    with pytest.raises(InvalidFault, match="^engine: 'bcc' is not possible when the fault is fork"):
        Fault("x", Kind.FORK, ONE, engine=EngineName.BCC)


def test_a_stand_in_is_a_kind_of_stock_kernels() -> None:
    for kind in STAND_INS.values():
        assert {hook.option for hook in TABLE[kind].hooks} <= {
            "CONFIG_SECURITY",
            "CONFIG_SECURITY_NETWORK",
        }
