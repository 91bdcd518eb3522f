"""What the stage that looks up in the stock holds, as the one before it gets one host and then two.

Owns which processes are that stage's: those that map a shard. Imports `chains`. When it is wrong, the memory
of another stage is told.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.retro.chains import watch_over
from benchmarks.retro.generated import write_generated
from benchmarks.retro.given import say

_N_TARGETS = 300
_MOST_GROWTH = 1.05
_FIELDS = ("VmHWM", "RssAnon")


def measure_memory(folder: Path, sizes: Sequence[int]) -> bool:
    """The stage's peaks over stocks of these sizes; whether they stay within 5%."""
    say("## Memory of the second stage, by the first's concurrency\n")
    say(f"`retro` on {_N_TARGETS} targets over generated stocks, its look-ups in one host, with one host for")
    say("`expand` and with two: the most that a process which maps the stock had resident (VmHWM: its own")
    say("and what it has mapped in), and had of its own (RssAnon, looked at ten times a second).\n")
    say("| keys | the job's chain | hosts of `expand` | resident | by | own | by |")
    say("|---|---|---|---|---|---|---|")
    is_right = True
    for n_keys in sizes:
        stock = folder / "memory-stock"
        write_generated(stock, n_keys)
        before = [0, 0]
        for workers in (1, 2):
            chain, peaks = run_narrow(stock, folder / f"memory-{n_keys}-{workers}", workers)
            told = []
            for peak, was in zip(peaks, before, strict=True):
                told += [f"{peak / 1024:.1f} MiB", f"{peak / was - 1:+.1%}" if was else ""]
                is_right &= not was or peak <= _MOST_GROWTH * was
            say(f"| {n_keys:,} | {chain} | {workers} | {' | '.join(told)} |")
            before = peaks
        shutil.rmtree(stock)
    say("")
    return is_right


def run_narrow(stock: Path, out: Path, workers: int) -> tuple[str, list[int]]:
    """The chain, and the most of each of `_FIELDS` that a process which maps the stock had, KiB."""
    peaks = [0] * len(_FIELDS)

    def look(process: psutil.Process) -> None:
        place = Path(f"/proc/{process.pid}")
        with suppress(OSError, IndexError):  # it has ended meanwhile
            if f"{stock}/shard-" in (place / "maps").read_text():
                text = (place / "status").read_text()
                for at, name in enumerate(_FIELDS):
                    peaks[at] = max(peaks[at], int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]))

    chain = watch_over(stock, out, workers, look, "benchmarks.retro.narrow:job", _N_TARGETS)
    return chain, peaks
