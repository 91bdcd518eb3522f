"""Plans against simulated stacks, in short; `make bench-plan` and `make bench-growth` are the whole of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.plans.cases import LIGHT, Held, run_simulated
from benchmarks.plans.growth import grow
from benchmarks.plans.report import describe
from benchmarks.simulated.place import make_tariff


@pytest.mark.parametrize("seed", [1000, 1004, 1013])
def test_plan_holds_what_a_simulated_stack_takes(seed):
    """Of light tails, in random order: given the true times the model errs by little, its interval holds."""
    held = run_simulated(seed)
    assert held.times in LIGHT
    assert abs(held.error) < 0.1
    assert held.is_held
    assert held.is_usd_held


def test_page_lists_every_miss():
    sound = Held("here", "uniform", "random", (10.0, 9.0, 11.0), 10.5, 10.0)
    missed = Held("simulated", "Pareto 1.5", "random", (10.0, 9.0, 11.0), 12.5, 10.0, (1.0, 0.9, 1.1), 1.0)
    said = describe([sound, missed], 7)
    assert "**1 of 2**" in said
    assert said.count("9.0 to 11.0 s") == 1
    assert "| simulated | Pareto 1.5 | random | 1 | 0 | 1 | 20% | -20.0% | 0 |" in said


def test_cost_grows_with_the_records_and_listings_faster():
    """Each tally lists all keys: at 10^9 records of half a second that is the first quota that is met."""
    grown = [grow(10**power, 0.5, make_tariff()) for power in range(4, 10)]
    dollars = [each.found.usd for each in grown]
    assert all(8 < dearer / cheaper < 13 for cheaper, dearer in pairwise(dollars[1:]))
    assert grown[-1].n_listings > 50 * grown[-2].n_listings
    assert "**" not in grown[-2].strain
    assert "memory of a tally" in grown[-1].strain
    assert "**" in grown[-1].strain
