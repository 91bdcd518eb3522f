"""The clock, queues and invocations of a simulated stack: a run from its submission to its publication.

    submit -> tick -> messages -> pollers -> slices -> outcomes, hand-backs ... -> roster -> groups

Messages come late, twice, and again when nothing came of them; environments are killed. Hosts are simulated,
and every invocation is billed for what it took, a killed one up to its end, whatever it left.

Owns the order of events and the bill. Imports the core; nothing here waits.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.bounds import Counts, Limits
from aliquot.chunk import Chunk
from aliquot.crossing import SettledLeg
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.message import TaskMessage
from aliquot.outcome import Outcome
from aliquot.prices import RUNG_MB
from aliquot.roster import Roster
from aliquot.spans import SpanSet
from aliquot.spending import REDUCE_MB, TALLY_MB
from aliquot.stages import StageNote
from aliquot.supervisor import PutOutcome
from aliquot.tally import TickState
from aliquot.ticks import Ticker
from aliquot.worker import Give, Supervised, WorkLimits, bury_task, work_slice
from benchmarks.simulated.bucket import RUNG, Bucket, LateLedger
from benchmarks.simulated.place import Place, Weather, make_tariff
from benchmarks.simulated.pollers import Rung

RUN, STAGE = "run-1", "work"
_GRACE_S = 30.0
_MOST_RECEIVES = 5
_OUTLASTED_S = 1.0  # as in `worker`
_MERGES, _OUTCOMES_PER_GROUP = 50, 256


@dataclass(eq=False)
class Delivery:
    """A message, and how often it was delivered."""

    message: TaskMessage
    receives: int = 0


@dataclass
class SimulatedStack:
    """A run of chunks on a stack in memory.

    Args:
        record_s: of each record, a list for each chunk.
        needs_mib: that each record needs, in the same form; empty where none needs much.
        weather: what goes wrong.
        draw: where chance comes from.
        window: tasks at a time that the run asks for.
        rungs: that the stack has, lowest first.
    """

    record_s: Sequence[Sequence[float]]
    weather: Weather
    draw: random.Random
    budget_usd: float | None
    window: int
    place: Place = field(default_factory=Place)
    needs_mib: Sequence[Sequence[float]] = ()
    rungs: Sequence[str] = (RUNG,)
    bill_usd: float = 0.0
    now_s: float = 0.0
    answered_s: float = 0.0  # when the last outcome was put
    settled_s: float = 0.0  # when a tally saw that
    published_s: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)
    rosters: list[Roster] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tariff = make_tariff(self.place)
        self.bucket = Bucket(self.tariff.prices)
        self.ledger = LateLedger(self.bucket)
        self.queues = {name: Rung(self.place.ramp, self.place.most) for name in self.rungs}
        self._waiting: dict[str, deque[Delivery]] = {name: deque() for name in self.rungs}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turns = itertools.count()
        self._messages: set[Delivery] = set()
        self._state: TickState | None = None
        self._given: list[tuple[float, list[TaskMessage]]] = []
        self._is_giving = False
        self.phase = ""

    # ------------------------------------------------------- what TaskQueues and a reducer are to a tally

    def send(self, messages: Iterable[TaskMessage]) -> None:
        """Put messages into their rungs' queues."""
        draw, weather = self.draw, self.weather
        for message in messages:
            self._pay("sqs", self.tariff.prices.sqs_request)
            delivery = Delivery(TaskMessage.from_text(message.to_text()))
            self._messages.add(delivery)
            is_late = bool(weather.late) and draw.random() < weather.late
            self.counted["delayed message"] += is_late
            self._at(
                draw.uniform(60, 600) if is_late else draw.uniform(*self.place.delay_s),
                self._arrival(delivery),
            )
            if weather.duplicate and draw.random() < weather.duplicate:
                self.counted["duplicate delivery"] += 1
                self._at(draw.uniform(0.05, 40.0), self._arrival(Delivery(delivery.message, 1)))

    def measure(self) -> dict[str, int]:
        """How many messages there are."""
        self._pay("sqs", self.tariff.prices.sqs_request)
        return {**dict.fromkeys(self.rungs, 0), **Counter(each.message.rung for each in self._messages)}

    def begin(self, settled: Sequence[SettledLeg], _n_legs: int) -> str:
        """Take the roster that was settled."""
        self.rosters.append(settled[0][2])
        return "items"

    # ------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        """From the submission to the end of publishing."""
        self.ledger.begin({"job": "toy", "stages": [StageNote(STAGE).to_plain()], "settings": self._settings})
        first = 0
        for seq, times in enumerate(self.record_s):
            chunk = Chunk(first, len(times), {"n": list(range(len(times)))})
            self._at(seq * self.place.chunk_s, self._submission(ChunkId(seq, len(times)), chunk))
            first += len(times)
        self._at(len(self.record_s) * self.place.chunk_s, lambda: self.ledger.seal(len(self.record_s), first))
        self._at(0.0, self._tick)
        while self._events and self.phase != "settling":
            self._step()
        self.settled_s = self.now_s
        self._publish()
        while self._events:  # what is still in flight is paid for too
            self._step()

    @property
    def total_usd(self) -> float:
        """The whole bill."""
        return self.bill_usd + self.bucket.usd

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "concurrency": self.place.most,
            "max_failed": "100%",
            "record_timeout_s": self.place.record_timeout_s,
            "budget_usd": self.budget_usd,
            "tariff": self.tariff.to_plain(),
        }

    def _submission(self, chunk: ChunkId, body: Chunk) -> Callable[[], None]:
        return lambda: self.ledger.put_chunk(chunk, body.to_bytes())

    def _step(self) -> None:
        self.now_s, _, do = heapq.heappop(self._events)
        do()

    def _at(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._turns), do))

    def _tick(self) -> None:
        if self.phase == "settling":
            return
        manifest = {"job": "toy", "stages": [StageNote(STAGE).to_plain()], "settings": self._settings}
        lease_s = int(self.place.timeout_s + _GRACE_S)
        ticker = Ticker(
            RUN,
            self.ledger,
            manifest,
            self,  # type: ignore[arg-type]
            lambda _: self,  # type: ignore[arg-type,return-value]
            lease_s,
            lambda: self.now_s,
        )
        before_ms = self._state.tally_ms if self._state else 0
        said = ticker.tick(self._state)
        self._state, self.phase = TickState(**said["state"]), said["phase"]
        self.counted["tick"] += 1
        self._bill(TALLY_MB, (self._state.tally_ms - before_ms) / 1000)
        self._pay("transition", self.tariff.prices.step_transition, 5)
        if self.phase == "running":
            self._at(max(said["wait_s"], 0.1), self._tick)

    # --------------------------------------------------------------------------------------- invocations

    def _arrival(self, delivery: Delivery) -> Callable[[], None]:
        return lambda: self._arrive(delivery)

    def _arrive(self, delivery: Delivery) -> None:
        """A message may be received: now, or when a poller is free."""
        self._waiting[delivery.message.rung].append(delivery)
        self._pump(delivery.message.rung)

    def _pump(self, rung: str) -> None:
        queue, waiting = self.queues[rung], self._waiting[rung]
        while waiting and queue.has_room(self.now_s):
            self._invoke(waiting.popleft(), is_cold=queue.begin())
        if waiting and (growth_s := queue.find_growth_s(self.now_s)) is not None:
            self._at(growth_s, lambda: self._pump(rung))

    def _invoke(self, delivery: Delivery, *, is_cold: bool) -> None:
        """One invocation: how long it takes is known at its start, what it does comes to be at its end."""
        delivery.receives += 1
        draw, place, message = self.draw, self.place, delivery.message
        seen = self.ledger.list_outcomes(STAGE, message.chunk) if delivery.receives > 1 else []
        call_s = draw.uniform(*place.call_s)
        begun_s = call_s / 2 + (draw.uniform(*place.init_s) + place.open_s if is_cold else 0.0)
        was_stopped, began_s = self.ledger.is_stopped(message.epoch), self.now_s
        taken_s = begun_s if was_stopped else self._try(delivery, seen, begun_s)
        ends_s, is_killed = self._strike(taken_s + call_s / 2)
        for given_s, messages in self._given if not was_stopped else ():
            if given_s < ends_s:
                self._at(given_s, self._sending(messages))
        self._pay("s3", 2 * self.tariff.prices.s3_get)  # its manifest and its chunk

        def end() -> None:
            sent: list[TaskMessage] = []
            if not was_stopped:
                sent = self._work(delivery, seen, begun_s, killed_s=ends_s if is_killed else None)
                self.answered_s = max(self.answered_s, began_s + self.ledger.answered_s)
            self._bill(RUNG_MB[message.rung], ends_s)
            self.queues[message.rung].end(is_killed=is_killed)
            if not is_killed:
                self.send(sent)
                self._pay("sqs", self.tariff.prices.sqs_request, 3)
                self._messages.discard(delivery)
            self._pump(message.rung)

        self._at(ends_s, end)
        if is_killed:
            self._at(place.timeout_s + _GRACE_S, lambda: self._come_again(delivery))

    def _try(self, delivery: Delivery, seen: list[OutcomeKey], begun_s: float) -> float:
        """The seconds that a slice will take; nothing comes to be."""
        self._given = []
        with self.bucket.trying():
            self._work(delivery, seen, begun_s, killed_s=None)
        return self._taken_s

    def _sending(self, messages: list[TaskMessage]) -> Callable[[], None]:
        return lambda: self.send(messages)

    def _work(
        self, delivery: Delivery, seen: list[OutcomeKey], begun_s: float, *, killed_s: float | None
    ) -> list[TaskMessage]:
        """What a slice sends at its end; what it sends before that is noted in `_given`."""
        ledger, sent, place = self.ledger, list[TaskMessage](), self.place

        def send(messages: list[TaskMessage]) -> None:
            if self._is_giving:
                self._given.append((ledger.elapsed_s, messages))
            else:
                sent.extend(messages)

        rung = delivery.message.rung
        above = self.rungs[self.rungs.index(rung) + 1 :]
        ledger.begin_invocation(list(seen), begun_s, killed_s)
        limits = Limits(place.record_timeout_s, 1000, slice_s=place.slice_s)
        allowed = WorkLimits(rung, 1, place.slice_s, limits, "".join(above[:1]))
        work_slice(delivery.message, delivery.receives, ledger, self._supervise, allowed, send)
        self._taken_s = ledger.elapsed_s
        ledger.end_invocation()
        return sent

    def _strike(self, taken_s: float) -> tuple[float, bool]:
        """When an invocation ends, and whether before its time."""
        draw, weather = self.draw, self.weather
        if weather.hang and draw.random() < weather.hang:
            self.counted["environment that hung"] += 1
            return self.place.timeout_s, True
        if weather.kill and draw.random() < weather.kill:
            self.counted["kill of an environment"] += 1
            return taken_s * draw.random(), True
        return taken_s, False

    def _supervise(
        self, task: Task, limits: Limits, _hosts: int, slice_s: float, put: PutOutcome, give: Give | None
    ) -> Supervised:
        """Work through records until the slice is over; outcomes every `limits.slice_s`."""
        times, ledger = self.record_s[task.chunk.seq], self.ledger
        since_s = began_s = ledger.elapsed_s
        done, short, n_done = list[int](), list[int](), 0
        ends_s, todo = since_s + slice_s, iter(task.spans)
        for index in todo:
            done_s = ledger.elapsed_s + times[index]
            if give is not None and done_s > ends_s + _OUTLASTED_S:
                ledger.elapsed_s = ends_s + _OUTLASTED_S
                self._give(task.chunk, todo, give, (ledger.elapsed_s - began_s) / max(1, n_done))
                todo = iter(())
            ledger.elapsed_s = done_s
            n_done += 1
            (short if self._is_short(task.chunk, index, limits) else done).append(index)
            if ledger.elapsed_s - since_s >= limits.slice_s and done:
                put(task.chunk, SpanSet.of_indices(done), Outcome({}, {}, 0), 1)
                since_s, done = ledger.elapsed_s, []
            if ledger.elapsed_s >= ends_s:
                break
        if done:
            put(task.chunk, SpanSet.of_indices(done), Outcome({}, {}, 0), 1)
        rest, deferred = SpanSet.of_indices(todo), SpanSet.of_indices(short)
        return Supervised(
            [Task(task.chunk, rest)] if rest else [],
            [Task(task.chunk, deferred)] if deferred else [],
            (ledger.elapsed_s - began_s) / max(1, n_done),
            Counts(n_done, 0),
        )

    def _give(self, chunk: ChunkId, todo: Iterable[int], give: Give, record_s: float) -> None:
        self._is_giving = True
        if rest := SpanSet.of_indices(todo):
            give([Task(chunk, rest)], record_s)
        self._is_giving = False

    def _is_short(self, chunk: ChunkId, index: int, limits: Limits) -> bool:
        """Whether a record needs more memory than its rung has, and another has it."""
        return (
            bool(self.needs_mib)
            and limits.defers_memory
            and self.needs_mib[chunk.seq][index] > limits.memory_mib
        )

    def _come_again(self, delivery: Delivery) -> None:
        """A message of which nothing came is delivered again, and buried in the end."""
        if delivery not in self._messages:
            return  # a twin, whose message the other one has
        if delivery.receives < _MOST_RECEIVES:
            self._arrive(delivery)
            return
        self._messages.discard(delivery)
        sent: list[TaskMessage] = []
        bury_task(delivery.message, self.ledger, sent.extend)
        self._bill(512, 0.3)
        self.send(sent)

    # ----------------------------------------------------------------------------------------- the bill

    def _bill(self, memory_mb: int, seconds: float) -> None:
        self.bill_usd += seconds * self.tariff.prices.memory_s(self.tariff.architecture, memory_mb)
        self._pay("invocation", self.tariff.prices.lambda_request)

    def _pay(self, kind: str, usd: float, n_times: int = 1) -> None:
        self.bill_usd += n_times * usd
        self.counted[kind] += n_times

    def _publish(self) -> None:
        """Groups are merged some at a time, and published when the last one is."""
        draw, place = self.draw, self.place
        n_outcomes = sum(len(shares) for roster in self.rosters[-1:] for shares in roster.shares.values())
        sizes = [_OUTCOMES_PER_GROUP] * (n_outcomes // _OUTCOMES_PER_GROUP) + [
            n_outcomes % _OUTCOMES_PER_GROUP
        ]
        free_s = [self.now_s] * min(_MERGES, len(sizes))
        for size in sizes:
            taken_s = draw.uniform(*place.merge_s) + size * draw.uniform(*place.merge_outcome_s)
            self._bill(REDUCE_MB, taken_s)
            heapq.heapreplace(free_s, free_s[0] + taken_s)
        publish_s = draw.uniform(*place.publish_s)
        self._bill(REDUCE_MB, publish_s)
        self.published_s = max(free_s) + publish_s
        self._pay("transition", self.tariff.prices.step_transition, len(sizes) * 3 + 12)
        self.bill_usd += (len(sizes) * 8 + 8) * self.tariff.prices.s3_put
