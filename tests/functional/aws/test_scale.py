"""A run of 100,000 outcomes through tally and roster: only keys, and within Step Functions' limits.

moto lists in quadratic time (100,000 keys take four minutes), so the bucket is a dict behind S3's calls.
"""

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aliquot.cloud import Cloud
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.roster import Roster
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings

RUN = "20261122-crossref-4f1d09"
N_CHUNKS, N_OUTCOMES_EACH = 4_000, 25
MOST_STATE_BYTES = 256 << 10
MOST_CHILDREN = 10_000
PAGE = 1000


class Bucket:
    """The calls of an S3 client that a run makes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.n_gets = 0

    def put_object(self, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> None:  # noqa: N803
        if IfNoneMatch and Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.objects[Key] = Body

    def get_object(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.n_gets += 1
        return {"Body": io.BytesIO(self._find(Key))}

    def head_object(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"ContentLength": len(self._find(Key))}

    def get_paginator(self, _name: str) -> "Bucket":
        return self

    def paginate(self, Prefix: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803
        keys = sorted(key for key in self.objects if key.startswith(Prefix))
        return [{"Contents": [{"Key": key} for key in keys[i : i + PAGE]]} for i in range(0, len(keys), PAGE)]

    def _find(self, key: str) -> bytes:
        if key not in self.objects:
            raise ClientError({"Error": {"Code": "404"}}, "GetObject")
        return self.objects[key]


class Queues:
    """An empty queue that takes what is sent."""

    def __init__(self) -> None:
        self.n_sent = 0

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return {"Attributes": dict.fromkeys(names, "0")}

    def send_message_batch(self, Entries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.n_sent += len(Entries)
        return {}


def put_outcomes(cloud: Cloud, chunk: ChunkId) -> None:
    ledger = cloud.ledger_of(RUN)
    for part in range(N_OUTCOMES_EACH):
        spans = SpanSet.range(part * 40, part * 40 + 40)
        key = OutcomeKey("match", chunk, spans, f"{chunk.seq:06d}{part:06d}", "small", 30_000, 0, 1)
        ledger.store.put(str(key), b"")


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def cloud(bucket: Bucket, queues: Queues) -> Cloud:
    made = Cloud(
        Surroundings("runs", {"small": "url"}, "small", 1, 1400, 30.0, 150.0, {}, {}), bucket, queues
    )
    settings = {"record_timeout_s": 60.0, "window": 500, "max_failed": "5%"}
    ledger = made.ledger_of(RUN)
    ledger.begin(
        {"job": "crossref", "stages": [StageNote("match").to_plain()], "options": {}, "settings": settings}
    )
    for seq in range(N_CHUNKS):
        ledger.put_chunk(ChunkId(seq, 40 * N_OUTCOMES_EACH), b"")
    ledger.seal(N_CHUNKS, N_CHUNKS * 40 * N_OUTCOMES_EACH)
    return made


@pytest.mark.long
def test_hundred_thousand_outcomes_settle_within_the_limits(cloud, bucket, queues):
    said = cloud.tick({"run": RUN})
    assert said["phase"] == "running"
    assert queues.n_sent == 500
    for seq in range(N_CHUNKS):
        put_outcomes(cloud, ChunkId(seq, 40 * N_OUTCOMES_EACH))
    before = bucket.n_gets
    said = cloud.tick(json.loads(json.dumps(said)))
    assert said["phase"] == "settling"
    assert bucket.n_gets - before < 10  # keys tell everything: no outcome is read
    assert len(json.dumps(said)) < 1000 < MOST_STATE_BYTES
    items = json.loads(bucket.objects[said["groups_key"]])
    assert len(items) < MOST_CHILDREN
    assert max(len(json.dumps(item)) for item in items) < 200
    rosters = [name for name in bucket.objects if name.endswith(".roster.json")]
    groups = [Roster.from_json(bucket.objects[name]) for name in sorted(rosters)]
    assert len(groups) == len(items)
    sizes = [sum(map(len, group.shares.values())) for group in groups]
    assert sum(sizes) == N_CHUNKS * N_OUTCOMES_EACH
    assert max(sizes) <= 256
    assert [chunk for group in groups for chunk in group.shares] == cloud.ledger_of(RUN).list_chunks()
