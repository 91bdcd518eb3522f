"""Tasks that wait without a run, and those that ended up among the dead letters.

Owns how messages are counted. When it is wrong, a stack that stands still looks well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.stack.aws import explained
from orchestrator.stack.destroy import list_running
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs


def check_waiting(outputs: StackOutputs, session: Any) -> Iterator[Finding]:
    """Whether tasks wait without a run, and whether any of them ended up among the dead letters."""
    sqs = session.client("sqs")
    running = list_running(outputs.state_machine_arn, session.client("stepfunctions"))
    with explained("asking how many tasks wait"):
        waiting = {rung: count_messages(url, sqs) for rung, url in outputs.queues.items()}
        n_dead = count_messages(outputs.dead_letter_queue, sqs)
    yield judge_waiting(waiting, len(running))
    if n_dead:
        yield Finding(
            "warn",
            "dead letters",
            f"{n_dead:,} tasks ended their environment time and again",
            "`bury` tries their records apart within minutes; if they stay, its log says why",
        )
    else:
        yield Finding("ok", "dead letters", "none")


def judge_waiting(waiting: Mapping[str, int], n_running: int) -> Finding:
    """Tasks belong to runs under way; of others the workers dispose by themselves."""
    said = ", ".join(f"{n:,} {rung}" for rung, n in waiting.items())
    said = f"{said} tasks at hand, {n_running:,} runs under way"
    if any(waiting.values()) and not n_running:
        return Finding(
            "warn",
            "queues",
            said,
            "left over from runs that ended, and workers clear them; if they stay, the workers' log says why",
        )
    return Finding("ok", "queues", said)


def count_messages(url: str, client: Any) -> int:
    """Messages of a queue, hidden and delayed ones too, about."""
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found.get(name, 0)) for name in names)
