"""How tasks come to workers: who takes them from the queues, for how long, and how often one may come again.

Owns the rules by which queues, mappings and functions have to agree. When it is wrong, tasks are worked on
twice, wait for nobody, or are buried before anybody tried their records apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.stack.aws import explained
from orchestrator.stack.checks.functions import FunctionFacts
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs

# AWS, "Using Lambda with Amazon SQS": hidden for six times the function's timeout, five receives at the least
_TIMES_HIDDEN, _LEAST_RECEIVES = 6, 5
_REPORTS = "ReportBatchItemFailures"
DEAD_LETTERS = "dead letters"


@dataclass(frozen=True)
class MappingFacts:
    """What AWS says of an event source mapping."""

    uuid: str
    function_arn: str
    state: str
    batch_size: int
    reports_items: bool


@dataclass(frozen=True)
class QueueFacts:
    """What AWS says of a queue and of who takes its messages.

    Args:
        name: its rung, or DEAD_LETTERS.
        dead_letters_arn: of the stack's dead-letter queue.
        most_receives: before a message goes there; 0 where nothing is ever given up.
        timeout_s: of the function that takes its messages; None where it is not of this stack.
    """

    name: str
    url: str
    hidden_s: int
    dead_letters_arn: str
    most_receives: int
    mappings: tuple[MappingFacts, ...] = ()
    timeout_s: float | None = None


def check_delivery(
    outputs: StackOutputs, functions: Iterable[FunctionFacts], session: Any
) -> Iterator[Finding]:
    """Findings on each queue, or that all are well."""
    urls = {**outputs.queues, DEAD_LETTERS: outputs.dead_letter_queue}
    by_name = {each.function: each.timeout_s for each in functions}
    with explained("asking for the queues' settings"):
        said = {name: read_attributes(url, session) for name, url in urls.items()}
        dead_letters_arn = said[DEAD_LETTERS]["QueueArn"]
        queues = [
            read_queue(name, url, said[name], dead_letters_arn, by_name, session)
            for name, url in urls.items()
        ]
    yield from judge_delivery(outputs.name, queues)


def read_attributes(url: str, session: Any) -> Mapping[str, str]:
    """A queue's attributes that are of interest here."""
    asked = ["QueueArn", "RedrivePolicy", "VisibilityTimeout"]
    found: Mapping[str, str] = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=asked)[
        "Attributes"
    ]
    return found


def read_queue(
    name: str,
    url: str,
    said: Mapping[str, str],
    dead_letters_arn: str,
    timeouts_s: Mapping[str, float],
    session: Any,
) -> QueueFacts:
    """A queue with who takes its messages.

    Args:
        said: its attributes.
        timeouts_s: of the stack's functions, by their names in AWS.
    """
    found = session.client("lambda").list_event_source_mappings(EventSourceArn=said["QueueArn"])
    mappings = tuple(
        MappingFacts(
            each["UUID"],
            each["FunctionArn"],
            each.get("State", ""),
            each.get("BatchSize", 0),
            _REPORTS in each.get("FunctionResponseTypes", ()),
        )
        for each in found["EventSourceMappings"]
    )
    redrive = json.loads(said.get("RedrivePolicy") or "{}")
    taken_by = [timeouts_s.get(each.function_arn.rpartition(":")[2]) for each in mappings]
    return QueueFacts(
        name=name,
        url=url,
        hidden_s=int(said["VisibilityTimeout"]),
        dead_letters_arn=dead_letters_arn,
        most_receives=int(redrive.get("maxReceiveCount", 0)),
        mappings=mappings,
        timeout_s=max((each for each in taken_by if each is not None), default=None),
    )


def judge_delivery(stack: str, queues: Iterable[QueueFacts]) -> Iterator[Finding]:
    """A finding for each way in which queues should not be; else one for each rule, that it holds."""
    every = list(queues)
    judges = (judge_mappings, judge_hiding, judge_receives)
    wells = (
        Finding("ok", "mappings", "every queue is read by its function"),
        Finding("ok", "visibility", f"queues hide a task for {_TIMES_HIDDEN} times its function's timeout"),
        Finding("ok", "receives", f"a task comes {_LEAST_RECEIVES} times before it is a dead letter"),
    )
    for judge, well in zip(judges, wells, strict=True):
        yield from [found for each in every if (found := judge(stack, each)) is not None] or [well]


def judge_mappings(stack: str, queue: QueueFacts) -> Finding | None:
    """Whether somebody takes a queue's messages, and says which of them failed."""
    deploy = f"`aliquot deploy --stack {stack}`"
    if not queue.mappings:
        return Finding("fail", "mappings", f"nobody takes what lies in the queue {queue.name}", deploy)
    mapping = queue.mappings[0]
    update = f"`aws lambda update-event-source-mapping --uuid {mapping.uuid}"
    if len(queue.mappings) > 1:
        said = f"{len(queue.mappings)} functions take from the queue {queue.name} what the others need"
        others = " ".join(each.uuid for each in queue.mappings)
        return Finding(
            "fail", "mappings", said, f"`aws lambda delete-event-source-mapping --uuid` one of {others}"
        )
    if mapping.state in ("Disabled", "Disabling"):
        return Finding(
            "fail", "mappings", f"the queue {queue.name} is not read: it is disabled", f"{update} --enabled`"
        )
    if not mapping.reports_items:
        said = f"a failed task of {queue.name} has its whole batch done again"
        return Finding("warn", "mappings", said, f"{update} --function-response-types {_REPORTS}`")
    if queue.name != DEAD_LETTERS and mapping.batch_size != 1:
        said = f"workers of {queue.name} get {mapping.batch_size} tasks at a time, and have time for one"
        return Finding("fail", "mappings", said, f"{update} --batch-size 1`")
    return None


def judge_hiding(stack: str, queue: QueueFacts) -> Finding | None:
    """Whether a message stays hidden while it may be worked on."""
    if queue.timeout_s is None:
        return None
    wanted_s = int(_TIMES_HIDDEN * queue.timeout_s)
    if queue.hidden_s >= wanted_s:
        return None
    is_lost = queue.hidden_s < queue.timeout_s
    end = (
        "come again while they are worked on" if is_lost else "may come again while their poller is throttled"
    )
    return Finding(
        "fail" if is_lost else "warn",
        "visibility",
        f"{queue.name}: {queue.hidden_s:,} s for a function of {queue.timeout_s:,.0f} s: tasks {end}",
        f"`aws sqs set-queue-attributes --queue-url {queue.url} --attributes VisibilityTimeout={wanted_s}`"
        f", or `aliquot deploy --stack {stack}`",
    )


def judge_receives(_stack: str, queue: QueueFacts) -> Finding | None:
    """Whether a task comes often enough for workers to try its records apart, and ends at all."""
    if queue.name == DEAD_LETTERS or queue.most_receives >= _LEAST_RECEIVES:
        return None
    policy = {"deadLetterTargetArn": queue.dead_letters_arn, "maxReceiveCount": str(_LEAST_RECEIVES)}
    attributes = json.dumps({"RedrivePolicy": json.dumps(policy, separators=(",", ":"))})
    remedy = f"`aws sqs set-queue-attributes --queue-url {queue.url} --attributes '{attributes}'`"
    if not queue.most_receives:
        said = f"{queue.name}: a task that ends its environment comes again for ever, and is never buried"
        return Finding("fail", "receives", said, remedy)
    said = f"{queue.name}: a task is a dead letter after {queue.most_receives} receives, throttled ones too"
    return Finding("warn", "receives", said, remedy)
