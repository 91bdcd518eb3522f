"""Span sets against sets of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.spans import SpanSet

_SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)
_SETS = _SPANS.map(SpanSet.of)


def _cover(spans: list[tuple[int, int]]) -> set[int]:
    return {index for first, end in spans for index in range(first, end)}


def _is_canonical(spans: SpanSet) -> bool:
    flat = [bound for span in spans.spans for bound in span]
    return all(a < b for a, b in pairwise(flat))


@given(_SPANS)
def test_a_set_holds_what_its_spans_cover(spans: list[tuple[int, int]]) -> None:
    made = SpanSet.of(spans)
    assert set(made) == _cover(spans)
    assert list(made) == sorted(_cover(spans))
    assert len(made) == len(_cover(spans))
    assert bool(made) == bool(_cover(spans))
    assert {index for index in range(61) if index in made} == _cover(spans)
    assert _is_canonical(made)


@given(_SETS, _SETS)
def test_union_intersection_and_difference_are_those_of_sets(a: SpanSet, b: SpanSet) -> None:
    for made, wanted in ((a | b, set(a) | set(b)), (a & b, set(a) & set(b)), (a - b, set(a) - set(b))):
        assert set(made) == wanted
        assert _is_canonical(made)


@given(_SETS, st.integers(0, 70), st.integers(0, 70))
def test_complement_is_what_a_range_has_beside_the_set(spans: SpanSet, first: int, end: int) -> None:
    made = spans.complement(first, end)
    assert set(made) == set(range(first, end)) - set(spans)
    assert _is_canonical(made)


@given(_SETS, st.integers(0, 80))
def test_take_splits_off_the_lowest(spans: SpanSet, count: int) -> None:
    """Half of a lane's work is given away by this: nothing may be in both halves or in neither."""
    head, tail = spans.take(count)
    assert list(head) == sorted(spans)[:count]
    assert list(tail) == sorted(spans)[count:]
    assert _is_canonical(head)
    assert _is_canonical(tail)


@given(_SETS)
def test_text_reads_back(spans: SpanSet) -> None:
    assert SpanSet.parse(str(spans)) == spans


@given(st.sets(st.integers(0, 60)))
def test_single_indices_make_the_same_set(indices: set[int]) -> None:
    assert set(SpanSet.of_indices(indices)) == indices


@pytest.mark.parametrize(
    "text",
    [
        "5-5",
        "7-3",
        "0-3+3-5",
        "0-5+2-8",
        "5-8+0-2",
        "00-3",
        "0-03",
        "-1-3",
        "0-3+",
        "+0-3",
        "0-3 ",
        "0-3\n",
        "a",
        "0",
        "0-٣",
    ],
)
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    """One set has one text, or the same outcome could have two keys."""
    with pytest.raises(ValueError, match="span set"):
        SpanSet.parse(text)


@given(st.text("0123456789-+", max_size=12))
def test_whatever_text_is_accepted_is_the_set_s_own(text: str) -> None:
    try:
        parsed = SpanSet.parse(text)
    except ValueError:
        return
    assert str(parsed) == text
