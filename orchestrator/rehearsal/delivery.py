"""The loop that delivers: due batches and events to functions, until nothing is in flight.

Timers are hidden and delayed messages, batching windows, retries and waiting executions; where only these
are left, the clock is moved to the first. Imports this package. When it is wrong, a drain returns too early.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.deferred import Deferred
from orchestrator.rehearsal.errors import StillBusy
from orchestrator.rehearsal.invoke import Invoker
from orchestrator.rehearsal.mapping import Mapping
from orchestrator.rehearsal.queues import Queues
from orchestrator.rehearsal.requests import ACCOUNT

QUIET_S = 0.03  # an execution that does nothing for so long is asleep
PARKED_S = 1.0  # one that waits for a token that nobody here sends may be left


class Delivery:
    """Delivers what is due to a stack's functions.

    Args:
        count_calls: how many AWS calls have been made, a sign of life.
    """

    def __init__(
        self,
        mappings: Sequence[Mapping],
        deferred: Deferred,
        invoker: Invoker,
        queues: Queues,
        clock: Clock,
        count_calls: Callable[[], int],
        region: str,
        concurrency: int,
    ) -> None:
        self._mappings, self._deferred, self._invoker = mappings, deferred, invoker
        self._queues, self._clock, self._count_calls, self._region = queues, clock, count_calls, region
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="rehearsal")
        self._waiting: set[Future[None]] = set()

    def close(self) -> None:
        """Start nothing more, and stop what runs in Step Functions."""
        for run in self._list_executions():
            run.stop(
                stop_date=dt.datetime.now(dt.UTC), error="Rehearsal.Ended", cause="the rehearsal has ended"
            )
        self._threads.shutdown(wait=False, cancel_futures=True)

    def settle(self, limit_s: float, *, is_skipping: bool) -> None:
        """Deliver until nothing is in flight, and with `is_skipping` until no timer is left.

        Raises:
            StillBusy: after `limit_s` seconds of real time something still moves.
        """
        ends = time.monotonic() + limit_s
        quiet_since: float | None = None
        seen = -1
        while True:
            self._deliver_due()
            is_busy = bool(self._waiting or self._invoker.running)  # what ends while we collect makes room
            self._collect(0.005)
            activity = self._count_calls() + len(self._invoker.invocations)
            now = time.monotonic()
            if is_busy or activity != seen:
                quiet_since, seen = None, activity
            quiet_since = quiet_since or now
            if not is_busy and self._is_settled(now - quiet_since, is_skipping=is_skipping):
                return
            if now > ends:
                raise StillBusy(limit_s, self._list_waiting())
            if not self._waiting:
                time.sleep(0.004)

    def _is_settled(self, quiet_s: float, *, is_skipping: bool) -> bool:
        """Say whether all is done; where only timers are left, move the clock to the first."""
        executions = self._list_executions()
        if executions and (quiet_s < QUIET_S or (quiet_s < PARKED_S and _is_any_thread_running())):
            return False
        due = [each.next_due for each in self._mappings] + [self._deferred.next_due]
        if executions:
            due.append(self._clock.next_wake)
        moments = [each for each in due if each is not None]
        if moments and min(moments) <= self._clock.now():
            return False
        if not is_skipping:
            return not executions or quiet_s > QUIET_S
        if moments:
            self._clock.advance_to(min(moments))
            return False
        return not executions or (quiet_s > PARKED_S and all(_waits_for_token(each) for each in executions))

    def _deliver_due(self) -> None:
        while len(self._waiting) < self._concurrency and (event := self._deferred.take()):
            self._waiting.add(self._threads.submit(self._deferred.deliver, event, self._invoker))
        for mapping in self._mappings:
            while len(self._waiting) < self._concurrency and (batch := mapping.poll()):
                self._waiting.add(self._threads.submit(mapping.deliver, batch))

    def _collect(self, wait_s: float) -> None:
        ends = time.monotonic() + wait_s
        while True:
            done = {each for each in self._waiting if each.done()}
            self._waiting -= done
            for each in done:
                each.result()
            if done or not self._waiting or time.monotonic() >= ends:
                return
            time.sleep(0.0005)

    def _list_executions(self) -> list[Any]:
        """Give the executions that run."""
        from moto.stepfunctions.parser.models import stepfunctions_parser_backends

        machines: Any = stepfunctions_parser_backends[ACCOUNT][self._region].state_machines
        return [
            run for machine in machines for run in list(machine.executions) if run.exec_status == "RUNNING"
        ]

    def _list_waiting(self) -> list[str]:
        found = [f"{len(self._waiting)} deliveries, {self._invoker.running} invocations at work"]
        counts = {each.queue: self._queues.count_visible(each.queue) for each in self._mappings}
        found += [f"{count} messages in {queue}" for queue, count in counts.items() if count]
        running = len(self._list_executions())
        return [*found, f"{running} executions"] if running else found


def _waits_for_token(execution: Any) -> bool:
    """Say whether some state of an execution waits for somebody's SendTaskSuccess."""
    environment = execution.exec_worker.env  # None until its first state, and after its last
    return environment is not None and bool(environment.callback_pool_manager._pool)  # noqa: SLF001  moto has no other way


def _is_any_thread_running() -> bool:
    """Say whether another thread of this process would go on, had it a processor or the disk it waits for.

    Where there is no /proc to tell, what is quiet for long enough is taken for asleep.
    """
    own = threading.get_native_id()
    with contextlib.suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
            if int(thread.name) != own and state in ("R", "D"):
                return True
    return False
