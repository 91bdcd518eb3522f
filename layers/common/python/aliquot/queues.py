"""A stack's task queues, one for each memory rung: tasks put in, and how many lie there.

Owns the calls to SQS that send and count. The client is an argument. When it is wrong, tasks are lost between
a worker's acknowledgement and its follow-ups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aliquot.message import TaskMessage

_BATCH = 10  # messages that SQS takes at once
_DEPTHS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


class TaskQueues:
    """The queues of a stack.

    Args:
        client: a boto3 SQS client.
        urls: by rung, the lowest first.
    """

    def __init__(self, client: Any, urls: Mapping[str, str]) -> None:
        self._client, self._urls = client, urls

    @property
    def rungs(self) -> list[str]:
        """The rungs that there are, the lowest first."""
        return list(self._urls)

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put tasks into their rungs' queues; returns when all are acknowledged, raises ConnectionError."""
        by_rung: dict[str, list[TaskMessage]] = {}
        for message in messages:
            by_rung.setdefault(message.rung, []).append(message)
        for rung, tasks in by_rung.items():
            for start in range(0, len(tasks), _BATCH):
                self._send_batch(self._urls[rung], tasks[start : start + _BATCH])

    def measure(self) -> dict[str, int]:
        """Tasks that wait or are in flight, by rung; SQS's counts are a minute late at most."""
        depths: dict[str, int] = {}
        for rung, url in self._urls.items():
            said = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=_DEPTHS)["Attributes"]
            depths[rung] = sum(int(said[name]) for name in _DEPTHS)
        return depths

    def _send_batch(self, url: str, tasks: Sequence[TaskMessage]) -> None:
        entries = [
            {"Id": str(place), "MessageBody": task.to_text(), "MessageGroupId": task.run}
            for place, task in enumerate(tasks)
        ]
        said = self._client.send_message_batch(QueueUrl=url, Entries=entries)
        if said.get("Failed"):
            raise ConnectionError(f"SQS refused {len(said['Failed'])} of {len(entries)} messages")
