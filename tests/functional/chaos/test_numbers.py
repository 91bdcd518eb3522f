"""What a fault may cost, in seconds and in work done again, as users would measure it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from aliquot.ledger import Ledger
from aliquot.spans import SpanSet
from aliquot.store import FolderStore

COMMAND = [sys.executable, "-m", "orchestrator.cli"]
PATIENCE_S = 120
JOBS = """
import os, signal, time

def work(record):
    if record["do"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1000 if record["do"] == "hang" else 0.25)
    return {"id": record["id"]}
"""


@dataclass(frozen=True)
class Folder:
    """A user's folder, with runs in it."""

    path: Path

    def run(self, *words: str) -> dict[str, Any]:
        """A command, run to its end; gives the summary."""
        ended = subprocess.run(
            [*COMMAND, *words, "--quiet"], cwd=self.path, capture_output=True, check=False, timeout=PATIENCE_S
        )
        assert ended.returncode == 0, ended.stderr.decode()
        out = words[words.index("--out") + 1] if "--out" in words else words[1]
        return json.loads((self.path / out / "summary.json").read_text())

    def ledger(self, out: str) -> Ledger:
        """A run's ledger."""
        return Ledger(FolderStore(self.path / out / "ledger"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "jobs.py").write_text(JOBS)
    return Folder(tmp_path)


def _write(folder: Folder, name: str, does: list[str]) -> str:
    (folder.path / name).write_text("id,do\n" + "".join(f"r{i},{do}\n" for i, do in enumerate(does)))
    return name


def _read_ids(folder: Folder, out: str) -> list[str]:
    table = pyarrow.parquet.read_table(folder.path / out / "result" / "part-00000.parquet")
    return table.column("id").to_pylist()


def test_one_of_eight_tasks_that_kills_itself_costs_itself(folder: Folder) -> None:
    """Others lose between three results and all; here the seven are there, within a second of the time."""
    words = ("--max-failed", "50%", "--workers", "2")
    calm = folder.run("run", "jobs:work", _write(folder, "calm.csv", [""] * 8), "--out", "calm", *words)
    killed = _write(folder, "killed.csv", ["", "", "", "kill", "", "", "", ""])
    summary = folder.run("run", "jobs:work", killed, "--out", "killed", *words)
    assert _read_ids(folder, "killed") == [f"r{i}" for i in range(8) if i != 3]
    assert summary["failures"] == {"crash": 1}
    assert summary["elapsed_s"] <= calm["elapsed_s"] + 1


def test_hang_costs_its_deadline_and_a_second(folder: Folder) -> None:
    data = _write(folder, "hang.csv", ["hang"])
    words = ("--max-failed", "100%", "--workers", "1")
    quick = folder.run("run", "jobs:work", data, "--out", "quick", "--record-timeout", "0.3", *words)
    slow = folder.run("run", "jobs:work", data, "--out", "slow", "--record-timeout", "2", *words)
    assert slow["failures"] == {"deadline": 1}
    assert slow["elapsed_s"] - quick["elapsed_s"] <= 2 - 0.3 + 1


def test_killed_run_of_20_000_reactions_redoes_only_what_was_in_flight(
    folder: Folder, project_root: Path
) -> None:
    """What an outcome answers is never done again: together they answer each record once."""
    sample = project_root / "examples" / "crossref"
    reactions, templates = folder.path / "reactions.rsmi", folder.path / "templates.csv"
    reactions.write_text((sample / "reactions.rsmi").read_text() * 10)
    lines = (sample / "templates.csv").read_text().splitlines(keepends=True)
    templates.write_text("".join(lines[:11]))  # enough work for the kill to come in time
    out = ("--out", "out", "--templates", "templates.csv", "--workers", "2", "--max-failed", "50%")
    process = subprocess.Popen(
        [*COMMAND, "run", "crossref", "reactions.rsmi", *out, "--quiet"],
        cwd=folder.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(lambda: _count_answered(folder) > 500)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
    before = _count_answered(folder)
    assert before < 20_000, "it was over before it could be killed"
    summary = folder.run("resume", "out", "--max-failed", "50%")
    assert summary["done"] + summary["failed"] == 20_000
    outcomes = folder.ledger("out").list_outcomes("match")
    assert sum(len(outcome.spans) for outcome in outcomes) == 20_000


def _count_answered(folder: Folder) -> int:
    if not (folder.path / "out" / "ledger" / "outcomes").is_dir():
        return 0
    outcomes = folder.ledger("out").list_outcomes("match")
    by_chunk: dict[Any, SpanSet] = {}
    for outcome in outcomes:
        by_chunk[outcome.chunk] = by_chunk.get(outcome.chunk, SpanSet()) | outcome.spans
    return sum(map(len, by_chunk.values()))


def _wait_for(is_so: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends_s, "never so"
        time.sleep(0.02)
