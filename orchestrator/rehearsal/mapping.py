"""Our own event source mapping: batches from a queue to a function, and what becomes of the messages.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
Success deletes a batch; an error of the function leaves it hidden for the queue's visibility timeout; with
ReportBatchItemFailures only the messages named stay. Imports this package. When it is wrong, a handler that
loses messages passes.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.errors import InvokeRefused
from orchestrator.rehearsal.faults import Dice
from orchestrator.rehearsal.invoke import Invoker
from orchestrator.rehearsal.lineage import count_hops
from orchestrator.rehearsal.queues import Message, Queues, describe_record, read_trace
from orchestrator.rehearsal.records import MappingSpec


@dataclass(frozen=True)
class Batch:
    """Messages that are on their way to the function."""

    messages: tuple[Message, ...]
    event: str
    trace: str | None


def choose_failed(response: Any, sent: set[str]) -> set[str]:
    """Give the ids of the messages that a handler's answer reports as failed.

    An answer that names an unknown or empty id, or is malformed, fails the whole batch; none, an empty one or
    an empty list fails nothing.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    if response in (None, "", {}):
        return set()
    items = response.get("batchItemFailures") if isinstance(response, dict) else response
    if isinstance(response, dict) and not items:
        return set()
    if not isinstance(items, list):
        return sent
    named = {each.get("itemIdentifier") if isinstance(each, dict) else None for each in items}
    return {each for each in named if each is not None} if named <= sent else sent


class Mapping:
    """One mapping at work.

    Attributes:
        in_flight: how many batches the function has at the moment.
    """

    def __init__(self, spec: MappingSpec, queues: Queues, invoker: Invoker, clock: Clock, dice: Dice) -> None:
        self.spec, self.in_flight = spec, 0
        self.queue = spec.queue_arn.rpartition(":")[2]
        self._queues, self._invoker, self._clock, self._dice = queues, invoker, clock, dice
        self._lock = threading.Lock()
        self._gathering_since: float | None = None

    def poll(self) -> Batch | None:
        """Take a batch if there is one to take, the window allows it and the function may have another."""
        with self._lock:
            limit = self.spec.max_concurrency
            if (limit is not None and self.in_flight >= limit) or not self._is_gathered():
                return None
            visibility_s = self._queues.get_visibility_s(self.queue)
            messages = self._queues.receive(self.queue, self.spec.batch_size, visibility_s)
            if not messages:
                return None
            self.in_flight += 1
        self._invoker.note_poll(self.spec)
        if not self.queue.endswith(".fifo"):
            twice = [each for each in messages if self._dice.is_hit("duplicate", each.body)]
            self._queues.duplicate(self.queue, twice)
        arn = self._invoker.functions[self.spec.function].arn
        trace = max((read_trace(each) for each in messages), key=lambda each: count_hops(each, arn))
        event = json.dumps({"Records": [describe_record(each, self.spec.queue_arn) for each in messages]})
        return Batch(tuple(messages), event, trace)

    def deliver(self, batch: Batch) -> None:
        """Invoke the function with a batch and settle its messages."""
        try:
            answer = self._invoker.run(self.spec.function, batch.event, self.spec.logical, batch.trace)
            sent = {each.id for each in batch.messages}
            failed = sent if answer.error else set()
            if not answer.error and self.spec.reports_items:
                failed = choose_failed(answer.response, sent)
            self._queues.delete(self.queue, [each for each in batch.messages if each.id not in failed])
        except InvokeRefused as refusal:
            self._invoker.note_refusal(self.spec.function, self.spec.logical, refusal)
        finally:
            with self._lock:
                self.in_flight -= 1

    @property
    def next_due(self) -> float | None:
        """When there is something to do that is not to be done now; None where nothing waits."""
        moments = [self._queues.find_next_due(self.queue)]
        if self._gathering_since is not None:
            moments.append(self._gathering_since + self.spec.window_s)
        return min((each for each in moments if each is not None), default=None)

    def _is_gathered(self) -> bool:
        if not self.spec.window_s:
            return True
        visible = self._queues.count_visible(self.queue)
        if not visible:
            self._gathering_since = None
            return False
        if self._gathering_since is None:
            self._gathering_since = self._clock.now()
        is_over = self._clock.now() >= self._gathering_since + self.spec.window_s
        if is_over or visible >= self.spec.batch_size:
            self._gathering_since = None
            return True
        return False
