"""What a fault may cost, in seconds and in work done again, as users would measure it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aliquot.ledger import Ledger
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from tests.functional.desk import Desk

JOBS = """
import os, signal, time

def work(record):
    if record["do"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1000 if record["do"] == "hang" else 0.25)
    return {"id": record["id"]}
"""


class PlainDesk(Desk):
    """With one job, which does what its record says."""

    files: ClassVar = {"jobs.py": JOBS}
    patience_s = 120

    def run(self, *words: str) -> dict[str, Any]:
        """A command, run to its end; gives the summary."""
        said = self.aliquot(*words, "--quiet")
        assert said.code == 0, said.err
        return self.summary(words[words.index("--out") + 1] if "--out" in words else words[1])

    def ledger(self, out: str) -> Ledger:
        """A run's ledger."""
        return Ledger(FolderStore(self.folder / out / "ledger"))

    def write_does(self, name: str, does: list[str]) -> str:
        """A table of what records are to do; gives its name."""
        self.write(name, "id,do\n" + "".join(f"r{i},{do}\n" for i, do in enumerate(does)))
        return name


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[PlainDesk]:
    desk = PlainDesk(tmp_path)
    yield desk
    desk.end_all()


def test_one_of_eight_tasks_that_kills_itself_costs_itself(desk: PlainDesk) -> None:
    """Others lose between three results and all; here the seven are there, within a second of the time."""
    words = ("--max-failed", "50%", "--workers", "2")
    calm = desk.run("run", "jobs:work", desk.write_does("calm.csv", [""] * 8), "--out", "calm", *words)
    killed = desk.write_does("killed.csv", ["", "", "", "kill", "", "", "", ""])
    summary = desk.run("run", "jobs:work", killed, "--out", "killed", *words)
    assert desk.table("killed")["id"].to_pylist() == [f"r{i}" for i in range(8) if i != 3]
    assert summary["failures"] == {"crash": 1}
    assert summary["elapsed_s"] <= calm["elapsed_s"] + 1


def test_hang_costs_its_deadline_and_a_second(desk: PlainDesk) -> None:
    data = desk.write_does("hang.csv", ["hang"])
    words = ("--max-failed", "100%", "--workers", "1")
    quick = desk.run("run", "jobs:work", data, "--out", "quick", "--record-timeout", "0.3", *words)
    slow = desk.run("run", "jobs:work", data, "--out", "slow", "--record-timeout", "2", *words)
    assert slow["failures"] == {"deadline": 1}
    assert slow["elapsed_s"] - quick["elapsed_s"] <= 2 - 0.3 + 1


@pytest.mark.long
def test_killed_run_of_20_000_reactions_redoes_only_what_was_in_flight(
    desk: PlainDesk, project_root: Path
) -> None:
    """What an outcome answers is never done again: together they answer each record once."""
    sample = project_root / "examples" / "crossref"
    desk.write("reactions.rsmi", (sample / "reactions.rsmi").read_text() * 10)
    lines = (sample / "templates.csv").read_text().splitlines(keepends=True)
    desk.write("templates.csv", "".join(lines[:11]))  # enough work for the kill to come in time
    out = ("--out", "out", "--templates", "templates.csv", "--workers", "2", "--max-failed", "50%")
    process = desk.begin("run", "crossref", "reactions.rsmi", *out, "--quiet")
    desk.wait_for(lambda: _count_answered(desk) > 500)
    os.killpg(process.pid, signal.SIGKILL)
    desk.end(process)
    before = _count_answered(desk)
    assert before < 20_000, "it was over before it could be killed"
    summary = desk.run("resume", "out", "--max-failed", "50%")
    assert summary["done"] + summary["failed"] == 20_000
    outcomes = desk.ledger("out").list_outcomes("match")
    assert sum(len(outcome.spans) for outcome in outcomes) == 20_000


def _count_answered(desk: PlainDesk) -> int:
    if not (desk.folder / "out" / "ledger" / "outcomes").is_dir():
        return 0
    outcomes = desk.ledger("out").list_outcomes("match")
    by_chunk: dict[Any, SpanSet] = {}
    for outcome in outcomes:
        by_chunk[outcome.chunk] = by_chunk.get(outcome.chunk, SpanSet()) | outcome.spans
    return sum(map(len, by_chunk.values()))
