"""What is run: each case's records, and the function that all engines run on them.

Records are drawn by a seed, so that every engine gets the same ones in the same order. Owns the datasets.
Imports NumPy where a case has arrays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.engine import work
from benchmarks.engine.work import Record

SEED = 7
ARRAY_SHAPE = (25, 500)  # float64: 100 kB
ARRAY_BYTES = 100_000
N_WAITING = 1000
WAIT_S = 0.02
TOTAL_S = 120.0  # of a case of heavy tails
_N_HEAVY = 6000


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Args:
        name: a letter, and what else tells it from its like.
        title: what it is.
        function: of one record, the same for all engines.
        n_records: of the whole case.
        make_records: gives so many records of it; a part is drawn like the whole.
        chunk: records at a time where an engine is told (tuned by hand: some 20 to 100 ms of work).
        n_threads: a worker, where the work is waiting.
        is_timed: rows tell what each record took.
    """

    name: str
    title: str
    function: Callable[[Record], Record]
    n_records: int
    make_records: Callable[[int], list[Record]]
    chunk: int
    n_threads: int = 1
    is_timed: bool = False

    @property
    def letter(self) -> str:
        """Which of the cases that were asked for it belongs to."""
        return self.name[0]


def make_numbers(n_records: int) -> list[Record]:
    """Records that hold a number."""
    return [{"v": number} for number in range(n_records)]


def make_even(n_records: int) -> list[Record]:
    """Records of 1 ms each."""
    return [{"n": number, "cpu_s": 0.001} for number in range(n_records)]


def make_heavy(n_records: int, tail: str, order: str) -> list[Record]:
    """Records with heavy tails that add up to TOTAL_S for the whole case.

    Args:
        tail: lognormal (sigma 1.5) or pareto (exponent 1.5).
        order: random; ascending; or giant: random, and one record is as long as a tenth of all.
    """
    draw = random.Random(f"{SEED} {tail}")
    times = [
        draw.lognormvariate(0.0, 1.5) if tail == "lognormal" else draw.paretovariate(1.5)
        for _ in range(n_records)
    ]
    total_s = TOTAL_S * n_records / _N_HEAVY
    if order == "giant":
        place = draw.randrange(n_records)
        times[place] = 0.0
        times[place] = sum(times) / 9
    times = scale_to(times, total_s)
    if order == "ascending":
        times.sort()
    return [{"n": number, "cpu_s": cpu_s} for number, cpu_s in enumerate(times)]


def scale_to(times: Sequence[float], total_s: float) -> list[float]:
    """The same proportions, adding up to `total_s`."""
    factor = total_s / sum(times)
    return [each * factor for each in times]


def make_arrays(n_records: int) -> list[Record]:
    """Records that hold 100 kB of random numbers each, which hardly compress."""
    import numpy as np

    draw = np.random.default_rng(SEED)
    return [{"n": number, "array": draw.standard_normal(ARRAY_SHAPE)} for number in range(n_records)]


def make_deadly(n_records: int) -> list[Record]:
    """Records of 1 ms; the one in the middle ends its process."""
    return [{"n": number, "is_fatal": number == n_records // 2} for number in range(n_records)]


def make_urls(n_records: int) -> list[Record]:
    """Records to ask the server for; whoever measures has it running and puts its address in."""
    return [{"n": number, "url": ""} for number in range(n_records)]


def _make_heavy_case(tail: str, order: str) -> Case:
    said = {
        "random": "random order",
        "ascending": "ascending",
        "giant": "random order, one record a tenth of all",
    }
    shape = "lognormal, sigma 1.5" if tail == "lognormal" else "Pareto 1.5"
    title = f"{_N_HEAVY:,} records, {TOTAL_S:.0f} s of CPU, {shape}, {said[order]}"
    return Case(
        f"c-{tail}-{order}",
        title,
        work.spin,
        _N_HEAVY,
        lambda n_records: make_heavy(n_records, tail, order),
        chunk=2,
        is_timed=True,
    )


CASES = (
    Case("a", "1,000,000 records, nothing done", work.take, 1_000_000, make_numbers, chunk=5000),
    Case("b", "60,000 records of 1 ms of CPU", work.spin, 60_000, make_even, chunk=50, is_timed=True),
    *(
        _make_heavy_case(tail, order)
        for tail in ("lognormal", "pareto")
        for order in ("random", "ascending", "giant")
    ),
    Case("d", "3,000 NumPy arrays of 100 kB, in and out", work.turn, 3000, make_arrays, chunk=8),
    Case(
        "e",
        "1,000 records that wait 20 ms on a local HTTP server",
        work.fetch,
        N_WAITING,
        make_urls,
        chunk=8,
        n_threads=8,
    ),
    Case("f", "1,000 records of 1 ms, one kills its process", work.die, 1000, make_deadly, chunk=20),
)
