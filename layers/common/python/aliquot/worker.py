"""One slice of work on one task of a queue: look, do, put, hand back the rest.

    stopped epoch? -> received before? look what is answered -> supervise hosts for a slice
      -> outcomes are put as they come, each a task of the next stage of its leg
      -> look again -> hand the rest back as further tasks

A record that outlasts the slice holds nobody up: what waits behind it is handed back meanwhile.

A task may be delivered twice and a worker may vanish at any line: outcomes are unique objects and what is
answered is never taken back, so the worst is work done twice. The message is deleted by the caller, after
this returns; one that is delivered in vain again and again comes back as a dead letter, and is buried. The
same supervisor and hosts as on the user's machine.

A task that comes again may hold a record that ends the whole environment: the second time one host works and
puts its outcomes every few seconds, and from the third on what is open is sent on in halves.

Owns this order. Imports `supervisor`, `ledger`, `message`. When it is wrong, work is lost or multiplies.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from aliquot.bounds import Counts, Limits
from aliquot.keys import TOMBSTONE, ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.launch import Launcher
from aliquot.ledger import Ledger
from aliquot.message import ENDLESS, TaskMessage, hand_back
from aliquot.outcome import Failure, Outcome
from aliquot.processes import choose_reader
from aliquot.spans import SpanSet
from aliquot.supervisor import PutOutcome, Supervisor

_CAREFUL_RECEIVES, _SPLIT_RECEIVES = 2, 3
_CAREFUL_SLICE_S = 3.0
_KILLED = "its environment was killed each time that it was tried"
_NAME = f"{uuid.uuid4().hex[:8]}/"  # of the environment in which this module was imported, for reports
_TAIL_NS = 200_000_000  # from an outcome's put to the next, or to the invocation's end
_OUTLASTED_S = 1.0  # after the slice, until what waits behind a record is handed back without it


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


@dataclass(frozen=True)
class Supervised:
    """What hosts made of a task: what is left of it, what ran out of memory, counts.

    `record_s` is the worker's wall time for a record.
    """

    rest: list[Task]
    deferred: list[Task]
    record_s: float
    counts: Counts


@dataclass(frozen=True)
class Forward:
    """Where outcomes go on to: the next stage of the leg, and the rung on which its records begin."""

    stage: str
    rung: str

    def make_message(self, message: TaskMessage, key: OutcomeKey) -> TaskMessage:
        """The task that an outcome of a message's is for the next stage."""
        ahead = replace(message, stage=self.stage, rung=self.rung, spans=key.spans, source=key)
        return replace(ahead, is_alone=False, hops=message.hops + 1)


Give = Callable[[list[Task], float], None]  # tasks to hand back at once, and a record's wall time
Supervise = Callable[[Task, Limits, int, float, PutOutcome, Give | None], Supervised]


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


def supervise_hosts(launcher: Launcher, ledger: Ledger) -> Supervise:
    """What works on a task for a slice: hosts of a launcher whose job is open."""

    def supervise(
        task: Task, limits: Limits, n_hosts: int, slice_s: float, put: PutOutcome, give: Give | None
    ) -> Supervised:
        launcher.limit(limits.of_host)
        supervisor = Supervisor(
            launcher=launcher,
            n_lanes=n_hosts,
            limits=limits,
            reader=choose_reader(),
            read_object=ledger.leg.get,
            put_outcome=put,
            name=_NAME,
        )
        began_s = time.monotonic()

        def is_over() -> bool:
            taken_s = time.monotonic() - began_s
            if give is not None and taken_s >= slice_s + _OUTLASTED_S and (rest := supervisor.take_rest()):
                give(rest, taken_s / max(1, supervisor.counts.n_answered))
            return taken_s >= slice_s

        supervisor.run(OneTask(task), lambda _: False, is_over)
        record_s = (time.monotonic() - began_s) / max(1, supervisor.counts.n_answered)
        return Supervised(supervisor.leftover, supervisor.deferred, record_s, supervisor.counts)

    return supervise


class _HandBack:
    """Sends what a slice leaves, the rest behind a long record before the slice is over."""

    def __init__(
        self,
        message: TaskMessage,
        slice_s: float,
        send: Callable[[list[TaskMessage]], None],
        *,
        is_whole: bool,
    ) -> None:
        self._message, self._slice_s, self._send, self._is_whole = message, slice_s, send, is_whole
        self.n_sent = 0

    def give(self, rest: list[Task], record_s: float, climbing: Sequence[TaskMessage] = ()) -> None:
        """Hand back, before the end or at it, and send on what climbs."""
        follow_ups = hand_back(self._message, rest, record_s, self._slice_s, is_whole=self._is_whole)
        if follow_ups or climbing:
            self._send([*follow_ups, *climbing])
        self.n_sent += len(follow_ups)


def work_slice(
    message: TaskMessage,
    receives: int,
    ledger: Ledger,
    supervise: Supervise,
    allowed: WorkLimits,
    send: Callable[[list[TaskMessage]], None],
    billed_from_ns: int | None = None,
    forward: Forward | None = None,
) -> Worked:
    """Work on a task for one slice.

    Args:
        receives: how often the queue has delivered this message.
        supervise: works on a task: (task, limits, hosts, seconds, how to put an outcome, how to hand back
            before the end, None where that would be more tasks than the window allows).
        send: puts follow-up tasks into their rungs' queues; returns when they are acknowledged.
        billed_from_ns: when the invocation's bill began, on the monotonic clock; now where nobody says.
        forward: where outcomes go on to; None from a leg's last stage.
    """
    if ledger.is_stopped(message.epoch):
        return Worked()
    todo, before = message.spans, set[OutcomeKey]()
    if receives > 1:
        ledger.note_redelivery(allowed.rung)
        before = set(ledger.list_outcomes(message.stage, message.chunk))
        todo = todo - _join(before - set(ledger.list_voids()))
    if not todo:
        return Worked()
    is_whole = allowed.limits.is_whole
    if receives >= _SPLIT_RECEIVES and len(todo) > 1 and not is_whole:
        halves = [replace(message, spans=half, hops=message.hops + 1) for half in todo.take(len(todo) // 2)]
        send(halves)
        return Worked(n_follow_ups=len(halves))
    is_careful = receives >= _CAREFUL_RECEIVES
    limits = _choose_limits(message, allowed, is_careful=is_careful)
    n_hosts = 1 if is_careful or message.is_alone else allowed.n_hosts
    tell = partial(_send_on, message, forward, send)
    bill = _Bill(ledger, message.stage, allowed.rung, receives, billed_from_ns, tell)
    back = _HandBack(message, allowed.slice_s, send, is_whole=is_whole)
    give = back.give if receives == 1 and message.share == ENDLESS else None
    did = supervise(replace(message.task, spans=todo), limits, n_hosts, allowed.slice_s, bill.put, give)
    rest = did.rest
    if receives > 1:
        rest = _find_rest(rest, message, ledger, before | bill.put_keys)
    climbing = [
        replace(message, spans=task.spans, rung=allowed.next_rung, is_alone=True, share=1)
        for task in did.deferred
    ]
    back.give(rest, did.record_s, climbing)
    n_climbed = sum(len(task.spans) for task in climbing)
    counts = did.counts
    return Worked(counts.n_answered, counts.n_failed, counts.n_host_ends, back.n_sent, n_climbed)


def bury_task(
    message: TaskMessage,
    ledger: Ledger,
    send: Callable[[list[TaskMessage]], None],
    forward: Forward | None = None,
    *,
    is_whole: bool = False,
) -> int:
    """Send what is open of a dead letter again, halved; a single record becomes a tombstone.

    So do records that are only tried together (`is_whole`). Gives the number of messages sent.
    """
    if ledger.is_stopped(message.epoch):
        return 0
    gap = message.spans - find_answered(ledger, message.stage, message.chunk)
    if len(gap) == 1 or (gap and is_whole):
        failures = [Failure(index, "environment", _KILLED) for a, b in gap.spans for index in range(a, b)]
        buried = Outcome({}, {}, 0, failures)
        key = ledger.put_outcome(message.stage, message.chunk, gap, buried, 0, rung=TOMBSTONE)
        _send_on(message, forward, send, key)
        return 0
    halves = [half for half in gap.take(len(gap) // 2) if half]
    if halves:
        send([replace(message, spans=half, hops=message.hops + 1) for half in halves])
    return len(halves)


def _send_on(
    message: TaskMessage,
    forward: Forward | None,
    send: Callable[[list[TaskMessage]], None],
    key: OutcomeKey,
) -> None:
    """Send an outcome to the next stage of its leg."""
    if forward is not None:
        send([forward.make_message(message, key)])


class _Bill:
    """Puts outcomes, each with the part of the invocation's bill since the one before, and tells of them."""

    def __init__(
        self,
        ledger: Ledger,
        stage: str,
        rung: str,
        receives: int,
        from_ns: int | None,
        tell: Callable[[OutcomeKey], None],
    ) -> None:
        self._put = partial(ledger.put_outcome, stage, rung=rung, receives=receives)
        self._from_ns = time.monotonic_ns() if from_ns is None else from_ns
        self._tell = tell
        self.put_keys: set[OutcomeKey] = set()

    def put(self, chunk: ChunkId, spans: SpanSet, outcome: Outcome, _wall_ns: int) -> None:
        """Put an outcome; what follows the last one is billed as _TAIL_NS."""
        now_ns = time.monotonic_ns()
        key = self._put(chunk, spans, outcome, now_ns - self._from_ns + _TAIL_NS)
        self.put_keys.add(key)
        self._from_ns = now_ns
        self._tell(key)


def _choose_limits(message: TaskMessage, allowed: WorkLimits, *, is_careful: bool) -> Limits:
    """What hosts may take: carefully outcomes are put often; what climbed has all the memory, one by one."""
    limits = allowed.limits
    slice_s = min(limits.slice_s, _CAREFUL_SLICE_S) if is_careful else limits.slice_s
    memory_mib = limits.memory_mib * (allowed.n_hosts if message.is_alone else 1)
    threads = 1 if message.is_alone else limits.threads
    defers_memory = bool(allowed.next_rung)
    return replace(
        limits, slice_s=slice_s, memory_mib=memory_mib, defers_memory=defers_memory, threads=threads
    )


def find_answered(ledger: Ledger, stage: str, chunk: ChunkId) -> SpanSet:
    """The records of a chunk that some outcome answers for."""
    return _join(set(ledger.list_outcomes(stage, chunk)) - set(ledger.list_voids()))


def _find_rest(rest: list[Task], message: TaskMessage, ledger: Ledger, known: set[OutcomeKey]) -> list[Task]:
    """What a task that came again hands back: what is open, or nothing where somebody else is at it.

    An outcome of these records that came in meanwhile, and not from here, is of another delivery of the same
    task, or of what that one handed back: it sees to the rest. Were the rest handed back twice, everything
    down the chain would be done twice. (Should the other end just then, a tally finds the gap.)

    Args:
        known: outcomes that were there before, or are from here.
    """
    outcomes = set(ledger.list_outcomes(message.stage, message.chunk))
    if any(outcome.spans & message.spans for outcome in outcomes - known):
        return []
    answered = _join(outcomes - set(ledger.list_voids()))
    return [replace(task, spans=task.spans - answered) for task in rest]


def _join(outcomes: Iterable[OutcomeKey]) -> SpanSet:
    """The records that some of these answer for."""
    return SpanSet.of(span for outcome in outcomes for span in outcome.spans.spans)
