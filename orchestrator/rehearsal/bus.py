"""EventBridge rules to their targets: functions, state machines and queues; moto's own for the rest.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
Imports moto and this package. When it is wrong, an event starts nothing, or arrives in another shape.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

from orchestrator.rehearsal.requests import ACCOUNT


def shape_event(event: dict[str, Any], target: dict[str, Any]) -> Any:
    """Give what a target gets: the event, or what Input, InputPath or InputTransformer make of it."""
    if "Input" in target:
        return json.loads(target["Input"])
    if path := target.get("InputPath"):
        found: Any = event
        for name in path.removeprefix("$").strip(".").split("."):
            found = found[name] if name else found
        return found
    if transformer := target.get("InputTransformer"):
        from moto.events.utils import EventTemplateParser

        parser: Any = EventTemplateParser
        return parser.parse(
            input_template=transformer["InputTemplate"],
            input_paths_map=transformer.get("InputPathsMap", {}),
            event={"ingestion-time": event.get("time", ""), **event},
        )
    return event


_sequence = itertools.count(0x0061_7F08_2993_29D1)


def spell_s3_event(event: dict[str, Any]) -> None:
    """Spell an event of S3 as AWS does: moto has `eTag`, versions always, and one sequencer for all.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    test_moto_still_spells_events_of_s3_in_its_own_way fails on the day that this is mended.
    """
    found = (event.get("detail") or {}).get("object") or {}
    if event.get("source") != "aws.s3" or "eTag" not in found:
        return  # done for a rule before this one
    found["etag"] = found.pop("eTag")
    found["sequencer"] = f"{next(_sequence):018X}"
    if found.get("version-id") in {None, "null"}:
        found.pop("version-id", None)


def hears(rule: Any, event: dict[str, Any]) -> bool:
    """Say whether an event matches a rule's pattern; a schedule has none and hears no events.

    In moto it hears all: test_moto_still_lets_schedules_hear_events fails on the day that this is mended.
    """
    return bool(rule.event_pattern.get_pattern()) and bool(rule.event_pattern.matches_event(event))


def finish_event(event: dict[str, Any]) -> dict[str, Any]:
    """Give an event with an id of its own and its time as EventBridge spells it."""
    found = copy.deepcopy(event)
    found["id"] = str(uuid.uuid4())
    if isinstance(found.get("time"), (int, float)):
        moment = dt.datetime.fromtimestamp(found["time"], tz=dt.UTC)
        found["time"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


class Bus:
    """Delivers events to the targets of rules.

    Args:
        defer: takes an event for a function, by its ARN.
        send: sends a text to a queue's ARN, with a group.
    """

    def __init__(
        self, defer: Callable[[str, str], None], send: Callable[[str, str, str | None], None]
    ) -> None:
        self._defer, self._send = defer, send

    def send_to_targets(
        self, rule: Any, event: dict[str, Any], keep: Callable[[Any, dict[str, Any]], None]
    ) -> None:
        """Deliver an event that moto hands to a rule.

        Args:
            keep: moto's own delivery, for targets that are not ours.
        """
        spell_s3_event(event)
        if rule.state != "ENABLED" or not hears(rule, event):
            return
        finished = finish_event(event)
        for target in rule.targets:
            self.deliver(target, finished, functools.partial(keep, target, event))

    def fire(self, rule: Any, moment: float) -> None:
        """Give a schedule's event to a rule's targets, as at its time."""
        event = {
            "version": "0",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": moment,
            "region": rule.region_name,
            "resources": [rule.arn],
            "detail": {},
        }
        for target in rule.targets:
            self.deliver(target, finish_event(event), lambda: None)

    def deliver(self, target: dict[str, Any], event: dict[str, Any], keep: Callable[[], None]) -> None:
        """Give an event to one target."""
        arn = str(target["Arn"])
        service = arn.split(":")[2]
        if service in {"lambda", "states", "sqs"}:
            body = json.dumps(shape_event(event, target))
        if service == "lambda":
            self._defer(arn, body)
        elif service == "states":
            _start_execution(arn, body)
        elif service == "sqs":
            self._send(arn, body, (target.get("SqsParameters") or {}).get("MessageGroupId"))
        else:
            keep()


def _start_execution(arn: str, body: str) -> None:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    backend = stepfunctions_parser_backends[ACCOUNT][arn.split(":")[3]]
    backend.start_execution(arn, str(uuid.uuid4()), body)
