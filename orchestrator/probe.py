"""A probe: a seeded sample of a dataset run on one host, in batches as in a real run and record by record.

The second gives the spread of times; the two together show a job whose rows depend on other records, which is
refused. Owns the sample and the comparison. Imports the core's supervisor. When it is wrong, a plan misleads,
or a job whose result depends on how it is cut passes.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from aliquot.bounds import Limits
from aliquot.chunk import BadRow, Chunk
from aliquot.codec import pack
from aliquot.cutting import encode_chunk
from aliquot.errors import BatchDependent
from aliquot.host import HostLimits
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import SpawnLauncher
from aliquot.loading import JobSpec
from aliquot.outcome import Outcome, OutcomeReader
from aliquot.page import Page
from aliquot.processes import choose_reader
from aliquot.readers import Batch
from aliquot.rows import Block
from aliquot.spans import SpanSet
from aliquot.stages import StageNote, find_rate, find_threads
from aliquot.supervisor import Supervisor
from orchestrator.chain_probe import Rest, run_rest
from orchestrator.local.settings import ResolvedSettings
from orchestrator.local.tasks import LocalTasks
from orchestrator.options import measure_files
from orchestrator.request import Request

SAMPLE_RECORDS = 200
LONGEST_PROBE_S = 10.0
N_STRATA = 8
_CANDIDATES, _CANDIDATE_BYTES = 2000, 32 << 20  # from which the sample is chosen
_TURNS = 10  # in which the dataset is gone through: a probe that is cut short has seen all of it


@dataclass(frozen=True)
class Candidate:
    """A record of the dataset that may be of the sample."""

    number: int
    size_bytes: int
    record: dict[str, Any]
    bad: BadRow | None


class Sample:
    """A sample of records, as many of each size (strata), out of candidates taken uniformly (reservoir).

    Attributes:
        n_seen: records that passed.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.n_seen = self._n_bytes = 0
        self._most = _CANDIDATES
        self._candidates: list[Candidate] = []

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on, sampling their records."""
        for batch in batches:
            for index in range(batch.n_records):
                self._consider(batch, index)
            yield batch

    def _consider(self, batch: Batch, index: int) -> None:
        number = self.n_seen
        self.n_seen += 1
        is_full = len(self._candidates) >= self._most
        place = self._rng.randrange(number + 1) if is_full else len(self._candidates)
        if place >= self._most:
            return
        record = {name: values[index] for name, values in batch.columns.items()}
        bad = BadRow(*batch.bad[index]) if index in batch.bad else None
        found = Candidate(number, batch.sizes[index], record, bad)
        self._n_bytes += found.size_bytes
        if is_full:
            self._n_bytes -= self._candidates[place].size_bytes
            self._candidates[place] = found
        else:
            self._candidates.append(found)
        while self._n_bytes > _CANDIDATE_BYTES and len(self._candidates) > SAMPLE_RECORDS:
            self._drop()

    def _drop(self) -> None:
        """Let one candidate go, for good: they are too large to have so many."""
        self._candidates[self._rng.randrange(len(self._candidates))] = self._candidates[-1]
        self._most = len(self._candidates) - 1
        del self._candidates[-1]
        self._n_bytes = sum(each.size_bytes for each in self._candidates)

    def pick(self) -> list[tuple[Candidate, int]]:
        """The sample and each record's stratum, of which all are of one size and one share of the dataset.

        In turns through the dataset. Records of one size are told apart by their place.
        """
        ordered = sorted(self._candidates, key=lambda each: (each.size_bytes, each.number))
        n_picked = min(SAMPLE_RECORDS, len(ordered))
        places = [(2 * nth + 1) * len(ordered) // (2 * n_picked) for nth in range(n_picked)]
        picked = [(ordered[place], place * N_STRATA // len(ordered)) for place in places]
        picked.sort(key=lambda each: each[0].number)
        return [each for turn in range(_TURNS) for each in picked[turn::_TURNS]]

    def to_chunk(self) -> tuple[Chunk, list[int]]:
        """The sample as a chunk, in its order, and the records' numbers."""
        picked = [candidate for candidate, _ in self.pick()]
        names = list(dict.fromkeys(name for each in picked for name in each.record))
        columns = {name: [each.record.get(name) for each in picked] for name in names}
        bad = {place: each.bad for place, each in enumerate(picked) if each.bad is not None}
        chunk = Chunk(0, len(picked), columns, provenance=((0, 0, 1),), bad=bad)
        return chunk, [each.number for each in picked]


@dataclass(frozen=True)
class Probe:
    """What a sample of a dataset showed.

    Args:
        start_s: wall time to prepare and open the job; open_s: to open it alone.
        prepared_bytes: that it wrote when it was prepared.
        record_s: wall time of each record run alone, by its place in the chunk; of one of a host's threads
            where it has several. Of a chunk that is taken whole one for all.
        batch_s: of all of them run in batches, as in a real run.
        n_sampled, n_failed: records that were run, and of these failed.
        peak_mib: the most private memory of a host that was seen.
        rest: what the stages behind the first took of the sample.
        threads: of the host; has_gil: whether these take turns at computing.
    """

    start_s: float
    record_s: dict[int, float]
    batch_s: float
    n_sampled: int
    n_failed: int
    peak_mib: float
    rest: Rest
    open_s: float = 0.0
    prepared_bytes: int = 0
    threads: int = 1
    has_gil: bool = True

    @property
    def rest_s(self) -> float:
        """Wall time of the stages behind the first for a record."""
        return self.rest.total_s / max(1, self.n_sampled)


def run_probe(request: Request, settings: ResolvedSettings, chunk: Chunk, numbers: list[int]) -> Probe:
    """Run the records of a chunk in batches, then each alone, from last to first; raises BatchDependent.

    Args:
        numbers: the records' numbers in the dataset, by their place in the chunk.
    """
    known = request.known
    page = Page.create()
    with tempfile.TemporaryDirectory(prefix="aliquot-probe-") as folder:
        prepared = Path(folder, "prepared")
        prepared.mkdir()
        spec = JobSpec(known.address, known.search_path, request.options, str(prepared))
        limits = HostLimits(settings.record_timeout_s, settings.memory_mib)
        launcher = SpawnLauncher(spec, limits, page)
        started_s = time.monotonic()
        try:
            launcher.prepare()
            prepared_s = time.monotonic()
            opened = launcher.open()
            start_s, open_s = time.monotonic() - started_s, time.monotonic() - prepared_s
            threads = find_threads(len(request.stages), opened.threads, settings.threads)
            prepared_bytes = sum(measure_files(prepared))
            own = _limit_stage(request, settings, request.legs[0].first, threads)
            kept = replace(limits, threads=threads, rate_per_s=own.rate_per_s, retries=own.retries)
            launcher.limit(replace(kept, keeps_all=True))
            runner = _ProbeRunner(launcher, own, chunk)
            whole_task = Task(runner.id, runner.id.all_records)
            if own.is_whole:
                runner.run([whole_task])  # a host's first query opens its database
            batched = runner.run([whole_task])
            reached = sorted({index for spans, _, _ in batched for index in spans})
            # backwards, so that a job that counts what it has seen gives itself away too
            alone = [] if own.is_whole else batched  # of records that come so seldom there was one
            if not own.is_whole and (not own.rate_per_s or own.rate_per_s * LONGEST_PROBE_S > 1):
                alone = runner.run([Task(runner.id, SpanSet.range(i, i + 1)) for i in reversed(reached)])
        finally:
            launcher.abort()  # Ctrl-C leaves nothing behind
            page.close()
        rest = Rest()
        if len(request.stages) > 1:
            spec_of = partial(_choose_stage, spec)
            limits_of = partial(_limit_stage, request, settings)
            rest = run_rest(spec_of, limits_of, request.legs, chunk, batched, Path(folder, "rest"))
    if not own.is_whole:
        compare_rows(known.job.name, numbers, batched, alone)
    batch_s = sum(wall_ns for _, _, wall_ns in batched) / 1e9
    record_s = {spans.spans[0][0]: wall_ns / 1e9 for spans, _, wall_ns in alone}
    return Probe(
        start_s=start_s,
        record_s=record_s or {0: batch_s / len(reached)},
        batch_s=batch_s,
        n_sampled=len(reached),
        n_failed=sum(len(outcome.failures) for _, outcome, _ in batched),
        peak_mib=max(rest.peak_mib, *(outcome.peak_mib for _, outcome, _ in [*batched, *alone])),
        rest=rest,
        open_s=open_s,
        prepared_bytes=prepared_bytes,
        threads=threads,
        has_gil=opened.has_gil,
    )


def _limit_stage(
    request: Request, settings: ResolvedSettings, stage: StageNote, threads: int | None = None
) -> Limits:
    """What a probe's host of a stage may take."""
    return Limits(
        settings.record_timeout_s,
        settings.memory_mib,
        LONGEST_PROBE_S,
        threads=threads or find_threads(len(request.stages), stage.threads, settings.threads),
        rate_per_s=find_rate(request.stages, stage, settings.rate),
        retries=settings.retries,
        is_whole=stage.whole,
    )


def _choose_stage(spec: JobSpec, stage: str) -> JobSpec:
    return replace(spec, stage=stage)


Answered = list[tuple[SpanSet, Outcome, int]]


class _ProbeRunner:
    """Runs tasks over the sample on one host, for a bounded time."""

    def __init__(self, launcher: SpawnLauncher, limits: Limits, chunk: Chunk) -> None:
        self._launcher, self._limits = launcher, limits
        self._body = encode_chunk(chunk)
        self.id = ChunkId(0, chunk.n_records)

    def run(self, tasks: list[Task]) -> Answered:
        """What the tasks' outcomes hold: spans, outcome, wall nanoseconds; of one record at least."""
        answered: Answered = []
        supervisor = Supervisor(
            launcher=self._launcher,
            n_lanes=1,
            limits=self._limits,
            reader=choose_reader(),
            read_object=lambda _: self._body,
            put_outcome=lambda _, spans, outcome, wall_ns: answered.append((spans, outcome, wall_ns)),
        )
        end_s = time.monotonic() + LONGEST_PROBE_S
        supervisor.run(LocalTasks(tasks), lambda counts: counts.n_answered > 0 and time.monotonic() > end_s)
        return answered


def compare_rows(job: str, numbers: list[int], batched: Answered, alone: Answered) -> None:
    """Raise BatchDependent where a record's rows alone are not those that it gave among others.

    A record that failed in either run is left out: a failure has reasons outside of the record.
    """
    among, by_itself = _rows_by_record(batched), _rows_by_record(alone)
    for index in sorted(among.keys() & by_itself.keys()):
        if among[index] != by_itself[index]:
            raise BatchDependent(job, numbers[index])


def _rows_by_record(answered: Answered) -> dict[int, bytes]:
    """Each record's rows, packed, by its place in the chunk; a value that a row lacks counts as None."""
    rows: dict[int, bytes] = {}
    for spans, outcome, _ in answered:
        failed = {failure.index for failure in outcome.failures}
        reader = OutcomeReader(outcome.to_bytes())
        for first, end in spans.spans:
            for block in reader.blocks(first, end):
                for index in range(block.first, block.first + len(block.counts)):
                    if index not in failed:
                        rows[index] = _pack_rows(block.slice(index, index + 1))
    return rows


def _pack_rows(block: Block) -> bytes:
    columns = {name: list(values) for name, values in sorted(block.columns.items())}
    present = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return pack([block.n_rows, present, list(block.notes)])
