"""How evenly a hundred workers are used: `python -m benchmarks.balance`, or `make bench-balance`.

The engine on a simulated stack (real tallies, slices and hand-backs; cloud semantics, a scripted clock)
against greedy list scheduling: the same record times in the same order, each record to the worker that is
free first, workers coming when the pollers' ramp and a cold start let them, and nothing else to pay. Beside
it static chunks, one or ten a worker, as map-like services hand them out.

Owns the cases and the table. Imports `benchmarks.scheduling`, `benchmarks.times` and `benchmarks.simulated`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.scheduling import schedule_greedily
from benchmarks.simulated.place import Place, Weather
from benchmarks.simulated.stack import SimulatedStack
from benchmarks.times import cut, draw_times
from orchestrator.quotas import STANDARD

WORKERS = 100
LONGEST_S = 780.0  # the longest RecordTimeout of a stack
MOST_DRAWN_S = 0.9 * LONGEST_S
PLACE = Place(
    ramp=STANDARD, most=WORKERS, record_timeout_s=LONGEST_S, open_s=1.0, delay_s=(0.02, 0.3), chunk_s=0.01
)
TABLE = Path(__file__).with_name("balance.md")


@dataclass(frozen=True)
class Case:
    """Record times in dataset order, and into how many chunks they are cut."""

    name: str
    order: str
    times: list[float]
    n_chunks: int

    @property
    def chunks(self) -> list[Sequence[float]]:
        """The times of each chunk."""
        return cut(self.times, self.n_chunks)


@dataclass(frozen=True)
class Balanced:
    """How long a case took: seconds until the last record was answered, and until a tally saw that."""

    case: Case
    aliquot_s: float
    settled_s: float
    greedy_s: float
    one_chunk_s: float
    ten_chunks_s: float

    @property
    def ratio(self) -> float:
        """Against greedy list scheduling."""
        return self.aliquot_s / self.greedy_s


def make_cases(seed: int, n_records: int, mean_s: float) -> Iterator[Case]:
    """Heavy tails in every order, as some chunks of many records and as many chunks of some."""
    for name in ("lognormal 1.5", "Pareto 1.5"):
        draw = random.Random(f"{seed}:{name}")
        times = draw_times(draw, name, n_records, mean_s, MOST_DRAWN_S)
        for order in ("random", "ascending"):
            ordered = sorted(times) if order == "ascending" else times
            for n_chunks in (4, 400):
                yield Case(name, order, ordered, n_chunks)
    draw = random.Random(f"{seed}:one long")
    n_few = n_records // 10
    times = draw_times(draw, "lognormal 1.5", n_few, 9 * LONGEST_S / n_few, MOST_DRAWN_S)
    times = [min(each, LONGEST_S / 4) for each in times]
    times[n_few // 2] = sum(times) / 9
    for n_chunks in (4, 400):
        yield Case("lognormal 1.5 and one of 10%", "random", times, n_chunks)


def list_arrivals(place: Place, n_workers: int, first_s: float = 0.0) -> list[float]:
    """When each worker may begin its first record: the pollers' ramp, then a cold start."""
    cold_s = sum(place.init_s) / 2 + place.open_s + sum(place.call_s) / 4 + sum(place.delay_s) / 2
    ramp = place.ramp
    waits = (max(0.0, (n + 1 - ramp.first) / ramp.per_s) if ramp.per_s else 0.0 for n in range(n_workers))
    return [first_s + wait_s + cold_s for wait_s in waits]


def cut_statically(times: Sequence[float], n_chunks: int) -> list[float]:
    """The work of as many chunks of as many records each."""
    ends = [len(times) * place // n_chunks for place in range(n_chunks + 1)]
    return [sum(times[first:end]) for first, end in pairwise(ends)]


def run_case(case: Case, place: Place = PLACE, workers: int = WORKERS, seed: int = 1) -> Balanced:
    """One case on a simulated stack, and by the other rules."""
    stack = SimulatedStack(case.chunks, Weather(), random.Random(seed), None, workers, place)
    stack.run()
    arrivals = list_arrivals(place, workers)
    one, ten = (schedule_greedily(cut_statically(case.times, n * workers), arrivals) for n in (1, 10))
    return Balanced(
        case, stack.answered_s, stack.settled_s, schedule_greedily(case.times, arrivals), one, ten
    )


def describe(done: Sequence[Balanced], seeds: Sequence[int], mean_s: float) -> str:
    """The table; of several seeds medians, and the least and the most."""
    n_most = max(len(each.case.times) for each in done)
    lines = [
        f"# Balance at {WORKERS} workers",
        "",
        f"`make bench-balance`, seeds {seeds[0]} to {seeds[-1]}: {n_most:,} records of {mean_s:g} s on",
        f"average (of the last cases a tenth: no record of a stack may take more than {LONGEST_S:g} s) on a",
        f"simulated stack of {WORKERS} workers with standard pollers, a cold start of 2.5 s, 0.07 to 0.2 s",
        "for each invocation, and 0.02 to 0.3 s until a message is received. Seconds until the last record",
        "is answered. Greedy: list scheduling of the same times in the same order, by the same ramp and cold",
        "starts, with nothing else to pay. Static: so many chunks of equal numbers of records a worker,",
        "handed out in turn, against greedy. Settled: what the last tally's wait adds before merging begins.",
        "Medians of the seeds. Below 1 is luck: greedy begins the longest records when their turn comes.",
        "",
        "| times | order | chunks | Aliquot | greedy | ratio | range | static, 1 | static, 10 | settled |",
        "|---|---|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    rows: dict[tuple[str, str, int], list[Balanced]] = {}
    for each in done:
        rows.setdefault((each.case.name, each.case.order, len(each.case.chunks)), []).append(each)
    return "\n".join(lines + [_describe_row(*row, same) for row, same in rows.items()]) + "\n"


def _describe_row(name: str, order: str, n_chunks: int, same: Sequence[Balanced]) -> str:
    ratios = sorted(each.ratio for each in same)
    one, ten = (
        median(getattr(each, field) / each.greedy_s for each in same)
        for field in ("one_chunk_s", "ten_chunks_s")
    )
    aliquot_s, greedy_s = (
        median(getattr(each, field) for each in same) for field in ("aliquot_s", "greedy_s")
    )
    waited_s = median(each.settled_s - each.aliquot_s for each in same)
    return (
        f"| {name} | {order} | {n_chunks} | {aliquot_s:,.0f} | {greedy_s:,.0f} | {median(ratios):.3f} "
        f"| {ratios[0]:.2f} to {ratios[-1]:.2f} | {one:.2f} | {ten:.2f} | +{waited_s:.0f} s |"
    )


def main() -> int:
    """Run the cases; with --write the table goes to benchmarks/balance.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.balance", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--mean", type=float, default=3.0, help="seconds")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    done = []
    for seed in seeds:
        for case in make_cases(seed, asked.records, asked.mean):
            done.append(run_case(case, seed=seed))
            print(f"{seed}: {case.name}, {case.order}: {done[-1].ratio:.3f}", file=sys.stderr, flush=True)
    said = describe(done, seeds, asked.mean)
    print(said)
    if asked.write:
        TABLE.write_text(said, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
