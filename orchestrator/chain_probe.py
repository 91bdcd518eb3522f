"""What the stages behind the first take of a sample: the rows that it gave, run through the chain.

    outcomes of the first stage -> a ledger in a temporary folder -> stage by stage, exchanges between legs
      -> wall time and memory of each stage

Owns that small run. Imports the local backend's exchange and the core's supervisor. When it is wrong, plans
count the first stage of a chain alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aliquot.bounds import Counts, Limits
from aliquot.chunk import Chunk
from aliquot.exchange import read_index
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import SpawnLauncher
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec
from aliquot.open_work import find_open_work
from aliquot.outcome import Outcome
from aliquot.page import Page
from aliquot.processes import choose_reader
from aliquot.spans import SpanSet
from aliquot.stages import Leg, StageNote
from aliquot.store import FolderStore
from aliquot.supervisor import Supervisor
from orchestrator.forecast.exchanges import Exchanged
from orchestrator.local.crossing import cross
from orchestrator.local.tasks import LocalTasks

Answered = Sequence[tuple[SpanSet, Outcome, int]]
SpecOf = Callable[[str], JobSpec]


@dataclass
class Rest:
    """What the stages behind the first took of a sample.

    Attributes:
        wall_s: by stage, of one host.
        peak_mib: the most private memory of a host that was seen.
        exchanges: what went from leg to leg.
    """

    wall_s: dict[str, float] = field(default_factory=dict)
    peak_mib: int = 0
    exchanges: list[Exchanged] = field(default_factory=list)

    @property
    def total_s(self) -> float:
        """Of all these stages."""
        return sum(self.wall_s.values())


def run_rest(
    spec_of: SpecOf,
    limits_of: Callable[[StageNote], Limits],
    legs: Sequence[Leg],
    chunk: Chunk,
    answered: Answered,
    folder: Path,
) -> Rest:
    """Run what the first stage gave through the others.

    Args:
        spec_of: how a stage of the job is opened.
        limits_of: a stage's host may take; `slice_s` bounds each stage.
        answered: outcomes of the first stage over the chunk.
        folder: that this may fill.
    Raises:
        UsageError: a stage cannot be opened.
    """
    rest, ledger = Rest(), Ledger(FolderStore(folder))
    sample = ChunkId(0, chunk.n_records)
    ledger.put_chunk(sample, chunk.to_bytes())
    ledger.seal(1, sample.n_records)
    for spans, outcome, wall_ns in answered:
        ledger.put_outcome(legs[0].first.name, sample, spans, outcome, wall_ns)
    for leg in legs:
        names = [stage.name for stage in leg.stages]
        for place, stage in enumerate(leg.stages):
            if leg.number or place:
                work = find_open_work(ledger, names, ledger.list_chunks())
                tasks = list(work.todo[place])
                _run_stage(spec_of(stage.name), limits_of(stage), ledger, stage.name, tasks, rest)
        if leg is not legs[-1]:
            behind = legs[leg.number + 1]
            ledger = cross(ledger, leg, behind, 0, lambda: None)
            runs = read_index(ledger).runs
            n_rows, n_bytes = sum(run.n_rows for run in runs), sum(run.plain_bytes for run in runs)
            rest.exchanges.append(Exchanged(behind.first.name, n_rows, n_bytes))
    return rest


def _run_stage(
    spec: JobSpec, limits: Limits, ledger: Ledger, stage: str, tasks: list[Task], rest: Rest
) -> None:
    """Run a stage's tasks on one host, for a bounded time, and note what it took."""

    def put(chunk: ChunkId, spans: SpanSet, outcome: Outcome, wall_ns: int) -> None:
        ledger.put_outcome(stage, chunk, spans, outcome, wall_ns)
        rest.wall_s[stage] = rest.wall_s.get(stage, 0.0) + wall_ns / 1e9
        rest.peak_mib = max(rest.peak_mib, outcome.peak_mib)

    page = Page.create()
    launcher = SpawnLauncher(spec, limits.of_host, page)
    supervisor = Supervisor(
        launcher=launcher,
        n_lanes=1,
        limits=limits,
        reader=choose_reader(),
        read_object=ledger.leg.view,
        put_outcome=put,
    )
    end_s = time.monotonic() + limits.slice_s

    def is_late(counts: Counts) -> bool:
        return counts.n_answered > 0 and time.monotonic() > end_s

    try:
        supervisor.run(LocalTasks(tasks), is_late)
    finally:
        launcher.abort()
        page.close()
