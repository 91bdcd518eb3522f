"""Runs on one stack: faults lose and double nothing, and neighbours do not see or starve each other.

The first is the campaign's part on a stack, in short; see `test_campaign.py` for the local one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aliquot.coverage import Coverage
from benchmarks.chaos.cases import Answer, Case, read_answer, write_cases
from benchmarks.chaos.report import describe_failure
from benchmarks.chaos.stacked import Copy, Desk, open_desk, run_round
from tests.functional.desk import COMMAND, wait_for

CALM = "small"
SEED = 7
DRAWN = {208: ["small"], 3129: ["poison", "crossref"]}  # of many rounds two with faults of every kind
PATIENCE_S = 120


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("stack")
    needed = {CALM, *(name for names in DRAWN.values() for name in names)}
    cases = [case for case in write_cases(folder / "data", SEED) if case.name in needed]
    calm = {case.name: _run_here(case, folder / case.name) for case in cases}
    with open_desk(folder, cases, calm) as desk:
        yield desk


def _run_here(case: Case, out: Path) -> Answer:
    options = [word for name, value in case.options for word in (f"--{name}", value)]
    words = ["run", case.job, case.data, "--out", str(out), "--quiet", "--max-failed", "100%", *options]
    subprocess.run([*COMMAND, *words], check=True, capture_output=True, timeout=120)
    return read_answer(out)


@pytest.mark.skipif(sys.platform != "linux", reason="the campaign kills by the ids that Linux gives")
@pytest.mark.parametrize("number", [pytest.param(208, marks=pytest.mark.long), 3129])
def test_runs_under_faults_lose_and_double_nothing(desk: Desk, number: int) -> None:
    """Two rounds of `python -m benchmarks.chaos --rehearsal`, on a stack that is there already."""
    runs = list(run_round(desk, SEED, number))
    assert [ran.case for ran in runs] == DRAWN[number]
    for ran in runs:
        assert ran.is_good, describe_failure(ran, SEED)
    assert any(ran.faults for ran in runs)


@pytest.mark.long
def test_small_run_is_not_starved_by_a_large_one(desk: Desk) -> None:
    """A fair queue: a backlog of a hundred tasks lies in front, and the small run's go past it."""
    submitted = desk.submit(CALM)
    large, small = Copy(desk, submitted, "large-run", 120, 1), Copy(desk, submitted, "small-run", 2, 75)
    large.begin()
    wait_for(lambda: _measure(large).n_answered > 0, PATIENCE_S)
    small.begin()
    n_before = _measure(large).n_answered
    assert n_before < 30, "the backlog is gone already"
    wait_for(lambda: _measure(small).is_complete, PATIENCE_S)
    assert _measure(large).n_answered - n_before < 60, "the small run waited for the large one's backlog"
    for copy in (small, large):
        wait_for(lambda copy=copy: copy.look() or copy.is_over, PATIENCE_S)  # type: ignore[misc]
        _, trouble, difference = copy.end()
        assert not trouble
        assert not difference, "one run's records are in the other"


def _measure(copy: Copy) -> Coverage:
    return copy.run.ledger.measure("call")
