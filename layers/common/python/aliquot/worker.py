"""One slice of work on one task of a queue: look, do, put, hand back the rest.

    stopped epoch? -> received before? look what is answered -> supervise hosts for a slice
      -> outcomes are put as they come -> look again -> hand the rest back as further tasks

A task may be delivered twice and a worker may vanish at any line: outcomes are unique objects and what is
answered is never taken back, so the worst is work done twice. The message is deleted by the caller, after
this returns. The same supervisor and hosts as on the user's machine.

A task that comes again may hold a record that ends the whole environment: the second time one host works and
puts its outcomes every few seconds, and from the third on what is open is sent on in halves.

Owns this order. Imports `supervisor`, `ledger`, `message`. When it is wrong, work is lost or multiplies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from aliquot.host import HostLimits
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import Launcher
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage, hand_back
from aliquot.outcome import Outcome
from aliquot.processes import choose_reader
from aliquot.spans import SpanSet
from aliquot.supervisor import Limits, Supervisor

_CAREFUL_RECEIVES, _SPLIT_RECEIVES = 2, 3
_CAREFUL_SLICE_S = 3.0
_TAIL_NS = 200_000_000  # from an outcome's put to the next, or to the invocation's end


@dataclass(frozen=True)
class WorkLimits:
    """What a worker of a rung allows.

    Args:
        rung: the memory rung's name.
        n_hosts: hosts side by side; a task that climbed to this rung has one, with the memory of all.
        next_rung: where records go that ran out of memory here; empty on the top rung, where they are filed.
        slice_s: how long it works before it hands back.
        limits: of records and hosts.
    """

    rung: str
    n_hosts: int
    slice_s: float
    limits: Limits
    next_rung: str = ""


@dataclass(frozen=True)
class Worked:
    """What one slice did; all 0 where there was nothing to do."""

    n_answered: int = 0
    n_failed: int = 0
    n_host_ends: int = 0
    n_follow_ups: int = 0
    n_climbed: int = 0


class OneTask:
    """A task source of one task."""

    def __init__(self, task: Task) -> None:
        self._task: Task | None = task

    def next_task(self) -> Task | None:
        """The task, once."""
        task, self._task = self._task, None
        return task

    @property
    def is_exhausted(self) -> bool:
        """Whether it was taken."""
        return self._task is None


def work_slice(
    message: TaskMessage,
    receives: int,
    ledger: Ledger,
    launcher: Launcher,
    allowed: WorkLimits,
    send: Callable[[list[TaskMessage]], None],
    billed_from_ns: int | None = None,
) -> Worked:
    """Work on a task for one slice.

    Args:
        receives: how often the queue has delivered this message.
        launcher: its job is open.
        send: puts follow-up tasks into their rungs' queues; returns when they are acknowledged.
        billed_from_ns: when the invocation's bill began, on the monotonic clock; now where nobody says.
    """
    if ledger.is_stopped(message.epoch):
        return Worked()
    todo = message.spans
    if receives > 1:
        ledger.note_redelivery(allowed.rung)
        todo = todo - find_answered(ledger, message.stage, message.chunk)
    if not todo:
        return Worked()
    if receives >= _SPLIT_RECEIVES and len(todo) > 1:
        halves = [replace(message, spans=half, hops=message.hops + 1) for half in todo.take(len(todo) // 2)]
        send(halves)
        return Worked(n_follow_ups=len(halves))
    is_careful = receives >= _CAREFUL_RECEIVES
    limits = _choose_limits(message, allowed, is_careful=is_careful)
    launcher.limit(HostLimits(limits.record_timeout_s, limits.memory_mib))
    supervisor = Supervisor(
        launcher=launcher,
        n_lanes=1 if is_careful or message.is_alone else allowed.n_hosts,
        limits=limits,
        reader=choose_reader(),
        read_chunk=lambda chunk: ledger.store.get(chunk.key),
        put_outcome=_Bill(ledger, message.stage, allowed.rung, receives, billed_from_ns).put,
    )
    until_s = time.monotonic() + allowed.slice_s
    supervisor.run(OneTask(Task(message.chunk, todo)), lambda _: False, lambda: time.monotonic() >= until_s)
    rest = supervisor.leftover
    if receives > 1:
        answered = find_answered(ledger, message.stage, message.chunk)
        rest = [Task(task.chunk, task.spans - answered) for task in rest]
    follow_ups = hand_back(message, rest, supervisor.record_s, allowed.slice_s)
    if follow_ups:
        send(follow_ups)
    climbing = [
        replace(message, spans=task.spans, rung=allowed.next_rung, is_alone=True, share=1)
        for task in supervisor.deferred
    ]
    if climbing:
        send(climbing)
    counts = supervisor.counts
    n_climbed = sum(len(task.spans) for task in climbing)
    return Worked(counts.n_answered, counts.n_failed, counts.n_host_ends, len(follow_ups), n_climbed)


class _Bill:
    """Puts outcomes, each with the part of the invocation's bill since the one before."""

    def __init__(self, ledger: Ledger, stage: str, rung: str, receives: int, from_ns: int | None) -> None:
        self._put = partial(ledger.put_outcome, stage, rung=rung, receives=receives)
        self._from_ns = time.monotonic_ns() if from_ns is None else from_ns

    def put(self, chunk: ChunkId, spans: SpanSet, outcome: Outcome, _wall_ns: int) -> None:
        """Put an outcome; what follows the last one is billed as _TAIL_NS."""
        now_ns = time.monotonic_ns()
        self._put(chunk, spans, outcome, now_ns - self._from_ns + _TAIL_NS)
        self._from_ns = now_ns


def _choose_limits(message: TaskMessage, allowed: WorkLimits, *, is_careful: bool) -> Limits:
    """What hosts may take: carefully outcomes are put often, and a record that climbed has all the memory."""
    limits = allowed.limits
    slice_s = min(limits.slice_s, _CAREFUL_SLICE_S) if is_careful else limits.slice_s
    memory_mib = limits.memory_mib * (allowed.n_hosts if message.is_alone else 1)
    return replace(limits, slice_s=slice_s, memory_mib=memory_mib, defers_memory=bool(allowed.next_rung))


def find_answered(ledger: Ledger, stage: str, chunk: ChunkId) -> SpanSet:
    """The records of a chunk that some outcome answers for."""
    voided = {outcome for outcome in ledger.list_voids() if outcome.chunk == chunk}
    outcomes = (outcome for outcome in ledger.list_outcomes(stage, chunk) if outcome not in voided)
    return SpanSet.of(span for outcome in outcomes for span in outcome.spans.spans)
