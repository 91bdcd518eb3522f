"""How evenly the engine uses simulated workers; `make bench-balance` is the whole of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.balance import MOST_DRAWN_S, PLACE, Case, list_arrivals, run_case
from benchmarks.scheduling import schedule_greedily
from benchmarks.simulated.place import Weather
from benchmarks.simulated.pollers import Rung
from benchmarks.simulated.stack import SimulatedStack
from benchmarks.times import draw_times
from orchestrator.quotas import STANDARD, Ramp

WORKERS = 20
PLACE_OF_20 = replace(PLACE, most=WORKERS)
TIMES = draw_times(random.Random(5), "lognormal 1.5", 6000, 2.0, MOST_DRAWN_S)


@pytest.mark.parametrize("n_chunks", [2, 120])
@pytest.mark.parametrize("order", ["random", "ascending"])
def test_last_record_is_answered_about_when_greedy_scheduling_would(order, n_chunks):
    """Chunks whose share was for life ended slice after slice: 5 times as late, in ascending order."""
    times = sorted(TIMES) if order == "ascending" else TIMES
    done = run_case(Case("lognormal 1.5", order, times, n_chunks), PLACE_OF_20, WORKERS)
    assert done.ratio < 1.12
    assert done.settled_s - done.aliquot_s < 40


def test_greedy_scheduling_is_what_was_worked_out_by_hand():
    """Two workers, the second a second late: 3 | 2 + 1, then 4 on the first that is free, at 3."""
    assert schedule_greedily([3, 2, 4], [0.0, 1.0]) == 7
    assert list_arrivals(replace(PLACE, ramp=Ramp(1, 0.5, 9), init_s=(0, 0), open_s=0, call_s=(0, 0)), 3) == [
        pytest.approx(0.16 + wait_s) for wait_s in (0, 2, 4)
    ]


def test_pollers_let_no_more_tasks_run_than_their_ramp():
    """5 at once, then 5 more a second, up to what the mapping is limited to."""
    rung = Rung(STANDARD, most=12)
    begun: list[float] = []
    for tenth in range(30):
        while rung.has_room(100 + tenth / 10):
            rung.begin()
            begun.append(tenth / 10)
    assert begun[:5] == [0] * 5
    assert [begun[place] for place in (5, 6, 9)] == pytest.approx([0.2, 0.4, 1.0], abs=0.11)
    assert len(begun) == 12
    assert rung.find_growth_s(103) is None


def test_record_that_needs_more_memory_climbs_to_the_rung_that_has_it():
    needs = [[2000.0 if number == 7 else 1.0 for number in range(20)]]
    stack = SimulatedStack(
        [[1.0] * 20], Weather(), random.Random(1), None, WORKERS, PLACE_OF_20, needs, ("small", "medium")
    )
    stack.run()
    assert stack.queues["medium"].n_cold_starts == 1
    assert not stack.rosters[-1].not_tried
