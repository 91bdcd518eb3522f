"""The handlers' work on events, messages and objects that nobody of ours wrote, on a bucket in memory.

An input is an event (or a message's text), the name of one object of the run and its content: a sound run
with that one object changed is what the handler meets. Hosts are not started: a slice answers for what its
chunk says. What must hold whatever comes: nothing is written outside of the run, what is no task is filed
under `unclaimed/` once, and nothing multiplies.

Owns these targets. Imports the core.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import aliquot.cloud
import aliquot.preparing
from aliquot.aws import S3Store
from aliquot.chunk import Chunk, ChunkReader
from aliquot.cloud import RESULTS, RUNS, UNCLAIMED, Cloud, Surroundings
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.intake import Intake, Permits
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import Opened
from aliquot.ledger import CANCELLED, Ledger, UnreadableOutcome
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.prices import Prices
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.spending import Tariff
from aliquot.supervisor import Counts
from aliquot.worker import Supervised
from benchmarks.fuzz.forge import join, split
from benchmarks.fuzz.memory import MemoryS3, MemorySqs, MemoryStates
from benchmarks.fuzz.targets import Ask, Target

BUCKET, INBOX, RUN, JOB = "runs", "inbox", "june", "json:loads"
_CHUNKS = (ChunkId(0, 3), ChunkId(1, 3))
_TASK = TaskMessage(RUN, "f", _CHUNKS[1], _CHUNKS[1].all_records, share=4)
_DATA = b'a,b\n1,x\n2,y\n"3",z\n'
_MOST_CHILDREN = 8
_JSON = ("[", "]", "{", "}", "null", "true", "1e999", "-1", "1000000000", "NaN", '""', "../", "\\ud800")
Objects = dict[tuple[str, str], bytes]


class _Launcher:
    """In place of the processes that a job lives in."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def open(self) -> Opened:
        """As a zygote's."""
        return Opened("code", {"aliquot": "1"}, 0.0)

    def prepare(self) -> None:
        """As a zygote's."""
        raise OpenFailed("toy", "is not prepared here")

    def close(self) -> None:
        """As a zygote's."""


def _supervise(_: Any, ledger: Ledger) -> Callable[..., Supervised]:
    """In place of hosts: every record of a task fails, in one outcome."""

    def supervise(task: Task, *given: Any) -> Supervised:
        chunk = ChunkReader(ledger.store.get(task.chunk.key), task.chunk)
        for name in chunk.column_names:
            chunk.column(name)
        chunk.bad()
        first = task.spans.spans[0][0]
        put = given[-1]
        failures = [Failure(first, "crash", "why")]
        put(task.chunk, SpanSet.range(first, first + 1), Outcome({}, {}, 0, failures), 1)
        rest = task.spans - SpanSet.range(first, first + 1)
        return Supervised([Task(task.chunk, rest)] if rest else [], [], 1.0, Counts())

    return supervise


def _settings() -> dict[str, Any]:
    return {
        "window": 4,
        "record_timeout_s": 5.0,
        "max_failed": "5%",
        "ending": "parquet",
        "budget_usd": 5.0,
        "budget_time_s": None,
        "tariff": Tariff(Prices(), "arm64", 150.0).to_plain(),
        "begun_s": 0.0,
        "spent_s": 0.0,
        "until_s": None,
    }


def _manifest() -> dict[str, Any]:
    source = {"path": f"s3://{INBOX}/a.csv", "format": "csv", "size_bytes": len(_DATA)}
    return {
        "format": "aliquot/manifest/1",
        "created": "2026-11-22T10:00:00+00:00",
        "job": JOB,
        "is_function": True,
        "stage": "f",
        "identity": {"job": JOB, "sources": [source], "columns": {}, "keep": []},
        "source_names": ["a.csv"],
        "options": {},
        "code": "code",
        "package": "",
        "versions": {"aliquot": "1"},
        "reads": None,
        "settings": _settings(),
    }


def _chunk(chunk: ChunkId) -> bytes:
    columns = {"a": ["1", "2", "3"], "id": ["x", "y", "z"]}
    return Chunk(3 * chunk.seq, 3, columns, {"k": [1, 2, 3]}, ((0, 0, 2),)).to_bytes()


def _outcome() -> Outcome:
    block = make_block(0, [[{"n": 1}], [], [{"n": 2}]], [None] * 3, ())
    kinds = {name: sorted(found) for name, found in block.kinds().items()}
    return Outcome({0: block.pack()}, kinds, 2, [Failure(1, "crash", "why")], 5, 6, {"n": (0, 0)})


@functools.cache
def _base() -> Mapping[tuple[str, str], bytes]:
    """A run half way: two chunks, an outcome, sealed; its dataset lies in the inbox."""
    s3 = MemoryS3({(INBOX, "a.csv"): _DATA})
    ledger = Ledger(S3Store(s3, BUCKET, f"{RUNS}{RUN}/"))
    manifest = _manifest()
    (listed,) = next(iter(s3.get_paginator("").paginate(Bucket=INBOX, Prefix="a.csv")))["Contents"]
    manifest["identity"]["sources"][0]["etag"] = listed["ETag"].strip('"')
    ledger.begin(manifest)
    for chunk in _CHUNKS:
        ledger.put_chunk(chunk, _chunk(chunk))
    ledger.put_outcome("f", _CHUNKS[0], _CHUNKS[0].all_records, _outcome(), 10**9, rung="small")
    ledger.seal(2, 6)
    return s3.objects


@functools.cache
def _settled() -> Mapping[tuple[str, str], bytes]:
    """The same run, stopped, its roster in groups, merged."""
    cloud = _Stack(_base())
    cloud.cloud.ledger_of(RUN).stop(0, CANCELLED, {})
    state = {"epoch": 0, "n_draining": 10**4}
    said = cloud.cloud.tick({"run": RUN, "state": state})
    assert said["phase"] == "settling"
    cloud.cloud.reduce_group({"run": RUN, "epoch": 0, "group": 0})
    return cloud.s3.objects


class _Stack:
    """A stack in memory, with a run in it."""

    cache = Path(tempfile.gettempdir(), "aliquot-fuzz-cache")

    def __init__(self, objects: Mapping[tuple[str, str], bytes]) -> None:
        self.s3, self.sqs = MemoryS3(objects), MemorySqs()
        self.cloud = Cloud(_around(), self.s3, self.sqs, self.cache)
        self.before = set(self.s3.objects)

    def replace(self, name: bytes, body: bytes) -> None:
        """Change one object of the run; nothing where there is no name."""
        key = name.decode("utf-8", "replace")
        if key:
            self.s3.objects[BUCKET, key] = body
            self.before.add((BUCKET, key))

    def list_new(self, prefix: str = "") -> list[str]:
        """The keys that were put since."""
        return [key for bucket, key in set(self.s3.objects) - self.before if key.startswith(prefix)]

    def check(self) -> None:
        """Raise AssertionError where something was written that may not be, or multiplied."""
        strays = [
            key
            for key in self.list_new()
            if not key.startswith((f"{RUNS}{RUN}/", f"{RESULTS}{RUN}/", UNCLAIMED))
        ]
        assert not strays, f"wrote {strays}"
        assert len(self.sqs.sent) <= _MOST_CHILDREN + 1, f"sent {len(self.sqs.sent)} messages"


def _around() -> Surroundings:
    queues = {"small": "https://small", "medium": "https://medium"}
    return Surroundings(
        BUCKET, queues, "small", 1, 100, 1.0, 10.0, {JOB: JOB, "crossref": "aliquot_chem.crossref:job"}, {}
    )


# what starts processes, by module
REPLACED: Mapping[ModuleType, Mapping[str, Any]] = {
    aliquot.cloud: {"ZygoteLauncher": _Launcher, "supervise_hosts": _supervise},
    aliquot.preparing: {"ZygoteLauncher": _Launcher},
}


def _no_processes() -> None:
    for module, names in REPLACED.items():
        for name, instead in names.items():
            setattr(module, name, instead)


def _make_message_target(handle: Callable[[Cloud, str, int], Any]) -> Callable[[], Ask]:
    """A handler of messages: what is no task is filed once, and makes nothing."""

    def make() -> Ask:
        _no_processes()
        base = _base()

        def ask(body: bytes) -> None:
            text, name, content, receives = split(body, 4)
            texts = text.decode("utf-8", "replace"), base64.b64encode(text).decode(), _TASK.to_text()
            for said in texts:
                stack = _Stack(base)
                stack.replace(name, content)
                try:
                    handle(stack.cloud, said, 1 + len(receives) % 4)
                except Undecodable:
                    assert len(stack.list_new(UNCLAIMED)) == 1, "not filed"
                    assert not stack.sqs.sent, "refused, and sent on"
                except (StoreError, OpenFailed):
                    assert not stack.list_new(UNCLAIMED)
                stack.cloud._close()  # noqa: SLF001 - an environment has one for its life
                stack.check()

        return ask

    return make


def _make_event_target(
    handle: Callable[[Cloud, Any], Any],
    sound: Mapping[str, Any],
    base: Callable[[], Mapping[tuple[str, str], bytes]],
) -> Callable[[], Ask]:
    """A handler that the state machine calls, with the sound event where what is said is no JSON."""

    def make() -> Ask:
        _no_processes()
        objects = base()

        def ask(body: bytes) -> None:
            said, name, content = split(body, 3)
            try:
                event = json.loads(said)
            except (ValueError, RecursionError):
                event = sound
            stack = _Stack(objects)
            stack.replace(name, content)
            try:
                answer = handle(stack.cloud, event)
                json.dumps(answer)
            finally:
                stack.check()

        return ask

    return make


def _seed_messages() -> Iterator[bytes]:
    _no_processes()
    plain = base64.b64decode(_TASK.to_text())
    for name, body in _objects_of_run(_base()):
        for receives in (b"", b"1", b"12"):
            yield join(plain, name, body, receives)
    yield join(plain, b"", b"", b"")


def _seed_events(
    events: tuple[dict[str, Any], ...], base: Callable[[], Mapping[tuple[str, str], bytes]]
) -> Callable[[], Iterator[bytes]]:
    def seed() -> Iterator[bytes]:
        _no_processes()
        for event, (name, body) in itertools.product(events, [(b"", b""), *_objects_of_run(base())]):
            yield join(json.dumps(event).encode(), name, body)

    return seed


def _objects_of_run(objects: Mapping[tuple[str, str], bytes]) -> list[tuple[bytes, bytes]]:
    return [
        (key.encode(), body)
        for (bucket, key), body in sorted(objects.items())
        if bucket == BUCKET and not key.endswith(".parquet") and len(body) < 1 << 14
    ]


# ------------------------------------------------------------------------------------------- intake


def _make_intake() -> Ask:
    permits = Permits("prod", "eu-west-1", "arn:machine", INBOX, frozenset({"data"}), 60.0, 8, "arm64")

    def ask(body: bytes) -> None:
        event, request = split(body, 2)
        try:
            said = json.loads(event)
        except (ValueError, RecursionError):
            said = event.decode("utf-8", "replace")
        s3 = MemoryS3({(INBOX, "a.csv"): _DATA, (INBOX, "a.run.json"): request})
        states = MemoryStates()
        intake = Intake(_around(), permits, s3, states)
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
    event = json.dumps({"detail": {"bucket": {"name": INBOX}, "object": found}}).encode()
    request: dict[str, Any] = {"format": "aliquot/request/1", "job": JOB, "data": "a.csv"}
    crossref = {**request, "job": "crossref", "options": {"templates": "a.csv"}, "columns": {"reaction": "a"}}
    budget = {**request, "budget_usd": 5, "window": 3, "max_failed": "5%", "keep": ["b"]}
    glob = {**request, "data": [f"s3://{INBOX}/*.csv", f"s3://{BUCKET}/results/x/"]}
    code = {**request, "package": "0" * 64}
    for each in (request, crossref, budget, glob, code):
        yield join(event, json.dumps(each).encode())


_TICK = ({"run": RUN, "state": None}, {"run": RUN, "state": {"epoch": 0, "n_ticks": 3, "n_quiet": 2}})
_GROUP = ({"run": RUN, "epoch": 0, "group": 0},)
_PUBLISH = ({"run": RUN, "epoch": 0, "state": {"epoch": 0, "n_ticks": 3}},)
_CUT = (
    {"run": RUN, "step": "plan", "epoch": 0},
    {"run": RUN, "step": "count", "epoch": 0, "parts": [0, 1], "round": 0},
    {"run": RUN, "step": "number", "epoch": 0},
    {"run": RUN, "step": "cut", "epoch": 0, "parts": [0, 1]},
    {"run": RUN, "step": "seal", "epoch": 0},
)
_PREPARE = ({"prepare": RUN, "epoch": 0},)


@functools.cache
def _to_cut() -> Mapping[tuple[str, str], bytes]:
    """A run of which the dataset is counted and numbered, and nothing cut."""
    objects = {
        place: body
        for place, body in _base().items()
        if not any(part in place[1] for part in ("chunks/", "outcomes/", "sealed"))
    }
    stack = _Stack(objects)
    for event in _CUT[:3]:
        stack.cloud.cut(event, 100.0)
    return stack.s3.objects


_FAILS = (Undecodable, StoreError)

HANDLERS = (
    Target(
        "worker",
        _make_message_target(lambda cloud, text, receives: cloud.work(text, receives, 100.0)),
        _seed_messages,
        (),
        ("small", "medium", RUN, "0-3", "00000001.3"),
        n_items=4,
    ),
    Target(
        "bury",
        _make_message_target(lambda cloud, text, _: cloud.bury(text)),
        _seed_messages,
        (),
        ("small", "medium", RUN, "0-3", "00000001.3"),
        n_items=4,
    ),
    Target(
        "tally",
        _make_event_target(lambda cloud, event: cloud.tick(event), _TICK[0], _base),
        _seed_events(_TICK, _base),
        _FAILS,
        ("n_ticks", "n_dispatched", "epoch", *_JSON),
        n_items=3,
    ),
    Target(
        "cut",
        _make_event_target(lambda cloud, event: cloud.cut(event, 100.0), _CUT[3], _to_cut),
        _seed_events(_CUT, _to_cut),
        _FAILS,
        ("plan", "count", "number", "cut", "seal", "parts", "round", *_JSON),
        n_items=3,
    ),
    Target(
        "reduce",
        _make_event_target(lambda cloud, event: cloud.reduce_group(event), _GROUP[0], _settled),
        _seed_events(_GROUP, _settled),
        (*_FAILS, UnreadableOutcome),
        _JSON,
        n_items=3,
    ),
    Target(
        "publish",
        _make_event_target(lambda cloud, event: cloud.publish(event), _PUBLISH[0], _settled),
        _seed_events(_PUBLISH, _settled),
        _FAILS,
        _JSON,
        n_items=3,
    ),
    Target(
        "prepare",
        _make_event_target(lambda cloud, event: cloud.prepare(event, 100.0), _PREPARE[0], _base),
        _seed_events(_PREPARE, _base),
        _FAILS,
        _JSON,
        n_items=3,
    ),
    Target("intake", _make_intake, _seed_intake, _FAILS, ("fits", "budget_usd", *_JSON), n_items=2),
)
