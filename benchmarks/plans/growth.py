"""How cost grows from 10^4 to 10^9 records: by the plan's model, checked at the small end by measurement.

    python -m benchmarks.plans.growth              # or: make bench-growth

Owns the table. Imports the model, `benchmarks.simulated`, and for the last row the rehearsal by its command.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aliquot.cutting import CHUNK_BYTES
from aliquot.spending import Tariff
from benchmarks.plans.cases import OVERHEADS
from benchmarks.simulated.place import Place as SimulatedPlace
from benchmarks.simulated.place import Weather, make_tariff
from benchmarks.simulated.stack import SimulatedStack
from benchmarks.times import cut
from orchestrator.aws.estimate import make_load, price_cutting
from orchestrator.estimate import Estimate
from orchestrator.forecast.limits import find_limit, list_strained
from orchestrator.forecast.place import Load, Place
from orchestrator.forecast.stack import MERGES, Forecast, forecast_run
from orchestrator.forecast.work import Work
from orchestrator.progress import describe_seconds, describe_usd
from orchestrator.quotas import STANDARD

TABLE = Path(__file__).parents[1] / "growth.md"
RECORD_BYTES = 224  # of a reaction of the sample
_KINDS = (("crossref, 1.0 ms a record", 0.001), ("conformers, 0.5 s a record", 0.5))
_WINDOW = 500
_LISTINGS_PER_TICK = 6


@dataclass(frozen=True)
class Grown:
    """A run of so many records."""

    n_records: int
    load: Load
    found: Forecast
    limit: str
    strain: str

    @property
    def n_listings(self) -> int:
        """LISTs of all ticks, some for each thousand keys."""
        n_keys = self.found.n_tasks + self.load.n_chunks
        return self.found.n_ticks * (_LISTINGS_PER_TICK + n_keys // 1000)

    @property
    def settle_s(self) -> float:
        """From the last answer to the publication."""
        return self.found.wall_s - self.found.answered_s

    @property
    def n_requests(self) -> int:
        """Of S3 and SQS, and transitions of the state machine."""
        found = self.found
        of_tasks = found.n_tasks * (4 + 1 + 4) + self.load.n_chunks
        of_merging = found.n_groups * (8 + 3) + 4 * found.n_tasks
        return of_tasks + of_merging + self.n_listings + found.n_ticks * (4 + 1 + 5)


def make_work(n_records: int, record_s: float) -> Work:
    """Records that all take as long."""
    longest = np.full(min(n_records, 16), record_s)
    places = np.linspace(0.0, 1.0, len(longest), endpoint=False)
    return Work(n_records, n_records * record_s, longest, places, places)


def grow(n_records: int, record_s: float, tariff: Tariff, window: int = _WINDOW) -> Grown:
    """What so many records in S3 take on a stack as the template makes it."""
    n_bytes = n_records * RECORD_BYTES
    each_ms = 1000 * record_s
    dataset = Estimate(
        n_records,
        n_chunks=max(1, n_bytes // CHUNK_BYTES),
        n_bytes=n_bytes,
        workers=1,
        record_ms=(each_ms, each_ms, each_ms),
        wall_s=(0.0, 0.0, 0.0),
        memory_mib=0,
        n_sampled=0,
        n_failed=0,
        start_s=1.0,
        open_s=1.0,
        is_in_s3=True,
    )
    load, place = make_load(dataset), Place(tariff, window)
    work = make_work(n_records, record_s)
    found = forecast_run(work, load, place)
    found = replace(found, usd=found.usd + price_cutting(n_bytes, tariff))
    strain = list_strained(found, place, load)[0]
    said = f"{strain.quota.limit:,.0f} {strain.quota.name} ({strain.share:.0%})"
    if strain.share > 1:
        said = f"**{said}**: {strain.quota.lifted_by}"
    return Grown(n_records, load, found, find_limit(work, found, load, place), said)


def describe(checks: Sequence[str]) -> str:
    """The page."""
    lines = [_INTRODUCTION.format(record_bytes=RECORD_BYTES, window=_WINDOW, merges=MERGES)]
    tariff = make_tariff()
    for name, record_s in _KINDS:
        lines += [f"## {name}", "", _HEAD, "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|"]
        lines += [_describe_row(grow(10**power, record_s, tariff)) for power in range(4, 10)]
        lines.append("")
    lines += ["## Checked at the small end", "", "| what | measured | model |", "|---|---|---|", *checks]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# How cost grows

`make bench-growth`: by the model behind `aliquot plan`, for data in S3 ({record_bytes} bytes a record), a
stack of {window} workers with standard pollers and list prices of us-east-1 on arm64. Both include cutting;
settling is from the last answer on, merges {merges} at a time; listings are counted as an invoice does, all
ticks with the keys of the last. The last column is the quota of which a run uses most; one that it meets is
bold, with what lifts it.
"""
_HEAD = (
    "| records | chunks | tasks | ticks | listings | requests | settling | time | dollars "
    "| first limit | quota |"
)


def _describe_row(grown: Grown) -> str:
    found = grown.found
    return (
        f"| {grown.n_records:,} | {grown.load.n_chunks:,} | {found.n_tasks:,} | {found.n_ticks:,} "
        f"| {grown.n_listings:,} | {grown.n_requests:,} | {describe_seconds(grown.settle_s)} "
        f"| {describe_seconds(found.wall_s)} | {describe_usd(found.usd)} | {grown.limit} | {grown.strain} |"
    )


def check_simulated(n_records: int, record_s: float, n_chunks: int) -> str:
    """A row of a simulated stack beside the model."""
    there = SimulatedPlace(
        ramp=STANDARD,
        most=_WINDOW,
        open_s=1.0,
        delay_s=(0.02, 0.3),
        chunk_s=0.02,
        merge_outcome_s=(0.08, 0.1),
    )
    chunks = cut([record_s] * n_records, n_chunks)
    stack = SimulatedStack(chunks, Weather(), random.Random(1), None, _WINDOW, there)
    stack.run()
    load = Load(n_records, len(chunks), len(chunks) * there.chunk_s, there.open_s)
    place = Place(stack.tariff, _WINDOW, overheads=OVERHEADS)
    found = forecast_run(make_work(n_records, record_s), load, place)
    n_tasks = len(stack.ledger.list_outcomes("work"))
    name = f"simulated: {n_records:,} records of {record_s:g} s in {len(chunks):,} chunks"
    measured = f"{n_tasks:,} tasks, {stack.counted['tick']} ticks, {stack.published_s:.0f} s"
    return (
        f"| {name} | {measured}, ${stack.total_usd:.4f} "
        f"| {found.n_tasks:,} tasks, {found.n_ticks} ticks, {found.wall_s:.0f} s, ${found.usd:.4f} |"
    )


def check_rehearsal(n_records: int, record_s: float) -> str:
    """A row of one rehearsal on this machine, dollars by its invoice, beside its own plan's."""
    with tempfile.TemporaryDirectory(prefix="aliquot-growth-") as name:
        folder = Path(name)
        with (folder / "records.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "seconds", "text"])
            writer.writerows([f"r{number}", record_s, "x" * 200] for number in range(n_records))
        busy = Path(__file__).with_name("busy.py").read_text(encoding="utf-8")
        (folder / "busy_job.py").write_text(busy, encoding="utf-8")
        words = ["busy_job:busy", "records.csv", "--on", "rehearsal", "--code", "."]
        planned = _run(folder, "plan", *words, "--workers", "2")
        _run(folder, "run", *words, "--workers", "2", "--out", "out", "--quiet")
        invoice = json.loads((folder / "out" / "invoice.json").read_text(encoding="utf-8"))
    (cost,) = (line.split(maxsplit=1)[1] for line in planned.splitlines() if line.startswith("cost"))
    name = f"rehearsed: {n_records:,} records of {record_s:g} s"
    return f"| {name} | invoice ${invoice['total']:.4f} | plan {cost} |"


def _run(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "orchestrator.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=600).stdout


def main() -> int:
    """Print the page; with --write it goes to benchmarks/growth.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans.growth", description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    checks = [
        check_simulated(10_000, 0.001, 2),
        check_simulated(10_000, 0.5, 2),
        check_simulated(100_000, 0.001, 21),
        check_simulated(100_000, 0.5, 21),
        check_simulated(1_000_000, 0.001, 213),
        check_rehearsal(10_000, 0.001),
    ]
    said = describe(checks)
    print(said)
    if asked.write:
        TABLE.write_text(said, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
