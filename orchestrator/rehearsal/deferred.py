"""Asynchronous invocations: events that wait for `drain`, are tried again when they fail, and end somewhere.

Two more attempts by default, one minute and two minutes later; then the dead-letter queue or the on-failure
destination. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
Imports this package. When it is wrong, an event that nobody handled goes unnoticed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.errors import InvokeRefused
from orchestrator.rehearsal.invoke import Invoker
from orchestrator.rehearsal.records import FunctionSpec, Invocation

RETRY_AFTER_S = (60.0, 120.0)


@dataclass(frozen=True)
class Event:
    """An event on its way to a function."""

    function: str
    body: str
    trace: str | None
    since: float
    due: float
    attempt: int = 0


class Deferred:
    """The events that wait.

    Args:
        bury: sends a text to a queue's ARN.
    """

    def __init__(self, clock: Clock, bury: Callable[[str, str], None]) -> None:
        self.in_flight = 0
        self._clock, self._bury = clock, bury
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def put(self, function: str, body: str, trace: str | None = None) -> None:
        """Take an event."""
        now = self._clock.now()
        with self._lock:
            self._events.append(Event(function, body, trace, now, now))

    def take(self) -> Event | None:
        """Give an event that is due, None without one."""
        with self._lock:
            now = self._clock.now()
            found = next((each for each in self._events if each.due <= now), None)
            if found is not None:
                self._events.remove(found)
                self.in_flight += 1
            return found

    @property
    def next_due(self) -> float | None:
        """When the next event is due, None without one."""
        with self._lock:
            return min((each.due for each in self._events), default=None)

    def deliver(self, event: Event, invoker: Invoker) -> None:
        """Invoke the function with an event; what fails waits for its next attempt, or ends."""
        try:
            record = invoker.run(event.function, event.body, "async", event.trace)
            if record.error is not None:
                self._put_back(event, invoker.functions[event.function], record)
        except InvokeRefused as refusal:
            invoker.note_refusal(event.function, "async", refusal)
            if (
                refusal.status == 429
                and self._clock.now() + 60 < event.since + invoker.functions[event.function].event_age_s
            ):
                self._keep(replace(event, due=self._clock.now() + 60))
            else:
                self._give_up(event, invoker.functions[event.function], None)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _put_back(self, event: Event, spec: FunctionSpec, record: Invocation) -> None:
        after_s = RETRY_AFTER_S[min(event.attempt, len(RETRY_AFTER_S) - 1)]
        due = self._clock.now() + after_s
        if event.attempt < spec.retry_attempts and due < event.since + spec.event_age_s:
            self._keep(replace(event, due=due, attempt=event.attempt + 1))
        else:
            self._give_up(event, spec, record)

    def _keep(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)

    def _give_up(self, event: Event, spec: FunctionSpec, record: Invocation | None) -> None:
        if spec.failure_arn is None:
            return
        if not spec.failure_is_destination:
            self._bury(spec.failure_arn, event.body)
            return
        context = {
            "requestId": record.request_id if record else "",
            "functionArn": f"{spec.arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": event.attempt + 1,
        }
        answer = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        report = {
            "version": "1.0",
            "requestContext": context,
            "requestPayload": json.loads(event.body),
            "responseContext": answer,
            "responsePayload": record.error if record else None,
        }
        self._bury(spec.failure_arn, json.dumps(report))
