"""The handlers' work end to end on moto: tick, work, hand back, bury, settle; real hosts do the job."""

import hashlib
import io
import json
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aliquot import reducer
from aliquot.aws import S3Store
from aliquot.chunk import Chunk
from aliquot.cloud import Cloud
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.keys import ChunkId
from aliquot.ledger import (
    BUDGET_REACHED,
    CANCELLED,
    SETTLED,
    TIME_REACHED,
    TOO_MANY_FAILED,
    UNREADABLE,
    UnreadableOutcome,
)
from aliquot.merge import merge_pieces
from aliquot.message import TaskMessage
from aliquot.prices import Prices
from aliquot.reducer import read_published
from aliquot.spans import SpanSet
from aliquot.spending import Tariff, estimate_settling
from aliquot.stages import StageNote
from aliquot.surroundings import Surroundings
from aliquot.worker import Worked

TOY_JOBS = Path(__file__).parent.parent / "engine" / "toy_jobs.py"
RUN = "run-1"


class Stack:
    """A cloud over moto, and its queue delivered by hand."""

    def __init__(self, aws, cache: Path, slice_s: float = 30.0, *, allows_code: bool = False) -> None:
        self.sqs, self.s3, self.cache = aws("sqs"), aws("s3"), cache
        self.url = self.sqs.get_queue_url(QueueName="small")["QueueUrl"]
        jobs = {name: f"{TOY_JOBS}:{name}" for name in ("one", "loose", "threaded")}
        queues = {"small": self.url}
        around = Surroundings("runs", queues, "small", 1, 1000, slice_s, 900.0, jobs, {}, allows_code)
        self.cloud = Cloud(around, self.s3, self.sqs, cache)
        self.ledger = self.cloud.ledger_of(RUN)

    def submit(self, does: list[str], *, job: str = "one", chunk_records: int = 50, **more: Any) -> None:
        settings = {"record_timeout_s": 5.0, "window": 4, "max_failed": "5%", **more.pop("more_settings", {})}
        manifest = {
            "job": job,
            "stages": [StageNote("work").to_plain()],
            "options": {},
            "settings": settings,
            "versions": {},
            "created": "2026-11-22T12:00:00+00:00",
            "source_names": ["records.csv"],
        }
        self.ledger.begin({**manifest, **more})
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

    def settle(self, said: dict | None = None) -> dict:
        """What the state machine does, from what a tick said up to the groups."""
        said = self.cloud.tick(said or {"run": RUN})
        for _ in range(50):
            if said["phase"] == "settling":
                return said
            self.drain()
            said = self.cloud.tick(json.loads(json.dumps(said)))
        raise AssertionError("never settled")

    def publish(self, said: dict | None = None) -> dict:
        """The whole of it; gives what was published last."""
        said = self.settle(said)
        for _ in range(5):
            with suppress(UnreadableOutcome):
                for item in json.loads(self.get(said["groups_key"])):
                    self.cloud.reduce_group(item)
            answer = self.cloud.publish({"run": RUN, "epoch": said["epoch"], "state": said["state"]})
            if answer["phase"] == "done":
                return read_published(S3Store(self.s3, "runs", f"results/{RUN}/"))
            said = self.settle(said) if answer["phase"] == "torn" else {**said, **answer}
        raise AssertionError("never published")

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket="runs", Key=key)["Body"].read()

    def table(self, name: str) -> pa.Table:
        """The published parts of a table, in order."""
        published = read_published(S3Store(self.s3, "runs", f"results/{RUN}/"))
        names = [each["name"] for each in published["files"] if each["name"].startswith(name)]
        bodies = [self.get(f"results/{RUN}/{published['prefix']}{name}") for name in names]
        return pa.concat_tables([pq.read_table(pa.BufferReader(body)) for body in bodies])

    def summary(self) -> dict:
        return self.read("summary.json")

    def invoice(self) -> dict:
        return self.read("invoice.json")

    def read(self, name: str) -> dict:
        published = read_published(S3Store(self.s3, "runs", f"results/{RUN}/"))
        return json.loads(self.get(f"results/{RUN}/{published['prefix']}{name}"))

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
        each.cloud.close()


@pytest.mark.parametrize(("job", "told"), [("threaded", {}), ("one", {"threads": 8})])
def test_hosts_have_as_many_threads_as_the_job_declares_or_the_run_is_told(stack, job, told):
    """Each of eight records goes on when all of them are there: with fewer threads none would be done."""
    made = stack()
    made.submit(["meet 7 others"] * 16, job=job, more_settings=told)
    made.publish()
    assert made.rows() == list(range(16))


def test_run_settles_with_every_record_in_order(stack):
    made = stack()
    does = ["ok"] * 430
    does[77], does[300] = "exit", "raise"
    made.submit(does)
    assert made.publish()["reason"] == SETTLED
    assert made.table("result")["n"].to_pylist() == [n for n in range(430) if n not in (77, 300)]
    assert made.table("failures")["record"].to_pylist() == [77, 300]
    assert [stop.reason for stop in made.ledger.list_stops()] == [SETTLED]
    assert made.cloud.tick({"run": RUN})["phase"] == "done"


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
    medium = aws("sqs").create_queue(QueueName="medium")["QueueUrl"]
    around = replace(made.cloud._around, rung="medium", queues={"small": made.url, "medium": medium})
    larger = Cloud(around, made.s3, made.sqs, made.cache)
    made.submit(["sleep 0.02"] * 40, more_settings={"rung": "medium"})
    larger.tick({"run": RUN})
    (found,) = made.sqs.receive_message(QueueUrl=medium)["Messages"]
    made.sqs.delete_message(QueueUrl=medium, ReceiptHandle=found["ReceiptHandle"])
    assert larger.work(found["Body"], 1, 900.0).n_follow_ups > 0
    larger.close()
    assert made.receive() == []
    assert made.sqs.receive_message(QueueUrl=medium)["Messages"]


def test_warm_environment_keeps_the_job_open(stack):
    """A model of gigabytes is opened once per environment, not once per task."""
    made = stack()
    made.submit(["ok"] * 100, chunk_records=25)
    made.cloud.tick({"run": RUN})
    bodies = made.receive()
    made.cloud.work(bodies[0], 1, 900.0)
    opened = made.cloud._opened.find(RUN, "work")
    made.cloud.work(bodies[1], 1, 900.0)
    assert opened is not None
    assert made.cloud._opened.find(RUN, "work") is opened


def test_message_that_is_not_ours_is_filed_and_refused(stack):
    made = stack()
    with pytest.raises(Undecodable):
        made.cloud.work("hello", 1, 900.0)
    assert made.s3.list_objects_v2(Bucket="runs", Prefix="unclaimed/")["KeyCount"] == 1


def test_task_of_a_run_that_is_not_there_is_refused(stack):
    message = TaskMessage("run-2", "work", ChunkId(0, 5), SpanSet.range(0, 5))
    made = stack()
    with pytest.raises(Undecodable, match="run-2"):
        made.cloud.work(message.to_text(), 1, 900.0)
    assert made.s3.list_objects_v2(Bucket="runs", Prefix="unclaimed/")["KeyCount"] == 1


def test_job_that_is_not_allowed_stops_the_run(stack):
    """A message can name any run; only the stack decides which code it opens."""
    made = stack()
    made.submit(["ok"] * 10, job="elsewhere")
    said = made.cloud.tick({"run": RUN})
    body = made.receive()[0]
    for _ in range(2):
        with pytest.raises(OpenFailed, match="allow-list"):
            made.cloud.work(body, 1, 900.0)
    assert made.publish(said)["reason"] == "open failed"
    assert made.summary()["not_tried"] == 10


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
    made.publish()
    assert "environment was killed" in made.table("failures")["message"][0].as_py()


def test_groups_publish_what_one_whole_delivery_would(stack, monkeypatch):
    """A dataset of ten million is merged by a hundred functions; nobody can tell from the table."""
    monkeypatch.setattr(reducer, "OUTCOMES_PER_GROUP", 2)
    does = ["raise" if n % 9 == 0 else "ok" for n in range(120)]
    made = stack()
    made.submit(does, chunk_records=10)
    made.publish()
    ok = [n for n in range(120) if n % 9]
    assert made.table("result")["n"].to_pylist() == ok
    assert made.table("result")["record"].to_pylist() == ok
    assert made.table("failures")["record"].to_pylist() == list(range(0, 120, 9))
    said = made.summary()
    assert (said["done"], said["failed"], said["rows"]) == (len(ok), 14, len(ok))
    assert said["failures"] == {"exception": 14}
    assert (
        len([key for key in made.ledger.store.list_keys("merge/0000/") if key.endswith(".roster.json")]) > 3
    )


def test_groups_publish_no_part_without_rows(stack, monkeypatch):
    """A million records without a fault are no hundred empty tables of failures to be read."""
    monkeypatch.setattr(reducer, "OUTCOMES_PER_GROUP", 2)
    made = stack()
    made.submit(["ok"] * 50 + ["raise"] + ["ok"] * 29, chunk_records=10, more_settings={"max_failed": "9%"})
    published = made.publish()
    parts = {each["name"]: each["rows"] for each in published["files"] if each["rows"] is not None}
    for name, n_rows in parts.items():
        body = pa.BufferReader(made.get(f"results/{RUN}/{published['prefix']}{name}"))
        assert pq.read_metadata(body).num_rows == n_rows > 0, name
    assert len([name for name in parts if name.startswith("result")]) > 2
    assert len([name for name in parts if name.startswith("failures")]) == 1


def test_groups_of_other_types_are_written_once_more(stack, monkeypatch):
    """A column that is empty in one group and a number in the next has one type in the table."""
    monkeypatch.setattr(reducer, "OUTCOMES_PER_GROUP", 1)
    made = stack()
    made.submit(["none"] * 4 + ["1"] * 4 + ["1.5"] * 4 + ["more"] * 4, job="loose", chunk_records=4)
    made.publish()
    table = made.table("result")
    assert table.schema.field("value").type == pa.float64()
    assert table["value"].to_pylist() == [None] * 4 + [1.0] * 4 + [1.5] * 4 + [None] * 4
    assert table["more"].to_pylist() == [None] * 12 + ["x"] * 4


def test_damaged_outcome_is_done_again(stack):
    made = stack()
    made.submit(["ok"] * 30, chunk_records=10)
    said = made.settle()
    victim = made.ledger.list_outcomes("work")[0]
    made.ledger.store.put(str(victim), b"damage")
    (item,) = json.loads(made.get(said["groups_key"]))
    with pytest.raises(UnreadableOutcome):
        made.cloud.reduce_group(item)
    assert made.cloud.publish({"run": RUN, "epoch": 0})["phase"] == "torn"
    assert made.publish()["epoch"] == 1
    assert made.table("result")["n"].to_pylist() == list(range(30))
    assert [stop.reason for stop in made.ledger.list_stops()] == [UNREADABLE, SETTLED]


def test_cancelled_run_publishes_what_finished(stack):
    made = stack()
    made.submit(["ok"] * 60, chunk_records=10)
    said = made.cloud.tick({"run": RUN})
    for body in made.receive()[:2]:
        made.cloud.work(body, 1, 900.0)
    made.ledger.stop(0, CANCELLED, {})
    said = made.cloud.tick(said)
    assert said["phase"] == "running"  # what is in flight may still come in
    assert made.publish(said)["reason"] == CANCELLED
    assert made.table("result")["n"].to_pylist() == list(range(20))
    assert made.table("not_tried").to_pylist() == [{"first": 20, "last": 59, "source": "records.csv"}]
    made.publish()  # taken up again
    assert made.table("result")["n"].to_pylist() == list(range(60))


def test_run_stops_when_far_too_many_fail(stack):
    made = stack()
    made.submit(["raise"] * 300 + ["ok"] * 300, chunk_records=20)
    assert made.publish()["reason"] == TOO_MANY_FAILED
    assert made.summary()["not_tried"] > 200


def test_publishing_again_changes_nothing(stack):
    """Step Functions may call twice; readers must not see the second time."""
    made = stack()
    made.submit(["ok"] * 10)
    first = made.publish()
    before = made.get(f"results/{RUN}/{first['prefix']}summary.json")
    assert made.cloud.publish({"run": RUN, "epoch": 0})["phase"] == "done"
    assert made.get(f"results/{RUN}/{first['prefix']}summary.json") == before


def bring_code(made: Stack, body: str) -> dict[str, Any]:
    """A package in the bucket, and what a manifest says of it."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("brought_job.py", body)
    sha256 = hashlib.sha256(package.getvalue()).hexdigest()
    made.s3.put_object(Bucket="runs", Key=f"references/{sha256}", Body=package.getvalue())
    identity = {"job": "brought_job:double"}
    return {
        "job": "brought_job:double",
        "stages": [StageNote("call").to_plain()],
        "package": sha256,
        "is_function": True,
        "identity": identity,
    }


def test_run_brings_its_own_code_where_the_stack_allows(stack):
    made = stack(allows_code=True)
    brought = bring_code(made, "def double(record):\n    return {'twice': 2 * record['n']}\n")
    made.submit(["ok"] * 10, **brought)
    assert made.publish()["reason"] == SETTLED
    assert made.table("result")["twice"].to_pylist() == list(range(0, 20, 2))


def test_stack_that_does_not_allow_code_opens_none(stack):
    """Whoever may put a run into the bucket must not thereby choose what code the workers run."""
    made = stack()
    made.submit(["ok"] * 10, **bring_code(made, "raise SystemExit\n"))
    said = made.cloud.tick({"run": RUN})
    with pytest.raises(OpenFailed, match="AllowCode"):
        made.cloud.work(made.receive()[0], 1, 900.0)
    assert said["phase"] == "running"


def test_code_that_is_not_what_its_name_says_is_not_opened(stack):
    made = stack(allows_code=True)
    brought = bring_code(made, "def double(record):\n    return None\n")
    made.s3.put_object(Bucket="runs", Key=f"references/{brought['package']}", Body=b"other")
    made.submit(["ok"] * 10, **brought)
    made.cloud.tick({"run": RUN})
    with pytest.raises(StoreError, match="SHA-256"):
        made.cloud.work(made.receive()[0], 1, 900.0)


def test_worker_of_other_versions_opens_no_job(stack):
    made = stack()
    made.submit(["ok"] * 10, versions={"python": "3.9", "rdkit": "1.2.3"})
    made.cloud.tick({"run": RUN})
    with pytest.raises(OpenFailed, match=r"rdkit is None here and 1\.2\.3 where the run was begun: deploy"):
        made.cloud.work(made.receive()[0], 1, 900.0)


TARIFF = Tariff(Prices(), "arm64", 150.0)


def test_run_stops_before_its_budget_is_crossed(stack):
    """What finished is published, the rest listed; what is in flight and settling were counted in."""
    made = stack()
    budget_usd = 4 * TARIFF.task_usd + estimate_settling(TARIFF, 12).total
    settings = {"budget_usd": budget_usd, "tariff": TARIFF.to_plain()}
    made.submit(["sleep 0.05"] * 60, chunk_records=5, more_settings=settings)
    assert made.publish()["reason"] == BUDGET_REACHED
    said = made.summary()
    assert said["not_tried"] > 0
    assert said["done"] + said["not_tried"] == 60


def test_budget_that_is_large_enough_changes_nothing(stack):
    made = stack()
    made.submit(["ok"] * 60, chunk_records=5, more_settings={"budget_usd": 1.0, "tariff": TARIFF.to_plain()})
    assert made.publish()["reason"] == SETTLED


def test_run_stops_when_its_time_is_up(stack):
    made = stack()
    # a busy machine takes a second or two to open the job; all of it would take twelve
    made.submit(["sleep 0.2"] * 60, chunk_records=5, more_settings={"until_s": time.time() + 4.0})
    assert made.publish()["reason"] == TIME_REACHED
    assert 0 < made.summary()["done"] < 60


def test_outcome_says_what_its_invocation_was_billed(stack):
    """From the invocation's beginning, opening the job included: the sum is what AWS will ask for."""
    made = stack()
    made.submit(["sleep 0.05"] * 10)
    made.cloud.tick({"run": RUN})
    began = time.monotonic()
    made.cloud.work(made.receive()[0], 1, 900.0)
    taken_ms = 1000 * (time.monotonic() - began)
    billed_ms = sum(outcome.billed_ms for outcome in made.ledger.list_outcomes("work"))
    assert taken_ms > 500
    assert 0.9 * taken_ms < billed_ms < 1.1 * taken_ms + 250


def test_redelivery_is_noted_since_somebody_was_paid_for_the_first(stack):
    made = stack()
    made.submit(["ok"] * 10)
    made.cloud.tick({"run": RUN})
    made.cloud.work(made.receive()[0], 2, 900.0)
    assert made.ledger.count_redeliveries() == {"small": 1}


def test_invoice_names_what_was_paid_for_and_what_was_wasted(stack):
    made = stack()
    made.submit(["sleep 0.05"] * 20, more_settings={"tariff": TARIFF.to_plain()})
    said = made.cloud.tick({"run": RUN})
    (body,) = made.receive()
    for _ in range(2):  # both deliveries are worked on: neither saw the other's outcome
        made.cloud.work(body, 1, 900.0)
    assert made.publish(said)["reason"] == SETTLED
    invoice = made.invoice()
    work = invoice["stages"]["work"]
    assert work["compute"] > 2 * 20 * 0.05 * TARIFF.worker_s("small")
    assert invoice["wasted"]["duplicates"] == pytest.approx(work["compute"] / 2, rel=0.5)
    assert invoice["total"] == pytest.approx(work["total"] + invoice["settling"]["total"], abs=2e-6)
    assert min(work["sqs"], work["s3"], work["step_functions"], invoice["settling"]["compute"]) > 0


def test_chunks_that_come_out_of_order_are_each_asked_for_once(stack):
    """They are put many at a time: what is counted in order must wait for the one that is late."""
    made = stack()
    made.submit(["ok"] * 40, chunk_records=10)
    late = "runs/run-1/chunks/00000002.10"
    body = made.get(late)
    for key in (late, "runs/run-1/sealed"):
        made.s3.delete_object(Bucket="runs", Key=key)
    said = made.cloud.tick({"run": RUN})
    first = [TaskMessage.from_text(body).chunk.seq for body in made.receive()]
    made.s3.put_object(Bucket="runs", Key=late, Body=body)
    made.ledger.seal(4, 40)
    made.cloud.tick(said)
    then = [TaskMessage.from_text(body).chunk.seq for body in made.receive()]
    assert (sorted(first), sorted(then)) == ([0, 1], [2, 3])


def test_run_that_is_cancelled_before_its_first_tally_stays_so(stack):
    made = stack()
    made.submit(["ok"] * 10)
    made.ledger.stop(0, CANCELLED, {})
    assert made.publish({"run": RUN, "state": {"epoch": 0}})["reason"] == CANCELLED
    assert made.summary()["not_tried"] == 10
