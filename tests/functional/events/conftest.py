"""The project's own stack with the examples' resources beside it, and all cases played on it once."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import aliquot
from aliquot.aws import S3Store
from aliquot.chunk import Chunk
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache, plan_layers
from orchestrator.rehearsal import Stack, rehearse
from orchestrator.rehearsal.records import Call
from orchestrator.rehearsal.template import load_template

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "examples" / "crossref"
CODE = """
def double(record):
    return {"name": record["name"], "twice": 2 * int(record["n"])}


def measure(record):
    return {"letters": len(record["name"])}
"""
N_ROWS, N_PARQUET = 300, 50
FORMAT = "aliquot/request/1"

# what is refused: the file's text or fields, the field at fault, a part of what is said
REFUSED: dict[str, tuple[Any, str, str]] = {
    "torn": ('{"format": ', "file", "is not JSON"),
    "other-format": ({"format": "aliquot/request/9"}, "format", "this release reads 'aliquot/request/1'"),
    "unknown-field": ({"bugdet_usd": 1}, "bugdet_usd", "there are format, job, data"),
    "no-such-job": ({"job": "rm"}, "job", "'rm' is not on this stack's allow-list (crossref, screen, retro)"),
    "others-bucket": ({"data": "s3://others/a.csv"}, "data", "its DataBuckets, data-bucket"),
    "own-runs": ({"data": "s3://RUNS/runs/x/chunks/"}, "data", "reads no datasets"),
    "no-data": ({"data": "nothing/*.rsmi"}, "data", "matches no object"),
    "no-templates": ({"options": {}}, "options.templates", "is required"),
    "absent-templates": ({"options": {"templates": "a.csv"}}, "options.templates", "there is no such object"),
    "no-such-option": ({"options": {"mood": "exact"}}, "mood", "did you mean 'mode'"),
    "slow": ({"record_timeout_s": 61}, "record_timeout_s", "61 s are more than the 60 s"),
    "cheap": ({"budget_usd": 0.0001}, "budget_usd", "would be reached before a first task has ended"),
    "absent-package": ({"job": "m:f", "package": "0" * 64}, "package", "is not in this stack's bucket"),
}


@dataclass
class Played:
    """A stack, and what was done on it."""

    stack: Stack
    heard: list[dict[str, Any]] = field(default_factory=list)
    orchestrator: list[Call] = field(default_factory=list)
    n_executions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s3 = boto3.client("s3")
        self.inbox, self.bucket = self.stack.outputs["InboxBucket"], self.stack.outputs["Bucket"]

    def drop(self, key: str, body: bytes | str) -> None:
        """Put something into the inbox."""
        self.s3.put_object(Bucket=self.inbox, Key=key, Body=body)

    def request(self, name: str, **fields: Any) -> None:
        """Drop a request."""
        self.drop(f"{name}.run.json", json.dumps({"format": FORMAT, **fields}))

    def answer(self, name: str) -> tuple[str, dict[str, Any]]:
        """Whether a request was accepted or rejected, and the answer; there is one."""
        found = self.s3.list_objects_v2(Bucket=self.inbox, Prefix=f"{name}.").get("Contents", ())
        (key,) = (each["Key"] for each in found if not each["Key"].endswith(".run.json"))
        said = json.loads(self.s3.get_object(Bucket=self.inbox, Key=key)["Body"].read())
        return key.removeprefix(f"{name}.").removesuffix(".json"), said

    def run_of(self, name: str) -> str:
        """The id of the run that a request began."""
        kind, said = self.answer(name)
        assert kind == "accepted", said
        return str(said["run"])

    def ledger(self, run: str) -> Ledger:
        """A run's ledger."""
        return Ledger(S3Store(self.s3, self.bucket, f"runs/{run}/"))

    def events_of(self, run: str) -> list[dict[str, Any]]:
        """What was published of a run."""
        return [each for each in self.heard if each["detail"]["run"] == run]

    def rows(self, run: str) -> list[dict[str, Any]]:
        """The rows of a run's result, found as who hears of it would: by the event alone."""
        (event,) = self.events_of(run)
        bucket, _, prefix = event["detail"]["result"]["rows"].removeprefix("s3://").partition("/")
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        bodies = (self.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found)
        return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]

    def list_executions(self) -> dict[str, str]:
        """Every execution's state, by its name."""
        arn = self.stack.outputs["StateMachineArn"]
        found = boto3.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
        return {each["name"]: each["status"] for each in found}

    def listen(self) -> None:
        """Take what the rule for events of this stack has sent to its queue."""
        sqs, url = boto3.client("sqs"), self.stack.get_id("Heard")
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for each in found:
                self.heard.append(json.loads(each["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])


def make_package() -> tuple[str, bytes]:
    """A package of code, and its digest."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        file.writestr(zipfile.ZipInfo("brought.py"), CODE)
    return hashlib.sha256(body.getvalue()).hexdigest(), body.getvalue()


def write_template(folder: Path) -> Path:
    """The stack's template with the examples' resources, and a queue that hears all events of runs."""
    made = load_template(ROOT / "template.yaml")
    for name in ("nightly", "chain"):
        example = load_template(ROOT / "examples" / "events" / f"{name}.yaml")
        example["Parameters"].pop("InboxBucket")  # a reference to it is one to the stack's own
        made["Parameters"] |= example["Parameters"]
        made["Resources"] |= example["Resources"]
    heard = {"Id": "heard", "Arn": {"Fn::GetAtt": ["Heard", "Arn"]}}
    rule = {"EventPattern": {"source": ["aliquot"]}, "Targets": [heard]}
    made["Resources"]["Heard"] = {"Type": "AWS::SQS::Queue"}
    made["Resources"]["HeardRule"] = {"Type": "AWS::Events::Rule", "Properties": rule}
    for name in ("functions", "layers", "statemachine"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(json.dumps(made))
    return path


@pytest.fixture(scope="session")
def refused():
    """What is refused."""
    return REFUSED


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Every case, once: they share what a drain costs."""
    if missing := plan_layers(ROOT).missing:
        pytest.skip(f"not installed here: {', '.join(map(str, missing))}")
    sha256, package = make_package()
    templates = (SAMPLE / "templates.csv").read_bytes()
    parameters = {
        "AllowCode": "true",
        "DataBuckets": "arn:aws:s3:::data-bucket",
        "Data": "small/",
        "TemplatesSha256": hashlib.sha256(templates).hexdigest(),
        "FirstJob": "brought:double",
        "NextJob": "brought:measure",
        "NextPackage": sha256,
    }
    template = write_template(tmp_path_factory.mktemp("stack"))
    layers = assemble_layers(ROOT, find_cache())
    # one at a time: with two each function starts cold twice
    with rehearse(template, parameters=parameters, code=layers, concurrency=1) as stack:
        found = Played(stack)
        found.s3.put_object(Bucket=found.bucket, Key=f"references/{sha256}", Body=package)
        drop_all(found, templates, sha256)
        stack.drain(120)
        play_again(found)
        play_apart(found, sha256)
        stack.drain(120)
        play_orchestrator(found, tmp_path_factory.mktemp("desk"))
        stack.drain()
        found.listen()
        yield found


def drop_all(played: Played, templates: bytes, sha256: str) -> None:
    """What starts runs, and what is refused."""
    lines = (SAMPLE / "reactions.rsmi").read_text().splitlines(keepends=True)[:60]
    played.drop("small/reactions.rsmi", "".join(lines))
    played.drop("references/templates.csv", templates)
    played.drop("references/broken.csv", "id,smarts\nt1,nonsense\nt2,more nonsense\n")
    rows = [f"r{i},{i}" for i in range(N_ROWS)]
    rows[7] = "r7"
    table = ("name,n\n" + "\n".join(rows) + "\n").encode()
    parquet = io.BytesIO()
    names = [f"p{i}" for i in range(N_PARQUET)]
    pq.write_table(pa.table({"name": names, "n": list(range(N_PARQUET))}), parquet, row_group_size=20)
    played.drop("large/1.csv", table)
    played.drop("large/2.csv.gz", gzip.compress(table))
    played.s3.create_bucket(Bucket="data-bucket")
    played.s3.put_object(Bucket="data-bucket", Key="3.parquet", Body=parquet.getvalue())

    crossref = {"job": "crossref", "data": "small/", "max_failed": "20%"}
    played.request("june", **crossref, options={"templates": "references/templates.csv"}, budget_usd=1)
    played.request("broken", **crossref, options={"templates": "references/broken.csv"})
    own = {"job": "brought:double", "package": sha256, "max_failed": 30}
    played.request("july", **own, data=["large/*.csv", "large/2.csv.gz", "s3://data-bucket/"])
    played.request("over", **own, data="large/1.csv", budget_time_s=0.001)
    for name, (fields, _, _) in REFUSED.items():
        if isinstance(fields, str):
            played.drop(f"refused/{name}.run.json", fields)
            continue
        good = {**crossref, "options": {"templates": "references/templates.csv"}}
        text = json.dumps({"format": FORMAT, **good, **fields}).replace("RUNS", played.bucket)
        played.drop(f"refused/{name}.run.json", text)


def play_again(played: Played) -> None:
    """An event comes again; the night comes; a refused request is mended; an absent run is to settle."""
    played.n_executions.append(len(played.list_executions()))
    (first,) = (
        each.event
        for each in played.stack.invocations("Intake")
        if each.event["detail"]["object"]["key"] == "june.run.json"
    )
    boto3.client("lambda").invoke(
        FunctionName=played.stack.functions["Intake"].arn,
        InvocationType="Event",
        Payload=json.dumps(first),
    )
    played.stack.drain()
    played.n_executions.append(len(played.list_executions()))
    played.stack.fire("EveryNight")
    machine = played.stack.outputs["StateMachineArn"]
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=machine, name="absent-0", input=json.dumps({"run": "absent"})
    )
    crossref = {"job": "crossref", "data": "small/", "max_failed": "20%"}
    played.request("refused/no-templates", **crossref, options={"templates": "references/templates.csv"})


def play_apart(played: Played, sha256: str) -> None:
    """What is rare: dead letters, a task that comes a third time, an unknown job, messages that are none."""
    sqs, queue = boto3.client("sqs"), json.loads(played.stack.outputs["Queues"])["small"]
    dead = played.stack.outputs["DeadLetterQueue"]
    for url in (queue, dead):
        sqs.send_message(QueueUrl=url, MessageBody="no task")
    ledger, chunk = played.ledger("apart"), ChunkId(0, 8)
    manifest = {
        "job": "brought:double",
        "stages": [StageNote("call").to_plain()],
        "options": {},
        "package": sha256,
        "is_function": True,
        "identity": {"job": "brought:double"},
        "settings": {"record_timeout_s": 20.0, "window": 1, "max_failed": "5%"},
        "versions": {},
    }
    ledger.begin(manifest)
    columns = {"name": [f"a{i}" for i in range(8)], "n": list(range(8))}
    ledger.put_chunk(chunk, Chunk(0, 8, columns, provenance=((0, 0, 1),)).to_bytes())
    for first, end in ((0, 1), (1, 3)):
        task = TaskMessage("apart", "call", chunk, SpanSet.range(first, end))
        sqs.send_message(QueueUrl=dead, MessageBody=task.to_text())
    give_task(played, TaskMessage("apart", "call", chunk, SpanSet.range(4, 8)), receives=3)
    ledger = played.ledger("unknown")
    ledger.begin({**manifest, "job": "unknown", "package": ""})
    give_task(played, TaskMessage("unknown", "call", chunk, SpanSet.range(0, 1)), receives=1)


def give_task(played: Played, task: TaskMessage, receives: int) -> None:
    """Hand a task to a worker as if its queue had done it."""
    record = {
        "messageId": "m",
        "receiptHandle": "none",
        "body": task.to_text(),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:small",
        "awsRegion": "us-east-1",
    }
    worker = played.stack.functions["SmallWorker"].arn
    boto3.client("lambda").invoke(FunctionName=worker, Payload=json.dumps({"Records": [record]}))


def play_orchestrator(played: Played, desk: Path) -> None:
    """A run that is submitted from a laptop, in this process; its calls are those of the meantime."""
    data = desk / "reactions.rsmi"
    data.write_text("".join((SAMPLE / "reactions.rsmi").read_text().splitlines(keepends=True)[:20]))
    templates = desk / "templates.csv"  # not those that are there already
    templates.write_text("".join((SAMPLE / "templates.csv").read_text().splitlines(keepends=True)[:40]))
    n_before = len(played.stack.calls)
    with Drain(played.stack):
        plan = aliquot.plan(
            "crossref",
            str(data),
            templates=str(templates),
            max_failed="50%",
            on="aws:rehearsal",
            region="us-east-1",
        )
        plan.start(desk / "out").wait(quiet=True)
    played.orchestrator = [each for each in played.stack.calls[n_before:] if each.caller == "client"]
