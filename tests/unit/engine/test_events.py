"""What a program keeps of each injection becomes JSON, and what it could not keep a number."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import pytest

from chaoskernel.bpf.abi import MAX_STACK, Event
from chaoskernel.engine.events import KEPT, latest, to_json
from chaoskernel.fault.hooks import Kind
from chaoskernel.kernel.text import Text
from tests.unit.kernel.types import symbols_of

FUNCTIONS = (b"bpf_get_stack", b"should_failslab", b"kmem_cache_alloc", b"path_mount")
HELPER, HOOK, CALLER, MOUNT = (0xFFFFFFFF81001000 + (n << 12) for n in range(4))
PROGRAM, TRAMPOLINE = 0xFFFFFFFFC0104020, 0xFFFFFFFFC0207080
TEXT = symbols_of(
    b"".join(b"%x T %s\n" % (HELPER + (n << 12), name) for n, name in enumerate(FUNCTIONS))
    + b"ffffffffc0104000 t bpf_prog_1\t[bpf]\n"
).kernel_text


def event(number: int, **fields: object) -> Event:
    made = Event(sequence=number, begun=number, at=5, pid=7, tid=8, command=b"mount")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def kept(*events: Event) -> dict[int, bytes]:
    return {int(each.begun) % KEPT: bytes(each) for each in events}


def numbers(events: object) -> list[int]:
    assert isinstance(events, list)
    return [int(each.sequence) for each in events]


@pytest.mark.parametrize(
    ("written", "limit", "expected", "dropped"),
    [
        (0, 10, [], 0),
        (3, 10, [1, 2, 3], 0),
        (3, 2, [2, 3], 0),
        (KEPT + 2, 2, [KEPT + 1, KEPT + 2], 2),
        (KEPT + 2, 9999, list(range(3, KEPT + 3)), 2),
    ],
)
def test_the_latest_are_read_and_those_overwritten_are_counted(
    written: int, limit: int, expected: list[int], dropped: int
) -> None:
    slots = kept(*(event(number) for number in range(1, written + 1)))
    found, lost = latest(written, limit, slots.__getitem__)
    assert numbers(found) == expected
    assert lost == dropped


@pytest.mark.parametrize("torn", [event(2, begun=2 + KEPT), event(2, sequence=2 - KEPT), Event()])
def test_a_slot_that_is_being_written_is_not_reported(torn: Event) -> None:
    slots = {**kept(event(1)), 2: bytes(torn)}
    found, lost = latest(2, 10, slots.__getitem__)
    assert (numbers(found), lost) == ([1], 1)


def stack(*addresses: int) -> dict[str, object]:
    filled = (ctypes.c_uint64 * MAX_STACK)(*addresses)
    return {"stack": filled, "stack_size": len(addresses) * 8}


def stack_of(made: Event, text: Text = TEXT) -> list[str]:
    (told,) = to_json([made], Kind.FUNCTION, ["should_failslab"], text, boot=0)
    assert (told["pid"], told["tid"], told["command"]) == (7, 8, "mount")
    assert told["arguments"] == {}
    assert "ffff" not in str(told)
    assert isinstance(told["stack"], list)
    return told["stack"]


BEGINS = ["should_failslab+0x1", "kmem_cache_alloc+0x3f"]


@pytest.mark.parametrize(
    ("above", "begins"),
    [
        ((HOOK + 1,), BEGINS),
        ((HELPER + 8, PROGRAM, TRAMPOLINE, HOOK + 1), BEGINS),
        # Linux 7.2 jumps to the trampoline, so that the hook has no frame.
        ((PROGRAM, PROGRAM + 64, TRAMPOLINE), ["should_failslab+0x0", BEGINS[1]]),
        ((HELPER + 8, PROGRAM, TRAMPOLINE), ["should_failslab+0x0", BEGINS[1]]),
    ],
)
def test_a_stack_begins_with_the_hook_and_has_names(
    above: Sequence[int], begins: Sequence[str]
) -> None:
    """A function of the chain may be called by a trampoline too."""
    made = event(1, **stack(*above, CALLER + 0x3F, TRAMPOLINE, MOUNT + 0x100))
    assert stack_of(made) == [*begins, "[unknown]", "path_mount+0x100"]


def test_a_function_that_a_trampoline_calls_is_there_once() -> None:
    inner, entry = MOUNT + 0x100, MOUNT + 8
    for above in ((inner, TRAMPOLINE, entry), (inner, TRAMPOLINE, TRAMPOLINE + 9, entry)):
        made = event(1, **stack(HOOK + 1, *above, CALLER + 0x3F))
        assert stack_of(made) == ["should_failslab+0x1", "path_mount+0x100", BEGINS[1]]
    recursive = event(1, **stack(HOOK + 1, inner, inner, TRAMPOLINE, inner))
    assert stack_of(recursive)[1:] == [
        *("path_mount+0x100", "path_mount+0x100", "[unknown]", "path_mount+0x100")
    ]


def test_a_kernel_that_hides_its_addresses_has_places_without_names() -> None:
    hiding = symbols_of(b"0 T should_failslab\n0 T path_mount\n").kernel_text
    assert stack_of(event(1, **stack(HOOK + 1, CALLER)), hiding) == ["[unknown]"] * 2


def test_a_stack_that_could_not_be_walked_is_empty() -> None:
    assert stack_of(event(1, stack_size=-14)) == []


@pytest.mark.parametrize(("size", "kept"), [(-14, True), (0, False), (8, True)])
def test_an_event_says_whether_its_stack_was_kept(size: int, kept: bool) -> None:
    left = event(1, stack_size=size, stack=stack(HOOK)["stack"])  # of the slot's event before
    (told,) = to_json([left], Kind.FUNCTION, ["should_failslab"], TEXT, boot=0)
    assert told["stack_kept"] is kept
    assert len(told["stack"]) == (size > 0)


@pytest.mark.parametrize(
    ("kind", "fields", "arguments"),
    [
        (
            Kind.SLAB,
            {"arguments": (0xCC0, 192, 0, 0), "cache": b"filp"},
            {"cache": "filp", "size": 192, "gfp_flags": "0xcc0"},
        ),
        (Kind.SLAB, {"arguments": (0xCC0, 0, 0, 0)}, {"gfp_flags": "0xcc0"}),
        (Kind.PAGE, {"arguments": (0xDC0, 3, 0, 0)}, {"order": 3, "gfp_flags": "0xdc0"}),
        (
            Kind.BIO,
            {"arguments": (7 << 20 | 2, 128, 0x8001, 4096)},
            {"device": "7:2", "sector": 128, "operation": "WRITE", "bytes": 4096},
        ),
    ],
)
def test_it_tells_what_the_request_was_for(
    kind: Kind, fields: dict[str, object], arguments: dict[str, object]
) -> None:
    (told,) = to_json([event(1, **fields)], kind, ["hook"], TEXT, boot=0)
    assert told["arguments"] == arguments


def test_an_event_has_one_time_however_often_it_is_reported() -> None:
    made = event(1, at=1_500_000_000)
    (told,) = to_json([made], Kind.FUNCTION, ["hook"], TEXT, boot=1_700_000_000)
    assert told["at"] == "2023-11-14T22:13:21.500000+00:00"
