"""What a run takes on a stack: wall time, dollars and requests of a given amount of work, in closed form.

    submission -> first ticks -> workers come (ramp, cold starts, hand-backs) -> the work -> its last records
      -> a tick sees it -> groups are merged -> published

Workers are a flow: how many work at which second does not hang on the records, so that the work's end is read
off one curve of worker-seconds; the longest records are put where they stand, as greedy scheduling would
begin them. Owns this model of the engine, which benchmarks/plan.md holds against simulated and local runs.
Imports the core's spending. When it is wrong, people wait longer, or pay more, than they were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from aliquot.keys import ChunkId, OutcomeKey
from aliquot.message import MOST_CHILDREN
from aliquot.reducer import OUTCOMES_PER_GROUP
from aliquot.spans import SpanSet
from aliquot.spending import KEYS_PER_LISTING, Spend, Tariff, measure_settling, measure_spend
from aliquot.tally import SHORTEST_WAIT_S, choose_wait
from orchestrator.forecast.place import Load, Overheads, Place
from orchestrator.forecast.work import Floats, Work

MERGES = 50  # groups at a time, as the state machine has it
_SECOND_TASKS = 0.3  # of a chunk's later slices: three in ten are not quite over when their time is up
_WAITED = 0.35  # of the wait between two ticks, until a chunk's room is given to another
_LAST_SLICE, _LAST_TASK = 0.8, 0.5  # of a slice, by which the last tasks end apart; of few chunks, cut evenly


@dataclass(frozen=True)
class Forecast:
    """What one amount of work takes.

    Args:
        answered_s: until the last record is answered.
        wall_s: until the result is published.
        ramp_s: until all workers that there will be were there.
        n_workers: at the most.
        n_tasks: invocations of workers, which is outcomes too.
    """

    answered_s: float
    wall_s: float
    usd: float
    ramp_s: float
    n_workers: int
    n_tasks: int
    n_ticks: int
    n_groups: int


def forecast_run(work: Work, load: Load, place: Place, luck: float = 0.5) -> Forecast:
    """What a run of this much work takes in such a place.

    Args:
        luck: when the last record is answered between two ticks: 0 just before the later one.
    """
    over = place.overheads
    cold_s = over.init_s + load.open_s
    n_tasks = _count_tasks(work, load, over.slice_s)
    n_workers = max(1, min(place.window, place.ramp.most, n_tasks, _count_arriving(work, load, over)))
    curve = _draw_curve(place, load, n_workers)
    busy_s = work.total_s + n_tasks * over.call_s
    chunk_s = work.total_s / load.n_chunks
    longest_at_s = curve.find(work.places * busy_s) + work.longest_s + over.call_s
    apart = _LAST_TASK + (_LAST_SLICE - _LAST_TASK) * min(1.0, load.n_chunks / n_workers)
    if n_tasks == load.n_chunks:  # none is handed back: as few as there are workers end as they began
        apart *= min(1.0, n_tasks / n_workers - 1)
    heaviest_s = work.find_heaviest_s(load.n_chunks)
    answered_s = max(
        float(curve.find(np.array([busy_s]))[0]) + apart * min(over.slice_s, chunk_s),
        float(longest_at_s.max(initial=0.0)),
        curve.ready_s
        + min(heaviest_s, over.slice_s)
        + min(max(0.0, heaviest_s - over.slice_s), over.slice_s),
        load.submit_s + SHORTEST_WAIT_S / 2 + over.call_s + min(over.slice_s, chunk_s),
    )
    if not place.may_wait:
        answered_s += _wait_for_room(work, load, place, answered_s)
    n_workers = min(n_workers, ceil(place.ramp.allowed_at(answered_s)))
    n_keys = load.n_chunks + n_tasks // 2  # half way through
    n_ticks, last_wait_s = _count_ticks(answered_s, place.window, n_keys)
    n_groups = 1 + n_tasks // OUTCOMES_PER_GROUP
    merge_s = over.merge_s + over.merge_outcome_s * min(n_tasks, OUTCOMES_PER_GROUP)
    settle_s = last_wait_s * luck + over.tally_s + ceil(n_groups / MERGES) * merge_s + over.publish_s
    billed_s = busy_s + n_workers * cold_s
    merging_s = n_groups * over.merge_s + n_tasks * over.merge_outcome_s + over.publish_s
    usd = _price(place.tariff, billed_s, n_tasks, load.n_chunks, n_ticks, over.tally_s)
    usd += measure_settling(place.tariff, round(1000 * merging_s), n_tasks, n_groups).total
    return Forecast(
        answered_s, answered_s + settle_s, usd, curve.full_s, n_workers, n_tasks, n_ticks, n_groups
    )


@dataclass(frozen=True)
class _Curve:
    """Worker-seconds by the second; after `full_s` workers are as many as there will be."""

    seconds: Floats
    done_s: Floats
    n_workers: int

    @property
    def ready_s(self) -> float:
        """When the first of them have begun."""
        return float(self.seconds[0])

    @property
    def full_s(self) -> float:
        """When the last of them have come."""
        return float(self.seconds[-1])

    def find(self, busy_s: Floats) -> Floats:
        """When so many worker-seconds are done."""
        beyond: Floats = np.maximum(0.0, busy_s - self.done_s[-1]) / self.n_workers
        return beyond + np.interp(busy_s, self.done_s, self.seconds)


def _draw_curve(place: Place, load: Load, n_workers: int) -> _Curve:
    over, ramp = place.overheads, place.ramp
    first_s = SHORTEST_WAIT_S if load.submit_s and load.n_chunks > 1 else 0.0
    return _draw(
        first_s + over.init_s + load.open_s, ramp.first, ramp.per_s, over.slice_s, load.n_chunks, n_workers
    )


@lru_cache(maxsize=256)
def _draw(
    ready_s: float, first: float, per_s: float, slice_s: float, n_chunks: int, n_workers: int
) -> _Curve:
    """How the first workers come: by the ramp, and as many as chunks and their hand-backs give work to."""
    n_slices = 0
    while n_chunks * MOST_CHILDREN**n_slices < n_workers:
        n_slices += 1
    ramp_s = max(0.0, (n_workers - first) / per_s) if per_s else 0.0
    seconds = np.linspace(0.0, max(ramp_s, n_slices * slice_s, 1.0), 512)
    n_given = n_chunks * float(MOST_CHILDREN) ** np.minimum(np.floor(seconds / slice_s), n_slices)
    at_work = np.minimum(np.minimum(first + per_s * seconds, n_given), n_workers)
    done_s = np.concatenate(([0.0], np.cumsum((at_work[1:] + at_work[:-1]) / 2 * np.diff(seconds))))
    return _Curve(ready_s + seconds, done_s, n_workers)


def _count_tasks(work: Work, load: Load, slice_s: float) -> int:
    """Invocations of workers: one for each chunk, and the slices that are handed back."""
    later_s = max(0.0, work.total_s - load.n_chunks * slice_s)
    n_tasks = load.n_chunks + ceil((1 + _SECOND_TASKS) * later_s / slice_s)
    return max(1, min(load.n_records, n_tasks))


def _count_arriving(work: Work, load: Load, over: Overheads) -> int:
    """How many workers there is work for at a time, while chunks arrive."""
    if not load.submit_s:
        return load.n_records
    task_s = 1.5 * SHORTEST_WAIT_S + work.total_s / load.n_chunks + over.call_s
    return ceil(load.n_chunks / load.submit_s * task_s)


def _wait_for_room(work: Work, load: Load, place: Place, answered_s: float) -> float:
    """What staying within the window takes: chunks begin at ticks, and shares are too few to balance the end.

    Of few chunks each becomes its share of tasks after a slice, and these are not divided again; of many each
    is one task after the other, and they go in rounds.
    """
    over, chunk_s = place.overheads, work.total_s / load.n_chunks
    begun_s = SHORTEST_WAIT_S + over.init_s + load.open_s
    if load.n_chunks <= place.window:
        is_divided = chunk_s > over.slice_s
        last_s = over.slice_s + work.find_heaviest_s(place.window) if is_divided else 0.0
        return max(0.0, begun_s + last_s - answered_s)
    _, wait_s = _count_ticks(answered_s, place.window, load.n_chunks)
    round_s = chunk_s + _WAITED * wait_s
    last_s = max(0.0, work.find_heaviest_s(load.n_chunks) - chunk_s) / 2
    return max(0.0, begun_s + ceil(load.n_chunks / place.window) * round_s + last_s - answered_s)


def _count_ticks(seconds: float, window: int, n_keys: int) -> tuple[int, float]:
    """Ticks in so many seconds, and the last wait."""
    n_ticks, at_s, wait_s = 1, 0.0, float(choose_wait(0, window, n_keys))
    while at_s < seconds:
        following_s = float(choose_wait(n_ticks, window, n_keys))
        if following_s == wait_s and n_ticks > 1:
            return n_ticks + ceil((seconds - at_s) / wait_s), wait_s
        at_s, wait_s, n_ticks = at_s + wait_s, following_s, n_ticks + 1
    return n_ticks, wait_s


def _price(
    tariff: Tariff, billed_s: float, n_tasks: int, n_chunks: int, n_ticks: int, tally_s: float
) -> float:
    """Dollars until the last answer, as an invoice counts them."""
    a_task = OutcomeKey("s", ChunkId(0, 1), SpanSet.range(0, 1), "0", "small", 0, 0, 1)
    each: Spend = measure_spend(tariff, [a_task], {}, 0, 0, 0)
    ticks = measure_spend(tariff, (), {}, n_chunks, n_ticks, round(n_ticks * tally_s * 1000))
    listed_usd = n_ticks * (n_tasks // KEYS_PER_LISTING) * tariff.prices.s3_put
    compute_usd = billed_s * tariff.worker_s("small")
    return compute_usd + each.total * n_tasks + ticks.total + listed_usd
