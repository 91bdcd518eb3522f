"""A chunk that is damaged in the bucket ends its run with the reason, however often its task comes again."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from aliquot.chunk import Chunk
from aliquot.cloud import Cloud
from aliquot.errors import StoreError
from aliquot.keys import ChunkId
from aliquot.ledger import OPEN_FAILED
from aliquot.message import TaskMessage
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings

TOYS = Path(__file__).parents[3] / "benchmarks" / "chaos" / "toys.py"
CHUNK = ChunkId(0, 3)


def test_damaged_chunk_stops_the_run_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody can do it: filed as an unclaimed message it would be sent again for ever, and for nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        s3, sqs = (boto3.client(name, region_name="us-east-1") for name in ("s3", "sqs"))
        s3.create_bucket(Bucket="runs")
        url = sqs.create_queue(QueueName="small")["QueueUrl"]
        jobs = {"toy": f"{TOYS}:work"}
        around = Surroundings("runs", {"small": url}, "small", 1, 500, 5.0, 60.0, jobs, {})
        cloud = Cloud(around, s3, sqs, tmp_path / "cache")
        ledger = cloud.ledger_of("june")
        limits = {"record_timeout_s": 5.0, "window": 4, "max_failed": "5%"}
        manifest = {
            "job": "toy",
            "stages": [StageNote("call").to_plain()],
            "options": {},
            "settings": limits,
            "versions": {},
        }
        ledger.begin(manifest)
        body = bytearray(Chunk(0, 3, {"id": ["r0", "r1", "r2"]}, provenance=((0, 0, 1),)).to_bytes())
        body[-2] ^= 1
        ledger.put_chunk(CHUNK, bytes(body))
        ledger.seal(1, 3)
        task = TaskMessage("june", "call", CHUNK, CHUNK.all_records).to_text()
        for receives in (1, 2):
            with pytest.raises(StoreError, match="checksum"):
                cloud.work(task, receives, 60.0)
        cloud.close()
        assert "Contents" not in s3.list_objects_v2(Bucket="runs", Prefix="unclaimed/")
        said = cloud.tick({"run": "june"})
        stop = ledger.read_stop(said["epoch"])
    assert stop is not None
    assert stop.reason == OPEN_FAILED
    assert "chunks/00000000.3" in stop.facts["message"] or "column:id" in stop.facts["message"]
