"""How many records may fail, and when a run stops for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.errors import BadOption
from aliquot.failure_limit import FailureLimit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5%", FailureLimit(0.05)),
        (" 2.5% ", FailureLimit(0.025)),
        ("0", FailureLimit(None, 0)),
        ("12", FailureLimit(None, 12)),
        ("100%", FailureLimit(1.0)),
        ("0%", FailureLimit(0.0)),
    ],
)
def test_limits_are_percentages_or_counts(text, limit):
    assert FailureLimit.parse(text) == limit
    assert FailureLimit.parse(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "%", "-1", "101%", "1.5", "five", "5 %%", "1e3", "٣", "9" * 5000])
def test_other_texts_are_refused(text):
    with pytest.raises(BadOption, match="--max-failed"):
        FailureLimit.parse(text)


@pytest.mark.parametrize(
    ("text", "n_failed", "n_tried", "allowed"),
    [
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("5%", 1, 19, False),
        ("5%", 0, 0, True),
        ("3", 3, 4, True),
        ("3", 4, 9999, False),
    ],
)
def test_verdict_at_the_end_is_exact(text, n_failed, n_tried, allowed):
    assert FailureLimit.parse(text).allows(n_failed, n_tried) is allowed


@pytest.mark.parametrize(
    ("text", "n_failed", "n_tried", "stops"),
    [
        ("5%", 100, 100, False),  # half of the first 200 may fail, however early
        ("5%", 101, 101, True),
        ("5%", 100, 200, False),
        ("5%", 101, 200, True),
        ("5%", 41, 201, True),  # later a fifth
        ("5%", 40, 201, False),
        ("5%", 2000, 10_000, False),
        ("5%", 2001, 10_000, True),
        ("60%", 120, 200, False),  # the user's own limit where it is larger
        ("60%", 121, 200, True),
        ("60%", 600, 1000, False),
        ("150", 150, 150, False),
        ("150", 151, 151, True),
        ("150", 150, 300, False),
        ("150", 151, 300, True),
        ("150", 151, 1000, False),  # a fifth is more
        ("100%", 10_000, 10_000, False),
        ("0", 1, 1000, False),  # beyond the limit, and yet worth going on
    ],
)
def test_run_stops_past_half_of_the_first_records_and_a_fifth_later(text, n_failed, n_tried, stops):
    assert FailureLimit.parse(text).stops(n_failed, n_tried, 10**6) is stops


@given(share=st.floats(0, 1), n_tried=st.integers(0, 10**6), failed=st.floats(0, 1))
def test_run_that_stops_is_beyond_its_limit(share, n_tried, failed):
    """A run that ended well must not have been one that could have been stopped."""
    limit, n_failed = FailureLimit(share), int(failed * n_tried)
    assert not (limit.stops(n_failed, n_tried, 10**6) and limit.allows(n_failed, n_tried))


def test_short_dataset_is_run_through():
    """Of 150 records that all fail, how many were tried would be chance."""
    assert not FailureLimit(0.05).stops(150, 150, 200)
    assert FailureLimit(0.05).stops(150, 150, 201)
