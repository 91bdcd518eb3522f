"""The job over a large stock: which chain it chooses, and what its processes hold while it runs.

Owns the sampling of memory. Imports `given`. When it is wrong, a peak goes unseen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.retro.given import DATA, read_targets

WORKER_MIB = 1769
_N_TARGETS, _EVERY_S = 100, 0.1


def run_over(stock: Path, out: Path, workers: int) -> tuple[str, int, int]:
    """Run the job over a stock: its chain, and the most that a process has of its own and as PSS, MiB."""
    targets = out.with_suffix(".smi")
    targets.write_text("".join(f"{target.smiles}\n" for target in read_targets()[:_N_TARGETS]))
    words = ["--templates", str(DATA / "templates.tsv"), "--stock", str(stock), "--out", str(out)]
    limits = ["--memory", str(WORKER_MIB), "--workers", str(workers), "--quiet"]
    command = [sys.executable, "-m", "orchestrator.cli", "run", "retro", str(targets), *words, *limits]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    anon = pss = 0
    while process.poll() is None:
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                memory = child.memory_full_info()
                anon, pss = max(anon, memory.rss - memory.shared), max(pss, memory.pss)
        time.sleep(_EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    stages = json.loads((out / "ledger/manifest.json").read_text())["stages"]
    chain = [each["name"] + f" (by {each['exchange']})" * bool(each["exchange"]) for each in stages]
    return ", ".join(chain), anon >> 20, pss >> 20
