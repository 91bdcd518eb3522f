"""The handlers' work end to end on moto: tick, work, hand back, bury, settle; real hosts do the job."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aliquot.chunk import Chunk
from aliquot.cloud import Cloud, Surroundings
from aliquot.errors import OpenFailed, Undecodable
from aliquot.keys import ChunkId
from aliquot.ledger import SETTLED
from aliquot.merge import merge_pieces
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from aliquot.worker import Worked

TOY_JOBS = Path(__file__).parent.parent / "engine" / "toy_jobs.py"
RUN = "run-1"


class Stack:
    """A cloud over moto, and its queue delivered by hand."""

    def __init__(self, aws, cache: Path, slice_s: float = 30.0) -> None:
        self.sqs, self.s3 = aws("sqs"), aws("s3")
        self.url = self.sqs.get_queue_url(QueueName="small")["QueueUrl"]
        jobs = {"one": f"{TOY_JOBS}:one", "refusing": f"{TOY_JOBS}:refusing"}
        around = Surroundings("runs", {"small": self.url}, "small", 1, 1000, slice_s, jobs, {})
        self.cloud = Cloud(around, self.s3, self.sqs, cache)
        self.ledger = self.cloud.ledger_of(RUN)

    def submit(self, does: list[str], *, job: str = "one", chunk_records: int = 50) -> None:
        settings = {"record_timeout_s": 5.0, "window": 4}
        self.ledger.begin({"job": job, "stage": "work", "options": {}, "settings": settings})
        n_chunks = 0
        for first in range(0, len(does), chunk_records):
            part = does[first : first + chunk_records]
            columns = {"n": list(range(first, first + len(part))), "do": part}
            chunk = Chunk(first, len(part), columns, provenance=((0, 0, first + 1),))
            self.ledger.put_chunk(ChunkId(n_chunks, len(part)), chunk.to_bytes())
            n_chunks += 1
        self.ledger.seal(n_chunks, len(does))

    def receive(self) -> list[str]:
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in found]

    def drain(self) -> list[Worked]:
        worked = []
        while bodies := self.receive():
            worked += [self.cloud.work(body, 1, 900.0) for body in bodies]
        return worked

    def settle(self) -> dict:
        said = self.cloud.tick({"run": RUN})
        for _ in range(50):
            if said["phase"] == "done":
                return said
            self.drain()
            said = self.cloud.tick(json.loads(json.dumps(said)))
        raise AssertionError("never settled")

    def rows(self) -> list[int]:
        roster = self.ledger.settle("work", 0)
        return [n for piece in merge_pieces(self.ledger, roster) for n in piece.block.columns.get("n", ())]


@pytest.fixture
def stack(aws, tmp_path):
    made = []

    def make(**more) -> Stack:
        made.append(Stack(aws, tmp_path / "cache", **more))
        return made[-1]

    yield make
    for each in made:
        if each.cloud._launcher is not None:
            each.cloud._launcher.close()


def test_run_settles_with_every_record_in_order(stack):
    made = stack()
    does = ["ok"] * 430
    does[77], does[300] = "exit", "raise"
    made.submit(does)
    made.settle()
    assert made.rows() == [n for n in range(430) if n not in (77, 300)]
    assert [stop.reason for stop in made.ledger.list_stops()] == [SETTLED]


def test_one_chunk_becomes_several_tasks(stack):
    """Parallelism grows by itself from one chunk, through the queue."""
    made = stack(slice_s=0.1)
    made.submit(["sleep 0.02"] * 40)
    made.cloud.tick({"run": RUN})
    worked = made.drain()
    assert max(each.n_follow_ups for each in worked) > 1
    assert made.rows() == list(range(40))


def test_a_larger_rung_hands_back_to_its_own_queue(aws, stack):
    """What needed more memory would run out of it again in the queue below."""
    made = stack(slice_s=0.1)
    made.submit(["sleep 0.02"] * 40)
    made.cloud.tick({"run": RUN})
    (body,) = made.receive()
    medium = aws("sqs").create_queue(QueueName="medium")["QueueUrl"]
    queues = {"small": made.url, "medium": medium}
    around = replace(made.cloud._around, rung="medium", queues=queues)
    larger = Cloud(around, made.s3, made.sqs, made.cloud._cache)
    assert larger.work(body, 1, 900.0).n_follow_ups > 0
    larger._launcher.close()
    assert made.receive() == []
    assert made.sqs.receive_message(QueueUrl=medium)["Messages"]


def test_warm_environment_keeps_the_job_open(stack):
    """A model of gigabytes is opened once per environment, not once per task."""
    made = stack()
    made.submit(["ok"] * 100, chunk_records=25)
    made.cloud.tick({"run": RUN})
    bodies = made.receive()
    made.cloud.work(bodies[0], 1, 900.0)
    launcher = made.cloud._launcher
    made.cloud.work(bodies[1], 1, 900.0)
    assert made.cloud._launcher is launcher


def test_message_that_is_not_ours_is_filed_and_refused(stack):
    made = stack()
    with pytest.raises(Undecodable):
        made.cloud.work("hello", 1, 900.0)
    assert made.s3.list_objects_v2(Bucket="runs", Prefix="unclaimed/")["KeyCount"] == 1


def test_task_of_a_run_that_is_not_there_is_refused(stack):
    message = TaskMessage("run-2", "work", ChunkId(0, 5), SpanSet.range(0, 5))
    with pytest.raises(Undecodable, match="run-2"):
        stack().cloud.work(message.to_text(), 1, 900.0)


def test_job_that_is_not_allowed_stops_the_run(stack):
    """A message can name any run; only the stack decides which code it opens."""
    made = stack()
    made.submit(["ok"] * 10, job="elsewhere")
    said = made.cloud.tick({"run": RUN})
    body = made.receive()[0]
    for _ in range(2):
        with pytest.raises(OpenFailed, match="allow-list"):
            made.cloud.work(body, 1, 900.0)
    assert made.cloud.tick(said)["phase"] == "done"
    assert [stop.reason for stop in made.ledger.list_stops()] == ["open failed"]
    assert made.ledger.settle("work", 0).not_tried


def test_dead_letter_is_halved_until_one_record_is_filed(stack):
    """A record that kills its whole environment must cost itself alone."""
    made = stack()
    made.submit(["ok"] * 8)
    made.cloud.tick({"run": RUN})
    poison = 5
    dead = made.receive()
    while dead:
        message = TaskMessage.from_text(dead.pop())
        if poison in message.spans:
            made.cloud.bury(message.to_text())
        else:
            made.cloud.work(message.to_text(), 1, 900.0)
        dead += made.receive()
    assert made.rows() == [0, 1, 2, 3, 4, 6, 7]
    tombs = [key for key in made.ledger.list_outcomes("work") if key.rung == "tombstone"]
    assert [key.spans for key in tombs] == [SpanSet.range(poison, poison + 1)]
