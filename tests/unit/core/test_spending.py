"""A budget is a ceiling, with what is in flight and what crashed counted in."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aliquot.keys import ChunkId, OutcomeKey, PaidKey
from aliquot.prices import Prices
from aliquot.spans import SpanSet
from aliquot.spending import (
    CUT_MB,
    CUT_TIMEOUT_S,
    INTAKE_MB,
    MOST_CUTTERS,
    MOST_EXPOSED,
    Spend,
    Tariff,
    afford_window,
    estimate_least_usd,
    estimate_settling,
    estimate_stake_usd,
    is_beyond,
    is_beyond_before_work,
    measure_preparing,
    measure_settling,
    measure_spend,
    write_invoice,
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


def test_notes_of_invocations_are_priced_by_their_functions():
    """The begun one is in flight, or was killed: a timeout of cut's."""
    a_second = {"cut": CUT_MB, "intake": INTAKE_MB, "prepare": 1769}
    for kind, memory_mb in a_second.items():
        spend = measure_preparing(TARIFF, [PaidKey(kind, "a"), PaidKey(kind, "a", 2000)])
        assert spend.compute == pytest.approx(2 * memory_mb / 1024 * 0.0000133334)
        assert spend.crashed == 0
    assert measure_preparing(TARIFF, []) == Spend()
    assert measure_preparing(TARIFF, [PaidKey("prepare", "a")]).crashed == pytest.approx(
        150 * TARIFF.worker_s("small")
    )
    spend = measure_preparing(TARIFF, [PaidKey("cut", "a")])
    assert spend.crashed == spend.compute == pytest.approx(CUT_TIMEOUT_S * CUT_MB / 1024 * 0.0000133334)


def test_puts_of_chunks_are_counted_once():
    """They stand in the stage's line, as those of a submission from a laptop do."""
    paid = [PaidKey("cut", "a", 2000, 0, 70)]
    most, least = (measure_preparing(TARIFF, paid, n_chunks).s3 for n_chunks in (0, 64))
    assert most - least == pytest.approx(64 * TARIFF.prices.s3_put)
    assert measure_preparing(TARIFF, paid, 1000).s3 > 0


_NOTES = st.lists(
    st.builds(
        PaidKey,
        st.sampled_from(["cut", "intake", "prepare"]),
        st.sampled_from("abcdef"),
        st.none() | st.integers(0, 900_000),
        st.integers(0, 2000),
        st.integers(0, 1000),
    )
)


@given(_NOTES, st.randoms(use_true_random=False), st.integers(0, 500))
def test_order_of_notes_changes_no_sum_and_one_more_never_takes_away(paid, chance, n_chunks):
    one = {(note.kind, note.invocation, note.billed_ms is None): note for note in paid}
    paid = list(one.values())  # an invocation says either thing once
    before = measure_preparing(TARIFF, paid, n_chunks)
    mixed = chance.sample(paid, len(paid))
    assert measure_preparing(TARIFF, mixed, n_chunks).total == pytest.approx(before.total)
    assert measure_preparing(TARIFF, [*paid, PaidKey("cut", "new")], n_chunks).total > before.total


@pytest.mark.parametrize("kinds", [{"is_cut": True}, {"is_cut": True, "is_prepared": True}])
def test_small_dataset_of_a_run_that_was_let_begin_is_cut(kinds):
    """Five steps of a few seconds each, then the first tick; some cents are enough."""
    budget_usd = math.nextafter(estimate_least_usd(TARIFF, **kinds), 1)
    assert budget_usd < 0.06
    paid = [PaidKey("prepare", "p")] if "is_prepared" in kinds else []
    for step in range(5):
        assert not is_beyond_before_work(TARIFF, budget_usd, [*paid, PaidKey("cut", str(step))])
        paid.append(PaidKey("cut", str(step), 4000, int(step in (0, 2)), 5))
        assert not is_beyond_before_work(TARIFF, budget_usd, paid)
    in_flight = {"small": afford_window(TARIFF, budget_usd, 100)}
    assert not is_beyond(TARIFF, budget_usd, measure_preparing(TARIFF, paid), in_flight, 0)


@pytest.mark.parametrize("budget_usd", [0.06, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(10))
def test_bill_of_a_simulated_cutting_stays_within_its_budget(budget_usd, seed):
    """Items at once, of any length, some killed; the others of a stopped epoch are begun and refused."""
    dice = random.Random(seed)
    n_items = dice.choice([1, 40, 400])
    paid = {"plan": PaidKey("cut", "plan", 2000, n_items, 2)}
    is_stopped = is_beyond_before_work(TARIFF, budget_usd, list(paid.values()))
    waiting = [] if is_stopped else [f"i{number}" for number in range(n_items)]
    working: list[str] = []
    while waiting or working:
        if waiting and len(working) < MOST_CUTTERS and dice.random() < 0.7:
            name = waiting.pop()
            paid[name] = PaidKey("cut", name)
            is_stopped = is_stopped or is_beyond_before_work(TARIFF, budget_usd, list(paid.values()))
            if is_stopped:
                paid[name] = PaidKey("cut", name, dice.randrange(1900), 0, 1)
            else:
                working.append(name)
        elif working:
            name = working.pop(dice.randrange(len(working)))
            if dice.random() < 0.9:
                paid[name] = PaidKey("cut", name, dice.choice([1, 5, 60, 900]) * 1000, 0, 70)
            else:
                waiting.append(f"{name}-again")
    stopping_usd = estimate_stake_usd(TARIFF, {}, 0)
    assert measure_preparing(TARIFF, paid.values()).total + stopping_usd < budget_usd


def test_invoice_adds_up():
    preparing = measure_preparing(TARIFF, [PaidKey("cut", "a", 1000, 1, 3), PaidKey("cut", "b")])
    work = measure_spend(TARIFF, [make_outcome(0, 1000)], {"small": 1}, 2, 3, 500)
    settling = measure_settling(TARIFF, 1000, 1, 1)
    invoice = write_invoice(TARIFF, {"match": work}, preparing, settling, 0.0, 0.5)
    assert invoice["estimated"] == 0.5
    assert set(invoice["preparing"]) == set(invoice["stages"]["match"])
    parts = invoice["preparing"], invoice["stages"]["match"], invoice["settling"]
    assert invoice["total"] == pytest.approx(sum(each["total"] for each in parts), abs=2e-6)
    crashed = CUT_TIMEOUT_S * CUT_MB / 1024 * 0.0000133334 + 150 * TARIFF.worker_s("small")
    assert invoice["wasted"]["crashes"] == pytest.approx(crashed, abs=2e-6)


@given(st.floats(0.01, 1000), st.integers(1, 1000))
def test_tasks_in_flight_put_a_fifth_of_the_budget_at_stake(budget_usd, window):
    chosen = afford_window(TARIFF, budget_usd, window)
    assert 1 <= chosen <= window
    assert chosen == 1 or chosen * TARIFF.task_usd <= MOST_EXPOSED * budget_usd


@given(st.floats(0.001, 1000), st.integers(1, 1000))
@example(estimate_least_usd(TARIFF), 1000)
@example(math.nextafter(estimate_least_usd(TARIFF), 1), 1000)
def test_first_tick_stops_no_run_that_was_let_begin(budget_usd, window):
    """Otherwise a request is taken, and ends without a single record."""
    in_flight = {"small": afford_window(TARIFF, budget_usd, window)}
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
    window = afford_window(TARIFF, budget_usd, window)
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
