"""One tick of a run: look at its objects, decide, act, and say when to come again.

    epoch stopped? -> drain;  damaged outcome? -> the next epoch
    list chunks and outcomes -> complete? -> settle: freeze the roster, list its groups; or exchange, a step
                                             a tick, and go on with the next leg
      -> budget, time, failures, jobs that do not open? -> stop
      -> else send what is due

What a tick decides stands in `tally`, `spending` and `failure_limit`, which are pure. Owns the order of these
steps and the markers that end an epoch. When it is wrong, a run goes on that should not, or the reverse.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from aliquot.coverage import Coverage, measure_coverage
from aliquot.crossing import settle_legs
from aliquot.exchanging import Exchanging
from aliquot.failure_limit import FailureLimit
from aliquot.keys import ChunkId
from aliquot.ledger import (
    ABANDONED,
    BUDGET_REACHED,
    OPEN_FAILED,
    SETTLED,
    STUCK,
    TIME_REACHED,
    TOO_MANY_FAILED,
    UNREADABLE,
    Ledger,
    UnreadableOutcome,
)
from aliquot.manifest import is_cut_in_stack
from aliquot.message import TaskMessage
from aliquot.notes import decoding
from aliquot.open_work import find_open_work
from aliquot.prices import Prices
from aliquot.queues import TaskQueues
from aliquot.reached import Reached
from aliquot.reducer import Reducer
from aliquot.spending import (
    Spend,
    Tariff,
    estimate_settling,
    is_beyond,
    measure_duplicates,
    measure_preparing,
    measure_settling,
    measure_spend,
    write_invoice,
)
from aliquot.stages import Leg, StageNote, choose_leg_window, choose_rung, find_leg_rate, read_legs
from aliquot.tally import SHORTEST_WAIT_S, TickPlan, TickState, plan_drain, plan_tick

_MOST_OPEN_FAILED = {"job": 2, "store": 10}  # a store may refuse for a moment, to many at once
_TAIL_MS = 100  # billed after a tick has measured itself


class Ticker:
    """Ticks one run.

    Args:
        make_reducer: gives the reducer of an epoch.
        lease_s: after which no worker that began before can be at work.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        run: str,
        ledger: Ledger,
        manifest: Mapping[str, Any],
        queues: TaskQueues,
        make_reducer: Callable[[int], Reducer],
        lease_s: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._run, self._ledger, self._manifest = run, ledger, manifest
        self._queues, self._make_reducer, self._lease_s, self._now_s = queues, make_reducer, lease_s, now_s
        self._settings: Mapping[str, Any] = manifest["settings"]
        self._legs = read_legs(manifest)
        self._exchanging = Exchanging(run, ledger, self._legs)
        self._rung: str = self._settings.get("rung", "small")
        self._begun_ns = time.monotonic_ns()

    def tick(self, state: TickState | None) -> dict[str, Any]:
        """What the state machine does next.

        Args:
            state: what the last tick handed on, None in an execution's first.
        Returns:
            `state`, `epoch`, `phase` ("running", "exchanging", "settling", "done"), `wait_s`, and for
            "exchanging" and "settling" the `groups_key`, relative to the run.
        """
        if state is None:
            stops = self._ledger.list_stops()
            if stops and stops[-1].reason == SETTLED:
                return self._answer(TickState(epoch=stops[-1].epoch), "done")
            state = TickState(epoch=self._ledger.epoch)
        stop = self._ledger.read_stop(state.epoch)
        if stop is not None and stop.reason == UNREADABLE:
            state, stop = self._enter_next_epoch(state), None
        if stop is not None:
            plan = plan_drain(state, sum(self._queues.measure().values()), self._lease_s)
            return self._settle(plan.state) if plan.is_complete else self._wait(plan)
        return self._exchange(state) if state.step else self._go_on(state)

    def _go_on(self, state: TickState) -> dict[str, Any]:
        ledger, leg = self._ledger.enter_leg(state.epoch, state.leg), self._legs[state.leg]
        is_sealed = ledger.is_sealed  # first: what is there when it is sealed is all
        chunks = ledger.list_chunks() if is_sealed else leave_gap(ledger.list_chunks())
        outcomes = ledger.list_outcomes(leg.last.name)
        coverage = measure_coverage(chunks, outcomes, ledger.list_voids())
        depths = self._queues.measure()
        is_rated = bool(find_leg_rate(self._legs, leg, self._settings))
        plan = plan_tick(
            run=self._run,
            stage=leg.first.name,
            chunks=chunks,
            is_sealed=is_sealed,
            coverage=coverage,
            queue_depth=sum(depths.values()),
            window=self._window(leg),
            rung=self._choose_rung(leg.first),
            state=state,
            may_wait=may_wait(self._settings) and not (is_rated or _is_narrowed(leg)),
            is_rated=is_rated,
        )
        if plan.is_complete:
            return self._leave_leg(plan.state)
        reason, facts = self._find_stop(plan, coverage, depths, is_sealed=is_sealed)
        if reason:
            ledger.stop(state.epoch, reason, {**facts, "at": self._now_s()})
        else:
            self._queues.send(self._address(plan.send, ledger, leg))
        return self._wait(plan)

    def _address(self, messages: Sequence[TaskMessage], ledger: Ledger, leg: Leg) -> list[TaskMessage]:
        """Messages of a leg's chunks, each to the stage that its records wait for."""
        sent = [replace(message, leg=ledger.prefix) for message in messages]
        if len(leg.stages) == 1 or not sent:
            return sent
        by_chunk = {message.chunk: message for message in sent}
        work = find_open_work(ledger, [stage.name for stage in leg.stages], list(by_chunk))
        return [
            replace(
                by_chunk[task.chunk],
                stage=stage.name,
                spans=task.spans,
                source=task.source,
                rung=self._choose_rung(stage),
            )
            for stage, tasks in zip(leg.stages, work.todo, strict=True)
            for task in tasks
        ]

    def _window(self, leg: Leg) -> int:
        """How many tasks of a leg may be queued or running."""
        return choose_leg_window(self._legs, leg, self._settings)

    def _choose_rung(self, stage: StageNote) -> str:
        return choose_rung(stage, self._rung, list(self._queues.rungs))

    def _find_stop(
        self,
        plan: TickPlan,
        coverage: Coverage,
        depths: Mapping[str, int],
        *,
        is_sealed: bool,
    ) -> tuple[str, dict[str, Any]]:
        """Why the epoch has to end now, and what is to be said of it; nothing where it goes on."""
        limit = FailureLimit.parse(self._settings["max_failed"])
        n_records = coverage.n_records if is_sealed else sys.maxsize
        if limit.stops(coverage.n_failed, coverage.n_answered, n_records):
            return TOO_MANY_FAILED, {}
        leg = self._legs[plan.state.leg]
        in_flight = {**depths, **dict.fromkeys(map(self._choose_rung, leg.stages), self._window(leg))}
        if self._is_beyond_budget(plan.state, in_flight):
            return BUDGET_REACHED, {"budget_usd": self._settings["budget_usd"]}
        until_s = self._settings.get("until_s")
        if until_s is not None and self._now_s() >= until_s:
            return TIME_REACHED, {}
        if plan.is_abandoned or plan.is_stuck:
            return (ABANDONED if plan.is_abandoned else STUCK), {}
        said = self._find_open_failure(plan.state.epoch)
        return (OPEN_FAILED, {"message": said}) if said else ("", {})

    def _is_beyond_budget(self, state: TickState, in_flight: Mapping[str, int], n_exchanges: int = 0) -> bool:
        """Whether what was spent and what is at stake might reach the budget.

        Args:
            n_exchanges: to be paid besides, each about as much as settling in both of its steps.
        """
        budget_usd = self._settings.get("budget_usd")
        if budget_usd is None:
            return False
        tariff = read_tariff(self._settings)
        spent, n_outcomes = measure_so_far(self._ledger, self._manifest, state)
        for _ in range(2 * n_exchanges):
            spent += estimate_settling(tariff, n_outcomes)
        return is_beyond(tariff, budget_usd, spent, in_flight, n_outcomes)

    def _find_open_failure(self, epoch: int) -> str:
        """Why the job cannot be opened, once several environments have found so; else nothing."""
        for kind, most in _MOST_OPEN_FAILED.items():
            failed = self._ledger.list_open_failures(epoch, kind)
            if len(failed) >= most:
                return self._ledger.store.get(failed[0]).decode()
        return ""

    def _settle(self, state: TickState) -> dict[str, Any]:
        """Freeze the rosters and list their groups; a damaged outcome is voided, and the run goes on."""
        try:
            settled = list(settle_legs(self._ledger, self._legs, state.epoch))
            for leg, ledger, _ in settled[1:]:
                self._ledger.note_leg(state.epoch, leg.number, ledger.prefix)
            key = self._make_reducer(state.epoch).begin(settled, len(self._legs))
        except UnreadableOutcome as err:
            self._ledger.give_up_outcome(err, state.epoch)
            return self._answer(self._enter_next_epoch(state), "running")
        state = replace(state, leg=len(settled) - 1, step=0)
        return {**self._answer(state, "settling"), "groups_key": key}

    def _leave_leg(self, state: TickState) -> dict[str, Any]:
        """Settle the run, or exchange what the leg gave: unless it is exchanged, a step is begun."""
        if state.leg == len(self._legs) - 1:
            return self._settle(state)
        if self._is_beyond_budget(state, {}, n_exchanges=1):
            facts = {"budget_usd": self._settings["budget_usd"], "at": self._now_s()}
            self._ledger.stop(state.epoch, BUDGET_REACHED, facts)
            return self._wait(TickPlan(state, wait_s=SHORTEST_WAIT_S))
        ledger = self._ledger.enter_leg(state.epoch, state.leg)
        try:
            roster = ledger.settle(self._legs[state.leg].last.name, state.epoch)
            key = self._exchanging.begin(state.epoch, state.leg, roster)
        except UnreadableOutcome as err:
            self._ledger.give_up_outcome(err, state.epoch)
            return self._answer(self._enter_next_epoch(state), "running")
        if not key:
            return self._go_on(state.begin_leg(state.leg + 1))
        return {**self._answer(replace(state, step=1), "exchanging"), "groups_key": key}

    def _exchange(self, state: TickState) -> dict[str, Any]:
        """What follows a step of an exchange: the next one, or the leg behind it."""
        if state.step == 1:
            key = self._exchanging.plan(state.epoch, state.leg)
            return {**self._answer(replace(state, step=2), "exchanging"), "groups_key": key}
        self._exchanging.end(state.epoch, state.leg)
        return self._go_on(state.begin_leg(state.leg + 1))

    def _enter_next_epoch(self, state: TickState) -> TickState:
        """Begin anew; what tallies cost goes on to count."""
        return TickState(epoch=self._ledger.epoch, n_ticks=state.n_ticks, tally_ms=state.tally_ms)

    def _wait(self, plan: TickPlan) -> dict[str, Any]:
        wait_s = plan.wait_s
        until_s = self._settings.get("until_s")
        if until_s is not None:
            wait_s = max(1, min(wait_s, int(until_s - self._now_s()) + 1))
        return self._answer(plan.state, "running", wait_s)

    def _answer(self, state: TickState, phase: str, wait_s: int = 0) -> dict[str, Any]:
        taken_ms = (time.monotonic_ns() - self._begun_ns) // 1_000_000 + _TAIL_MS
        state = replace(state, tally_ms=state.tally_ms + taken_ms)
        return {
            "run": self._run,
            "state": asdict(state),
            "epoch": state.epoch,
            "phase": phase,
            "wait_s": wait_s,
            "groups_key": "",
        }


def _is_narrowed(leg: Leg) -> bool:
    """Whether a stage of it allows only so many tasks."""
    return any(stage.concurrency is not None for stage in leg.stages)


def leave_gap(chunks: list[ChunkId]) -> list[ChunkId]:
    """The chunks up to the first that is not there yet: they are put many at a time, and counted in order."""
    return [chunk for place, chunk in enumerate(chunks) if chunk.seq == place]


def may_wait(settings: Mapping[str, Any]) -> bool:
    """Whether more tasks than the window may be sent: the stack bounds what runs, and there is no budget.

    What an invocation that left nothing has cost shows when its task is received again, and it would wait.
    """
    is_bounded = 0 < settings.get("concurrency", 0) <= settings["window"]
    return is_bounded and settings.get("budget_usd") is None


def read_tariff(settings: Mapping[str, Any]) -> Tariff:
    """A run's tariff; of one that was begun without, the table's prices."""
    found = settings.get("tariff")
    return Tariff.from_plain(found) if found else Tariff(Prices(), "arm64", 0.0)


def measure_before(ledger: Ledger, manifest: Mapping[str, Any], n_chunks: int) -> Spend:
    """What a run cost before its first tally; nothing of one that was submitted chunk by chunk."""
    if not is_cut_in_stack(manifest):
        return Spend()
    return measure_preparing(read_tariff(manifest["settings"]), ledger.list_paid(), n_chunks)


@dataclass(frozen=True)
class Earlier:
    """What was paid in a run's earlier epochs besides their outcomes."""

    n_ticks: int
    tally_ms: int
    settling: Spend


def measure_earlier(tariff: Tariff, ledger: Ledger, epoch: int) -> Earlier:
    """The tallies and merges of the epochs before one, as their bills say."""
    bills, settling = ledger.list_bills(epoch), Spend()
    with decoding("bill.json"):
        for bill in bills:
            settling += measure_settling(tariff, bill["reduce_ms"], bill["n_outcomes"], bill["n_groups"])
        return Earlier(sum(b["n_ticks"] for b in bills), sum(b["tally_ms"] for b in bills), settling)


def measure_so_far(ledger: Ledger, manifest: Mapping[str, Any], state: TickState) -> tuple[Spend, int]:
    """What a run has cost up to now, the merging of its open epoch apart; and how many outcomes it has."""
    tariff = read_tariff(manifest["settings"])
    reached = Reached.up_to(ledger, read_legs(manifest), state.epoch, state.leg)
    outcomes, n_chunks = list(chain(*reached.list_outcomes().values())), reached.count_chunks()
    earlier = measure_earlier(tariff, ledger, state.epoch)
    n_ticks, tally_ms = state.n_ticks + earlier.n_ticks, state.tally_ms + earlier.tally_ms
    spent = measure_spend(tariff, outcomes, ledger.count_redeliveries(), n_chunks, n_ticks, tally_ms)
    spent += reached.measure_exchanges(tariff) + earlier.settling
    return spent + measure_before(ledger, manifest, n_chunks), len(outcomes)


def write_run_invoice(
    ledger: Ledger, manifest: Mapping[str, Any], epoch: int, state: TickState, n_groups: int, reduce_ms: int
) -> dict[str, Any]:
    """What a run has cost, all epochs of it, see `spending.write_invoice`; this one's bill is noted."""
    tariff = read_tariff(manifest["settings"])
    reached = Reached.up_to(ledger, read_legs(manifest), epoch, state.leg)
    found = reached.list_outcomes()
    outcomes = list(chain(*found.values()))
    redelivered, n_chunks = ledger.count_redeliveries(), reached.count_chunks()
    earlier = measure_earlier(tariff, ledger, epoch)
    n_ticks, tally_ms = state.n_ticks + earlier.n_ticks, state.tally_ms + earlier.tally_ms
    first, *others = found.values()
    works = [measure_spend(tariff, first, redelivered, n_chunks, n_ticks, tally_ms)]
    works += [measure_spend(tariff, each, {}, 0, 0, 0) for each in others]
    preparing = measure_before(ledger, manifest, n_chunks)
    settling = earlier.settling + measure_settling(tariff, reduce_ms, len(outcomes), n_groups)
    settling += reached.measure_exchanges(tariff)
    own = {"n_ticks": state.n_ticks, "tally_ms": state.tally_ms}
    ledger.note_bill(
        epoch, {**own, "n_groups": n_groups, "reduce_ms": reduce_ms, "n_outcomes": len(outcomes)}
    )
    duplicates_usd = sum(
        measure_duplicates(tariff, found[stage], roster) for stage, roster in reached.settle(epoch).items()
    )
    estimated_usd = manifest["settings"].get("estimated_usd")
    stages = dict(zip(found, works, strict=True))
    return write_invoice(tariff, stages, preparing, settling, duplicates_usd, estimated_usd)
