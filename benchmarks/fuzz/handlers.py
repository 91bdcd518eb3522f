"""The handlers' work on events, messages and objects that nobody of ours wrote, on a bucket in memory.

An input is an event (or a message's text), the name of one object of the run and its content: a sound run
with that one object changed is what the handler meets. What is no task is filed under `unclaimed/` once, and
sends nothing.

Owns these targets. Imports the core.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aliquot.cloud import RUNS, UNCLAIMED, Cloud
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.intake import Intake, Permits
from aliquot.ledger import UnreadableOutcome
from benchmarks.fuzz.forge import dump_json, join, load_json, split
from benchmarks.fuzz.memory import MemoryS3, MemoryStates
from benchmarks.fuzz.stacks import (
    BUCKET,
    CUT_STEPS,
    DATA,
    INBOX,
    JOB,
    RUN,
    TASK,
    Stack,
    half_way,
    make_surroundings,
    replace_processes,
    settled,
    to_cut,
)
from benchmarks.fuzz.targets import JSON, Ask, Target

Objects = Mapping[tuple[str, str], bytes]
_FAILS = (Undecodable, StoreError)
_WORDS = ("1000000000", "../", *JSON)


def _make_message_target(handle: Callable[[Cloud, str, int], Any]) -> Callable[[], Ask]:
    """A handler of messages: what is no task is filed once, and makes nothing."""

    def make() -> Ask:
        replace_processes()
        base = half_way()

        def ask(body: bytes) -> None:
            text, name, content, receives = split(body, 4)
            texts = text.decode("utf-8", "replace"), base64.b64encode(text).decode(), TASK.to_text()
            for said in texts:
                stack = Stack(base)
                stack.replace(name, content)
                try:
                    handle(stack.cloud, said, 1 + len(receives) % 4)
                except Undecodable:
                    assert len(stack.list_new(UNCLAIMED)) == 1, "not filed"
                    assert not stack.sqs.sent, "refused, and sent on"
                except (StoreError, OpenFailed):
                    assert not stack.list_new(UNCLAIMED)
                stack.cloud.close()
                stack.check()

        return ask

    return make


def _make_event_target(
    handle: Callable[[Cloud, Any], Any],
    sound: Mapping[str, Any],
    base: Callable[[], Objects],
) -> Callable[[], Ask]:
    """A handler that the state machine calls, with the sound event where what is said is no JSON."""

    def make() -> Ask:
        replace_processes()
        objects = base()

        def ask(body: bytes) -> None:
            said, name, content = split(body, 3)
            try:
                event = json.loads(said)
            except (ValueError, RecursionError):
                event = sound
            stack = Stack(objects)
            stack.replace(name, content)
            try:
                answer = handle(stack.cloud, event)
                json.dumps(answer)
            finally:
                stack.check()

        return ask

    return make


def _seed_messages() -> Iterator[bytes]:
    replace_processes()
    plain = base64.b64decode(TASK.to_text())
    for name, body in _objects_of_run(half_way()):
        for receives in (b"", b"1", b"12"):
            yield join(plain, name, body, receives)
    yield join(plain, b"", b"", b"")


def _seed_events(
    events: tuple[dict[str, Any], ...], base: Callable[[], Objects]
) -> Callable[[], Iterator[bytes]]:
    def seed() -> Iterator[bytes]:
        replace_processes()
        for event, (name, body) in itertools.product(events, [(b"", b""), *_objects_of_run(base())]):
            yield join(dump_json(event), name, body)

    return seed


def _objects_of_run(objects: Objects) -> list[tuple[bytes, bytes]]:
    return [
        (key.encode(), body)
        for (bucket, key), body in sorted(objects.items())
        if bucket == BUCKET and not key.endswith(".parquet") and len(body) < 1 << 14
    ]


def _make_intake() -> Ask:
    permits = Permits("prod", "eu-west-1", "arn:machine", INBOX, frozenset({"data"}), 60.0, 8, "arm64")

    def ask(body: bytes) -> None:
        event, request = split(body, 2)
        said = load_json(event)
        s3 = MemoryS3({(INBOX, "a.csv"): DATA, (INBOX, "a.run.json"): request})
        states = MemoryStates()
        intake = Intake(make_surroundings(), permits, s3, states)
        before = set(s3.objects)
        if isinstance(said, dict) and isinstance(said.get("detail"), dict):  # the ETag and the size fit
            found = said["detail"].get("object")
            if isinstance(found, dict) and found.get("etag") == "fits":
                (listed,) = next(iter(s3.get_paginator("").paginate(Bucket=INBOX, Prefix="a.run.json")))[
                    "Contents"
                ]
                found["etag"], found["size"] = listed["ETag"].strip('"'), listed["Size"]
        taken = intake.take(said)
        new = [key for _, key in set(s3.objects) - before]
        strays = [key for key in new if not key.startswith((RUNS, "references/")) and ".json" not in key]
        assert not strays, f"wrote {strays}"
        assert len(states.started) == bool(taken.run)

    return ask


def _seed_intake() -> Iterator[bytes]:
    found = {"key": "a.run.json", "size": 10, "etag": "fits", "sequencer": "01"}
    event = dump_json({"detail": {"bucket": {"name": INBOX}, "object": found}})
    request: dict[str, Any] = {"format": "aliquot/request/1", "job": JOB, "data": "a.csv"}
    crossref = {**request, "job": "crossref", "options": {"templates": "a.csv"}, "columns": {"reaction": "a"}}
    budget = {**request, "budget_usd": 5, "window": 3, "max_failed": "5%", "keep": ["b"]}
    glob = {**request, "data": [f"s3://{INBOX}/*.csv", f"s3://{BUCKET}/results/x/"]}
    code = {**request, "package": "0" * 64}
    for each in (request, crossref, budget, glob, code):
        yield join(event, dump_json(each))


def _of_messages(name: str, handle: Callable[[Cloud, str, int], Any]) -> Target:
    """A handler that a queue calls."""
    words = ("small", "medium", RUN, "0-3", "00000001.3")
    return Target(name, _make_message_target(handle), _seed_messages, (), words, n_items=4)


def _of_events(
    name: str,
    handle: Callable[[Cloud, Any], Any],
    events: tuple[dict[str, Any], ...],
    base: Callable[[], Objects],
    *,
    allowed: tuple[type[Exception], ...] = _FAILS,
    words: tuple[str, ...] = (),
    sound: int = 0,
) -> Target:
    """A handler that the state machine calls with such events.

    Args:
        sound: the place of the event that it is called with where what is said is no JSON.
    """
    make, seeds = _make_event_target(handle, events[sound], base), _seed_events(events, base)
    return Target(name, make, seeds, allowed, (*words, *_WORDS), n_items=3)


_TICKS = ({"run": RUN, "state": None}, {"run": RUN, "state": {"epoch": 0, "n_ticks": 3, "n_quiet": 2}})
_PUBLISH = ({"run": RUN, "epoch": 0, "state": {"epoch": 0, "n_ticks": 3}},)

HANDLERS = (
    _of_messages("worker", lambda cloud, text, receives: cloud.work(text, receives, 100.0)),
    _of_messages("bury", lambda cloud, text, _: cloud.bury(text)),
    _of_events(
        "tally",
        lambda cloud, event: cloud.tick(event),
        _TICKS,
        half_way,
        words=("n_ticks", "n_dispatched", "epoch"),
    ),
    _of_events(
        "cut",
        lambda cloud, event: cloud.cut(event, 100.0),
        CUT_STEPS,
        to_cut,
        words=("plan", "count", "number", "cut", "seal", "parts", "round"),
        sound=3,
    ),
    _of_events(
        "reduce",
        lambda cloud, event: cloud.reduce_group(event),
        ({"run": RUN, "epoch": 0, "group": 0},),
        settled,
        allowed=(*_FAILS, UnreadableOutcome),
    ),
    _of_events("publish", lambda cloud, event: cloud.publish(event), _PUBLISH, settled),
    _of_events(
        "prepare",
        lambda cloud, event: cloud.prepare(event, 100.0),
        ({"prepare": RUN, "epoch": 0},),
        half_way,
    ),
    Target("intake", _make_intake, _seed_intake, _FAILS, ("fits", "budget_usd", *_WORDS), n_items=2),
)
