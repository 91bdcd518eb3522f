"""What outcomes tell of their making: times in bins, the slowest by name, nothing from a garbled header."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from aliquot.outcome import Outcome, OutcomeReader
from aliquot.trace import FINE_NS, Spread, Trace, find_bin, is_spread, start_bin_ns


@given(st.integers(min_value=FINE_NS, max_value=1 << 50))
def test_a_time_lies_in_its_bin(took_ns):
    at = find_bin(took_ns)
    assert start_bin_ns(at) <= took_ns < start_bin_ns(at + 1) <= start_bin_ns(at) * 1.26


def test_records_that_were_held_together_share_their_time():
    """A job that reads ahead answers many records at once: none of them took all of it."""
    spread = Spread()
    spread.note(0, 10, 10_000_000)
    spread.note(10, 11, 7_000_000)
    spread.note(11, 12, FINE_NS // 2)
    assert spread.bins == {find_bin(1_000_000): 10, find_bin(7_000_000): 1}
    assert spread.slow == [(7_000_000, 10), (1_000_000, 0)]


def test_merging_keeps_the_slowest_of_both():
    one, other = Spread(), Spread()
    for at in range(5):
        one.note(at, at + 1, (at + 1) * 1_000_000)
        other.note(at + 5, at + 6, (at + 2) * 1_000_000)
    one.merge(other)
    assert one.slow == [(6_000_000, 9), (5_000_000, 8), (5_000_000, 4)]
    assert sum(one.bins.values()) == 10


def test_an_outcome_carries_its_trace_and_a_garbled_one_costs_no_rows():
    spread = Spread()
    spread.note(3, 4, 5_000_000)
    trace = Trace("2", 1_000, 6_000, spread)
    assert OutcomeReader(Outcome({}, {}, 0, trace=trace).to_bytes()).trace == trace
    assert OutcomeReader(Outcome({}, {}, 0).to_bytes()).trace is None
    for garbled in ([1, 2], ["2", 9, 3, [[], []]], ["2", 0, 1, [[[-1, 2]], []]], ["x" * 99, 0, 1, [[], []]]):
        assert Trace.from_header({"trace": garbled}) is None
    assert not is_spread([[[1, 2, 3]], []])


def test_forged_times_and_bins_are_none():
    """A chart has every bin between two, and every time as a date."""
    last = find_bin((1 << 64) - 1)
    assert is_spread([[[last, 1]], []])
    assert not is_spread([[[last + 1, 1]], []])
    years = 253_402_300_799_999
    assert datetime.fromtimestamp(years / 1000, UTC).year == 9999
    assert Trace.from_header({"trace": ["1", 0, years, [[], []]]}) is not None
    assert Trace.from_header({"trace": ["1", 0, years + 1, [[], []]]}) is None
