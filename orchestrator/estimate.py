"""What a run would take: the dataset counted, a seeded sample of it run, and both put together.

Intervals are of 90%, see `forecast`. Writes nothing that stays. Imports `probe`, `sizing`, `forecast` and
NumPy. When it is wrong, people wait longer than they were told.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from aliquot.errors import DatasetError
from aliquot.readers.streams import Opener
from aliquot.stages import find_rate
from orchestrator.forecast.draws import Interval, find_interval, forecast_here
from orchestrator.forecast.exchanges import Exchanged, forecast_exchange_here
from orchestrator.forecast.work import Stratum, Work, draw_work
from orchestrator.local.settings import Settings
from orchestrator.options import ReferenceSize, measure_references
from orchestrator.probe import N_STRATA, Probe, Sample, run_probe
from orchestrator.progress import describe_count, describe_ms, describe_range, describe_seconds
from orchestrator.request import Request
from orchestrator.sizing import size_dataset
from orchestrator.table_probe import TableSample

SEED = 20260


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Args:
        n_records, n_chunks, n_bytes: of the dataset; bytes of text before compression.
        workers: hosts that the time is for.
        record_ms: wall time of one record, mean and its 90% interval.
        wall_s: of the whole run, preparing and opening the job included, and its 90% interval.
        memory_mib: the largest private memory of a host that was seen, times the workers.
        n_sampled, n_failed: records of the probe, and how many of them failed.
        start_s: wall time of preparing and opening the job; open_s: of opening it alone.
        references, prepared_bytes: what a run carries; sent: digests of those that its stack has already.
        share_read: of the dataset's bytes; below 1 its figures are extrapolated.
        is_in_s3: whether the dataset lies there, where a stack cuts it.
        draws: the work that there is, as it might be.
        exchanges: what goes from leg to leg of a chain.
        threads: of each worker; has_gil: whether these take turns at computing.
        per_s: records that the run begins a second; 0 for no limit.
    """

    n_records: int
    n_chunks: int
    n_bytes: int
    workers: int
    record_ms: tuple[float, float, float]
    wall_s: tuple[float, float, float]
    memory_mib: int
    n_sampled: int
    n_failed: int
    start_s: float = 0.0
    open_s: float = 0.0
    references: tuple[ReferenceSize, ...] = ()
    prepared_bytes: int = 0
    sent: frozenset[str] = frozenset()
    share_read: float = 1.0
    is_in_s3: bool = False
    draws: Sequence[Work] = field(default=(), compare=False, repr=False)
    exchanges: Sequence[Exchanged] = ()
    threads: int = 1
    has_gil: bool = True
    per_s: float = 0.0

    def __str__(self) -> str:
        mean_ms, low_ms, high_ms = self.record_ms
        each = f"{describe_ms(mean_ms)} a record"
        if describe_ms(low_ms) != describe_ms(high_ms):
            each += f" ({describe_ms(low_ms)} to {describe_ms(high_ms)})"
        return (
            f"{self.describe_dataset()}\n"
            f"time     {describe_range(*self.wall_s)} on {describe_count(self.workers, 'worker')}; {each}\n"
            f"{self.describe_waiting()}"
            f"memory   {self.memory_mib:,} MiB\n"
            f"{self.describe_probe()}"
        )

    def at(self, workers: int) -> Estimate:
        """The same on so many hosts, each with a core of its own."""
        besides_s = self.start_s + sum(map(forecast_exchange_here, self.exchanges))
        wall_s = _forecast_here(self.draws, workers, besides_s, self.per_s)
        memory_mib = self.memory_mib // self.workers * workers
        return replace(self, workers=workers, wall_s=wall_s, memory_mib=memory_mib)

    def describe_dataset(self) -> str:
        """How large the dataset is, as a line."""
        n_records, n_chunks, about = self.n_records, self.n_chunks, ""
        if self.share_read < 1:
            n_records, n_chunks, about = _round(n_records), _round(n_chunks), "about "
        records, chunks = describe_count(n_records, "record"), describe_count(n_chunks, "chunk")
        return f"dataset  {about}{records} in {about}{chunks}, {describe_bytes(self.n_bytes)}"

    def describe_waiting(self) -> str:
        """How many records a worker has at a time, and the rate that all of them keep, as lines."""
        said = ""
        if self.threads > 1:
            said += f"threads  {self.threads} a worker: {describe_threads(self.has_gil)}\n"
        if self.per_s:
            least_s = describe_seconds(self.n_records / self.per_s)
            said += f"rate     {self.per_s:,.4g} records a second at most: these take {least_s} at least\n"
        return said

    def describe_probe(self, where: str = "") -> str:
        """What the figures stand on, as a line."""
        failed = f", {self.n_failed:,} of them failed" if self.n_failed else ""
        sampled = f"{describe_count(self.n_sampled, 'record')} {where}".strip()
        read = f", out of {self.share_read:.2%} of the dataset" if self.share_read < 1 else ""
        return f"from a probe of {sampled}{failed}{read}; intervals are of 90%"


def estimate_run(request: Request, settings: Settings, opener: Opener | None = None) -> Estimate:
    """Count the dataset, run a sample of it on one host, and say what the whole would take.

    Args:
        opener: gives an object's bytes, where the dataset lies in S3.
    Raises:
        DatasetError: no records, or records that can be read only once.
        BatchDependent: rows differ between a record alone and among others.
    """
    if request.records is not None and iter(request.records) is request.records:
        raise DatasetError(
            "records", "can be read only once, so they cannot be probed: give a list, or run them"
        )
    resolved = settings.resolve()
    is_whole = request.stages[0].whole
    sample = TableSample() if is_whole else Sample(random.Random(SEED))  # noqa: S311 - a sample, not a secret
    size = size_dataset(request, sample, opener)
    probe = run_probe(request, resolved, *sample.to_chunk())
    draws = draw_work(
        stratify(sample, probe, size.n_records),
        resolved.record_timeout_s,
        np.random.default_rng(SEED),
    )
    exchanges = [each.scale(size.n_records / probe.n_sampled) for each in probe.rest.exchanges]
    besides_s = probe.start_s + sum(map(forecast_exchange_here, exchanges))
    per_s = find_run_rate(request, settings.rate)
    return Estimate(
        n_records=size.n_records,
        n_chunks=size.n_chunks,
        n_bytes=size.n_bytes,
        workers=resolved.workers,
        record_ms=find_interval([1e3 * work.total_s / work.n_records for work in draws]),
        wall_s=_forecast_here(draws, resolved.workers, besides_s, per_s),
        memory_mib=ceil(probe.peak_mib) * resolved.workers,
        n_sampled=probe.n_sampled,
        n_failed=probe.n_failed,
        start_s=probe.start_s,
        open_s=probe.open_s,
        references=measure_references(request.options),
        prepared_bytes=probe.prepared_bytes,
        share_read=size.share_read,
        is_in_s3=request.is_in_s3,
        draws=draws,
        exchanges=exchanges,
        threads=probe.threads,
        has_gil=probe.has_gil,
        per_s=per_s,
    )


def _forecast_here(draws: Sequence[Work], workers: int, besides_s: float, per_s: float) -> Interval:
    """Wall seconds on hosts that begin so many records a second; 0 is no limit."""
    stretched = [work.stretch(max(1, min(workers, ceil(work.n_records))), per_s) for work in draws]
    return hold_to_rate(forecast_here(stretched, workers, besides_s), draws[0].n_records, per_s)


def hold_to_rate(wall_s: Interval, n_records: float, per_s: float) -> Interval:
    """An interval of wall seconds, no part of it below what so many records take at a rate."""
    least_s = n_records / per_s if per_s else 0.0
    median_s, low_s, high_s = (max(least_s, each) for each in wall_s)
    return median_s, low_s, high_s


def find_run_rate(request: Request, asked: str | None) -> float:
    """Records that a run begins a second: the lowest of its stages' rates, each taken to be asked for all."""
    rates = [find_rate(request.stages, stage, asked) for stage in request.stages]
    return min(filter(None, rates), default=0.0)


def describe_threads(has_gil: bool) -> str:
    """What it means that a worker has several threads."""
    if has_gil:
        return "records wait side by side, and take turns at computing"
    return (
        "records compute side by side, and share what the job opened; one that crashes ends its host's others"
    )


def stratify(sample: Sample, probe: Probe, n_records: int) -> list[Stratum]:
    """The sample's times by stratum, as they are in batches; each is as many records of the dataset."""
    picked = sample.pick()
    scale = probe.batch_s / probe.n_sampled / max(sum(probe.record_s.values()) / len(probe.record_s), 1e-12)
    strata: list[list[tuple[float, float]]] = [[] for _ in range(N_STRATA)]
    for place, record_s in sorted(probe.record_s.items()):
        candidate, stratum = picked[place]
        strata[stratum].append((record_s * scale + probe.rest_s, candidate.number / max(1, sample.n_seen)))
    known = [times for times in strata if times]
    return [Stratum(n_records / len(known), *map(tuple, zip(*times, strict=True))) for times in known]


def _round(number: int) -> int:
    """A number that was extrapolated, to three digits."""
    return int(float(f"{number:.3g}"))


def describe_bytes(n_bytes: int) -> str:
    """A size as people read it."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
