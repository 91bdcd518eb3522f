"""The model of the engine: how much there is to do, how long it takes, what would fit a budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aliquot.errors import BadOption
from aliquot.prices import Prices
from aliquot.spending import Tariff
from orchestrator.aws.estimate import estimate_at
from orchestrator.estimate import Estimate
from orchestrator.forecast.limits import list_strained
from orchestrator.forecast.local import forecast_wall_s
from orchestrator.forecast.place import Load, Place, find_rung
from orchestrator.forecast.stack import forecast_run
from orchestrator.forecast.work import Stratum, draw_work, measure_work
from orchestrator.quotas import PROVISIONED, QUOTAS, STANDARD
from orchestrator.whatif import (
    Budget,
    consider,
    describe_alternatives,
    describe_budget,
    list_alternatives,
    parse_what_if,
)

TARIFF = Tariff(Prices(), "arm64", 150.0)


def sample(times, n_records):
    places = np.arange(len(times)) / len(times)
    return [Stratum(n_records, tuple(times), tuple(places))]


def totals(times, n_records, most_s=60.0):
    drawn = draw_work(sample(times, n_records), most_s, np.random.default_rng(1))
    return np.array([work.total_s for work in drawn])


def test_total_of_light_tails_is_the_mean_times_the_records():
    times = np.random.default_rng(3).uniform(0.5, 1.5, 200)
    drawn = totals(times, 10_000)
    assert np.median(drawn) == pytest.approx(10_000 * times.mean(), rel=0.01)
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert 0.03 < (high - low) / np.median(drawn) < 0.2


def test_heavy_tails_have_wider_intervals_than_resampling_gives():
    """The record that takes a tenth of all the time is not in a sample of 200."""
    times = np.random.default_rng(3).pareto(1.5, 200) * 0.1 + 0.1
    drawn = totals(times, 10_000)
    resampled = np.random.default_rng(1).choice(times, (400, 200)).mean(axis=1) * 10_000
    width, narrow = (np.subtract(*np.quantile(each, [0.95, 0.05])) for each in (drawn, resampled))
    assert width > narrow
    works = draw_work(sample(times, 10_000), 60.0, np.random.default_rng(1))
    assert np.median([work.longest_s[0] for work in works]) > times.max()
    assert max(work.longest_s[0] for work in works) <= 60.0


def test_what_was_run_whole_is_known():
    (work,) = draw_work(sample([1.0, 2.0, 3.0], 3), 60.0, np.random.default_rng(1))
    assert work.total_s == 6.0
    assert list(work.longest_s) == [3.0, 2.0, 1.0]
    assert list(work.places) == pytest.approx([0.5, 1 / 6, 0.0])


def test_stratum_counts_by_its_records():
    """Few large records hold most of the work, and every one of them stands for few."""
    strata = [Stratum(9900, (0.1,) * 20, (0.5,) * 20), Stratum(100, (10.0,) * 20, (0.5,) * 20)]
    drawn = [work.total_s for work in draw_work(strata, 60.0, np.random.default_rng(1))]
    assert np.median(drawn) == pytest.approx(1990, rel=0.15)


def test_local_run_is_over_no_sooner_than_its_longest_record():
    work = measure_work([0.01] * 1000 + [20.0])
    assert forecast_wall_s(work, 2, 1.0) > 1.0 + 5.0 + 20.0
    assert forecast_wall_s(measure_work([0.03] * 1000), 2, 1.0) == pytest.approx(16.4, abs=0.2)


def test_workers_come_as_the_pollers_let_them():
    """8 h of work for 1,000 workers: standard pollers take 199 s to bring them, provisioned ones 59."""
    work, load = measure_work([3.0] * 100_000), Load(100_000, 2000)
    standard, provisioned = (
        forecast_run(work, load, Place(TARIFF, 1000, ramp=ramp)) for ramp in (STANDARD, PROVISIONED)
    )
    assert standard.answered_s - provisioned.answered_s == pytest.approx((199 - 59) / 2, abs=10)
    assert standard.answered_s == pytest.approx(300 + 199 / 2 + 24, rel=0.05)


def test_run_that_may_not_wait_takes_longer():
    work, load = measure_work([3.0] * 20_000), Load(20_000, 400)
    free, bound = (forecast_run(work, load, Place(TARIFF, 100, may_wait=it)) for it in (True, False))
    assert bound.wall_s > 1.05 * free.wall_s


def test_every_quota_is_looked_at():
    work, load = measure_work([1.0] * 1000), Load(1000, 10)
    place = Place(TARIFF, 100)
    strains = list_strained(forecast_run(work, load, place), place, load)
    assert {strain.quota.name for strain in strains} == set(QUOTAS)
    assert all(quota.source and quota.lifted_by for quota in QUOTAS.values())
    shares = [strain.share for strain in strains]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(("need", "rung"), [(200, "small"), (1500, "medium"), (5000, "large"), (9000, "")])
def test_rung_is_the_lowest_that_holds_a_record(need, rung):
    assert find_rung(need) == rung


HERE = Estimate(
    n_records=100_000,
    n_chunks=100,
    n_bytes=1_000_000,
    workers=2,
    record_ms=(100.0, 95.0, 110.0),
    wall_s=(5000.0, 4800.0, 5500.0),
    memory_mib=100,
    n_sampled=200,
    n_failed=0,
    draws=tuple(measure_work([mean_s] * 100_000) for mean_s in (0.095, 0.1, 0.11)),
)


def test_alternatives_stand_side_by_side_with_the_limit_that_each_meets():
    there = estimate_at(HERE, Place(TARIFF, 50))
    said = describe_alternatives(list_alternatives(HERE, there, [10, 100, 5000])).splitlines()
    assert len(said) == 4
    assert [line.count("█") for line in said[1:]] == sorted(
        (line.count("█") for line in said[1:]), reverse=True
    )
    assert "1,000" in said[3]
    assert "$" in said[1]
    local = describe_alternatives(list_alternatives(HERE, None, [1, 2])).splitlines()
    assert "$" not in local[1]
    assert local[1].split()[:3] == ["1", "2.8", "h"]


def test_budget_that_does_not_fit_is_answered_with_what_would():
    there = estimate_at(HERE, Place(TARIFF, 4))
    said = describe_budget(HERE, there, Budget(600.0, 5.0)).splitlines()
    assert said[0] == "budget   10 min: does not fit"
    assert said[1] == "budget   $5.00: fits"
    assert said[2].startswith("instead  32 tasks at a time fit: ")
    assert (
        describe_budget(HERE, estimate_at(HERE, Place(TARIFF, 100)), Budget(600.0)) == "budget   10 min: fits"
    )
    impossible = describe_budget(HERE, there, Budget(1.0, 5.0)).splitlines()[-1]
    assert impossible.startswith("instead  nothing is that quick: ")
    cheap = describe_budget(HERE, there, Budget(None, 0.01)).splitlines()[-1]
    assert cheap.startswith("instead  nothing is that cheap")


@pytest.mark.parametrize(
    "text", ["concurrency", "workers=1", "concurrency=1,x", "concurrency=0", "concurrency=²"]
)
def test_alternatives_that_cannot_be_are_refused(text):
    with pytest.raises(BadOption, match="--what-if"):
        parse_what_if(text)


def test_numbers_of_what_if_are_sorted_and_each_there_once():
    assert parse_what_if("concurrency=100,10,100") == [10, 100]
    assert replace(HERE, workers=2).at(4).workers == 4


def test_plan_is_told_to_scripts_with_what_it_costs_and_whether_that_fits():
    """A script that begins what does not fit pays for it."""
    there = estimate_at(HERE, Place(TARIFF, 3))
    told = consider(HERE, there, Budget(None, 0.01), [100]).to_document()
    assert told["concurrency"] == 3
    assert told["cost_usd"] == dict(zip(("median", "low", "high"), there.usd, strict=True))
    assert (told["budget"]["cost"], told["budget"]["time"], told["budget"]["fits"]) == (
        "does not fit",
        None,
        False,
    )
    assert consider(HERE, there, Budget(None, 1e6), []).to_document()["budget"]["fits"]
    (alternative,) = told["alternatives"]
    assert (alternative["concurrency"], bool(alternative["limit"])) == (100, True)
    assert consider(HERE, None, Budget(), []).to_document()["budget"] is None


def test_a_rate_is_what_decides_where_records_would_be_quicker():
    """100,000 records of 0.1 s: two workers begin 20 a second, so that 10 a second take twice as long."""
    rated = replace(HERE, per_s=10.0)
    assert rated.at(2).wall_s[1] >= 10_000
    assert rated.at(64).wall_s == pytest.approx(rated.at(2).wall_s, rel=0.01)
    assert replace(HERE, per_s=1000.0).at(2).wall_s == HERE.at(2).wall_s
    assert "rate     10 records a second at most: these take 2.8 h at least" in str(rated)
    there = estimate_at(rated, Place(TARIFF, 50))
    assert there.wall_s[0] > 10_000
    assert (there.place.window, there.limit) == (10, "the rate, 10 records a second")
    assert estimate_at(replace(rated, threads=16), Place(TARIFF, 50)).usd[0] < there.usd[0]


@pytest.mark.parametrize(
    ("has_gil", "said"), [(True, "take turns at computing"), (False, "compute side by side")]
)
def test_a_plan_says_what_threads_are_good_for(has_gil, said):
    """A host's interpreter decides: on a free-threaded one they share what was opened and compute."""
    assert said in str(replace(HERE, threads=8, has_gil=has_gil))
    assert "threads" not in str(HERE)
