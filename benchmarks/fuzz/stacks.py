"""A stack in memory with a run on it, half way or further, and what must hold whatever its handlers meet.

Hosts are not started: a slice answers for what its chunk says. Whatever comes, nothing is written outside of
the run, and nothing multiplies.

Owns this run, and what stands in place of processes. Imports the core.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import aliquot.cloud
import aliquot.opened
import aliquot.preparing
from aliquot.aws import S3Store
from aliquot.bounds import Counts
from aliquot.chunk import Chunk, ChunkReader
from aliquot.cloud import RESULTS, RUNS, UNCLAIMED, Cloud
from aliquot.errors import OpenFailed
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import Opened
from aliquot.ledger import CANCELLED, Ledger
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.prices import Prices
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.spending import Tariff
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings
from aliquot.worker import Supervised
from benchmarks.fuzz.memory import MemoryS3, MemorySqs

BUCKET, INBOX, RUN, JOB = "runs", "inbox", "june", "json:loads"
DATA = b'a,b\n1,x\n2,y\n"3",z\n'
_CHUNKS = (ChunkId(0, 3), ChunkId(1, 3))
TASK = TaskMessage(RUN, "f", _CHUNKS[1], _CHUNKS[1].all_records, share=4)
CUT_STEPS = (
    {"run": RUN, "step": "plan", "epoch": 0},
    {"run": RUN, "step": "count", "epoch": 0, "parts": [0, 1], "round": 0},
    {"run": RUN, "step": "number", "epoch": 0},
    {"run": RUN, "step": "cut", "epoch": 0, "parts": [0, 1]},
    {"run": RUN, "step": "seal", "epoch": 0},
)
_MOST_CHILDREN = 8


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
        put = given[-2]
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
    source = {"path": f"s3://{INBOX}/a.csv", "format": "csv", "size_bytes": len(DATA)}
    return {
        "format": "aliquot/manifest/1",
        "created": "2026-11-22T10:00:00+00:00",
        "job": JOB,
        "is_function": True,
        "stages": [StageNote("f").to_plain()],
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
def half_way() -> Mapping[tuple[str, str], bytes]:
    """A run half way: two chunks, an outcome, sealed; its dataset lies in the inbox."""
    s3 = MemoryS3({(INBOX, "a.csv"): DATA})
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
def settled() -> Mapping[tuple[str, str], bytes]:
    """The same run, stopped, its roster in groups, merged."""
    cloud = Stack(half_way())
    cloud.cloud.ledger_of(RUN).stop(0, CANCELLED, {})
    state = {"epoch": 0, "n_draining": 10**4}
    said = cloud.cloud.tick({"run": RUN, "state": state})
    assert said["phase"] == "settling"
    cloud.cloud.reduce_group({"run": RUN, "epoch": 0, "group": 0})
    return cloud.s3.objects


@functools.cache
def to_cut() -> Mapping[tuple[str, str], bytes]:
    """A run of which the dataset is counted and numbered, and nothing cut."""
    objects = {
        place: body
        for place, body in half_way().items()
        if not any(part in place[1] for part in ("chunks/", "outcomes/", "sealed"))
    }
    stack = Stack(objects)
    for event in CUT_STEPS[:3]:
        stack.cloud.cut(event, 100.0)
    return stack.s3.objects


class Stack:
    """A stack in memory, with a run in it."""

    cache = Path(tempfile.gettempdir(), "aliquot-fuzz-cache")

    def __init__(self, objects: Mapping[tuple[str, str], bytes]) -> None:
        self.s3, self.sqs = MemoryS3(objects), MemorySqs()
        self.cloud = Cloud(make_surroundings(), self.s3, self.sqs, self.cache)
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


def make_surroundings() -> Surroundings:
    """What the stack tells its functions."""
    queues = {"small": "https://small", "medium": "https://medium"}
    return Surroundings(
        BUCKET, queues, "small", 1, 100, 1.0, 10.0, {JOB: JOB, "crossref": "aliquot_chem.crossref:job"}, {}
    )


# what starts processes, by module
REPLACED: Mapping[ModuleType, Mapping[str, Any]] = {
    aliquot.cloud: {"supervise_hosts": _supervise},
    aliquot.opened: {"ZygoteLauncher": _Launcher},
    aliquot.preparing: {"ZygoteLauncher": _Launcher},
}


def replace_processes() -> None:
    """Have nothing start a process, in this one."""
    for module, names in REPLACED.items():
        for name, instead in names.items():
            setattr(module, name, instead)
