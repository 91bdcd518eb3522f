"""How much there is to do: the total of all records' times and the longest of them, drawn from a sample.

    strata of sampled times --draw_work--> some hundred datasets as they might be, each a Work
    all times --measure_work--> the one Work that there is

Of light tails the mean decides, and resampling tells its spread. Of heavy ones the total hangs on records
that no sample of hundreds holds: above its 85% quantile a generalised Pareto law is fitted to each resample
(by probability-weighted moments, Hosking and Wallis 1987), and the longest records of the dataset are drawn
from it, up to the deadline that cuts them; how heavy it may be, the sample's longest record says. Owns this
statistics. Imports NumPy. When it is wrong, intervals do not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

N_DRAWS = 400
_TAIL = 0.15  # of the records, by which the law of long ones is fitted
_LEAST_TAIL = 8  # times; of fewer no law is fitted
_LONGEST = 256  # records that are drawn one by one
_SHAPES = (-0.5, 0.9)
_LIGHT, _HEAVY = (
    4.0,
    12.0,
)  # times the mean: as long as a sample's longest record is where tails are light, or heavy
_BIAS = 0.4  # of a shape's fit, in its asymptotic standard errors
_GRID = (np.arange(64) + 0.5) / 64

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """Records alike in size, and those of them that were run.

    Args:
        n_records: in the dataset.
        times_s: of the sampled ones.
        places: where each of these stands in the dataset, from 0 to 1.
    """

    n_records: float
    times_s: tuple[float, ...]
    places: tuple[float, ...]


@dataclass(frozen=True)
class Work:
    """What a dataset takes.

    Args:
        total_s: of all records.
        longest_s: the longest records, the longest first.
        places: how much of the work stands before each of these, as a share.
        positions: how many of the records do.
    """

    n_records: float
    total_s: float
    longest_s: Floats
    places: Floats
    positions: Floats

    def find_heaviest_s(self, n_chunks: int) -> float:
        """Seconds of the chunk that has most work, as far as long records make it."""
        others_s = max(0.0, self.total_s - float(self.longest_s.sum())) / n_chunks
        chunks = np.minimum((self.positions * n_chunks).astype(int), n_chunks - 1)
        _, numbers = np.unique(chunks, return_inverse=True)
        return others_s + float(np.bincount(numbers, self.longest_s).max(initial=0.0))

    def stretch(self, n_at_a_time: int, per_s: float) -> Work:
        """The same where so many hosts or tasks wait for turns to begin records; 0 a second is no limit."""
        least_s = n_at_a_time * self.n_records / per_s if per_s else 0.0
        return replace(self, total_s=max(self.total_s, least_s))


def measure_work(times_s: Sequence[float] | Floats) -> Work:
    """The work of records whose times are known, in dataset order."""
    times = np.asarray(times_s, dtype=float)
    order = np.argsort(times)[::-1][:_LONGEST]
    before = np.concatenate(([0.0], np.cumsum(times)[:-1])) / max(times.sum(), 1e-12)
    return Work(len(times), float(times.sum()), times[order], before[order], order / len(times))


def draw_work(
    strata: Sequence[Stratum], most_s: float, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> list[Work]:
    """Datasets as they might be, given what was sampled of this one.

    Args:
        most_s: the deadline that cuts a record.
    """
    known = [stratum for stratum in strata if stratum.times_s]
    times = np.concatenate([stratum.times_s for stratum in known])
    places = np.concatenate([stratum.places for stratum in known])
    n_records = float(sum(stratum.n_records for stratum in strata))
    weights = np.concatenate(
        [np.full(len(stratum.times_s), stratum.n_records / len(stratum.times_s)) for stratum in known]
    )
    weights *= n_records / weights.sum()
    share_left = max(0.0, 1 - len(times) / n_records)  # of the records nothing is known
    if not share_left:
        return [measure_work(times[np.argsort(places)])]
    ends = np.cumsum([len(stratum.times_s) for stratum in known])
    heaviness = (times.max() / max(np.average(times, weights=weights), 1e-12) - _LIGHT) / (_HEAVY - _LIGHT)
    most_shape = float(np.clip(heaviness, 0.0, 1.0)) * _SHAPES[1]
    late = places[times >= np.quantile(times, 1 - _TAIL)]
    return [
        _draw_one(times, weights, _resample(ends, rng), share_left, late, most_s, most_shape, rng)
        for _ in range(n_draws)
    ]


def _resample(ends: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Which of the sampled records stand in for the dataset: as many of each stratum, with replacement."""
    firsts = np.concatenate(([0], ends[:-1]))
    return np.concatenate([rng.integers(a, b, b - a) for a, b in zip(firsts, ends, strict=True)])


def _draw_one(
    times: Floats,
    weights: Floats,
    picked: NDArray[np.int64],
    share_left: float,
    late: Floats,
    most_s: float,
    most_shape: float,
    rng: np.random.Generator,
) -> Work:
    n_records, sampled_s = weights.sum(), times.sum()
    drawn, weight = times[picked], weights[picked] * share_left
    order = np.argsort(drawn)
    drawn, weight = drawn[order], weight[order]
    is_long = np.cumsum(weight) > (1 - _TAIL) * weight.sum()
    is_long &= drawn > drawn[~is_long].max(initial=0.0)
    if is_long.sum() < _LEAST_TAIL:
        is_long[:] = False
    body, body_weight = drawn[~is_long], weight[~is_long]
    total_s = float(body @ body_weight) + sampled_s
    if body_weight.sum():
        spread = np.sqrt(
            max(0.0, np.average(body**2, weights=body_weight) - np.average(body, weights=body_weight) ** 2)
        )
        total_s += float(rng.normal() * spread * np.sqrt(body_weight.sum()))
    longest = np.sort(drawn)[::-1][:1]
    if is_long.any():
        floor_s = float(body.max(initial=0.0))
        shape, scale = _widen(_fit(drawn[is_long] - floor_s, weight[is_long]), int(is_long.sum()), rng)
        law = min(shape, most_shape), scale
        tail_s, longest = _draw_tail(law, float(weight[is_long].sum()), floor_s, most_s, rng)
        total_s += tail_s
    longest = np.sort(np.concatenate((longest, times)))[::-1][:_LONGEST]
    positions = rng.choice(late, len(longest))
    return Work(float(n_records), max(total_s, float(sampled_s)), longest, positions, positions)


def _fit(over_s: Floats, weight: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law, of times over a floor, shortest first."""
    share = weight / weight.sum()
    above = 1 - (np.cumsum(share) - share / 2)
    mean, mean_above = float(over_s @ share), float((over_s * above) @ share)
    spread = mean - 2 * mean_above
    if spread <= 0:
        return _SHAPES[0], mean * (1 - _SHAPES[0])
    shape = float(np.clip(2 - mean / spread, *_SHAPES))
    return shape, mean * (1 - shape)


def _widen(law: tuple[float, float], n_times: int, rng: np.random.Generator) -> tuple[float, float]:
    """The law with another tail, by what its fit may have missed: it errs to the short side."""
    shape, scale = law
    if shape <= 0:
        return law
    longer = shape + (_BIAS + float(rng.normal())) * (1 + shape) / np.sqrt(n_times)
    return float(np.clip(longer, 0.0, _SHAPES[1])), scale


def _draw_tail(
    law: tuple[float, float], n_long: float, floor_s: float, most_s: float, rng: np.random.Generator
) -> tuple[float, Floats]:
    """Seconds of all long records, and the longest of them."""
    n_single = int(min(_LONGEST, max(1, round(n_long))))
    above = np.cumsum(rng.exponential(size=n_single)) / max(n_long, 1.0)  # shares that are longer still
    longest = np.minimum(most_s, floor_s + _invert(law, np.minimum(above, 1.0)))
    last = min(1.0, float(above[-1]))
    others = last + (1 - last) * _GRID  # all that are shorter
    rest_s = np.minimum(most_s, floor_s + _invert(law, others)).mean() * max(0.0, n_long - n_single)
    return float(longest.sum() * min(1.0, n_long / n_single) + rest_s), longest


def _invert(law: tuple[float, float], above: Floats) -> Floats:
    """The times that such shares of the long records exceed."""
    shape, scale = law
    if abs(shape) < 1e-6:
        return -scale * np.log(above)
    return scale * (above**-shape - 1) / shape
