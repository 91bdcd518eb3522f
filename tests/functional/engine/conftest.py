"""A supervised run over real hosts: the engine from chunk to merged rows, without the orchestrator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aliquot.bounds import Counts, Limits
from aliquot.chunk import Chunk
from aliquot.host import HostLimits
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.launch import Ended, HostProcess, Launcher, Opened, SpawnLauncher, ZygoteLauncher
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec
from aliquot.merge import merge_pieces
from aliquot.outcome import Failure, Outcome
from aliquot.page import Page
from aliquot.processes import can_fork, choose_reader
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from aliquot.supervisor import Supervisor

TOY_JOBS = Path(__file__).with_name("toy_jobs.py")
LAUNCHERS = {"zygote": ZygoteLauncher, "spawn": SpawnLauncher}


def make_spec(job: str, prepared: str = "") -> JobSpec:
    return JobSpec(f"{TOY_JOBS}:{job}", prepared=prepared)


class CountingLauncher:
    """A launcher that remembers which hosts it started and which were reaped."""

    def __init__(self, inner: Launcher) -> None:
        self.inner = inner
        self.started: list[int] = []
        self.reaped: list[int] = []

    @property
    def running(self) -> list[int]:
        return [pid for pid in self.started if pid not in self.reaped]

    @property
    def job(self) -> str:
        return self.inner.job

    @property
    def step_s(self) -> float:
        return self.inner.step_s

    def prepare(self) -> float:
        return self.inner.prepare()

    def open(self) -> Opened:
        return self.inner.open()

    def launch(self, slot: int) -> HostProcess:
        host = self.inner.launch(slot)
        self.started.append(host.pid)
        return host

    def reap(self, host: HostProcess) -> Ended:
        self.reaped.append(host.pid)
        return self.inner.reap(host)

    def close(self) -> None:
        self.inner.close()


class Tasks:
    """All chunks, one task each."""

    def __init__(self, chunks: Sequence[ChunkId], leave_out: SpanSet) -> None:
        self._waiting = [Task(chunk, chunk.all_records - leave_out) for chunk in chunks]

    def next_task(self) -> Task | None:
        return self._waiting.pop(0) if self._waiting else None

    @property
    def is_exhausted(self) -> bool:
        return not self._waiting


@dataclass
class SupervisedRun:
    """What a run left behind."""

    ledger: Ledger
    launcher: CountingLauncher
    counts: Counts
    is_done: bool
    puts: list[tuple[float, OutcomeKey]] = field(default_factory=list)
    elapsed_s: float = 0.0
    leftover: list[Task] = field(default_factory=list)

    @property
    def outcomes(self) -> list[OutcomeKey]:
        return self.ledger.list_outcomes("work")

    @property
    def answered(self) -> list[tuple[int, int]]:
        """Every (chunk, record) that an outcome answers for, as often as it does."""
        return sorted((key.chunk.seq, index) for key in self.outcomes for index in key.spans)

    def read(self) -> tuple[dict[int, list[tuple[Any, ...]]], dict[int, Failure]]:
        """Rows and failures by record number, through roster and merge."""
        rows: dict[int, list[tuple[Any, ...]]] = {}
        failures: dict[int, Failure] = {}
        for piece in merge_pieces(self.ledger, self.ledger.settle("work", 0)):
            failures |= {piece.chunk.first + failure.index: failure for failure in piece.failures}
            at = 0
            for place, count in enumerate(piece.block.counts):
                values = [piece.block.columns[name][at : at + count] for name in piece.block.columns]
                rows[piece.first_record + place] = list(zip(*values, strict=True))
                at += count
        return rows, failures

    @property
    def numbers(self) -> dict[int, list[int]]:
        """Each record's rows, of which the number alone."""
        return {record: [row[0] for row in rows] for record, rows in self.read()[0].items()}

    @property
    def kinds(self) -> dict[int, str]:
        return {record: failure.kind for record, failure in sorted(self.read()[1].items())}


MakeRun = Callable[..., SupervisedRun]


@pytest.fixture(
    params=[pytest.param("zygote", marks=pytest.mark.skipif(not can_fork(), reason="no fork here")), "spawn"]
)
def launcher(request: pytest.FixtureRequest) -> str:
    """Both ways in which a host comes to be."""
    return str(request.param)


@pytest.fixture
def make_launcher(tmp_path: Path) -> Iterator[Callable[[str, str], Launcher]]:
    """Launchers by kind, for a toy job each; `prepare` writes into the test's folder."""
    made: list[tuple[Launcher, Page]] = []

    def make(kind: str, job: str) -> Launcher:
        page = Page.create()
        made.append((LAUNCHERS[kind](make_spec(job, str(tmp_path)), HostLimits(5.0, 1000), page), page))
        return made[-1][0]

    yield make
    for each, page in made:
        each.close()
        page.close()


@pytest.fixture
def make_supervised_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Runs a toy job over what its records are to do; ends whatever it started."""
    launchers: list[CountingLauncher] = []
    n_runs = 0

    def run(
        job: str,
        does: Sequence[str],
        *,
        launcher: str = "zygote" if can_fork() else "spawn",
        lanes: int = 1,
        timeout_s: float = 10.0,
        memory_mib: int = 1000,
        threads: int = 1,
        rate_per_s: float = 0.0,
        retries: int | None = None,
        slice_s: float = 5.0,
        chunk_size: int | None = None,
        leave_out: Sequence[int] = (),
        should_stop: Callable[[SupervisedRun], bool] = lambda _: False,
        is_over: Callable[[SupervisedRun], bool] = lambda _: False,
        before_start: Callable[[SupervisedRun], None] = lambda _: None,
        on_put: Callable[[OutcomeKey], None] = lambda _: None,
    ) -> SupervisedRun:
        nonlocal n_runs
        n_runs += 1
        ledger = Ledger(FolderStore(tmp_path / f"run{n_runs}"))
        size = chunk_size or len(does)
        chunks = []
        for seq, first in enumerate(range(0, len(does), size)):
            part = list(does[first : first + size])
            chunk = ChunkId(seq, len(part))
            columns = {"n": list(range(first, first + len(part))), "do": part}
            ledger.put_chunk(chunk, Chunk(first, len(part), columns, provenance=((0, 0, 1),)).to_bytes())
            chunks.append(chunk)
        page = Page.create()
        limits = HostLimits(timeout_s, memory_mib, threads, rate_per_s=rate_per_s, retries=retries)
        made = CountingLauncher(LAUNCHERS[launcher](make_spec(job), limits, page))
        launchers.append(made)
        made.open()
        supervised = SupervisedRun(ledger, made, Counts(), is_done=False)

        def put(chunk: ChunkId, spans: SpanSet, outcome: Outcome, wall_ns: int) -> None:
            key = ledger.put_outcome("work", chunk, spans, outcome, wall_ns)
            supervised.puts.append((time.monotonic(), key))
            on_put(key)

        supervisor = Supervisor(
            made,
            lanes,
            Limits(timeout_s, memory_mib, slice_s, threads=threads),
            choose_reader(),
            ledger.store.get,
            put,
        )
        supervised.counts = supervisor.counts
        before_start(supervised)
        started_s = time.monotonic()
        try:
            supervised.is_done = supervisor.run(
                Tasks(chunks, SpanSet.of_indices(leave_out)),
                lambda _: should_stop(supervised),
                lambda: is_over(supervised),
            )
            supervised.leftover = supervisor.leftover
        finally:
            supervised.elapsed_s = time.monotonic() - started_s
            made.close()
            page.close()
        return supervised

    yield run
    for made in launchers:
        made.close()
        assert made.running == [], "hosts were not reaped"
