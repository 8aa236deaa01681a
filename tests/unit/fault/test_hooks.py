"""The one table of hooks is complete, and says nothing that cannot be."""

from __future__ import annotations

import errno

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind
from chaoskernel.fault.refused import takes_uninitialised, why_refused
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import MAX_PATHS, Where
from tests.unit.fault.security_names import RETURN_A_VALUE, RETURN_NOTHING

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
    with pytest.raises(InvalidFault, match=f"^function: never failed, because .*{function}"):
        Fault("x", Kind.FUNCTION, ONE, function=function, errno=5)


def test_a_kind_has_a_usual_error_and_takes_another() -> None:
    assert Fault("x", Kind.CONNECT, ONE).error == errno.ECONNREFUSED
    assert Fault("x", Kind.CONNECT, ONE, errno=errno.ETIMEDOUT).error == errno.ETIMEDOUT
    with pytest.raises(InvalidFault, match="^errno: "):
        Fault("x", Kind.SLAB, ONE, errno=errno.EIO)


@pytest.mark.parametrize("kind", [Kind.READ, Kind.WRITE])
def test_where_has_to_be_said_when_standard_streams_would_be_hit(kind: Kind) -> None:
    with pytest.raises(InvalidFault, match="name paths or devices, or set any_file: true"):
        Fault("x", kind, ONE)
    for where in (Where(paths=("/a",)), Where(devices=("/dev/sda",)), Where(any_file=True)):
        assert Fault("x", kind, ONE, where=where).where == where
    assert Fault("x", kind, ONE, predicate="mask == 4").where == Where()


def test_paths_are_for_faults_about_files() -> None:
    for kind in (Kind.CONNECT, Kind.MEMORY, Kind.FSYNC, Kind.SLAB):
        with pytest.raises(InvalidFault, match=r"^paths: not for a fault of .*read, write"):
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
    with pytest.raises(InvalidFault, match="^engine: not possible when the fault is fork"):
        Fault("x", Kind.FORK, ONE, engine=EngineName.BCC)


def test_a_stand_in_is_a_kind_of_stock_kernels() -> None:
    for kind in STAND_INS.values():
        assert {hook.option for hook in TABLE[kind].hooks} <= {
            "CONFIG_SECURITY",
            "CONFIG_SECURITY_NETWORK",
        }


_OF_THE_INJECTOR = """
bpf bpf_map bpf_map_alloc bpf_map_create bpf_prog bpf_prog_alloc bpf_prog_load bpf_token_capable
bpf_token_cmd bpf_token_create capable locked_down perf_event_alloc perf_event_open
perf_event_read perf_event_write ptrace_access_check ptrace_traceme
"""
_TOO_LATE = """
file_post_open kernel_post_load_data kernel_post_read_file sb_umount socket_post_create
"""
_IN_INTERRUPTS = """
file_send_sigiotask inet_conn_request mptcp_add_subflow sctp_assoc_established sctp_assoc_request
sock_rcv_skb xfrm_decode_session xfrm_policy_lookup xfrm_state_pol_flow_match
"""
_UNINITIALISED = """
backing_file_alloc bdev_alloc bpf_map_alloc bpf_prog_alloc cred_alloc_blank file_alloc inode_alloc
key_alloc msg_msg_alloc msg_queue_alloc perf_event_alloc prepare_creds sb_alloc sem_alloc
shm_alloc sk_alloc task_alloc tun_dev_alloc_security xfrm_policy_alloc xfrm_state_alloc
xfrm_state_alloc_acquire
"""

OF_THE_INJECTOR = _OF_THE_INJECTOR.split()
TOO_LATE = _TOO_LATE.split()
IN_INTERRUPTS = _IN_INTERRUPTS.split()
UNINITIALISED = _UNINITIALISED.split()


def test_of_what_real_kernels_have_just_the_harmful_is_refused() -> None:
    """What returns nothing is refused besides, by the types of the kernel at hand."""
    refused = [name for name in RETURN_A_VALUE if why_refused(f"security_{name}")]
    assert refused == sorted([*OF_THE_INJECTOR, *TOO_LATE, *IN_INTERRUPTS])
    for_a_host = [
        name for name in RETURN_A_VALUE if why_refused(f"security_{name}", system_wide=True)
    ]
    assert for_a_host == sorted([*OF_THE_INJECTOR, *TOO_LATE])
    assert [name for name in RETURN_A_VALUE if takes_uninitialised(f"security_{name}")] == (
        UNINITIALISED
    )


def test_names_that_say_nothing_of_security_are_not_refused() -> None:
    for name in ("sys_bpf", "my_security_bpf", "should_failslab", "security_", "capable"):
        assert why_refused(name) == ""


def test_every_security_hook_of_the_table_is_one_of_a_real_kernel_and_returns_a_value() -> None:
    hooks = {hook.symbol for row in TABLE.values() for hook in row.hooks}
    security = {name.removeprefix("security_") for name in hooks if name.startswith("security_")}
    assert security - set(RETURN_A_VALUE) == set()
    assert security & set(RETURN_NOTHING) == set()


@pytest.mark.parametrize("name", IN_INTERRUPTS)
def test_what_runs_in_interrupts_is_for_the_whole_host_alone(name: str) -> None:
    function = f"security_{name}"
    with pytest.raises(InvalidFault, match="whoever is on the CPU.*system_wide: true"):
        Fault("x", Kind.FUNCTION, ONE, function=function, errno=5)
    fault = Fault("x", Kind.FUNCTION, Scope(system_wide=True), function=function, errno=5)
    assert fault.symbol == function


@pytest.mark.parametrize("name", sorted({*UNINITIALISED} - {*OF_THE_INJECTOR}))
def test_an_object_that_is_not_filled_in_yet_cannot_be_asked(name: str) -> None:
    function = f"security_{name}"
    with pytest.raises(InvalidFault, match="^predicate: .* not filled in .*a == 1"):
        Fault(
            "x",
            Kind.FUNCTION,
            ONE,
            function=function,
            errno=5,
            parameters="int a",
            predicate="a == 1",
        )
    assert Fault("x", Kind.FUNCTION, ONE, function=function, errno=5).symbol == function


@pytest.mark.parametrize("kind", [kind for kind in Kind if TABLE[kind].errors])
def test_an_error_that_the_manual_pages_have_is_no_surprise(kind: Kind) -> None:
    where = Where(any_file=TABLE[kind].needs_place)
    for name in TABLE[kind].errors:
        number = getattr(errno, name)
        assert Fault("x", kind, ONE, errno=number, where=where).warnings == ()
    assert Fault("x", kind, ONE, where=where).warnings == ()
    for number, shown in ((errno.EUCLEAN, "EUCLEAN"), (4095, "error 4095")):
        (warning,) = Fault("x", kind, ONE, errno=number, where=where).warnings
        assert f" {shown}; they document {', '.join(TABLE[kind].errors)}" in warning


def test_a_function_has_no_manual_page() -> None:
    fault = Fault("x", Kind.FUNCTION, ONE, function="security_file_open", errno=errno.EUCLEAN)
    assert fault.warnings == ()
