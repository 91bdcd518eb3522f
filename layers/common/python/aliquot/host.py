"""A host: the process that a job lives in. It reads frames, does steps, and answers; it decides nothing.

Frames it takes (docs/host-protocol.md): `prepare`, `open`, `chunk`, `step`; the end of its input ends it. A
host that its supervisor lost is ended by a timer that is armed while a record is at hand, so it outlives
its supervisor by a record's deadline and a second at most. A host of several threads hands its steps to a
`crew`.

`python -m aliquot.host PAGE_FD SLOT` speaks on its standard input and output, which the job cannot reach:
what the job prints goes to standard error. A host forked from the zygote runs `serve` on pipes of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from aliquot.attempt import Call, JobBroken, Records, Step, describe_failure, describe_traceback
from aliquot.chunk import ChunkReader
from aliquot.crew import Crew, read_awake
from aliquot.errors import CodecError, Unencodable, UsageError
from aliquot.frames import Frame, read_frame, write_frame
from aliquot.job import Job
from aliquot.keys import ChunkId
from aliquot.loading import JobSpec, digest_code, load_job, make_options, read_versions
from aliquot.page import AT_NS, NO_RECORD_NS, Page
from aliquot.processes import choose_reader, end_with_parent, limit_own_memory

_GRACE_S = 0.5


@dataclass(frozen=True)
class OpenJob:
    """A job that is ready to take records."""

    job: Job
    call: Call

    @property
    def columns(self) -> tuple[str, ...]:
        """Declared columns of a row, empty where rows are dicts."""
        return self.job.writes._fields if self.job.writes else ()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class HostLimits:
    """What ends a host, seconds on one record and MiB of private memory; and in how many threads it works."""

    record_timeout_s: float
    memory_mib: int
    threads: int = 1


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
        opened = OpenJob(job, job.stage.open(make_options(job, spec.options), Path(spec.prepared)))
        said = {"op": "opened", "code": digest_code(spec.address), "versions": read_versions(job)}
        return opened, {**said, "threads": job.stage.threads, "cpu_ns": time.process_time_ns()}
    except BaseException as err:  # noqa: BLE001 - the boundary to the job's code
        return None, describe_refusal(err)


def describe_refusal(err: BaseException) -> Frame:
    """The frame that carries an error of `prepare` or `open` to the supervisor.

    A usage error travels with its class and arguments, so that it is raised there as it was here.
    """
    if isinstance(err, UsageError) and type(err).__module__ == "aliquot.errors":
        plain = [arg if isinstance(arg, str | int | float | list | tuple) else str(arg) for arg in err.args]
        return {"op": "failed", "error": type(err).__name__, "args": plain}
    return {"op": "failed", "error": "", "args": [describe_failure(0, err).message, describe_traceback(err)]}


class Host:
    """Answers frames on two blocking pipes, for one opened job; steps in as many threads as it has slots."""

    def __init__(
        self, opened: OpenJob, limits: HostLimits, slots: Sequence[memoryview], to_supervisor: int
    ) -> None:
        self._opened, self._limits, self._slots, self._out = opened, limits, slots, to_supervisor
        self._records: Records = lambda *_: iter(())
        self._bad: dict[int, str] = {}
        self._lock = threading.Lock()  # of the pipe, and of the timer
        self._n_busy = 0
        # of all its threads, those that the job started too, where that is one step's
        self._read_cpu_ns = time.process_time_ns if len(slots) == 1 else time.thread_time_ns

    def answer(self, frame: Frame) -> None:
        """Do what a frame asks and write what it answers."""
        if frame["op"] == "chunk":
            try:
                self._load(ChunkReader(frame["body"], ChunkId.parse(frame["chunk"])))
            except CodecError as err:
                self._write({"op": "broken", "chunk": frame["chunk"], "reason": str(err)})
        elif frame["op"] == "step":
            self._write(self._try_step(frame))

    def _write(self, frame: Frame) -> None:
        with self._lock:
            write_frame(self._out, frame)

    def _load(self, reader: ChunkReader) -> None:
        reads = self._opened.job.reads
        names = reader.column_names
        columns = [reader.column(name) for name in names]
        self._bad = {index: row.reason for index, row in reader.bad().items()}

        def dict_records(first: int, end: int) -> Iterator[Any]:
            return map(dict, map(zip, repeat(names), _rows_of(columns, first, end)))

        def tuple_records(first: int, end: int) -> Iterator[Any]:
            make = reads._make  # type: ignore[union-attr]
            return map(make, _rows_of(columns, first, end))

        self._records = tuple_records if reads is not None else dict_records

    def _try_step(self, frame: Frame) -> Frame:
        """The answer to a step, or how the job failed before it took a record."""
        thread = frame["thread"]
        slot = self._slots[thread]
        with self._lock:
            self._n_busy += 1
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
        started_ns, started_cpu_ns = time.monotonic_ns(), self._read_cpu_ns()
        step = Step(
            call=self._opened.call,
            records=self._records,
            bad=self._bad,
            columns=self._opened.columns,
            slot=slot,
            stop_ns=started_ns + budget_ms * 1_000_000,
            arm=self._arm,
            retry=self._opened.job.stage.retry,
        )
        block = step.run(first, end)
        try:
            part = block.pack()
        except Unencodable:
            block = step.fail_unencodable()
            part = block.pack()
        return {
            "op": "answer",
            "first": first,
            "end": step.at,
            "block": [part.stored, part.crc, part.plain_bytes],
            "rows": block.n_rows,
            "kinds": {name: sorted(kinds) for name, kinds in block.kinds().items()},
            "failures": [[f.index, f.kind, f.message, f.traceback] for f in step.failures],
            "wall_ns": time.monotonic_ns() - started_ns,
            "cpu_ns": self._read_cpu_ns() - started_cpu_ns,
        }

    def _arm(self) -> None:
        """Have the kernel end this host a record's deadline from now, should nobody else do it.

        Of several threads the last to begin a record counts: while they do, Python is awake, and hears of the
        end of its pipe.
        """
        signal.setitimer(signal.ITIMER_REAL, self._limits.record_timeout_s + _GRACE_S)

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
    host = Host(opened, limits, slots, to_supervisor)
    if limits.threads > 1:
        crew = Crew(host.answer, limits.threads)  # before the limit: their stacks are mapped, and hardly used
        limit_own_memory(limits.memory_mib, choose_reader())
        while (frame := read_awake(from_supervisor, slots[0])) is not None:
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


def _rows_of(columns: list[list[Any]], first: int, end: int) -> Iterator[tuple[Any, ...]]:
    return zip(*(column[first:end] for column in columns), strict=True)


if __name__ == "__main__":
    main(sys.argv[1:])
