"""What of an output is not compared."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.explore.mask import Mask, mask_of

LINES = st.lists(
    st.sampled_from([b"pid 1", b"pid 22", b"rows 3", b"done", b"at 0xff12"]), max_size=5
)
OUTPUTS = st.lists(LINES.map(b"\n".join), min_size=2, max_size=4)


@given(OUTPUTS)
def test_outputs_of_baselines_are_the_same_under_their_mask(outputs: list[bytes]) -> None:
    mask = mask_of(outputs)
    assert len({mask.digest(each) for each in outputs}) == 1


def test_numbers_are_masked_only_in_lines_where_they_change() -> None:
    mask = mask_of([b"pid 17\nrows 3\n", b"pid 18\nrows 3\n"])
    assert mask.digest(b"pid 99\nrows 3\n") == mask.digest(b"pid 17\nrows 3\n")
    assert mask.digest(b"pid 99\nrows 2\n") != mask.digest(b"pid 17\nrows 3\n")
    assert mask.parts == 1


def test_words_beside_the_numbers_are_compared() -> None:
    mask = mask_of([b"took 1.5 ms", b"took 2.5 ms"])
    assert mask.digest(b"took 9.1 ms") == mask.digest(b"took 1.5 ms")
    assert mask.digest(b"gave up after 9 ms") != mask.digest(b"took 1.5 ms")


def test_order_of_lines_is_masked_where_it_changes() -> None:
    lines = [b"one", b"two", b"three"]
    mask = mask_of([b"\n".join(each) for each in itertools.permutations(lines)])
    assert mask.unordered
    assert mask.digest(b"three\none\ntwo") == mask.digest(b"one\ntwo\nthree")
    assert mask.digest(b"three\none") != mask.digest(b"one\ntwo\nthree")


def test_output_without_anything_in_common_is_not_compared() -> None:
    assert mask_of([b"alpha", b"beta\ngamma"]).whole


def test_same_outputs_need_no_mask() -> None:
    assert mask_of([b"pid 1", b"pid 1"]) == Mask()
