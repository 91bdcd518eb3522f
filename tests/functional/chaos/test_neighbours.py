"""Runs side by side on one stack: neither sees the other, and the small one is not starved by the large."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aliquot.coverage import Coverage
from benchmarks.chaos.cases import STACKABLE, Answer, Case, read_answer, write_cases
from benchmarks.chaos.stacked import Copy, Desk, open_desk

CALM = "small"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("stack")
    cases = [case for case in write_cases(folder / "data", 1) if case.name in STACKABLE]
    calm = {case.name: _run_here(case, folder / case.name) for case in cases if case.name == CALM}
    with open_desk(folder, cases, calm) as desk:
        yield desk


def _run_here(case: Case, out: Path) -> Answer:
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "run",
        case.job,
        case.data,
        "--out",
        str(out),
        "--quiet",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return read_answer(out)


def test_small_run_is_not_starved_by_a_large_one(desk: Desk) -> None:
    """A fair queue: a backlog of a hundred tasks lies in front, and the small run's go past it."""
    submitted = desk.submit(CALM)
    large, small = Copy(desk, submitted, "large-run", 120, 1), Copy(desk, submitted, "small-run", 2, 75)
    large.begin()
    _wait_for(lambda: _measure(large).n_answered > 0)
    small.begin()
    n_before = _measure(large).n_answered
    assert n_before < 30, "the backlog is gone already"
    _wait_for(lambda: _measure(small).is_complete)
    assert _measure(large).n_answered - n_before < 60, "the small run waited for the large one's backlog"
    for copy in (small, large):
        _wait_for(lambda copy=copy: copy.look() or copy.is_over)  # type: ignore[misc]
        _, trouble, difference = copy.end()
        assert not trouble
        assert not difference, "one run's records are in the other"


def _measure(copy: Copy) -> Coverage:
    return copy.run.ledger.measure("call")


def _wait_for(is_so: Callable[[], object]) -> None:
    ends_s = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < ends_s, "never so"
        time.sleep(0.05)
