"""A lane: one host and the slice of a chunk that it works on, as the supervisor keeps them.

A lane holds which records are still to be sent, which are with the host, which must run alone, and what has
been answered so far; `take_outcomes` turns the latter into outcomes. A host of several threads is sent a step
for each of them: a `Hand` holds what is with one. It decides how far the next step goes and whom a host's
death is blamed on; it does no I/O but through its host.

Owns that bookkeeping. When it is wrong, a record is done twice, or never.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from aliquot.envelope import Part
from aliquot.frames import Frame
from aliquot.job import LONGEST_STEP_S, STEP_S
from aliquot.keys import ChunkId, OutcomeKey, fits_in_key
from aliquot.launch import HostProcess
from aliquot.outcome import Failure, Outcome
from aliquot.page import ANSWERED, AT_NS, AWAKE_NS, NO_RECORD_NS, READ
from aliquot.protocol import NO_SPREAD
from aliquot.spans import Span, SpanSet
from aliquot.trace import Spread, Trace

NOTHING = SpanSet()
_AWAKE_S = 1.0  # a host of several threads notes ten times a second that it is awake
_LONGER = 3
_GROWTH = 4  # a step is at most this many times the one before: the first records tell what they cost


@dataclass(frozen=True, slots=True)
class Task:
    """A request for the records `spans` of a chunk.

    Args:
        source: the outcome of the stage before that holds their rows; None in a leg's first stage.
    """

    chunk: ChunkId
    spans: SpanSet
    source: OutcomeKey | None = None

    @property
    def key(self) -> str:
        """The object that the work is in."""
        return self.chunk.key if self.source is None else str(self.source)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one step, or the failure of a record that the supervisor filed itself.

    Args:
        first: where its block begins.
        spans: the records that count as answered.
        kinds: kinds of value by column, in the columns' order.
    """

    first: int
    spans: SpanSet
    block: Part | None
    kinds: Mapping[str, Iterable[str]]
    failures: list[Failure]
    n_rows: int = 0
    wall_ns: int = 0
    cpu_ns: int = 0
    n_retries: int = 0
    spread: Spread = field(default_factory=Spread)


@dataclass
class Slice:
    """What a lane has answered since its last outcomes."""

    started_s: float
    answers: list[Answered] = field(default_factory=list)
    stored_bytes: int = 0


@dataclass(frozen=True)
class Attempted:
    """An outcome with the records that it answers for, and the wall time that the host took."""

    spans: SpanSet
    outcome: Outcome
    wall_ns: int


@dataclass
class Hand:
    """One thread of a lane's host, and the records that are with it."""

    number: int
    sent: Span | None = None
    sent_s: float = 0.0
    is_alone: bool = False  # it has a suspect, and no other hand has anything


@dataclass
class Lane:
    """One host's place at the supervisor's table."""

    number: int
    hands: tuple[Hand, ...] = field(default_factory=lambda: (Hand(0),))
    step_s: float = STEP_S
    host: HostProcess | None = None
    chunk: ChunkId | None = None
    source: OutcomeKey | None = None  # where the rows of the stage before lie
    loaded: str = ""  # the key of the object that the host holds
    load_s: float = 0.0  # about what giving a host that object takes
    todo: SpanSet = NOTHING
    suspects: SpanSet = NOTHING
    slice: Slice = field(default_factory=lambda: Slice(0.0))
    record_s: float | None = None  # estimate of one record's wall time in its thread
    last_step: int = 0
    n_steps: int = 0  # of this host
    n_shared_steps: int = 0  # steps of this host that were not of one suspect alone
    start_mib: float = 0.0  # private memory when the step began
    birth_mib: float = 0.0  # private memory of the new host
    file_mib: float = 0.0  # resident library pages of the new host
    is_open: bool = False  # the host has opened the job
    peak_mib: float = 0.0
    n_barren: int = 0  # hosts in a row that died before they read a record
    is_whole: bool = False  # the records of a task go to the host together, and stand or fall together
    doom: Failure | None = None  # why the supervisor killed the host, index not yet known
    late: tuple[SpanSet, ...] = ()  # at a deadline: what was at hand in threads late by themselves

    @property
    def sent(self) -> dict[int, Span]:
        """The records that are with the host, by thread."""
        return {hand.number: hand.sent for hand in self.hands if hand.sent is not None}

    @property
    def is_busy(self) -> bool:
        """Whether anything is with the host."""
        return any(hand.sent is not None for hand in self.hands)

    def is_working(self, now_ns: int) -> bool:
        """Whether anything is with the host but records that wait for their turn to begin."""
        return any(not self._waits(hand, now_ns) for hand in self.hands if hand.sent is not None)

    @property
    def has_more(self) -> bool:
        """Whether anything is left to send."""
        return bool(self.todo or self.suspects)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is with the host and nothing is left to send."""
        return not self.has_more and not self.is_busy

    @property
    def left_s(self) -> float:
        """Estimated wall time of what has not been sent; infinite while nothing is known."""
        if not self.todo:
            return 0.0
        return math.inf if self.record_s is None else len(self.todo) * self.record_s / len(self.hands)

    @property
    def free_hand(self) -> Hand | None:
        """A hand that a step may be sent to, None where there is none now: a suspect is alone in its host."""
        if self.host is not None and self.doom is not None:
            return None  # it was killed, and its end is not heard of yet
        if self.is_busy and (self.suspects or any(hand.is_alone for hand in self.hands)):
            return None
        return next((hand for hand in self.hands if hand.sent is None), None)

    @property
    def key(self) -> str:
        """The object that holds what the lane is at."""
        return self.make_task(self.todo).key

    def make_task(self, spans: SpanSet) -> Task:
        """A task for other records of what the lane is at."""
        assert self.chunk is not None  # noqa: S101 - it has a task
        return Task(self.chunk, spans, self.source)

    def begin(self, task: Task, now_s: float) -> None:
        """Take on a task."""
        self.chunk, self.todo, self.source = task.chunk, task.spans, task.source
        self.slice = Slice(now_s)

    def next_span(self) -> Span:
        """The records to send next: one suspect alone, or about `step_s` of what is to do.

        Towards the end a thread is sent no more than its share, so that none is left with work alone.
        """
        if self.is_whole:
            return (self.suspects or self.todo).spans[0]
        if self.suspects:
            first = self.suspects.spans[0][0]
            return (first, first + 1)
        first, end = self.todo.spans[0]
        if self.record_s is None:
            return (first, first + 1)
        wanted = math.ceil(round(self.choose_step_s() / max(self.record_s, 1e-9), 6))
        if len(self.hands) > 1:
            wanted = min(wanted, math.ceil(len(self.todo) / len(self.hands)))
        return (first, min(end, first + max(1, min(wanted, self.last_step * _GROWTH))))

    def choose_step_s(self) -> float:
        """How long the next step is to be: thrice `step_s` while twice as much is left for each thread.

        Between two steps a thread idles for 1 to 3 ms; at the end short ones keep hosts in balance.
        """
        long_s = min(_LONGER * self.step_s, LONGEST_STEP_S)
        is_far = self.record_s is not None and self.left_s >= 2 * long_s
        return long_s if is_far else self.step_s

    def mark_sent(self, hand: Hand, span: Span, now_s: float) -> None:
        """Note that a span is with the host."""
        sent = SpanSet.of([span])
        self.n_steps += 1
        hand.is_alone = bool(self.suspects)
        self.n_shared_steps += not hand.is_alone
        self.suspects, self.todo = self.suspects - sent, self.todo - sent
        hand.sent, hand.sent_s, self.last_step = span, now_s, span[1] - span[0]

    def take_answer(self, frame: Frame, doubtful: SpanSet = NOTHING) -> list[Failure]:
        """Note what the host answered of the span that was with a thread of it; the rest is to do again.

        `doubtful` records count as not answered and run alone; the slice has to be put before they do, since
        its blocks have a place for them. Gives the failures that count.
        """
        hand = self.hands[frame["thread"]]
        assert hand.sent is not None  # noqa: S101 - an answer follows a step
        first, end = frame["first"], frame["end"]
        answered = SpanSet.range(first, end) - doubtful
        failures = [Failure(*row) for row in frame["failures"] if row[0] not in doubtful]
        block, spent = Part(*frame["block"]), (frame["wall_ns"], frame["cpu_ns"], frame.get("retries", 0))
        spread = Spread.from_plain(frame.get("spread", NO_SPREAD))
        answer = Answered(first, answered, block, frame["kinds"], failures, frame["rows"], *spent, spread)
        self.slice.answers.append(answer)
        texts = sum(map(len, chain.from_iterable(row[2:] for row in frame["failures"])))
        self.slice.stored_bytes += len(block.stored) + texts
        self.suspects |= doubtful
        self.todo |= SpanSet.range(end, hand.sent[1])
        self._learn(frame["wall_ns"] / 1e9 / max(1, end - first))
        hand.sent, self.n_barren = None, 0
        return failures

    def take_back(self) -> SpanSet:
        """The records that were with the host, which is gone; they are with nobody now."""
        sent = SpanSet.of(self.sent.values())
        for hand in self.hands:
            hand.sent = None
        return sent

    def file(self, spans: SpanSet, cause: Failure, took_s: float) -> list[Failure]:
        """Note records that the supervisor files as failed, and how long their host was at them."""
        failures = [replace(cause, index=index) for first, end in spans.spans for index in range(first, end)]
        each_ns, spread = 1e9 * took_s / len(failures), Spread()
        for first, end in spans.spans:
            spread.note(first, end, round(each_ns * (end - first)))
        self.slice.answers.append(Answered(failures[0].index, spans, None, {}, failures, spread=spread))
        return failures

    def is_unit(self, suspects: SpanSet) -> bool:
        """Whether these can be tried in no smaller parts."""
        return self.is_whole or len(suspects) == 1

    def give_half(self) -> SpanSet:
        """The upper half of what is to do, for another lane; it is this lane's no longer."""
        self.todo, half = self.todo.take(len(self.todo) // 2)
        return half

    def take_outcomes(self, worker: str, now_s: float, ended_s: float) -> list[Attempted]:
        """What was answered since the last time: no more outcomes than their keys, which name spans, need.

        Args:
            worker: the lane's name among all of the run's.
            now_s, ended_s: the time now, on the monotonic clock and since 1970.
        """
        began_ms = round(1000 * (ended_s - max(0.0, now_s - self.slice.started_s)))
        answers = sorted(self.slice.answers, key=lambda answer: answer.first)
        taken: list[Attempted] = []
        while answers:
            spans, n_fit = answers[0].spans, 1
            while n_fit < len(answers) and fits_in_key(spans | answers[n_fit].spans):
                spans, n_fit = spans | answers[n_fit].spans, n_fit + 1
            if spans:
                trace = Trace(worker, began_ms, round(1000 * ended_s), Spread())
                taken.append(self._join(answers[:n_fit], spans, trace))
            del answers[:n_fit]
        return taken

    def stuck_s(self, now_ns: int) -> float:
        """Seconds since a thread began its record, last answered, or was sent its step: the longest of them.

        0 while the host opens the job; below 0 while it writes its answer, however long nobody reads that,
        and while its record waits for a turn.
        """
        return max((self._stuck_s(hand, now_ns) for hand in self.hands if hand.sent is not None), default=0.0)

    def find_late(self, now_ns: int, timeout_s: float) -> tuple[SpanSet, ...]:
        """What is at hand in each thread that is past a record's deadline and late by itself.

        Empty where it may be that one record holds up all of them: Python's interpreter does one thing at a
        time, and a call into C may keep it. Then the host has not noted for a while that it is awake.
        """
        busy = [hand for hand in self.hands if hand.sent is not None]
        awake_s = min(_AWAKE_S, timeout_s / 2)
        if self.host is None or (len(busy) > 1 and now_ns - self.host.slots[0][AWAKE_NS] > awake_s * 1e9):
            return ()
        return tuple(self._accuse(hand) for hand in busy if self._stuck_s(hand, now_ns) > timeout_s)

    @property
    def was_waiting(self) -> bool:
        """Whether a thread of the host has come as far as to wait for its record's turn."""
        now_ns = time.monotonic_ns()
        return any(self._waits(hand, now_ns) for hand in self.hands if hand.sent is not None)

    def accuse(self) -> tuple[SpanSet, ...]:
        """The records that a host's death may be blamed on, by thread; none for a thread that read none."""
        accused = (self._accuse(hand) for hand in self.hands if hand.sent is not None)
        return tuple(suspects for suspects in accused if suspects)

    def was_alone_and_fresh(self, ceiling_mib: float) -> bool:
        """Whether the host that died had done nothing but suspects alone, and held no memory of before."""
        grown_mib = self.start_mib - self.birth_mib
        is_alone = self.is_unit(SpanSet.of(self.sent.values()))
        return is_alone and self.n_shared_steps == 0 and grown_mib <= 0.1 * ceiling_mib

    def _stuck_s(self, hand: Hand, now_ns: int) -> float:
        if self.host is None or not self.is_open:
            return 0.0
        since_ns = self.host.slots[hand.number][AT_NS] or int(hand.sent_s * 1e9)
        return float(now_ns - since_ns) / 1e9

    def _accuse(self, hand: Hand) -> SpanSet:
        """The records of a thread that were read and not answered, else those answered and lost."""
        assert self.host is not None  # noqa: S101 - called for a busy host
        assert hand.sent is not None  # noqa: S101 - as above
        (first, end), slot = hand.sent, self.host.slots[hand.number]
        answered = min(max(slot[ANSWERED], first), end)
        read = min(max(slot[READ], first), end)
        if answered == read and self._is_ahead(hand, time.monotonic_ns()):
            return NOTHING  # it waits for a turn: what it answered goes back with the rest
        return SpanSet.range(answered, read) or SpanSet.range(first, answered)

    def _waits(self, hand: Hand, now_ns: int) -> bool:
        """Whether a thread has begun no record of its step, because it waits for a turn."""
        if self.host is None or hand.sent is None:
            return False
        return self.host.slots[hand.number][READ] == hand.sent[0] and self._is_ahead(hand, now_ns)

    def _is_ahead(self, hand: Hand, now_ns: int) -> bool:
        assert self.host is not None  # noqa: S101 - called for a busy host
        return now_ns < self.host.slots[hand.number][AT_NS] < NO_RECORD_NS

    def _join(self, answers: list[Answered], spans: SpanSet, trace: Trace) -> Attempted:
        kinds: dict[str, set[str]] = {}
        places: dict[str, tuple[int, int]] = {}
        for answer in answers:  # in the order of their records: a column's first place is the lowest
            for at, (name, found) in enumerate(answer.kinds.items()):
                kinds.setdefault(name, set()).update(found)
                places.setdefault(name, (answer.first, at))
            trace.spread.merge(answer.spread)
        outcome = Outcome(
            blocks={answer.first: answer.block for answer in answers if answer.block is not None},
            kinds={name: sorted(found) for name, found in kinds.items()},
            n_rows=sum(answer.n_rows for answer in answers),
            failures=sorted((f for answer in answers for f in answer.failures), key=lambda f: f.index),
            cpu_ms=sum(answer.cpu_ns for answer in answers) // 1_000_000,
            peak_mib=round(self.peak_mib),
            places=places,
            n_retries=sum(answer.n_retries for answer in answers),
            trace=trace,
        )
        wall_ns = sum(answer.wall_ns for answer in answers) // len(self.hands)
        return Attempted(spans, outcome, wall_ns)

    def _learn(self, record_s: float) -> None:
        self.record_s = record_s if self.record_s is None else 0.5 * (self.record_s + record_s)


def pick_victim(lanes: Iterable[Lane], least_s: float) -> Lane | None:
    """The busy lane with most work left to give, None where nobody has `least_s` of it.

    Nor twice what another host's reading of the object would take: more of the kind may be about to come.
    """
    busy = [
        lane for lane in lanes if lane.is_busy and lane.left_s >= max(least_s, 2 * lane.load_s) and lane.todo
    ]
    return max(busy, key=lambda lane: (lane.left_s, len(lane.todo)), default=None)
