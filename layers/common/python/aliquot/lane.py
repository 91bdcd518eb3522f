"""A lane: one host and the slice of a chunk that it works on, as the supervisor keeps them.

A lane holds which records are still to be sent, which are with the host, which must run alone, and what has
been answered so far; `take_outcome` turns the latter into an outcome. It decides how far the next step
goes and whom a host's death is blamed on; it does no I/O but through its host.

Owns that bookkeeping. When it is wrong, a record is done twice, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from aliquot.envelope import Part
from aliquot.frames import Frame
from aliquot.keys import ChunkId, fits_in_key
from aliquot.launch import HostProcess
from aliquot.outcome import Failure, Outcome
from aliquot.page import ANSWERED, AT_NS, READ
from aliquot.spans import Span, SpanSet

STEP_S = 0.1
NOTHING = SpanSet()
_GROWTH = 4  # a step is at most this many times the one before: the first records tell what they cost


@dataclass(frozen=True, slots=True)
class Task:
    """A request for the records `spans` of a chunk."""

    chunk: ChunkId
    spans: SpanSet


@dataclass
class Slice:
    """What a lane has answered since its last outcome."""

    started_s: float
    spans: SpanSet = NOTHING
    blocks: dict[int, Part] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    n_rows: int = 0
    wall_ns: int = 0
    cpu_ns: int = 0
    stored_bytes: int = 0


@dataclass
class Lane:
    """One host's place at the supervisor's table."""

    number: int
    host: HostProcess | None = None
    chunk: ChunkId | None = None
    loaded: ChunkId | None = None  # the chunk that the host holds
    todo: SpanSet = NOTHING
    suspects: SpanSet = NOTHING
    sent: Span | None = None
    sent_s: float = 0.0
    slice: Slice = field(default_factory=lambda: Slice(0.0))
    record_s: float | None = None  # estimate of one record's wall time
    last_step: int = 0
    n_steps: int = 0  # of this host
    n_shared_steps: int = 0  # steps of this host that were not of one suspect alone
    start_mib: float = 0.0  # private memory when the step began
    birth_mib: float = 0.0  # private memory of the new host
    file_mib: float = 0.0  # resident library pages of the new host
    is_open: bool = False  # the host has opened the job
    peak_mib: float = 0.0
    n_barren: int = 0  # hosts in a row that died before they read a record
    doom: Failure | None = None  # why the supervisor killed the host, index not yet known

    @property
    def is_idle(self) -> bool:
        """Whether nothing is with the host and nothing is left to send."""
        return self.sent is None and not self.todo and not self.suspects

    @property
    def left_s(self) -> float:
        """Estimated work that has not been sent; infinite while nothing is known."""
        if not self.todo:
            return 0.0
        return math.inf if self.record_s is None else len(self.todo) * self.record_s

    def begin(self, task: Task, now_s: float) -> None:
        """Take on a task."""
        self.chunk, self.todo = task.chunk, task.spans
        self.slice = Slice(now_s)

    def next_span(self) -> Span:
        """The records to send next: one suspect alone, or about STEP_S of what is to do."""
        if self.suspects:
            first = self.suspects.spans[0][0]
            return (first, first + 1)
        first, end = self.todo.spans[0]
        if self.record_s is None:
            return (first, first + 1)
        wanted = math.ceil(STEP_S / max(self.record_s, 1e-9))
        return (first, min(end, first + max(1, min(wanted, self.last_step * _GROWTH))))

    def mark_sent(self, span: Span, now_s: float) -> None:
        """Note that a span is with the host."""
        sent = SpanSet.of([span])
        self.n_steps += 1
        self.n_shared_steps += not self.suspects
        self.suspects, self.todo = self.suspects - sent, self.todo - sent
        self.sent, self.sent_s, self.last_step = span, now_s, span[1] - span[0]

    def take_answer(self, frame: Frame, doubtful: SpanSet = NOTHING) -> None:
        """Note what the host answered of the span that was with it; the rest is to do again.

        `doubtful` records count as not answered and run alone; the slice has to be put before they do, since
        its blocks have a place for them.
        """
        assert self.sent is not None  # noqa: S101 - an answer follows a step
        first, end = frame["first"], frame["end"]
        done = self.slice
        done.spans |= SpanSet.range(first, end) - doubtful
        self.suspects |= doubtful
        stored, crc, plain_bytes = frame["block"]
        done.blocks[first] = Part(stored, crc, plain_bytes)
        for at, (name, kinds) in enumerate(frame["kinds"].items()):
            done.kinds.setdefault(name, set()).update(kinds)
            done.places[name] = min((first, at), done.places.get(name, (first, at)))
        done.failures.extend(Failure(*row) for row in frame["failures"] if row[0] not in doubtful)
        done.n_rows += frame["rows"]
        done.wall_ns += frame["wall_ns"]
        done.cpu_ns += frame["cpu_ns"]
        done.stored_bytes += len(stored) + sum(len(row[2]) + len(row[3]) for row in frame["failures"])
        self.todo |= SpanSet.range(end, self.sent[1])
        self._learn(frame["wall_ns"] / 1e9 / max(1, end - first))
        self.sent, self.n_barren = None, 0

    def file(self, failure: Failure) -> None:
        """Note a record that the supervisor itself files as failed."""
        self.slice.failures.append(failure)
        self.slice.spans |= SpanSet.range(failure.index, failure.index + 1)

    def give_half(self) -> SpanSet:
        """The upper half of what is to do, for another lane; it is this lane's no longer."""
        self.todo, half = self.todo.take(len(self.todo) // 2)
        return half

    def can_hold(self, span: Span) -> bool:
        """Whether the key of an outcome can still name this span beside what it holds."""
        return fits_in_key(self.slice.spans | SpanSet.of([span]))

    def take_outcome(self) -> tuple[SpanSet, Outcome] | None:
        """What was answered since the last outcome, if anything; `slice` has to be begun anew."""
        done = self.slice
        if not done.spans:
            return None
        return done.spans, Outcome(
            blocks=done.blocks,
            kinds={name: sorted(kinds) for name, kinds in done.kinds.items()},
            n_rows=done.n_rows,
            failures=sorted(done.failures, key=lambda failure: failure.index),
            cpu_ms=done.cpu_ns // 1_000_000,
            peak_mib=round(self.peak_mib),
            places=done.places,
        )

    def stuck_s(self, now_ns: int) -> float:
        """Seconds since the host began its record, or last answered, or was sent the step; 0 while it opens.

        Below 0 while it writes its answer, however long nobody reads that.
        """
        if self.host is None or self.sent is None or not self.is_open:
            return 0.0
        since_ns = self.host.slot[AT_NS] or int(self.sent_s * 1e9)
        return float(now_ns - since_ns) / 1e9

    def accuse(self) -> SpanSet:
        """The records that a host's death may be blamed on: read and not answered, else answered and lost."""
        assert self.host is not None  # noqa: S101 - called at the death of a busy host
        assert self.sent is not None  # noqa: S101 - as above
        first, end = self.sent
        answered = min(max(self.host.slot[ANSWERED], first), end)
        read = min(max(self.host.slot[READ], first), end)
        return SpanSet.range(answered, read) or SpanSet.range(first, answered)

    def was_alone_and_fresh(self, ceiling_mib: float) -> bool:
        """Whether the host that died had done nothing but suspects alone, and held no memory of before."""
        assert self.sent is not None  # noqa: S101 - called at the death of a busy host
        grown_mib = self.start_mib - self.birth_mib
        return (
            self.sent[1] - self.sent[0] == 1 and self.n_shared_steps == 0 and grown_mib <= 0.1 * ceiling_mib
        )

    def _learn(self, record_s: float) -> None:
        self.record_s = record_s if self.record_s is None else 0.5 * (self.record_s + record_s)


def pick_victim(lanes: Iterable[Lane], least_s: float) -> Lane | None:
    """The busy lane with most work left to give, None where nobody has `least_s` of it."""
    busy = [lane for lane in lanes if lane.sent is not None and lane.left_s >= least_s and lane.todo]
    return max(busy, key=lambda lane: (lane.left_s, len(lane.todo)), default=None)
