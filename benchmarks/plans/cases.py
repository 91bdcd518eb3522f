"""Datasets of given record times, planned and run: here, and on a simulated stack.

Owns the cases, which follow from their seed. Imports the project's public names, its model,
`benchmarks.times` and `benchmarks.simulated`. When it is wrong, plans look better than they are.
"""

from __future__ import annotations

import csv
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import aliquot
from benchmarks.simulated.place import Place as SimulatedPlace
from benchmarks.simulated.place import Weather
from benchmarks.simulated.stack import SimulatedStack
from benchmarks.times import cut, draw_times
from orchestrator.forecast.draws import STACK_ERROR, USD_ERROR, Interval, find_interval, forecast_all
from orchestrator.forecast.local import forecast_wall_s
from orchestrator.forecast.place import Load, Overheads, Place
from orchestrator.forecast.stack import forecast_run
from orchestrator.forecast.work import Stratum, draw_work, measure_work
from orchestrator.quotas import PROVISIONED, STANDARD

LIGHT = ("uniform", "lognormal 0.5")
HEAVY = ("lognormal 1.5", "Pareto 1.5")
_N_SAMPLED, _N_STRATA = 200, 8
_LONGEST_S = 600.0
_BOUND = 0.2  # of the simulated cases stay within a window, as with a budget or --workers
_LOCAL_S = 16.0  # of work in a case that runs here
_WORKERS = 2
# what the simulated stack draws, on average
OVERHEADS = Overheads(init_s=1.5, call_s=0.3, tally_s=0.1, merge_s=2.5, merge_outcome_s=0.09, publish_s=2.0)


@dataclass(frozen=True)
class Held:
    """One case: what was planned of a sample, what the model says of the true times, what was measured."""

    where: str
    times: str
    order: str
    wall_s: Interval
    measured_s: float
    known_s: float
    usd: Interval | None = None
    measured_usd: float = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the interval of wall time holds what was measured."""
        return self.wall_s[1] <= self.measured_s <= self.wall_s[2]

    @property
    def is_usd_held(self) -> bool:
        """The same of dollars; of a case that costs nothing it is."""
        return self.usd is None or self.usd[1] <= self.measured_usd <= self.usd[2]

    @property
    def width(self) -> float:
        """Of the interval, against its median."""
        return (self.wall_s[2] - self.wall_s[1]) / self.wall_s[0]

    @property
    def error(self) -> float:
        """Of the model given the true times: 0.1 is a tenth too long."""
        return self.known_s / self.measured_s - 1


def run_here(seed: int, folder: Path) -> Held:
    """A case on two hosts of this machine, planned and run as a user would."""
    draw = random.Random(f"here:{seed}")
    name = (LIGHT + HEAVY)[seed % 4]
    n_records = draw.choice((800, 2400))
    times = draw_times(draw, name, n_records, _LOCAL_S / n_records, _LONGEST_S)
    path = folder / f"times-{seed}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "seconds", "text"])
        is_told = draw.random() < 0.5  # by its size how long a record takes
        for number, seconds in enumerate(times):
            n_letters = int(40 * seconds * n_records / _LOCAL_S) if is_told else 40
            writer.writerow([f"r{number}", f"{seconds:.7f}", "x" * min(4000, n_letters)])
    sys.path.insert(0, str(Path(__file__).parents[2]))
    plan = aliquot.plan("benchmarks.plans.busy:busy", str(path), workers=_WORKERS)
    estimate = plan.estimate
    began_s = time.monotonic()
    plan.start(out=folder / f"run-{seed}").wait(quiet=True)
    measured_s = time.monotonic() - began_s
    known_s = forecast_wall_s(measure_work(times), _WORKERS, estimate.start_s)
    return Held("here", name, "random", estimate.wall_s, measured_s, known_s)


def run_simulated(seed: int) -> Held:
    """A case on a simulated stack."""
    draw = random.Random(f"simulated:{seed}")
    name = (LIGHT + HEAVY)[seed % 4]
    n_records = draw.choice((4000, 12_000, 30_000))
    times = draw_times(draw, name, n_records, draw.choice((0.2, 0.5, 1.5)), _LONGEST_S)
    order = "ascending" if draw.random() < 0.15 else "random"
    times = sorted(times) if order == "ascending" else times
    chunks = cut(times, draw.choice((4, 40, 400)))
    window, ramp = draw.choice((20, 50, 100, 200)), draw.choice((STANDARD, PROVISIONED))
    is_bound = draw.random() < _BOUND
    there = SimulatedPlace(
        ramp=ramp,
        most=10 * window if is_bound else window,
        record_timeout_s=780,
        open_s=draw.choice((0.0, 3.0, 10.0)),
        delay_s=(0.02, 0.3),
        chunk_s=draw.choice((0.02, 0.1)),
        merge_outcome_s=(0.08, 0.1),
    )
    stack = SimulatedStack(chunks, Weather(), draw, None, window, there)
    stack.run()
    load = Load(n_records, len(chunks), len(chunks) * there.chunk_s, there.open_s)
    place = Place(stack.tariff, window, not is_bound, ramp, OVERHEADS)
    works = draw_work(sample_times(times, draw), _LONGEST_S, np.random.default_rng(seed))
    found = forecast_all(works, load, place)
    known = forecast_run(measure_work(times), load, place)
    return Held(
        "in a window" if is_bound else "simulated",
        name,
        order,
        find_interval([each.wall_s for each in found], STACK_ERROR),
        stack.published_s,
        known.wall_s,
        find_interval([each.usd for each in found], USD_ERROR),
        stack.total_usd,
    )


def sample_times(times: Sequence[float], draw: random.Random) -> list[Stratum]:
    """A sample as a probe takes it, of records of one size: spread over the dataset."""
    n_records = len(times)
    strata: list[Stratum] = []
    for nth in range(_N_STRATA):
        first, end = n_records * nth // _N_STRATA, n_records * (nth + 1) // _N_STRATA
        places = sorted(draw.sample(range(first, end), _N_SAMPLED // _N_STRATA))
        sampled = tuple(times[place] for place in places)
        strata.append(Stratum(end - first, sampled, tuple(place / n_records for place in places)))
    return strata
