"""A host: the process that a job lives in. It reads frames, does steps, and answers; it decides nothing.

Frames it takes (docs/host-protocol.md): `prepare`, `open`, `chunk`, `step`; the end of its input ends it. A
host that its supervisor lost is ended by a timer that is armed while a record is at hand, so it outlives
its supervisor by a record's deadline and a second at most. A host of several threads, one whose records wait
for turns and one of an `async` function hands its steps to a `crew`.

`python -m aliquot.host PAGE_FD SLOT` speaks on its standard input and output, which the job cannot reach:
what the job prints goes to standard error. A host forked from the zygote runs `serve` on pipes of its own.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aliquot.attempt import JobBroken, Step
from aliquot.chunk import ChunkReader
from aliquot.crew import Crew, note_awake, read_awake
from aliquot.errors import CodecError, JobError, Unencodable, UsageError
from aliquot.failing import describe_failure, describe_traceback
from aliquot.feeding import Feed, GroupFeed, RecordFeed, RowFeed, TableFeed, answer_rows
from aliquot.frames import Frame, read_frame, write_frame
from aliquot.job import Call, Job, Stage, Stages
from aliquot.keys import ChunkId
from aliquot.loading import (
    JobSpec,
    digest_code,
    find_stage,
    is_async,
    list_columns,
    load_job,
    make_options,
    read_versions,
)
from aliquot.looping import LEAD_NS, Awaited
from aliquot.outcome import OutcomeReader
from aliquot.outlet import Outlet
from aliquot.pace import Pace
from aliquot.page import AT_NS, NO_RECORD_NS, Page
from aliquot.processes import choose_reader, end_with_parent, has_gil, limit_own_memory
from aliquot.rows import Block
from aliquot.whole import WholeStep

_GRACE_S = 0.5


@dataclass(frozen=True)
class OpenJob:
    """A stage of a job that is ready to take records.

    Args:
        call: what its `open` returned; of rows of the stage before, made to take lists of them.
        stages: the job's chain.
        place: of the stage in it.
        awaited: what is behind `call` where that is `async`; it has a loop to be started.
    """

    job: Job
    call: Call
    stages: Stages
    place: int
    awaited: Awaited | None = None

    @property
    def stage(self) -> Stage:
        """The stage."""
        return self.stages[self.place]

    @property
    def columns(self) -> tuple[str, ...]:
        """Declared columns of a row, empty where rows are dicts."""
        return list_columns(self.job, self.stages, self.place)

    @property
    def exchanged_by(self) -> str:
        """The column by which its rows go on, empty where they are not exchanged."""
        return self.stages[self.place + 1].exchange if self.place + 1 < len(self.stages) else ""

    def feed(self, chunk: ChunkId, body: bytes) -> Feed:
        """What an object holds for this stage; raises Undecodable."""
        if self.stage.whole:
            return TableFeed(ChunkReader(body, chunk))
        if not self.place:
            return RecordFeed(ChunkReader(body, chunk), self.job.reads)
        before = self.stages[self.place - 1]
        if self.stage.exchange:
            return GroupFeed(ChunkReader(body, chunk, opens=True), before.writes)
        return RowFeed(OutcomeReader(body, opens=True), before.writes, before.name, before.origin)


@dataclass(frozen=True)
class HostLimits:
    """What ends a host, seconds on one record and MiB of private memory; and in how many threads it works.

    Args:
        keeps_all: rows that cannot be among the best stay, as whoever compares rows wants them.
        rate_per_s: records that all hosts of a page begin a second; 0 for no limit.
        retries: how often a record is tried again; None for as often as its stage says.
    """

    record_timeout_s: float
    memory_mib: int
    threads: int = 1
    keeps_all: bool = False
    rate_per_s: float = 0.0
    retries: int | None = None


def prepare_job(spec: JobSpec) -> Frame:
    """Run the job's `prepare`; the frame says that it is done, or how it failed."""
    try:
        job = load_job(spec)
        if job.prepare is not None:
            job.prepare(make_options(job, spec.options), Path(spec.prepared))
    except BaseException as err:  # noqa: BLE001 - the boundary to the job's code
        return describe_refusal(err)
    return {"op": "prepared", "cpu_ns": time.process_time_ns()}


def open_job(spec: JobSpec) -> tuple[OpenJob | None, Frame]:
    """Open the job; the frame carries its code's digest and versions, or how it failed."""
    try:
        job = load_job(spec)
        options = make_options(job, spec.options)
        place, stages = find_stage(job, options, spec.stage)
        call, awaited = _make_call(job, stages[place], options, Path(spec.prepared))
        if place and not stages[place].exchange:
            call = answer_rows(call, list_columns(job, stages, place))
        said: Frame = {"op": "opened", "code": digest_code(spec.address), "versions": read_versions(job)}
        said |= {"threads": stages[place].threads, "step_ms": round(stages[place].step_s * 1000)}
        said |= {"gil": has_gil(), "cpu_ns": time.process_time_ns()}
        return OpenJob(job, call, stages, place, awaited), said
    except BaseException as err:  # noqa: BLE001 - the boundary to the job's code
        return None, describe_refusal(err)


def _make_call(job: Job, stage: Stage, options: Any, prepared: Path) -> tuple[Call, Awaited | None]:
    """What a stage's `open` returns as a function of records, and the loop behind it; raises JobError."""
    opened: Any = stage.open(options, prepared)
    if inspect.iscoroutine(opened):
        opened.close()
        raise JobError(job.name, "`open` of a stage is `async`: what it returns may be, itself it may not")
    if is_async(opened):
        if stage.whole:
            raise JobError(
                job.name, f"stage {stage.name!r} takes chunks whole, by a function that is not `async`"
            )
        awaited = Awaited(opened)
        return awaited, awaited
    return opened, None


def describe_refusal(err: BaseException) -> Frame:
    """The frame that carries an error of `prepare` or `open` to the supervisor.

    A usage error travels with its class and arguments, so that it is raised there as it was here.
    """
    if isinstance(err, UsageError) and type(err).__module__ == "aliquot.errors":
        plain = [arg if isinstance(arg, str | int | float | list | tuple) else str(arg) for arg in err.args]
        return {"op": "failed", "error": type(err).__name__, "args": plain}
    return {"op": "failed", "error": "", "args": [describe_failure(0, err).message, describe_traceback(err)]}


class Host:
    """Answers frames on two blocking pipes, for one opened job; steps in as many threads as it has slots.

    Args:
        pace: that records keep; None where they need none.
    """

    def __init__(
        self,
        opened: OpenJob,
        limits: HostLimits,
        slots: Sequence[memoryview],
        to_supervisor: int,
        pace: Pace | None = None,
    ) -> None:
        self._opened, self._limits, self._slots, self._out = opened, limits, slots, to_supervisor
        self._pace = pace
        self._retries = opened.stage.retries if limits.retries is None else limits.retries
        self._feed: Feed | None = None
        self._seq = 0
        self._outlet = self._make_outlet()
        self._lock = threading.Lock()  # of the pipe, and of the timer
        self._n_busy = 0
        self._counted_cpu_ns = 0

    def answer(self, frame: Frame) -> None:
        """Do what a frame asks and write what it answers."""
        if frame["op"] == "chunk":
            try:
                chunk = ChunkId.parse(frame["chunk"])
                self._feed, self._seq = self._opened.feed(chunk, frame["body"]), chunk.seq
            except CodecError as err:
                self._write({"op": "broken", "chunk": frame["chunk"], "reason": str(err)})
        elif frame["op"] == "step":
            self._write(self._try_step(frame))

    def _write(self, frame: Frame) -> None:
        with self._lock:
            write_frame(self._out, frame)

    def _try_step(self, frame: Frame) -> Frame:
        """The answer to a step, or how the job failed before it took a record."""
        thread = frame["thread"]
        slot = self._slots[thread]
        with self._lock:
            if not self._n_busy:
                self._counted_cpu_ns = time.process_time_ns()
            self._n_busy += 1
        if self._opened.awaited is not None:
            self._opened.awaited.enter(thread)
        try:
            return {
                **self._run_step(slot, frame["first"], frame["end"], frame["budget_ms"]),
                "thread": thread,
            }
        except JobBroken as err:
            return describe_refusal(err.__cause__ or err)
        finally:
            slot[AT_NS] = NO_RECORD_NS  # the supervisor may take its time to read
            self._disarm()

    def _run_step(self, slot: memoryview, first: int, end: int, budget_ms: int) -> Frame:
        started_ns = time.monotonic_ns()
        feed = self._feed
        assert feed is not None  # noqa: S101 - a chunk comes before its steps
        step = (WholeStep if self._opened.stage.whole else Step)(
            call=self._opened.call,
            records=feed.records,
            bad=feed.bad,
            columns=self._opened.columns,
            slot=slot,
            stop_ns=started_ns + budget_ms * 1_000_000,
            arm=self._arm,
            retry=self._opened.stage.retry,
            retries=self._retries,
            timeout_s=self._limits.record_timeout_s,
            lead_ns=0 if self._opened.awaited is None else LEAD_NS,
            pace=self._pace,
            check=lambda block: self._outlet.check(block, feed.list_origins),
        )
        block = self._choose(step.run(first, end))
        try:
            part = block.pack()
        except Unencodable:
            block = step.fail_unencodable()
            self._outlet = self._make_outlet()  # which counts on rows that are none now
            part = block.pack()
        return {
            "op": "answer",
            "first": first,
            "end": step.at,
            "block": [part.stored, part.crc, part.plain_bytes],
            "rows": block.n_rows,
            "kinds": {name: sorted(kinds) for name, kinds in block.kinds().items()},
            "failures": [failure.to_row() for failure in step.failures],
            "retries": step.n_retries,
            "spread": step.spread.to_plain(),
            "wall_ns": max(0, time.monotonic_ns() - started_ns - step.waited_ns),
            "cpu_ns": self._count_cpu_ns(),
        }

    def _count_cpu_ns(self) -> int:
        """What all threads of the process have used since the last time, those that the job started too."""
        with self._lock:
            before_ns, self._counted_cpu_ns = self._counted_cpu_ns, time.process_time_ns()
            return self._counted_cpu_ns - before_ns

    def _make_outlet(self) -> Outlet:
        goes_on = self._opened.place + 1 < len(self._opened.stages)
        return Outlet(self._opened.stage, self._opened.exchanged_by, goes_on=goes_on)

    def _choose(self, block: Block) -> Block:
        """The rows that go on to the next stage."""
        if self._limits.keeps_all:
            return block
        with self._lock:  # what the best are is known in one place
            return self._outlet.keep(block, self._seq)

    def _arm(self, wait_s: float) -> None:
        """Have the kernel end this host a record's deadline after `wait_s`, should nobody else do it.

        Of several threads the last to begin a record counts: while they do, Python is awake, and hears of the
        end of its pipe.
        """
        signal.setitimer(signal.ITIMER_REAL, wait_s + self._limits.record_timeout_s + _GRACE_S)

    def _disarm(self) -> None:
        with self._lock:
            self._n_busy -= 1
            if not self._n_busy:
                signal.setitimer(signal.ITIMER_REAL, 0)


def serve(
    opened: OpenJob, limits: HostLimits, page: Page, slot: int, from_supervisor: int, to_supervisor: int
) -> None:
    """Answer frames until the supervisor closes the pipe or is gone.

    Args:
        slot: the host's first one on the page; its threads have one each.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    slots = page.slots(slot, limits.threads)
    pace = Pace(page, limits.rate_per_s) if limits.rate_per_s else None
    host = Host(opened, limits, slots, to_supervisor, pace)
    if limits.threads > 1 or pace is not None or opened.awaited is not None:
        crew = Crew(host.answer, limits.threads)  # before the limit: their stacks are mapped, and hardly used
        if opened.awaited is not None:
            opened.awaited.start(slots, limits.record_timeout_s)
        limit_own_memory(limits.memory_mib, choose_reader())
        note = partial(note_awake, slots[0]) if opened.awaited is None else None  # else its loop does
        while (frame := read_awake(from_supervisor, note)) is not None:
            crew.take(frame)
        os._exit(0)  # whatever its threads are at
    limit_own_memory(limits.memory_mib, choose_reader())
    with suppress(BrokenPipeError):  # the supervisor is gone, and with it whoever would read
        while (frame := read_frame(from_supervisor)) is not None:
            host.answer(frame)


def main(arguments: list[str]) -> None:
    """A host of its own process: the first frame opens the job (or prepares it), the others are work."""
    with suppress(BrokenPipeError):  # the supervisor is gone, and with it whoever would read
        _answer_frames(*(int(argument) for argument in arguments))


def _answer_frames(page_fd: int, slot_number: int) -> None:
    end_with_parent(os.getppid())  # while it opens the job it hears nothing of a closed pipe
    from_supervisor, to_supervisor = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    while (frame := read_frame(from_supervisor)) is not None:
        spec = JobSpec.from_plain(frame["spec"])
        if frame["op"] == "prepare":
            write_frame(to_supervisor, prepare_job(spec))
            continue
        opened, said = open_job(spec)
        write_frame(to_supervisor, said)
        if opened is not None:
            limits = HostLimits(**frame["limits"])
            serve(opened, limits, Page(page_fd), slot_number, from_supervisor, to_supervisor)
        return


if __name__ == "__main__":
    main(sys.argv[1:])
