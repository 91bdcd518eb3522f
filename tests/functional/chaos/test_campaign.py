"""The fault campaign in short; `make chaos` is the whole of it. A run that fails says how to run it alone.

Its runs on a stack are in `test_neighbours.py`, beside others that need one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.budgets import run_budget
from benchmarks.simulated.place import Weather
from benchmarks.simulated.stack import SimulatedStack

SEED = 7


def _campaign(*words: str, root: Path) -> str:
    """What a campaign of its own process prints: it forks, and starts no thread before."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--seed", str(SEED), "--jobs", "1", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def _read(said: str, name: str) -> str:
    return next(line.removeprefix(name).strip() for line in said.splitlines() if line.startswith(name))


@pytest.mark.skipif(sys.platform != "linux", reason="the campaign kills by the ids that Linux gives")
def test_local_runs_under_faults_lose_and_double_nothing(project_root: Path) -> None:
    said = _campaign("--local", "4", "--rehearsal", "0", "--budget", "0", root=project_root)
    assert _read(said, "runs").startswith("4 ")
    assert int(_read(said, "faults injected")) > 4
    assert [_read(said, f"records {how}") for how in ("lost", "doubled")] == ["0", "0"]


@pytest.mark.parametrize("number", range(12))
def test_bill_never_exceeds_the_budget(number: int) -> None:
    """Simulated stacks, with environments killed, at 10 to 90% of what the run would cost."""
    ran = run_budget(f"{SEED}:{number}", number)
    assert ran.over_usd == 0
    assert ran.is_good, ran


def test_duplicate_deliveries_cost_little() -> None:
    """5% of them at most a tenth more: a delivery that is not the first looks before it works."""
    import random

    bills = []
    for weather in (Weather(), Weather(duplicate=0.05)):
        times = [[0.4] * 200 for _ in range(30)]
        run = SimulatedStack(times, weather, random.Random(SEED), None, 16)
        run.run()
        bills.append(run.total_usd)
        assert not run.rosters[-1].not_tried
    assert run.counted["duplicate delivery"] > 3
    assert bills[1] <= 1.1 * bills[0]
