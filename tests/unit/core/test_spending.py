"""A budget is a ceiling, with what is in flight and what crashed counted in."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aliquot.keys import ChunkId, OutcomeKey
from aliquot.prices import Prices
from aliquot.spans import SpanSet
from aliquot.spending import (
    MOST_EXPOSED,
    Spend,
    Tariff,
    choose_window,
    estimate_least_usd,
    estimate_settling,
    is_beyond,
    measure_spend,
)

TARIFF = Tariff(Prices(), "arm64", 150.0)
CHUNK = ChunkId(0, 1000)


def make_outcome(number: int, billed_ms: int, rung: str = "small") -> OutcomeKey:
    return OutcomeKey("match", CHUNK, SpanSet.range(0, 1), f"{number:06d}", rung, billed_ms, 0, 1)


def test_second_of_a_worker_costs_what_aws_says():
    """1,769 MB on arm64: 1.7275 GB-s at $0.0000133334."""
    spend = measure_spend(TARIFF, [make_outcome(0, 1000)], {}, 0, 0, 0)
    assert spend.compute == pytest.approx(1769 / 1024 * 0.0000133334)
    assert Tariff(Prices(), "x86_64", 150.0).worker_s("small") == pytest.approx(1769 / 1024 * 0.0000166667)


def test_tombstone_costs_nothing_and_a_redelivery_the_whole_timeout():
    assert measure_spend(TARIFF, [make_outcome(0, 0, "tombstone")], {}, 0, 0, 0).compute == 0
    spend = measure_spend(TARIFF, [], {"small": 2}, 0, 0, 0)
    assert spend.crashed == spend.compute == pytest.approx(2 * 150 * TARIFF.worker_s("small"))


@given(st.floats(0.01, 1000), st.integers(1, 1000))
def test_tasks_in_flight_put_a_fifth_of_the_budget_at_stake(budget_usd, window):
    chosen = choose_window(TARIFF, budget_usd, window)
    assert 1 <= chosen <= window
    assert chosen == 1 or chosen * TARIFF.task_usd <= MOST_EXPOSED * budget_usd


@given(st.floats(0.001, 1000), st.integers(1, 1000))
@example(estimate_least_usd(TARIFF), 1000)
@example(math.nextafter(estimate_least_usd(TARIFF), 1), 1000)
def test_first_tick_stops_no_run_that_was_let_begin(budget_usd, window):
    """Otherwise a request is taken, and ends without a single record."""
    in_flight = {"small": choose_window(TARIFF, budget_usd, window)}
    is_refused = budget_usd <= estimate_least_usd(TARIFF)
    assert is_beyond(TARIFF, budget_usd, Spend(), in_flight, 0) == is_refused


@given(st.integers(0, 10_000), st.integers(0, 500))
def test_more_work_never_costs_less(n_outcomes, n_more):
    before = estimate_settling(TARIFF, n_outcomes).total
    assert estimate_settling(TARIFF, n_outcomes + n_more).total >= before


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(20))
def test_bill_of_a_simulated_run_stays_within_its_budget(share, seed):
    """Workers that take any time up to the timeout, and crash unheard; a tally that comes late."""
    dice = random.Random(seed)
    n_tasks, window = 400, 100
    wanted_usd = n_tasks * 40 * TARIFF.worker_s("small")
    budget_usd = share * wanted_usd
    window = choose_window(TARIFF, budget_usd, window)
    bill_usd, outcomes, redelivered = 0.0, [], 0
    flying: list[bool] = []  # of each task in flight, whether its last delivery ended unheard
    n_left, is_stopped = n_tasks, False
    while (n_left or flying) and not is_stopped:
        spent = measure_spend(TARIFF, outcomes, {"small": redelivered}, n_tasks, 0, 0)
        is_stopped = is_beyond(TARIFF, budget_usd, spent, {"small": window}, len(outcomes))
        if not is_stopped:
            n_new = min(n_left, window - len(flying))
            flying, n_left = flying + [False] * n_new, n_left - n_new
        still: list[bool] = []
        for was_unheard in flying:  # all that is in flight runs on, stopped or not, and ends somehow
            redelivered += was_unheard
            seconds = dice.choice([1.0, 30.0, 60.0, 150.0])
            bill_usd += seconds * TARIFF.worker_s("small") + TARIFF.prices.lambda_request
            if dice.random() < 0.2:
                still.append(True)
            else:
                outcomes.append(make_outcome(len(outcomes), int(seconds * 1000)))
        flying = still
    assert bill_usd + estimate_settling(TARIFF, len(outcomes)).total <= budget_usd


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"lambda_gb": 1}, "'lambda_gb' is no price"),
        ({"s3_put": -1}, "s3_put cannot be -1"),
        ({"s3_put": "free"}, "s3_put cannot be 'free'"),
        ({"as_of": 2026}, "as_of cannot be 2026"),
    ],
)
def test_prices_that_cannot_be_are_refused_by_name(plain, said):
    with pytest.raises(ValueError, match=said):
        Prices.from_plain(plain)


def test_plain_forms_read_back():
    assert Tariff.from_plain(TARIFF.to_plain()) == TARIFF
    assert Prices.from_plain({"s3_put": 0.1}).s3_put == 0.1
    assert Spend(1, 2, 3, 4, 5, 1).to_plain()["total"] == 15
