"""What has no peer: crossref on one worker and two, the shortest run, memory, submitting.

Owns these four measurements. Imports `benchmarks.crossref`, and of the project what submits. When it is
wrong, a promise of the README is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine import work
from benchmarks.engine.measuring import ROOT
from benchmarks.engine.verdicts import Verdict

_TEXT = "abcdefghij" * 9  # with its id, a record of 100 bytes
_START_S, _SUBMIT_S, _MEMORY_MIB, _MEMORY_GROWTH, _SPEED_UP = 0.9, 25.0, 300.0, 1.05, 1.9


def measure_crossref(folder: Path, n_turns: int, _scale: float) -> list[Verdict]:
    """5,001 real reactions against all templates, one worker and two."""
    from benchmarks import crossref, rivals

    if not rivals.DATA.is_dir():
        return [Verdict("at least 1.9x from 1 to 2 workers", "no data: set ALIQUOT_TEST_DATA", is_met=False)]
    walls = crossref.time_workers(folder, n_turns)
    one, two = median(walls[1]), median(walls[2])
    said = f"{one / two:.2f}x ({one:.2f} s, {two:.2f} s)"
    return [Verdict("at least 1.9x from 1 to 2 workers", said, one / two >= _SPEED_UP)]


def measure_start(folder: Path, n_turns: int, _scale: float) -> list[Verdict]:
    """The whole command on 100 records."""
    from benchmarks import crossref

    walls = []
    for turn in range(max(5, n_turns)):
        (folder / str(turn)).mkdir()
        walls.append(crossref.run_noop(folder / str(turn), 100).wall_s)
    said = f"{median(walls):.2f} s ({min(walls):.2f}-{max(walls):.2f})"
    return [Verdict("100 trivial records in 0.9 s, imports included", said, median(walls) <= _START_S)]


def measure_memory(folder: Path, _n_turns: int, scale: float) -> list[Verdict]:
    """The orchestrator's peak on a million records and on ten."""
    from benchmarks import crossref

    sizes = round(1_000_000 * scale), round(10_000_000 * scale)
    few, many = (crossref.run_noop(folder, n_records).peak_mib for n_records in sizes)
    return [
        Verdict(
            f"peak memory flat from {sizes[0]:,} to {sizes[1]:,} records",
            f"{few:.0f} and {many:.0f} MiB ({100 * (many / few - 1):+.1f}%)",
            many <= _MEMORY_GROWTH * few,
        ),
        Verdict(
            "at most 300 MB in the orchestrator", f"{many * 1.048576:.0f} MB", many * 1.048576 <= _MEMORY_MIB
        ),
    ]


def measure_submitting(folder: Path, _n_turns: int, scale: float) -> list[Verdict]:
    """Ten million records of 100 bytes cut into chunks that are stored, on one core."""
    n_records = round(10_000_000 * scale)
    return [_time_submitting(folder, kind, n_records, _SUBMIT_S * scale) for kind in SUBMITTED]


def _time_submitting(folder: Path, kind: str, n_records: int, aim_s: float) -> Verdict:
    command = [sys.executable, "-m", "benchmarks.engine.alone", kind, str(n_records), str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    wall_s, cpu_s = map(float, done.stdout.split())
    said = f"{wall_s:.1f} s ({cpu_s:.1f} s of CPU)"
    return Verdict(
        f"{n_records:,} records of 100 bytes ({kind}) in {aim_s:g} s on one core", said, wall_s <= aim_s
    )


def submit(kind: str, n_records: int, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a submission, in this process, on one core where that can be had."""
    from aliquot.cutting import cut_chunks
    from orchestrator.local.folder import RunFolder
    from orchestrator.request import make_request
    from orchestrator.submit import submit_chunks

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    request = make_request(work.take, SUBMITTED[kind](folder, n_records), {}, {}, ())
    with RunFolder(folder / f"submitted {kind}") as run:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for _ in submit_chunks(run.ledger, cut_chunks(request.read()), is_repeatable=request.is_repeatable):
            pass
        return time.perf_counter() - began_s, time.process_time() - began_cpu_s


def _write_lines(path: Path, head: str, lines: Iterable[str]) -> str:
    with path.open("w") as file:
        file.write(head)
        file.writelines(lines)
    return str(path)


def _write_csv(folder: Path, n_records: int) -> str:
    return _write_lines(
        folder / "submitted.csv", "id,text\n", (f"r{number:08d},{_TEXT}\n" for number in range(n_records))
    )


def _write_smiles(folder: Path, n_records: int) -> str:
    return _write_lines(
        folder / "submitted.smi", "", (f"{_TEXT} r{number:08d}\n" for number in range(n_records))
    )


def _make_dicts(_folder: Path, n_records: int) -> Any:
    return ({"id": f"r{number:08d}", "text": _TEXT} for number in range(n_records))


SUBMITTED: dict[str, Callable[[Path, int], Any]] = {
    ".smi file": _write_smiles,
    "CSV file": _write_csv,
    "iterable of dicts": _make_dicts,
}

ALONE: dict[str, Callable[[Path, int, float], list[Verdict]]] = {
    "g": measure_crossref,
    "start": measure_start,
    "memory": measure_memory,
    "submit": measure_submitting,
}

if __name__ == "__main__":
    print(*submit(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
