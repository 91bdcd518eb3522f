"""What the engine's benchmark decides: the yardstick of balance, who does less, what a table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engine.cases import CASES, TOTAL_S
from benchmarks.engine.measuring import Measured, choose_divisor
from benchmarks.engine.once import Sample
from benchmarks.engine.table import add_alone, add_case, describe, read_cases, read_held
from benchmarks.engine.verdicts import Verdict, judge
from benchmarks.scheduling import schedule_greedily

TIMES = st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=50)
CONDITIONS = {"machine": "a machine", "measured": "2026-11-22", "load": "0.1"}


def _sample(**changed: float) -> Sample:
    return Sample("1.0", 0.5, 0.1, **{"wall_s": 2.0, "n_records": 1000, "n_rows": 999, **changed})  # type: ignore[arg-type]


@given(TIMES, st.integers(1, 5))
def test_greedy_schedules_keep_graham_s_bounds(times: list[float], n_workers: int) -> None:
    """None beats the mean load or the longest record; a greedy one adds at most a part of the longest."""
    total, longest = sum(times), max(times)
    ends = schedule_greedily(times, [0.0] * n_workers)
    assert max(total / n_workers, longest) <= ends + 1e-9
    assert ends <= total / n_workers + longest * (1 - 1 / n_workers) + 1e-9


@given(TIMES, st.integers(1, 5))
def test_a_greedy_schedule_is_the_one_that_a_clock_would_see(times: list[float], n_workers: int) -> None:
    """Moment by moment: whoever is free takes the next record."""
    waiting, free_at, now = list(times), [0.0] * n_workers, 0.0
    while waiting:
        now = min(free_at)
        free_at[free_at.index(now)] = now + waiting.pop(0)
    assert schedule_greedily(times, [0.0] * n_workers) == max(free_at)


def test_order_matters_to_a_greedy_schedule() -> None:
    assert schedule_greedily([1, 1, 2], [0.0, 0.0]) == 3
    assert schedule_greedily([2, 1, 1], [0.0, 0.0]) == 2


@pytest.mark.parametrize("case", [case for case in CASES if case.letter == "c"], ids=lambda case: case.name)
def test_heavy_tails_add_up_to_what_their_title_says(case) -> None:
    times = [record["cpu_s"] for record in case.make_records(case.n_records)]
    assert sum(times) == pytest.approx(TOTAL_S)
    assert (times == sorted(times)) == ("ascending" in case.name)
    if "giant" in case.name:
        assert max(times) == pytest.approx(TOTAL_S / 10)


@pytest.mark.parametrize(
    ("probe_s", "n_whole", "divisor"),
    [(0.1, 1_000_000, 1), (1.1, 10_000, 1), (1.1, 100_000, 10), (10.1, 60_000, 100), (1e4, 10**6, 10_000)],
)
def test_an_engine_does_the_part_that_takes_two_minutes_at_most(
    probe_s: float, n_whole: int, divisor: int
) -> None:
    assert choose_divisor(_sample(wall_s=probe_s, n_records=100), n_whole) == divisor


def test_a_miss_is_called_a_miss() -> None:
    def of(engine: str, wall_s: float) -> Measured:
        return Measured(engine, 1, (_sample(wall_s=wall_s, n_records=1_000_000),))

    own, rival = of("Aliquot", 1.9), of("joblib", 1.8)
    assert [verdict.is_met for verdict in judge("a", [own, rival])] == [True, False]
    assert [verdict.is_met for verdict in judge("a", [own, of("joblib", 3.0)])] == [True, True]
    assert [verdict.is_met for verdict in judge("a", [of("Aliquot", 2.1)])] == [False]
    assert judge("a", [Measured("Aliquot", 1, trouble="it broke"), rival]) == []
    forms = judge("a", [own, of("Aliquot, from a file", 2.5)])
    assert [verdict.is_met for verdict in forms] == [True, False]
    assert forms[1].aim == "at most 2 us of wall a record, from a file"


def test_records_lost_to_one_that_dies_are_a_miss() -> None:
    lost = Measured("Aliquot", 1, (_sample(n_rows=998, calm_s=1.5),))
    assert [verdict.is_met for verdict in judge("f", [lost])] == [False, True]


def test_a_case_measured_again_replaces_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    found = [Measured("Aliquot", 1, (_sample(),)), Measured("ray", 1, trouble="No module named 'ray'")]
    add_case(file, "b", "even work", CONDITIONS, [])
    add_case(file, "b", "even work", CONDITIONS, found)
    add_alone(file, "start", CONDITIONS, [Verdict("in 0.9 s", "1.2 s", is_met=False)])
    held = read_held(file)
    assert read_cases(held) == {"b": found}
    said = describe(held, judge)
    assert "No module named 'ray'" in said
    assert "| start | in 0.9 s | 1.2 s | **no** |" in said
