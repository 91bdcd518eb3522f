"""The main job on real reactions: right answers, CPU per reaction, two workers against one, flat memory.

    make bench-crossref                         # all of it, about 40 minutes on 2 cores
    .venv/bin/python benchmarks/crossref.py --only truth,cpu
    .venv/bin/python benchmarks/crossref.py --only rivals --rows 40 --rdchiral-rows 20

Every figure but the rivals' (`rivals`) is of the whole command, from raw row to delivered result, in a
process of its own; CPU is that of the whole process tree. What is compared runs interleaved, and medians are
given with their spread. The data is read from ALIQUOT_TEST_DATA, else from ../shared/data beside the project.
Prints Markdown; exits 1 where an answer is wrong, never for a time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset
from rdkit import rdBase

sys.path.insert(0, str(Path(__file__).parent))
import naive_crossref
from rivals import DATA, SEED, measure_rivals

ROOT = Path(__file__).parent.parent
ALIQUOT = [sys.executable, "-m", "orchestrator.cli"]
Pairs = set[tuple[int, str]]
SIZES = {"uspto50k-eval.csv": 5001, "uspto50k-test.csv": 5007, "uspto480k-valid.rsmi.gz": 30000}


@dataclass(frozen=True)
class Measured:
    """One run of the command: wall seconds, CPU seconds of the whole tree, the orchestrator's peak."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def run_command(arguments: list[str]) -> Measured:
    """Run `aliquot` and measure it; raises CalledProcessError where it fails."""
    began_s = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([*ALIQUOT, *arguments, "--quiet"], env=environment)
    peak_mib = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak_mib = max(peak_mib, read_peak_mib(process.pid))
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Measured(time.monotonic() - began_s, usage.ru_utime + usage.ru_stime, peak_mib)


def read_peak_mib(pid: int) -> float:
    """The largest resident size of a process so far."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def cross_reference(reactions: Path, out: Path, *options: str, workers: int = 2) -> Measured:
    """Run crossref on a file against all templates."""
    templates = str(DATA / "templates.tsv")
    command = ["run", "crossref", str(reactions), "--templates", templates, "--out", str(out)]
    return run_command([*command, "--workers", str(workers), "--max-failed", "100%", *options])


def read_pairs(out: Path) -> Pairs:
    """The (record, template) pairs of a result."""
    table = pyarrow.dataset.dataset(out / "result").to_table(columns=["record", "template_id"])
    return set(zip(table["record"].to_pylist(), table["template_id"].to_pylist(), strict=True))


def check_truth(folder: Path) -> bool:
    """Against the 250 rows whose templates are known from the naive double loop."""
    truth = [json.loads(line) for line in (DATA / "truth-eval-250.jsonl").read_text().splitlines()]
    expected = {(row["record"], template) for row in truth for template in row["templates"]}
    cross_reference(DATA / "uspto50k-eval.csv", folder / "truth")
    records = {row["record"] for row in truth}
    found = {pair for pair in read_pairs(folder / "truth") if pair[0] in records}
    return report_pairs("truth-eval-250", len(truth), expected, found)


def check_naive(folder: Path) -> bool:
    """Against the naive loop on random rows of the 480k file: as they are, and with their maps stripped."""
    with gzip.open(DATA / "uspto480k-valid.rsmi.gz", "rt") as file:
        rows = [line.split()[0] for line in file]
    picked = random.Random(SEED).sample(rows, 700)
    stripped = [re.sub(r":\d+\]", "]", row) for row in picked[500:]]
    as_they_are = compare_naive(folder, "480k as it is", picked[:500])
    return compare_naive(folder, "480k, maps stripped", stripped) and as_they_are


def compare_naive(folder: Path, name: str, rows: list[str]) -> bool:
    """The command's pairs on these rows beside the naive loop's, and the naive loop's time."""
    ids, smarts = naive_crossref.read_templates(DATA / "templates.tsv")
    file = folder / f"{name.replace(' ', '-')}.rsmi"
    file.write_text("".join(f"{row} r{number}\n" for number, row in enumerate(rows)))
    cross_reference(file, folder / name)
    expected: Pairs = set()
    began_s = time.process_time()
    for number, row in enumerate(rows):
        try:
            found, _ = naive_crossref.explain(row, smarts, naive_crossref.Question())
        except naive_crossref.NotAReaction:
            continue
        expected |= {(number, ids[index]) for index in found}
    per_row_ms = (time.process_time() - began_s) / len(rows) * 1e3
    return report_pairs(
        f"{name} (naive: {per_row_ms:.0f} ms a row)", len(rows), expected, read_pairs(folder / name)
    )


def report_pairs(name: str, n_rows: int, expected: Pairs, found: Pairs) -> bool:
    """A line of the table of answers."""
    missed, extra = len(expected - found), len(found - expected)
    print(f"| {name} | {n_rows} | {len(expected)} | {missed} | {extra} |", flush=True)
    return not missed and not extra


def measure_cpu(folder: Path) -> None:
    """CPU per reaction of the whole command, and less what a run of one row takes."""
    print("\n| file | reactions | CPU ms a reaction | less start-up and preparing | wall s, 2 workers |")
    print("|---|---|---|---|---|")
    one = folder / "one.rsmi"
    with gzip.open(DATA / "uspto480k-valid.rsmi.gz", "rt") as file:
        one.write_text(next(file))
    start = statistics.median(cross_reference(one, folder / f"one-{i}").cpu_s for i in range(3))
    for name, n_rows in SIZES.items():
        measured = cross_reference(DATA / name, folder / f"cpu-{name}")
        whole, less = measured.cpu_s / n_rows * 1e3, (measured.cpu_s - start) / n_rows * 1e3
        print(f"| {name} | {n_rows} | {whole:.2f} | {less:.2f} | {measured.wall_s:.1f} |", flush=True)
    print(f"\nStart-up and preparing 10,195 templates: {start:.1f} s of CPU.")


def measure_workers(folder: Path) -> None:
    """Wall time of one worker and of two on the same rows."""
    walls = time_workers(folder, 3)
    print("\n| workers | wall s, median (spread) of the records alone |\n|---|---|")
    for workers, seconds in walls.items():
        print(f"| {workers} | {statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f}) |")
    print(
        f"\n2 workers finish {statistics.median(walls[1]) / statistics.median(walls[2]):.2f}x as fast as one."
    )


def time_workers(folder: Path, n_repeats: int) -> dict[int, list[float]]:
    """Wall seconds by workers, 1 and 2 in turns on 5,001 rows; start-up and preparing left out."""
    walls: dict[int, list[float]] = {1: [], 2: []}
    one = folder / "one.rsmi"
    with gzip.open(DATA / "uspto480k-valid.rsmi.gz", "rt") as file:
        one.write_text(next(file))
    for repeat in range(n_repeats):
        for workers, seconds in walls.items():
            out = folder / f"workers-{workers}-{repeat}"
            start_s = cross_reference(one, folder / f"start-{workers}-{repeat}", workers=workers).wall_s
            seconds.append(cross_reference(DATA / "uspto50k-eval.csv", out, workers=workers).wall_s - start_s)
    return walls


def measure_memory(folder: Path) -> None:
    """The orchestrator's peak for 100,000 and 1,000,000 generated records; the function does nothing."""
    print("\n| generated records | orchestrator's peak MiB | wall s | CPU us a record |\n|---|---|---|---|")
    peaks = {}
    for n_records in (100_000, 1_000_000):
        measured = run_noop(folder, n_records)
        peaks[n_records] = measured.peak_mib
        per_us = measured.cpu_s / n_records * 1e6
        print(
            f"| {n_records:,} | {measured.peak_mib:.0f} | {measured.wall_s:.1f} | {per_us:.1f} |", flush=True
        )
    print(f"\nTen times the records: {100 * (peaks[1_000_000] / peaks[100_000] - 1):+.1f}% of memory.")


def run_noop(folder: Path, n_records: int) -> Measured:
    """Run a function that does nothing on so many records of a CSV file."""
    (folder / "noop_job.py").write_text("def take(record):\n    return {'v': record['v']}\n")
    file, out = folder / f"{n_records}.csv", folder / f"memory-{n_records}"
    with file.open("w", newline="") as written:
        writer = csv.writer(written)
        writer.writerow(["id", "v", "text"])
        writer.writerows((f"r{number}", number, "abcdefghij" * 5) for number in range(n_records))
    arguments = ["run", "noop_job:take", str(file), "--out", str(out), "--workers", "2"]
    return in_folder(folder, lambda: run_command(arguments))


def in_folder(folder: Path, call: Callable[[], Measured]) -> Measured:
    """Call from within a folder, where the command finds modules."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return call()
    finally:
        os.chdir(before)


def main() -> int:
    """Run what was asked for; 1 where an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    every = "truth,naive,cpu,workers,memory,rivals"
    parser.add_argument("--only", default=every, help="parts, comma-separated")
    parser.add_argument("--rows", type=int, default=200, help="rows of the paired table")
    parser.add_argument("--rdchiral-rows", type=int, default=500, help="of these, how many rdchiral is asked")
    asked = parser.parse_args()
    parts = set(asked.only.split(","))
    if not DATA.is_dir():
        print(f"no data in {DATA}: set ALIQUOT_TEST_DATA to the folder that holds uspto/", file=sys.stderr)
        return 2
    is_right = True
    rdBase.DisableLog("rdApp.*")  # the naive loop tries what does not sanitise
    with tempfile.TemporaryDirectory(prefix="aliquot-bench-") as name:
        folder = Path(name)
        if parts & {"truth", "naive"}:
            print("| answers | rows | pairs | missed | extra |\n|---|---|---|---|---|")
            is_right = ("truth" not in parts or check_truth(folder)) and is_right
            is_right = ("naive" not in parts or check_naive(folder)) and is_right
        for part, measure in (("cpu", measure_cpu), ("workers", measure_workers), ("memory", measure_memory)):
            if part in parts:
                measure(folder)
    if "rivals" in parts:
        is_right = measure_rivals(max(asked.rows, asked.rdchiral_rows), asked.rdchiral_rows) and is_right
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
