"""Budgets from 10 to 90% of a run's cost, with kills on: a stack in memory, on which an hour takes a second.

Real tallies, slices, burials, rosters and sums over a dict as bucket; time is simulated, and so are hosts and
the bill: every invocation is billed for what it took, a killed one up to its end, whatever it left. Messages
come late, twice, and again when nothing came of them.

Owns this stack and its bill. Imports the core; nothing here waits.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aliquot.chunk import Chunk
from aliquot.errors import AlreadyPut, StoreError
from aliquot.keys import TOMBSTONE, ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.ledger import BUDGET_REACHED, SETTLED, Ledger
from aliquot.message import TaskMessage
from aliquot.outcome import Outcome
from aliquot.prices import Prices
from aliquot.roster import Roster
from aliquot.spans import SpanSet
from aliquot.spending import REDUCE_MB, TALLY_MB, Tariff, choose_window, estimate_least_usd
from aliquot.supervisor import Counts, Limits, PutOutcome
from aliquot.tally import TickState
from aliquot.ticks import Ticker
from aliquot.worker import Supervised, WorkLimits, bury_task, work_slice
from benchmarks.chaos.report import Ran

RUN, STAGE, RUNG = "run-1", "work", "small"
_TIMEOUT_S, _SLICE_S, _GRACE_S, _LEASE_S = 150.0, 30.0, 30.0, 180
_TAIL_S = 0.2  # as `worker` bills what follows an outcome
_MOST_RECEIVES = 5
_SHARES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)


@dataclass(frozen=True)
class Weather:
    """How often what goes wrong, as shares of invocations or messages."""

    kill: float = 0.0
    hang: float = 0.0  # killed as well, but at the function's timeout
    duplicate: float = 0.0
    late: float = 0.0


class Bucket:
    """Objects in a dict, and what asking for them costs."""

    def __init__(self, prices: Prices) -> None:
        self.objects: dict[str, bytes] = {}
        self.usd, self._prices = 0.0, prices

    def put(self, key: str, body: bytes) -> None:
        """As a store."""
        self.usd += self._prices.s3_put
        self.objects[key] = body

    def put_once(self, key: str, body: bytes) -> None:
        """As a store."""
        if key in self.objects:
            self.usd += self._prices.s3_put
            raise AlreadyPut(key)
        self.put(key, body)

    def get(self, key: str) -> bytes:
        """As a store."""
        self.usd += self._prices.s3_get
        if key not in self.objects:
            raise StoreError(key, "there is no such object")
        return self.objects[key]

    def has(self, key: str) -> bool:
        """As a store."""
        self.usd += self._prices.s3_get
        return key in self.objects

    def list_keys(self, prefix: str) -> list[str]:
        """As a store."""
        found = sorted(key for key in self.objects if key.startswith(prefix))
        self.usd += self._prices.s3_put * (1 + len(found) // 1000)
        return found


@dataclass
class Delivery:
    """A message, and how often it was delivered."""

    message: TaskMessage
    receives: int = 0


class LateLedger(Ledger):
    """A ledger as an invocation sees it that ends now: it looked when it began, and what it put is billed."""

    def __init__(self, store: Bucket) -> None:
        super().__init__(store)
        self.elapsed_s = self._billed_s = 0.0  # of the invocation: at its next put, and at the last
        self._killed_s: float | None = None
        self._was_stopped: bool | None = None
        self._seen: list[list[OutcomeKey]] = []

    def begin_invocation(self, seen: list[OutcomeKey], elapsed_s: float, killed_s: float | None) -> None:
        """Have one run: what it saw at its start, how long that took, and when it was killed, if it was."""
        self._seen, self._was_stopped = [seen], False
        self.elapsed_s, self._billed_s, self._killed_s = elapsed_s, 0.0, killed_s

    def end_invocation(self) -> None:
        """See what is there now."""
        self._seen, self._was_stopped, self._killed_s = [], None, None
        self.elapsed_s = self._billed_s = 0.0

    def is_stopped(self, epoch: int) -> bool:
        """Whether it was when the invocation began."""
        return super().is_stopped(epoch) if self._was_stopped is None else self._was_stopped

    def list_outcomes(self, stage: str, chunk: ChunkId | None = None) -> list[OutcomeKey]:
        """What was there when the invocation began; at its second look what is there now."""
        return self._seen.pop() if chunk is not None and self._seen else super().list_outcomes(stage, chunk)

    def put_outcome(
        self,
        stage: str,
        chunk: ChunkId,
        spans: SpanSet,
        outcome: Outcome,
        _wall_ns: int,
        *,
        rung: str = RUNG,
        receives: int = 1,
    ) -> OutcomeKey:
        """Put an outcome, unless the invocation was killed before; simulated time is what its key says."""
        billed_s, self._billed_s = self.elapsed_s - self._billed_s + _TAIL_S, self.elapsed_s
        if self._killed_s is not None and self.elapsed_s > self._killed_s:
            return OutcomeKey(stage, chunk, spans, "never", rung, 0, 0, receives)
        billed_ns = 0 if rung == TOMBSTONE else int(billed_s * 1e9)
        return super().put_outcome(stage, chunk, spans, outcome, billed_ns, rung=rung, receives=receives)


@dataclass
class Simulation:
    """A run of `n_chunks` chunks on a stack in memory.

    Args:
        record_s: of each record, shape (n_chunks, n_records).
    """

    record_s: list[list[float]]
    weather: Weather
    draw: random.Random
    budget_usd: float | None
    window: int
    bill_usd: float = 0.0
    now_s: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)
    rosters: list[Roster] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tariff = make_tariff()
        self._bucket = Bucket(self._tariff.prices)
        self.ledger = LateLedger(self._bucket)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turns = itertools.count()
        self._messages: list[Delivery] = []
        self._state: TickState | None = None
        self.phase = ""

    # ------------------------------------------------------- what TaskQueues and a reducer are to a tally

    def send(self, messages: Iterable[TaskMessage]) -> None:
        """Put messages into the queue."""
        for message in messages:
            self.bill_usd += self._tariff.prices.sqs_request
            delivery = Delivery(TaskMessage.from_text(message.to_text()))
            self._messages.append(delivery)
            is_late = self.draw.random() < self.weather.late
            self.counted["delayed message"] += is_late
            delay_s = self.draw.uniform(60, 600) if is_late else self.draw.uniform(0.05, 3.0)
            self._at(delay_s, self._deliverer(delivery))
            if self.draw.random() < self.weather.duplicate:
                self.counted["duplicate delivery"] += 1
                self._at(self.draw.uniform(0.05, 40.0), self._deliverer(Delivery(delivery.message, 1)))

    def measure(self) -> dict[str, int]:
        """How many messages there are."""
        self.bill_usd += self._tariff.prices.sqs_request
        return {RUNG: len(self._messages)}

    def begin(self, roster: Roster) -> str:
        """Take the roster that was settled."""
        self.rosters.append(roster)
        return "items"

    # ------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        """From the submission to the end of publishing."""
        n_records = 0
        self.ledger.begin({"job": "toy", "stage": STAGE, "settings": self._settings})
        for seq, times in enumerate(self.record_s):
            chunk = Chunk(n_records, len(times), {"n": list(range(len(times)))})
            self.ledger.put_chunk(ChunkId(seq, len(times)), chunk.to_bytes())
            n_records += len(times)
        self.ledger.seal(len(self.record_s), n_records)
        self._at(0.0, self._tick)
        while self._events and self.phase != "settling":
            self.now_s, _, do = heapq.heappop(self._events)
            do()
        self._publish()
        while self._events:  # what is still in flight is paid for too
            self.now_s, _, do = heapq.heappop(self._events)
            do()

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "max_failed": "100%",
            "record_timeout_s": 60.0,
            "budget_usd": self.budget_usd,
            "tariff": self._tariff.to_plain(),
        }

    @property
    def total_usd(self) -> float:
        """The whole bill."""
        return self.bill_usd + self._bucket.usd

    def _at(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._turns), do))

    def _tick(self) -> None:
        if self.phase == "settling":
            return
        manifest = {"job": "toy", "stage": STAGE, "settings": self._settings}
        ticker = Ticker(
            RUN,
            self.ledger,
            manifest,
            self,
            lambda _: self,
            _LEASE_S,
            lambda: self.now_s,  # type: ignore[arg-type,return-value]
        )
        before_ms = self._state.tally_ms if self._state else 0
        said = ticker.tick(self._state)
        self._state, self.phase = TickState(**said["state"]), said["phase"]
        self._bill(TALLY_MB, (self._state.tally_ms - before_ms) / 1000)
        self.bill_usd += 5 * self._tariff.prices.step_transition
        if self.phase == "running":
            self._at(max(said["wait_s"], 0.1), self._tick)

    def _deliverer(self, delivery: Delivery) -> Callable[[], None]:
        return lambda: self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        """One invocation: how long it takes is known at its start, what it does comes to be at its end."""
        delivery.receives += 1
        draw, chunk = self.draw, delivery.message.chunk
        seen = self.ledger.list_outcomes(STAGE, chunk)
        begun_s = draw.choice((0.05, 0.05, 0.05, 1.5))  # a cold start now and then
        was_stopped = self.ledger.is_stopped(delivery.message.epoch)
        taken_s = begun_s if was_stopped else self._work(delivery, seen, begun_s, killed_s=0.0)[0]
        taken_s += draw.uniform(0.02, 0.15)
        ends_s, is_killed = self._strike(taken_s)

        def end() -> None:
            killed_s = ends_s if is_killed else None
            sent = [] if was_stopped else self._work(delivery, seen, begun_s, killed_s=killed_s)[1]
            self._bill(1769, ends_s)
            if not is_killed:
                self._finish(delivery, sent)

        self._at(ends_s, end)
        if is_killed:
            self._at(_TIMEOUT_S + _GRACE_S, lambda: self._come_again(delivery))

    def _work(
        self, delivery: Delivery, seen: list[OutcomeKey], begun_s: float, *, killed_s: float | None
    ) -> tuple[float, list[TaskMessage]]:
        """The seconds that a slice takes, and what it sends; of one killed at once nothing comes to be."""
        ledger, sent = self.ledger, list[TaskMessage]()
        noted = self._bucket.objects.copy() if killed_s == 0.0 else None
        ledger.begin_invocation(list(seen), begun_s, killed_s)
        allowed = WorkLimits(RUNG, 1, _SLICE_S, Limits(60.0, 1000, slice_s=_SLICE_S))
        work_slice(delivery.message, delivery.receives, ledger, self._supervise, allowed, sent.extend)
        taken_s = ledger.elapsed_s
        ledger.end_invocation()
        if noted is not None:
            self._bucket.objects = noted  # this was to know the time
        return taken_s, sent

    def _strike(self, taken_s: float) -> tuple[float, bool]:
        """When an invocation ends, and whether before its time."""
        draw, weather = self.draw, self.weather
        if draw.random() < weather.hang:
            self.counted["environment that hung"] += 1
            return _TIMEOUT_S, True
        if draw.random() < weather.kill:
            self.counted["kill of an environment"] += 1
            return taken_s * draw.random(), True
        return taken_s, False

    def _supervise(
        self, task: Task, limits: Limits, _hosts: int, slice_s: float, put: PutOutcome
    ) -> Supervised:
        """Work through records until the slice is over; outcomes every `limits.slice_s`."""
        times = self.record_s[task.chunk.seq]
        todo, since_s, done, n_done = task.spans, self.ledger.elapsed_s, SpanSet(), 0
        ends_s = since_s + slice_s
        while todo and self.ledger.elapsed_s < ends_s:
            one, todo = todo.take(1)
            self.ledger.elapsed_s += times[one.spans[0][0]]
            done, n_done = done | one, n_done + 1
            if self.ledger.elapsed_s - since_s >= limits.slice_s:
                put(task.chunk, done, Outcome({}, {}, 0), 1)
                since_s, done = self.ledger.elapsed_s, SpanSet()
        if done:
            put(task.chunk, done, Outcome({}, {}, 0), 1)
        mean_s = sum(times) / len(times)
        return Supervised([Task(task.chunk, todo)] if todo else [], [], mean_s, Counts(n_done, 0))

    def _finish(self, delivery: Delivery, sent: list[TaskMessage]) -> None:
        self.send(sent)
        self.bill_usd += 4 * self._tariff.prices.sqs_request
        if delivery in self._messages:
            self._messages.remove(delivery)

    def _come_again(self, delivery: Delivery) -> None:
        """A message of which nothing came is delivered again, and buried in the end."""
        if delivery not in self._messages:
            return  # a twin, whose message the other one has
        if delivery.receives < _MOST_RECEIVES:
            self._deliver(delivery)
            return
        self._messages.remove(delivery)
        sent: list[TaskMessage] = []
        bury_task(delivery.message, self.ledger, sent.extend)
        self._bill(512, 0.3)
        self.send(sent)

    def _bill(self, memory_mb: int, seconds: float) -> None:
        self.bill_usd += seconds * self._tariff.prices.memory_s(self._tariff.architecture, memory_mb)
        self.bill_usd += self._tariff.prices.lambda_request

    def _publish(self) -> None:
        n_outcomes = sum(len(shares) for roster in self.rosters[-1:] for shares in roster.shares.values())
        n_groups = 1 + n_outcomes // 256
        for _ in range(n_groups):
            self._bill(REDUCE_MB, self.draw.uniform(1.0, 4.0))
        self._bill(REDUCE_MB, n_outcomes * self.draw.uniform(0.02, 0.15) + self.draw.uniform(1.0, 3.0))
        self.bill_usd += (n_groups * 3 + 12) * self._tariff.prices.step_transition
        self.bill_usd += (n_groups * 8 + 8) * self._tariff.prices.s3_put


def make_tariff() -> Tariff:
    """As the stack's."""
    return Tariff(Prices(), "arm64", _TIMEOUT_S)


def run_budgets(seed: int, numbers: range) -> Iterator[Ran]:
    """Simulated runs, each under a budget of a share of what it costs."""
    for number in numbers:
        yield run_budget(f"{seed}:{number}", number)


def run_budget(seed: str, number: int) -> Ran:
    """One run under kills and a budget, held against its bill and its own roster."""
    draw = random.Random(f"budget:{seed}")
    scale_s = draw.choice((0.2, 1.0, 5.0))
    n_chunks, n_records = draw.choice(((40, 60), (12, 200), (4, 500)))
    times = [[draw.lognormvariate(0, 0.8) * scale_s for _ in range(n_records)] for _ in range(n_chunks)]
    window = draw.choice((4, 16, 64))
    calm = Simulation(times, Weather(), random.Random(seed), None, window)
    calm.run()
    share = draw.choice(_SHARES)
    budget_usd = share * calm.total_usd
    weather = Weather(
        kill=draw.choice((0.0, 0.05, 0.2)),
        hang=draw.choice((0.0, 0.02)),
        duplicate=draw.choice((0.0, 0.05, 0.3)),
        late=draw.choice((0.0, 0.1)),
    )
    tariff = make_tariff()
    case = f"{share:.0%} of ${calm.total_usd:.2f}"
    if budget_usd <= estimate_least_usd(tariff):
        return Ran("budget", case, number, {"refused budget": 1})
    window = choose_window(tariff, budget_usd, window)
    run = Simulation(times, weather, draw, budget_usd, window)
    run.run()
    over_usd = max(0.0, run.total_usd - budget_usd)
    trouble, lost, doubled = _judge(run, n_chunks * n_records)
    counted = {"budget": 1, **{kind: count for kind, count in run.counted.items() if count}}
    slow_down = run.now_s / calm.now_s
    return Ran("budget", case, number, counted, lost, doubled, over_usd, trouble, run.now_s, slow_down)


def _judge(run: Simulation, n_records: int) -> tuple[str, int, int]:
    """What is wrong with the roster: in words, records lost, records there twice."""
    if not run.rosters:
        return "never settled", n_records, 0
    roster = run.rosters[-1]
    n_answered = n_doubled = 0
    for shares in roster.shares.values():
        spans = [span for share in shares for span in share.spans.spans]
        n_answered += len(SpanSet.of(spans))
        n_doubled += sum(end - first for first, end in spans) - len(SpanSet.of(spans))
    n_open = sum(map(len, roster.not_tried.values()))
    reasons = {stop.reason for stop in run.ledger.list_stops()}
    trouble = "" if reasons <= {BUDGET_REACHED, SETTLED} else f"ended as {reasons}"
    return trouble, n_records - n_answered - n_open, n_doubled
