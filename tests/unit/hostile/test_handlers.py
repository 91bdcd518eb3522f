"""Messages that are no tasks of ours: filed under unclaimed/ and gone, and nothing multiplies for them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from aliquot.chunk import Chunk
from aliquot.cloud import Cloud
from aliquot.codec import pack
from aliquot.errors import AliquotError, Undecodable
from aliquot.keys import ChunkId
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings

BUCKET, RUN = "runs", "june"
CHUNK = ChunkId(0, 10)
TASK = TaskMessage(RUN, "work", CHUNK, CHUNK.all_records)


class Hostile:
    """A stack in moto with one run, and what its handlers do with a message."""

    def __init__(self, cache: Path) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.sqs = boto3.client("sqs", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        self.url = self.sqs.create_queue(QueueName="small")["QueueUrl"]
        around = Surroundings(BUCKET, {"small": self.url}, "small", 1, 100, 1.0, 10.0, {}, {})
        self.cloud = Cloud(around, self.s3, self.sqs, cache)
        ledger = self.cloud.ledger_of(RUN)
        settings_ = {"record_timeout_s": 5.0, "window": 4, "max_failed": "5%"}
        ledger.begin(
            {
                "job": "toy",
                "stages": [StageNote("work").to_plain()],
                "options": {},
                "settings": settings_,
                "versions": {},
            }
        )
        ledger.put_chunk(CHUNK, Chunk(0, 10, {"id": ["a"] * 10}, provenance=((0, 0, 1),)).to_bytes())

    def list_unclaimed(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="unclaimed/")
        return [each["Key"] for each in found.get("Contents", ())]

    @property
    def n_messages(self) -> int:
        said = self.sqs.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(said["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield Hostile(tmp_path_factory.mktemp("cache"))


def _encode(fields: Any) -> str:
    return base64.b64encode(pack(fields)).decode()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(max_size=40)
    | st.binary(max_size=60).map(lambda body: base64.b64encode(body).decode())
    | st.lists(st.none() | st.integers() | st.text(max_size=4), min_size=10, max_size=10).map(_encode)
)
def test_what_is_no_task_is_filed_once_and_refused(hostile: Hostile, body: str) -> None:
    for handle in (lambda: hostile.cloud.work(body, 1, 100.0), lambda: hostile.cloud.bury(body)):
        before = len(hostile.list_unclaimed())
        with pytest.raises(Undecodable):
            handle()
        assert len(hostile.list_unclaimed()) == before + 1
    assert hostile.n_messages == 0


@pytest.mark.parametrize("receives", [2, 3, 5])
def test_task_of_a_chunk_that_is_not_there_is_not_split_for_ever(hostile: Hostile, receives: int) -> None:
    """A billion records that nobody has: halved and sent on, they would be two billion messages."""
    chunk = ChunkId(7, 10**9)
    body = TaskMessage(RUN, "work", chunk, SpanSet.range(0, 10**9)).to_text()
    with pytest.raises(Undecodable, match=r"chunks/00000007"):
        hostile.cloud.work(body, receives, 100.0)
    with pytest.raises(Undecodable, match=r"chunks/00000007"):
        hostile.cloud.bury(body)
    assert hostile.n_messages == 0
    assert not hostile.cloud.ledger_of(RUN).list_outcomes("work")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (TaskMessage("july", "work", CHUNK, CHUNK.all_records), "which is not there"),
        (TaskMessage(RUN, "other", CHUNK, CHUNK.all_records), "which its run has not"),
        (TaskMessage(RUN, "work", CHUNK, CHUNK.all_records, rung="huge"), "which this stack has not"),
    ],
)
def test_task_of_another_run_stage_or_rung_is_refused(hostile: Hostile, task: TaskMessage, said: str) -> None:
    for handle in (
        lambda: hostile.cloud.work(task.to_text(), 1, 100.0),
        lambda: hostile.cloud.bury(task.to_text()),
    ):
        with pytest.raises(Undecodable, match=said):
            handle()


def test_sound_task_of_a_job_that_is_not_allowed_opens_nothing(hostile: Hostile) -> None:
    with pytest.raises(AliquotError, match="allow-list"):
        hostile.cloud.work(TASK.to_text(), 1, 100.0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["epoch", "n_ticks", "x"]), st.integers() | st.text(max_size=3), max_size=3
    )
)
def test_tick_of_any_state_raises_or_answers(hostile: Hostile, state: dict[str, Any]) -> None:
    """The state comes from the state machine, whose input somebody may write."""
    try:
        said = hostile.cloud.tick({"run": RUN, "state": state})
    except Undecodable:
        return
    assert said["phase"] in {"running", "settling", "done"}
