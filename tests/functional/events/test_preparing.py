"""A job that is prepared in the stack, over moto and with real hosts."""

from __future__ import annotations

import hashlib
import json

import boto3
import pytest
from moto import mock_aws

from aliquot.chunk import Chunk
from aliquot.cloud import Cloud
from aliquot.errors import OpenFailed, StoreError
from aliquot.keys import ChunkId
from aliquot.ledger import BUDGET_REACHED, CANCELLED, OPEN_FAILED
from aliquot.message import TaskMessage
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings

RUN, REMAINING_S = "run-1", 150.0
EVENT = {"prepare": RUN, "epoch": 0}
CHUNK = ChunkId(0, 3)
JOB = """
import time
from dataclasses import dataclass

from aliquot.errors import BadReference
from aliquot.job import Job, Reference, Stage


@dataclass(frozen=True)
class Options:
    seconds: float = 0.0
    words: Reference = None


def prepare(options, folder):
    if list(folder.iterdir()):
        raise RuntimeError("the folder is not empty")
    print("prepared", time.sleep(options.seconds))
    if options.words is not None:
        raise BadReference(str(options.words.path), "row 3 is no word")
    (folder / "deep").mkdir()
    (folder / "deep" / "word.txt").write_text("hello")


def open_stage(options, prepared):
    word = (prepared / "deep" / "word.txt").read_text()
    return lambda records: ([{"n": record["n"], "word": word}] for record in records)


job = Job("greet", 1, Options, (Stage("work", open_stage),), prepare=prepare)
"""


class Stack:
    """A cloud over moto with one run, whose environments start afresh at will."""

    def __init__(self, folder):
        self.folder, self.s3 = folder, boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="runs")
        self.sqs = boto3.client("sqs", region_name="us-east-1")
        self.url = self.sqs.create_queue(QueueName="small")["QueueUrl"]
        (folder / "greeting.py").write_text(JOB)
        self.made = []
        self.cloud = self.start()
        self.ledger = self.cloud.ledger_of(RUN)

    def start(self):
        """A new environment."""
        cache = self.folder / f"cache-{len(self.made)}"
        jobs = {"greet": f"{self.folder}/greeting.py:job"}
        around = Surroundings("runs", {"small": self.url}, "small", 1, 1000, 30.0, 900.0, jobs, {})
        self.made.append(Cloud(around, self.s3, self.sqs, cache))
        return self.made[-1]

    def begin(self, job="greet", **options):
        manifest = {
            "job": job,
            "stages": [StageNote("work").to_plain()],
            "options": options,
            "settings": {"record_timeout_s": 5.0, "window": 1, "max_failed": "5%"},
            "versions": {},
            "code": "",
        }
        self.ledger.begin(manifest)
        chunk = Chunk(0, 3, {"n": [0, 1, 2]}, provenance=((0, 0, 1),))
        self.ledger.put_chunk(CHUNK, chunk.to_bytes())

    def list_prepared(self):
        return self.ledger.store.list_keys("prepared")

    def close(self):
        for cloud in self.made:
            cloud.close()


@pytest.fixture
def stack(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        found = Stack(tmp_path)
        yield found
        found.close()


def test_workers_find_what_was_prepared(stack):
    stack.begin()
    assert stack.cloud.prepare(EVENT, REMAINING_S) == {"next": "plan", "epoch": 0}
    assert stack.list_prepared() == ["prepared.whole", "prepared/deep/word.txt"]
    for cloud in (stack.cloud, stack.start()):  # the same environment, and one that has nothing yet
        task = TaskMessage(RUN, "work", CHUNK, CHUNK.all_records)
        assert cloud.work(task.to_text(), 1, 900.0).n_answered == 3
    for key in stack.ledger.list_outcomes("work"):
        assert stack.ledger.read_outcome(key).failed.spans == ()


def test_job_is_prepared_once(stack):
    stack.begin()
    stack.cloud.prepare(EVENT, REMAINING_S)
    stack.s3.delete_object(Bucket="runs", Key=f"runs/{RUN}/prepared/deep/word.txt")
    assert stack.start().prepare(EVENT, REMAINING_S) == {"next": "plan", "epoch": 0}
    assert stack.list_prepared() == ["prepared.whole"]


def test_function_that_was_killed_halfway_prepares_anew(stack):
    """Files without the mark that they are whole count for nothing."""
    stack.begin()
    stack.ledger.store.put("prepared/deep/word.txt", b"half")
    assert stack.cloud.prepare(EVENT, REMAINING_S)["next"] == "plan"
    assert stack.ledger.store.get("prepared/deep/word.txt") == b"hello"


def test_run_that_was_opened_elsewhere_is_not_prepared(stack):
    stack.begin()
    stack.ledger.replace_manifest({**stack.ledger.read_manifest(), "code": "0" * 64})
    assert stack.cloud.prepare(EVENT, REMAINING_S)["next"] == "plan"
    assert stack.list_prepared() == []


def test_run_that_was_cancelled_meanwhile_stays_so(stack):
    stack.begin()
    stack.ledger.stop(0, CANCELLED, {})
    assert stack.cloud.prepare(EVENT, REMAINING_S) == {"next": "done", "epoch": 0}
    assert stack.list_prepared() == []


@pytest.mark.parametrize(("budget_usd", "is_prepared"), [(0.001, False), (1.0, True)])
def test_preparing_is_noted_and_held_to_the_budget(stack, budget_usd, is_prepared):
    stack.begin()
    manifest = stack.ledger.read_manifest()
    stack.ledger.replace_manifest(
        {**manifest, "settings": {**manifest["settings"], "budget_usd": budget_usd}}
    )
    said = stack.cloud.prepare(EVENT, 890.0)
    assert said == {"next": "plan" if is_prepared else "done", "epoch": 0}
    assert bool(stack.list_prepared()) == is_prepared
    assert [stop.reason for stop in stack.ledger.list_stops()] == [BUDGET_REACHED] * (not is_prepared)
    begun, ended = sorted(stack.ledger.list_paid(), key=str)
    assert (begun.kind, begun.billed_ms, begun.invocation) == ("prepare", None, ended.invocation)
    assert 10_000 <= ended.billed_ms < 60_000  # ten seconds of 900 were gone when it was called


def test_refusal_names_the_reference_as_the_user_does(stack):
    body = b"a\nb\n1\n"
    sha256 = hashlib.sha256(body).hexdigest()
    stack.begin(words={"path": "s3://inbox/words.csv", "sha256": sha256})
    path = stack.folder / "cache-0" / "references" / sha256
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    assert stack.cloud.prepare(EVENT, REMAINING_S) == {"next": "done", "epoch": 0}
    (stop,) = stack.ledger.list_stops()
    assert (stop.reason, stop.facts) == (OPEN_FAILED, {"message": "s3://inbox/words.csv: row 3 is no word"})


def test_job_that_is_not_on_the_list_ends_its_run(stack):
    stack.begin(job="other")
    assert stack.cloud.prepare(EVENT, REMAINING_S)["next"] == "done"
    assert "allow-list (greet)" in stack.ledger.list_stops()[0].facts["message"]


def test_preparing_ends_before_the_invocation_does(stack):
    """A function that times out would be tried eight times, and nobody would hear why."""
    stack.begin(seconds=60.0)
    assert stack.cloud.prepare(EVENT, 16.0)["next"] == "done"
    assert "takes longer to prepare and to open than the 1 s" in stack.ledger.list_stops()[0].facts["message"]


def test_reference_that_is_not_there_is_tried_again(stack):
    stack.begin(words={"path": "s3://inbox/words.csv", "sha256": "0" * 64})
    with pytest.raises(StoreError):
        stack.cloud.prepare(EVENT, REMAINING_S)
    assert stack.ledger.list_stops() == []


def test_worker_of_other_versions_refuses_the_run(stack):
    """A stack may be deployed anew while a run is under way."""
    stack.begin()
    stack.cloud.prepare(EVENT, REMAINING_S)
    said = json.loads(stack.ledger.store.get("prepared.whole"))
    said["versions"]["rdkit"] = "2020.1"
    stack.ledger.store.put("prepared.whole", json.dumps(said).encode())
    task = TaskMessage(RUN, "work", CHUNK, CHUNK.all_records)
    with pytest.raises(OpenFailed, match=r"rdkit is None here and 2020\.1 where the run was begun"):
        stack.start().work(task.to_text(), 1, 900.0)
