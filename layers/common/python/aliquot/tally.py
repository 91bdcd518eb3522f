"""What one tick of a run decides, as pure functions of what it sees: dispatch, repair, drain or done.

    chunks, outcomes, voids, sealed, queue depth --plan_tick--> messages to send, the next tick's state
    an epoch that was stopped, queue depth --plan_drain--> wait on, or done

Chunks are dispatched in dataset order, a window of tasks at a time, so that what is in flight is bounded.
Where the stack itself bounds what runs, tasks may also wait: as many chunks are open as keep the queue from
running empty before the next tick, and each becomes as many tasks as it has slices. Nothing else balances a
run's end: workers that are free find tasks there. What was dispatched stands in the state (a number), and a
tick that dies between sending and handing on its state sends twice: a duplicate, which workers look through.
A gap that nobody works on (the queue read empty in two ticks running) is sent again. After a stop the roster
waits for what is in flight.

Owns these decisions. Imports `coverage` and `message`; does no I/O. When it is wrong, a run stalls or floods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from aliquot.coverage import Coverage
from aliquot.envelope import is_count
from aliquot.keys import ChunkId
from aliquot.message import ENDLESS, TaskMessage
from aliquot.notes import is_epoch
from aliquot.surroundings import SLICE_S

SHORTEST_WAIT_S, LONGEST_WAIT_S = 5, 60
_WAIT_GROWTH = 1.5
_TASK_S = 0.2  # of a task besides its records
# a tick costs as much as 6 s of a worker and 0.2 s for each thousand keys, and may cost 1% of what runs; it
# lists 20,000 keys in a second
_WORKER_S_PER_TICK, _WORKER_S_PER_KEY, _KEYS_PER_S = 600.0, 0.02, 20_000
_MOST_SENT = 5000  # by one tick
_SPARE = 2.0  # times the tasks that are done until the next tick: estimates of them are rough
_QUIET_TICKS = 2
DRAIN_WAIT_S = 15
_DRAINED_TICKS = 4  # SQS's counts are a minute late at most
MOST_REPAIRS = 10
MOST_IDLE_TICKS = 24 * 60  # about a day at the longest wait


@dataclass(frozen=True)
class TickState:
    """What a tick hands to the next.

    Args:
        epoch: the epoch that is open.
        n_dispatched: chunks, in dataset order, whose tasks have been sent.
        n_quiet: ticks running in which gaps were open and the queue was empty.
        n_ticks: ticks so far, for the wait between them and for what they cost.
        n_draining: ticks since the epoch was stopped.
        n_idle: ticks running in which everything submitted was answered and the submission went no further.
        n_repairs: how often gaps were sent again since a further record was answered.
        n_answered: records that were answered then.
        tally_ms: what ticks have taken so far.
        leg: which leg is worked on.
        step: of the exchange behind it: 1 while parts are compacted, 2 while partitions are gathered, else 0.
    """

    epoch: int = 0
    n_dispatched: int = 0
    n_quiet: int = 0
    n_ticks: int = 0
    n_draining: int = 0
    n_idle: int = 0
    n_repairs: int = 0
    n_answered: int = 0
    tally_ms: int = 0
    leg: int = 0
    step: int = 0

    def begin_leg(self, leg: int) -> TickState:
        """The state at the begin of a leg; what tallies cost goes on to count."""
        return TickState(epoch=self.epoch, n_ticks=self.n_ticks, tally_ms=self.tally_ms, leg=leg)


def is_state(value: Any) -> bool:
    """Whether these are the plain values of a state, or nothing: what the state machine may hand on."""
    if not value:
        return True
    known = {each.name for each in fields(TickState)}
    is_formed = isinstance(value, Mapping) and set(value) <= known and all(map(is_count, value.values()))
    return is_formed and is_epoch(value.get("epoch", 0))


@dataclass(frozen=True)
class TickPlan:
    """What a tick does: messages to send, whether to settle now, and how long to wait else."""

    state: TickState
    send: tuple[TaskMessage, ...] = ()
    is_complete: bool = False
    wait_s: int = 0

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing has come of the submission for a day."""
        return self.state.n_idle >= MOST_IDLE_TICKS

    @property
    def is_stuck(self) -> bool:
        """Whether nothing comes of what is sent, time and again."""
        return self.state.n_repairs > MOST_REPAIRS


def plan_tick(
    run: str,
    stage: str,
    chunks: Sequence[ChunkId],
    is_sealed: bool,
    coverage: Coverage,
    queue_depth: int,
    window: int,
    rung: str,
    state: TickState,
    *,
    may_wait: bool = False,
    is_rated: bool = False,
) -> TickPlan:
    """What to do now.

    Args:
        chunks: all chunks so far, in dataset order.
        is_sealed: whether no further chunk will come.
        coverage: how far they are answered.
        queue_depth: messages waiting and in flight; another run's count too, which only delays repairs.
        window: how many tasks of this run may be queued or running.
        rung: the memory rung on which the run's records begin.
        state: what the last tick handed on.
        may_wait: whether the stack bounds what runs, so that more tasks than the window may be sent.
        is_rated: shares of the window are shares of a rate, and may at no time be more than it has: nothing
            is sent before all chunks are there, for what they get is told by how many they are.
    """
    dispatched = set(chunks[: state.n_dispatched])
    open_gaps = {chunk: gap for chunk, gap in coverage.gaps.items() if chunk in dispatched}
    wait_s = choose_wait(state.n_ticks, window, len(chunks) + coverage.n_outcomes)
    room = window - len(open_gaps) if is_sealed or not is_rated else 0
    if may_wait:
        n_wanted = _choose_open(coverage, len(chunks), window, wait_s)
        n_idle = window - queue_depth
        room = min(_MOST_SENT, max(n_wanted - len(open_gaps), n_idle))
        wait_s = SHORTEST_WAIT_S if n_idle > 0 and state.n_dispatched < len(chunks) else wait_s
    fresh, n_dispatched = _find_fresh(chunks, coverage, state.n_dispatched, max(0, room))
    if is_sealed and coverage.is_complete:
        return TickPlan(state, is_complete=True)
    n_quiet = state.n_quiet + 1 if open_gaps and queue_depth == 0 else 0
    again = dict(open_gaps) if n_quiet >= _QUIET_TICKS else {}
    todo = {**again, **{chunk: coverage.gaps[chunk] for chunk in fresh}}
    share = ENDLESS if may_wait else max(1, window // max(1, len(open_gaps) + len(fresh)))
    messages = (
        TaskMessage(run, stage, chunk, gap, state.epoch, share=share, rung=rung)
        for chunk, gap in todo.items()
    )
    has_gained = coverage.n_answered > state.n_answered
    following = replace(
        state,
        n_repairs=(0 if has_gained else state.n_repairs) + bool(again),
        n_answered=coverage.n_answered,
        n_dispatched=n_dispatched,
        n_quiet=0 if again else n_quiet,
        n_ticks=state.n_ticks + 1,
        n_idle=0 if is_sealed or open_gaps or fresh else state.n_idle + 1,
    )
    return TickPlan(following, tuple(messages), wait_s=wait_s)


def _choose_open(coverage: Coverage, n_chunks: int, window: int, wait_s: int) -> int:
    """How many chunks to have open, so that there are tasks enough until the next tick."""
    if not coverage.n_answered:
        return window
    chunk_s = coverage.spent_ms / 1000 / coverage.n_answered * coverage.n_records / n_chunks
    n_tasks = max(1, math.ceil(chunk_s / SLICE_S))  # that a chunk becomes
    done_each = wait_s / (chunk_s / n_tasks + _TASK_S)
    return math.ceil(window * (1 + _SPARE * done_each) / n_tasks)


def _find_fresh(
    chunks: Sequence[ChunkId], coverage: Coverage, start: int, room: int
) -> tuple[list[ChunkId], int]:
    """The next chunks that are not answered, `room` of them, and how many chunks are then behind."""
    fresh: list[ChunkId] = []
    at = start
    while at < len(chunks) and len(fresh) < room:
        if chunks[at] in coverage.gaps:
            fresh.append(chunks[at])
        at += 1
    return fresh, at


def plan_drain(state: TickState, queue_depth: int, lease_s: int) -> TickPlan:
    """What to do in an epoch that was stopped: wait until nothing that is in flight can still come in.

    Args:
        queue_depth: messages waiting and in flight.
        lease_s: after which no worker that began before the stop can be at work.
    """
    n_quiet = state.n_quiet + 1 if queue_depth == 0 and state.n_draining else 0
    n_ticks = state.n_ticks + 1
    following = replace(state, n_quiet=n_quiet, n_draining=state.n_draining + 1, n_ticks=n_ticks)
    if n_quiet >= _DRAINED_TICKS or state.n_draining * DRAIN_WAIT_S >= lease_s:
        return TickPlan(following, is_complete=True)
    return TickPlan(following, wait_s=DRAIN_WAIT_S)


def choose_wait(n_ticks: int, window: int, n_keys: int) -> int:
    """Seconds to the next tick: short at first, longer later, as far as what runs does not pay for it."""
    paid_s = (_WORKER_S_PER_TICK + _WORKER_S_PER_KEY * n_keys) / max(1, window) + n_keys / _KEYS_PER_S
    longest_s = min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, paid_s))
    return int(min(longest_s, SHORTEST_WAIT_S * _WAIT_GROWTH ** min(n_ticks, 20)))
