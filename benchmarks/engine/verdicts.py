"""The figure of each case, and the aims beside what was measured.

Owns what is asked. Pure. When it is wrong, a miss is called a hit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.engine.cases import ARRAY_BYTES
from benchmarks.engine.measuring import Measured
from benchmarks.engine.once import Sample

OWN = "Aliquot"


@dataclass(frozen=True)
class Figure:
    """What a case is judged by: a number of each sample."""

    title: str
    of: Callable[[Sample], float]
    digits: int
    is_more_better: bool = False

    def median(self, measured: Measured) -> float:
        """Over the samples."""
        return median(map(self.of, measured.samples))


@dataclass(frozen=True)
class Verdict:
    """An aim, what was measured, and whether it was met."""

    aim: str
    measured: str
    is_met: bool


def share_of_cores(sample: Sample, n_workers: int = 2) -> float:
    """Percent of the workers' wall time that went into the records."""
    return 100 * sample.busy_s / (n_workers * sample.wall_s)


FIGURES = {
    "a": Figure("us a record", lambda s: s.wall_s / s.n_records * 1e6, 2),
    "b": Figure("% of two cores' time in records", share_of_cores, 1, is_more_better=True),
    "c": Figure("x greedy list scheduling of its own times", lambda s: s.wall_s / s.greedy_s, 4),
    "d": Figure(
        "MB/s each way", lambda s: s.n_records * ARRAY_BYTES / s.wall_s / 1e6, 0, is_more_better=True
    ),
    "e": Figure("s less a tiny run", lambda s: s.wall_s - s.tiny_s, 2),
    "f": Figure("s longer than without the death", lambda s: s.wall_s - s.calm_s, 2),
}


def judge(case: str, found: Sequence[Measured]) -> list[Verdict]:
    """The aims of a case held against what was measured of Aliquot, in each form in which it was."""
    rivals = [each for each in found if not each.engine.startswith(OWN) and each.samples]
    verdicts: list[Verdict] = []
    for own in found:
        if own.engine.startswith(OWN) and own.samples:
            form = own.engine.removeprefix(OWN)
            figure = FIGURES[case[0]]
            of_own = [*_judge_own(case[0], figure, own), *_judge_rivals(case[0], figure, own, rivals)]
            verdicts.extend(replace(each, aim=f"{each.aim}{form}") for each in of_own)
    return verdicts


def _judge_own(letter: str, figure: Figure, own: Measured) -> list[Verdict]:
    value = figure.median(own)
    if letter == "a":
        return [Verdict("at most 2 us of wall a record", f"{value:.2f} us", value <= 2)]
    if letter == "b":
        return [Verdict("at least 97% of the two cores", f"{value:.1f}%", value >= 97)]
    if letter == "c":
        return [Verdict("at most 1.03x greedy list scheduling", f"{value:.4f}x", value <= 1.03)]
    if letter == "d":
        return [Verdict("at least 300 MB/s each way", f"{value:.0f} MB/s", value >= 300)]
    if letter == "f":
        n_in = min(sample.n_rows for sample in own.samples)
        return [
            Verdict("all other records in", f"{n_in} of {own.samples[0].n_records - 1}", n_in == 999),
            Verdict("within 1 s", f"{value:.2f} s longer", value <= 1),
        ]
    return []


def _judge_rivals(letter: str, figure: Figure, own: Measured, rivals: Sequence[Measured]) -> list[Verdict]:
    if not rivals or letter in "bf":
        return []
    pick = max if figure.is_more_better else min
    best = pick(rivals, key=figure.median)
    ours, theirs = figure.median(own), figure.median(best)
    said = f"{ours:.{figure.digits}f}; {best.engine} {theirs:.{figure.digits}f}"
    if letter == "c":
        return [Verdict("at most 0.5% above the best peer", said, ours <= 1.005 * theirs)]
    if letter == "e":
        return [Verdict("no slower than a thread pool of the same width", said, ours <= theirs)]
    is_ahead = ours >= theirs if figure.is_more_better else ours <= theirs
    return [Verdict("ahead of every peer", said, is_ahead)]
