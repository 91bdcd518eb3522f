"""The queues in moto, received from by our rules: order, retention, and a redrive that is remembered.

Every receive, a handler's and a test's included, comes through here. Imports moto's queues and this package;
holds the lock that the gateway holds. When it is wrong, messages are lost, or counted wrongly.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.faults import Dice
from orchestrator.rehearsal.gateway import moto_lock
from orchestrator.rehearsal.receive import Waiting, plan_receive
from orchestrator.rehearsal.requests import ACCOUNT

Message = Any  # moto.sqs.models.Message, which has no annotations


class Queues:
    """All queues of a region.

    Attributes:
        dead: per queue, the messages that have left it for its dead-letter queue, as boto3 gives them.
    """

    def __init__(self, region: str, clock: Clock, dice: Dice) -> None:
        self.dead: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._region, self._clock, self._dice = region, clock, dice
        self._diced: set[str] = set()

    @property
    def backend(self) -> Any:
        """moto's store of queues."""
        from moto.sqs.models import sqs_backends

        return sqs_backends[ACCOUNT][self._region]

    def receive(self, name: str, limit: int, visibility_s: float) -> list[Message]:
        """Give out at most `limit` messages, moto's own objects, and hide them for `visibility_s`."""
        with moto_lock:
            queue = self.backend.get_queue(name)
            messages = self._drop_expired(queue)
            rows = [self._see(queue, each) for each in messages]
            policy = queue.redrive_policy if queue.dead_letter_queue is not None else None
            limits = int(policy["maxReceiveCount"]) if policy else None
            receipt = plan_receive(rows, limit, limits, is_fifo=queue.fifo_queue)
            for index in receipt.redrive:
                self._redrive(queue, messages[index])
            chosen = [messages[index] for index in receipt.deliver]
            for each in chosen:
                each.mark_received(visibility_timeout=visibility_s)
                queue.pending_messages.add(each)
            return chosen

    def answer_receive(
        self, name: str, count: int, _wait_s: int, visibility_s: int, attributes: list[str] | None = None
    ) -> list[Message]:
        """Stand in for moto's own `receive_message`, with its signature."""
        from moto.sqs import models

        copies = [copy.deepcopy(each) for each in self.receive(name, count, visibility_s)]
        for each in copies:
            models._filter_message_attributes(each, attributes or [])  # noqa: SLF001  as moto does here
        return copies

    def delete(self, name: str, messages: Sequence[Message]) -> None:
        """Delete what was handled; what is gone already is fine."""
        from moto.sqs.exceptions import ReceiptHandleIsInvalid

        with moto_lock:
            queue = self.backend.get_queue(name)
            for each in messages:
                try:
                    queue.delete_message(each.receipt_handle)
                except ReceiptHandleIsInvalid:
                    continue

    def send(self, arn: str, body: str, group: str | None = None) -> None:
        """Send a text to a queue that AWS itself sends to; one that is not there is dropped, as in AWS."""
        name = arn.rpartition(":")[2]
        with moto_lock:
            if name in self.backend.queues:
                self.backend.send_message(name, body, group_id=group)

    def duplicate(self, name: str, messages: Sequence[Message]) -> None:
        """Let messages that were given out be delivered once more, whatever becomes of the first delivery."""
        with moto_lock:
            for each in messages:
                twin = copy.copy(each)
                twin.receipt_handle, twin._old_receipt_handles, twin.visible_at = None, [], 0.0  # noqa: SLF001
                self.backend.get_queue(name)._messages.append(twin)  # noqa: SLF001

    def get_visibility_s(self, name: str) -> float:
        """Give the queue's visibility timeout."""
        return float(self.backend.get_queue(name).visibility_timeout)

    def count_visible(self, name: str) -> int:
        """Give how many messages could be received now."""
        with moto_lock:
            return len(self.backend.get_queue(name).messages)

    def find_next_due(self, name: str) -> float | None:
        """Give the moment at which the first hidden or delayed message can be received, None without one."""
        with moto_lock:
            queue = self.backend.get_queue(name)
            now_ms = self._clock.now() * 1000
            moments = (max(each.visible_at, each.delayed_until) for each in queue._messages)  # noqa: SLF001
            return min((each / 1000 + 0.002 for each in moments if each >= now_ms), default=None)

    def _drop_expired(self, queue: Any) -> list[Message]:
        oldest_ms = (self._clock.now() - queue.message_retention_period) * 1000
        queue._messages = [each for each in queue._messages if each.sent_timestamp > oldest_ms]  # noqa: SLF001
        return list(queue._messages)  # noqa: SLF001

    def _see(self, queue: Any, message: Message) -> Waiting:
        if message.id not in self._diced:
            self._diced.add(message.id)
            if self._dice.is_hit("delay", message.body):
                message.delay(self._dice.faults.delay_s)
        is_visible = message.visible and not message.delayed
        is_in_flight = not message.visible and message.approximate_receive_count > 0
        if is_visible:
            queue.pending_messages.discard(message)
        receives = message.approximate_receive_count
        return Waiting(message.group_id, receives, len(message.body), is_visible, is_in_flight)

    def _redrive(self, queue: Any, message: Message) -> None:
        queue._messages.remove(message)  # noqa: SLF001
        queue.pending_messages.discard(message)
        message.visible_at, message.source_arn = 0.0, queue.queue_arn
        self.dead[queue.name].append(describe_message(message))
        queue.dead_letter_queue.add_message(message)


def describe_attributes(message: Message) -> dict[str, str]:
    """Give a message's system attributes, as SQS and Lambda spell them."""
    found = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp or ""),
    }
    optional = {
        "MessageGroupId": message.group_id,
        "MessageDeduplicationId": message.deduplication_id,
        "SequenceNumber": message.sequence_number,
        "AWSTraceHeader": read_trace(message),
        "DeadLetterQueueSourceArn": getattr(message, "source_arn", None),
    }
    return found | {name: str(value) for name, value in optional.items() if value}


def read_trace(message: Message) -> str | None:
    """Give the trace header that a message carries."""
    found = message.system_attributes.get("AWSTraceHeader")
    return str(found["StringValue"]) if isinstance(found, dict) and found.get("StringValue") else None


def describe_message(message: Message) -> dict[str, Any]:
    """Give a message as boto3's `receive_message` does."""
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt_handle or "",
        "Body": message.body,
        "MD5OfBody": message.body_md5,
        "Attributes": describe_attributes(message),
        "MessageAttributes": copy.deepcopy(message.message_attributes),
    }


def describe_record(message: Message, queue_arn: str) -> dict[str, Any]:
    """Give a message as a record of the event that Lambda makes of it.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": describe_attributes(message),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "binaryValue": value.get("BinaryValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.get("DataType"),
            }
            for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
