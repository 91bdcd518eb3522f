"""The job over a large stock: which chain it chooses, and what its processes hold while it runs.

Owns the sampling of memory. Imports `given`. When it is wrong, a peak goes unseen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.retro.given import DATA, ROOT, read_targets

WORKER_MIB = 1769
_EVERY_S = 0.1


def run_over(stock: Path, out: Path, workers: int) -> tuple[str, int, int]:
    """Run the job over a stock: its chain, and the most that a process has of its own and as PSS, MiB."""
    peaks = [0, 0]

    def look(process: psutil.Process) -> None:
        memory = process.memory_full_info()
        peaks[:] = max(peaks[0], memory.rss - memory.shared), max(peaks[1], memory.pss)

    chain = watch_over(stock, out, workers, look)
    return chain, peaks[0] >> 20, peaks[1] >> 20


def watch_over(
    stock: Path,
    out: Path,
    workers: int,
    look: Callable[[psutil.Process], None],
    job: str = "retro",
    n_targets: int = 100,
) -> str:
    """Run the job over a stock, and look at each of its processes ten times a second; the job's chain."""
    targets = out.with_suffix(".smi")
    targets.write_text("".join(f"{target.smiles}\n" for target in read_targets()[:n_targets]))
    words = ["--templates", str(DATA / "templates.tsv"), "--stock", str(stock), "--out", str(out)]
    limits = ["--memory", str(WORKER_MIB), "--workers", str(workers), "--quiet"]
    command = [sys.executable, "-m", "orchestrator.cli", "run", job, str(targets), *words, *limits]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    while process.poll() is None:
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                look(child)
        time.sleep(_EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    stages = json.loads((out / "ledger/manifest.json").read_text())["stages"]
    return ", ".join(each["name"] + f" (by {each['exchange']})" * bool(each["exchange"]) for each in stages)
