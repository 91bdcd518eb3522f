"""Whatever happens to a run's messages, workers and outcomes, every record is answered once in the end.

A stack in memory: real tallies, tasks, slices, rosters and burials over a dict as bucket and a list as queue;
what hosts would do, and what goes wrong, is hypothesis's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aliquot.bounds import Counts, Limits
from aliquot.chunk import Chunk
from aliquot.errors import AlreadyPut, StoreError
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.ledger import CANCELLED, SETTLED, UNREADABLE, Ledger, UnreadableOutcome
from aliquot.merge import merge_pieces
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from aliquot.supervisor import PutOutcome
from aliquot.tally import MOST_REPAIRS, TickState
from aliquot.ticks import Ticker
from aliquot.worker import Give, Supervised, WorkLimits, bury_task, work_slice

RUN, STAGE = "run-1", "work"
MOST_RECEIVES = 5
SETTINGS = {"window": 6, "max_failed": "100%", "record_timeout_s": 1.0}


class Bucket:
    """Objects in a dict."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def put_once(self, key: str, body: bytes) -> None:
        if key in self.objects:
            raise AlreadyPut(key)
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise StoreError(key, "there is no such object")
        return self.objects[key]

    view = get

    def has(self, key: str) -> bool:
        return key in self.objects

    def list_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))


class Vanished(Exception):
    """The environment was killed."""


@dataclass
class Delivery:
    """A message in the queue, and how often it was delivered."""

    message: TaskMessage
    receives: int = 0


@dataclass
class Queue:
    """What TaskQueues is to a tally."""

    waiting: list[Delivery] = field(default_factory=list)
    rungs: tuple[str, ...] = ("small",)

    def send(self, messages: Any) -> None:
        for message in messages:
            self.waiting.append(Delivery(TaskMessage.from_text(message.to_text())))

    def measure(self) -> dict[str, int]:
        return {"small": len(self.waiting)}


@dataclass
class Reducer:
    """What a settled roster is handed to."""

    rosters: list[Any]

    def begin(self, settled: Any, _n_legs: int) -> str:
        self.rosters.append(settled[0][2])
        return "items"


def answer(first: int, end: int, poison: frozenset[int], base: int) -> tuple[Outcome, int]:
    """The outcome of records first..end of a chunk that begins at `base`: their numbers, poison failed."""
    failures = [Failure(i, "exception", "no") for i in range(first, end) if base + i in poison]
    answers = [[] if base + i in poison else [{"n": base + i}] for i in range(first, end)]
    block = make_block(first, answers, [None] * len(answers), ())
    outcome = Outcome({first: block.pack()}, {"n": ["int"]}, block.n_rows, failures, places={"n": (first, 0)})
    return outcome, len(failures)


class RunMachine(RuleBasedStateMachine):
    """A run under everything that may happen to it."""

    @initialize(
        sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
        poison=st.frozensets(st.integers(0, 40), max_size=3),
    )
    def begin(self, sizes: list[int], poison: frozenset[int]) -> None:
        self.bucket, self.queue = Bucket(), Queue()
        self.ledger = Ledger(self.bucket)
        self.manifest = {"job": "toy", "stages": [StageNote(STAGE).to_plain()], "settings": SETTINGS}
        self.ledger.begin(self.manifest)
        self.poison, self.base = poison, {}
        self.chunks: list[ChunkId] = []
        first = 0
        for seq, size in enumerate(sizes):
            chunk = ChunkId(seq, size)
            body = Chunk(first, size, {"n": list(range(first, first + size))}, provenance=((0, 0, first),))
            self.ledger.put_chunk(chunk, body.to_bytes())
            self.base[chunk] = first
            self.chunks.append(chunk)
            first += size
        self.n_records = first
        self.n_lost = 0
        self.rosters: list[Any] = []
        self.state: TickState | None = None
        self.phase = "running"

    # ------------------------------------------------------------------ what goes right

    @rule()
    def seal(self) -> None:
        self.ledger.seal(len(self.chunks), self.n_records)

    @precondition(lambda self: self.phase == "running")
    @rule()
    def tick(self) -> None:
        ticker = Ticker(RUN, self.ledger, self.manifest, self.queue, lambda _: Reducer(self.rosters), 60)  # type: ignore[arg-type,return-value]
        said = ticker.tick(self.state)
        self.state, self.phase = TickState(**said["state"]), said["phase"]

    @precondition(lambda self: self.queue.waiting)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A delivery that may end anywhere: before work, between outcomes, before or after its follow-ups."""
        place = data.draw(st.integers(0, len(self.queue.waiting) - 1))
        delivery = self.queue.waiting[place]
        delivery.receives += 1
        cuts = data.draw(st.lists(st.integers(1, 5), max_size=4))
        ends = data.draw(
            st.sampled_from(["well", "well", "killed at work", "killed at sending", "not deleted"])
        )
        is_done = self._work(delivery, cuts, ends)
        if is_done and ends != "not deleted":
            self.queue.waiting.remove(delivery)
        elif delivery.receives >= MOST_RECEIVES:
            self.queue.waiting.remove(delivery)
            bury_task(delivery.message, self.ledger, self.queue.send)

    # ------------------------------------------------------------------ what goes wrong

    @precondition(lambda self: self.queue.waiting)
    @rule(data=st.data())
    def deliver_twice(self, data: st.DataObject) -> None:
        """SQS delivers at least once, and counts the second time as a first."""
        delivery = data.draw(st.sampled_from(self.queue.waiting))
        self._work(Delivery(delivery.message, 1), [], "well")

    @precondition(lambda self: self.queue.waiting and self.n_lost < MOST_REPAIRS)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A message that is gone without a trace: a tally sends its gap again, but not for ever."""
        self.n_lost += 1
        self.queue.waiting.remove(data.draw(st.sampled_from(self.queue.waiting)))

    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        put = list(self.bucket.objects)  # in the order of their puts: keys end in chance
        outcomes = sorted(self.ledger.list_outcomes(STAGE), key=lambda each: put.index(str(each)))
        if outcomes and self.phase == "running":
            err = UnreadableOutcome(data.draw(st.sampled_from(outcomes)), "damaged")
            self.ledger.give_up_outcome(err, self.ledger.epoch)

    @precondition(lambda self: self.phase == "running")
    @rule()
    def cancel_and_take_up(self) -> None:
        epoch = self.ledger.epoch
        self.ledger.stop(epoch, CANCELLED, {})
        self.state = None

    # ------------------------------------------------------------------------ the rules

    @invariant()
    def roster_counts_each_record_once(self) -> None:
        for roster in getattr(self, "rosters", ()):
            for shares in roster.shares.values():
                spans = [span for share in shares for span in share.spans.spans]
                assert len(SpanSet.of(spans)) == sum(end - first for first, end in spans)

    def teardown(self) -> None:
        """Let it run to its end, undisturbed: nothing is lost, nothing is there twice."""
        if not hasattr(self, "ledger"):
            return
        self.seal()
        for _ in range(2000):
            if self.phase == "settling":
                break
            self.tick()
            while self.queue.waiting and self.phase == "running":
                self._work(self.queue.waiting.pop(0), [], "well")
        assert self.phase == "settling"
        self.ledger.stop(self.state.epoch, SETTLED, {})  # type: ignore[union-attr]
        rows: list[int] = []
        failed: list[int] = []
        for piece in merge_pieces(self.ledger, self.rosters[-1]):
            rows += piece.block.columns.get("n", ())
            failed += [piece.chunk.first + failure.index for failure in piece.failures]
        assert not self.rosters[-1].not_tried
        assert sorted(rows + failed) == list(range(self.n_records))
        assert rows == sorted(rows)
        assert {stop.reason for stop in self.ledger.list_stops()} <= {SETTLED, CANCELLED, UNREADABLE}

    def _work(self, delivery: Delivery, cuts: list[int], ends: str) -> bool:
        """One slice, whose hosts put an outcome for each of `cuts`; whether it came to its end."""
        send = self._refuse if ends == "killed at sending" else self.queue.send
        supervise = self._make_hosts(cuts, is_killed=ends == "killed at work")
        allowed = WorkLimits("small", 1, 1.0, Limits(1.0, 100))
        try:
            work_slice(delivery.message, delivery.receives, self.ledger, supervise, allowed, send)
        except Vanished:
            return False
        return True

    def _make_hosts(self, cuts: list[int], *, is_killed: bool) -> Callable[..., Supervised]:
        def supervise(
            task: Task, _limits: Limits, _hosts: int, _seconds: float, put: PutOutcome, give: Give | None
        ) -> Supervised:
            todo, n_failed = task.spans, 0
            for cut in cuts or [len(todo)]:
                part, todo = todo.take(cut)
                for first, end in part.spans:
                    outcome, failed = answer(first, end, self.poison, self.base[task.chunk])
                    n_failed += failed
                    put(task.chunk, SpanSet.range(first, end), outcome, 1)
            if give is not None and len(cuts) == 1 and len(todo) > 1:  # its first record outlasts the slice
                todo, behind = todo.take(1)
                give([Task(task.chunk, behind)], 0.5)
                gone = len(behind)
            else:
                gone = 0
            if is_killed:
                raise Vanished
            rest = [Task(task.chunk, todo)] if todo else []
            return Supervised(rest, [], 0.5, Counts(len(task.spans) - len(todo) - gone, n_failed))

        return supervise

    @staticmethod
    def _refuse(_messages: Any) -> None:
        raise Vanished


RunMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRun = RunMachine.TestCase
