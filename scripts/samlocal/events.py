"""Every function with its file in events/: what it answers, and what it leaves in S3 and SQS.

A function, an event and what has to be true afterwards are a row of CHECKS. When it is wrong, a handler that
does not start in Lambda's image goes unnoticed until it is deployed.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID

from aliquot.aws import S3Objects
from aliquot.carried import PREPARED, REFERENCES
from aliquot.cutter import Cutter, describe_reads
from aliquot.keys import ChunkId
from aliquot.ledger import SETTLED, Ledger
from aliquot.message import TaskMessage
from aliquot.preparing import WHOLE
from aliquot.readers.objects import find_objects
from aliquot.reducer import read_published
from orchestrator.request import make_manifest
from samlocal import ROOT, CheckFailed, report, same
from samlocal.aws import (
    BUCKET,
    EXAMPLES,
    INBOX,
    KEYS,
    MACHINE,
    MACHINE_ARN,
    REGION,
    SETTINGS,
    Aws,
    list_names,
    make_crossref,
    submit_run,
    write_reactions,
)
from samlocal.sam import Tools, invoke, read_event

EVENTS_RUN, EVENTS_RECORDS = "20261122-crossref-4f1d", 100  # as events/*.json have them
DATA, N_OBJECTS = "data", 4
# as events/intake.json has its size and its ETag
REQUEST = (
    b'{"format": "aliquot/request/1", "job": "crossref", "data": "a.rsmi", '
    b'"options": {"templates": "templates.csv"}}'
)


@dataclass(frozen=True)
class Check:
    """A function, its event, and what has to be true afterwards.

    Args:
        expect: is given the answer, moto, and the run's ledger; raises CheckFailed. Says what it saw.
        arrange: puts what the function needs, where the checks before it have not.
    """

    function: str
    event: str
    expect: Callable[[Any, Aws, Ledger], str]
    arrange: Callable[[Aws], None] = lambda _: None


def arrange_dataset(aws: Aws) -> None:
    """A run whose dataset are four objects of 25 reactions, to be cut."""
    s3, n_each = aws.client("s3"), EVENTS_RECORDS // N_OBJECTS
    s3.create_bucket(Bucket=DATA)
    with tempfile.TemporaryDirectory() as folder:
        request = make_crossref(write_reactions(Path(folder, "reactions.rsmi"), EVENTS_RECORDS))
        lines = Path(folder, "reactions.rsmi").read_text(encoding="utf-8").splitlines(keepends=True)
    for number in range(N_OBJECTS):
        part = "".join(lines[number * n_each : (number + 1) * n_each])
        s3.put_object(Bucket=DATA, Key=f"{number}.rsmi", Body=part.encode())
    sources = find_objects([f"s3://{DATA}/"], S3Objects(s3).list_objects)
    manifest = make_manifest(request, SETTINGS)
    manifest["identity"]["sources"] = [asdict(source) for source in sources]
    manifest["source_names"] = [source.path for source in sources]
    manifest["reads"] = describe_reads(request.known.job.reads)
    aws.ledger(EVENTS_RUN).begin(manifest)


def arrange_templates(aws: Aws) -> None:
    """The run's reference, as whoever submits it puts it."""
    manifest = aws.ledger(EVENTS_RUN).read_manifest() or {}
    found = manifest["options"]["templates"]
    aws.store(REFERENCES).put(found["sha256"], Path(found["path"]).read_bytes())


def expect_prepared(answer: Any, _aws: Aws, ledger: Ledger) -> str:
    """The job has opened, and what it prepared lies in the run."""
    same(answer, {"next": "plan", "epoch": 0})
    files, said = ledger.store.list_keys(PREPARED), json.loads(ledger.store.get(WHOLE))
    same(bool(files) and bool(said["code"]), True)
    return f"{len(files)} files, {said['versions']}"


def arrange_request(aws: Aws) -> None:
    """An inbox with a request and what it names, and a state machine to start."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=INBOX)
    for key, body in {
        "a.rsmi": (EXAMPLES / "reactions.rsmi").read_bytes(),
        "templates.csv": (EXAMPLES / "templates.csv").read_bytes(),
        "june.run.json": REQUEST,
    }.items():
        s3.put_object(Bucket=INBOX, Key=key, Body=body)
    nothing = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    role = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/any"
    aws.client("stepfunctions").create_state_machine(name=MACHINE, definition=nothing, roleArn=role)


def expect_accepted(answer: Any, aws: Aws, _ledger: Ledger) -> str:
    """The request has become a run, which is driven, and its answer lies beside it."""
    run = answer["run"]
    accepted = aws.client("s3").get_object(Bucket=INBOX, Key="june.accepted.json")["Body"].read()
    same(json.loads(accepted)["run"], run)
    manifest = aws.ledger(run).read_manifest() or {}
    same([source["path"] for source in manifest["identity"]["sources"]], [f"s3://{INBOX}/a.rsmi"])
    begun = aws.client("stepfunctions").list_executions(stateMachineArn=MACHINE_ARN)["executions"]
    same([each["name"] for each in begun], [f"{run}-0"])
    return run


def arrange_numbers(aws: Aws) -> None:
    """The objects counted and numbered, as the steps between the two events do it."""
    cutter = make_cutter(aws)
    for item in json.loads(aws.store("").get(f"runs/{EVENTS_RUN}/cut/count-0.json")):
        same(cutter.take(item, 900.0), {"again": False})
    same(cutter.take({"run": EVENTS_RUN, "step": "number", "epoch": 0}, 900.0)["next"], "seal")


def make_cutter(aws: Aws) -> Cutter:
    """What the function `Cut` does, in this process."""
    opener = S3Objects(aws.client("s3")).open
    return Cutter(aws.ledger(EVENTS_RUN), EVENTS_RUN, f"runs/{EVENTS_RUN}/", opener)


def expect_count(answer: Any, aws: Aws, _ledger: Ledger) -> str:
    """The plan hands out all of the dataset to be counted."""
    same((answer["epoch"], answer["next"]), (0, "number"))
    items = json.loads(aws.store("").get(answer["parts_key"]))
    same([(item["step"], item["parts"]) for item in items], [("count", [0, N_OBJECTS])])
    return f"{N_OBJECTS} objects to count"


def expect_chunks(answer: Any, aws: Aws, ledger: Ledger) -> str:
    """Each object has become a chunk, and nothing is missing to seal the run."""
    same(answer, {"again": False})
    chunks = ledger.list_chunks()
    same(chunks, [ChunkId(seq, EVENTS_RECORDS // N_OBJECTS) for seq in range(N_OBJECTS)])
    same(make_cutter(aws).take({"run": EVENTS_RUN, "step": "seal", "epoch": 0}, 900.0)["next"], "done")
    return f"{len(chunks)} chunks of {chunks[0].n_records} records"


def arrange_run(aws: Aws) -> None:
    """The run afresh, submitted from this machine in one chunk."""
    bucket = boto3.resource("s3", region_name=REGION, endpoint_url=aws.endpoint, **KEYS).Bucket(BUCKET)
    bucket.objects.filter(Prefix=f"runs/{EVENTS_RUN}/").delete()
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_reactions(Path(folder, "reactions.rsmi"), EVENTS_RECORDS)
        submit_run(aws, EVENTS_RUN, make_crossref(dataset))


def expect_halves(answer: Any, aws: Aws, _ledger: Ledger) -> str:
    """A dead letter of 100 records, none of which is answered, is sent again as two tasks of 50."""
    same(answer, {"batchItemFailures": []})
    halves = sorted(str(read_task(message).spans) for message in aws.receive())
    same(halves, ["0-50", "50-100"])
    return "2 tasks of 50 records"


def expect_task(answer: Any, aws: Aws, ledger: Ledger) -> str:
    """The first tick dispatches the only chunk."""
    same((answer["run"], answer["phase"], answer["epoch"]), (EVENTS_RUN, "running", 0))
    (task,) = map(read_task, aws.receive())
    same((task.run, task.chunk), (EVENTS_RUN, ledger.list_chunks()[0]))
    same(len(task.spans), EVENTS_RECORDS)
    return f"1 task of {EVENTS_RECORDS} records, next tick in {answer['wait_s']} s"


def expect_outcomes(answer: Any, aws: Aws, ledger: Ledger) -> str:
    """A slice answers every reaction of the chunk."""
    same(answer, {"batchItemFailures": []})
    coverage = ledger.measure("match")
    same((coverage.n_answered, coverage.n_failed, coverage.is_complete), (EVENTS_RECORDS, 0, True))
    same(aws.receive(), [])
    return f"{len(ledger.list_outcomes('match'))} outcomes of {coverage.n_answered} reactions"


def expect_groups(answer: Any, aws: Aws, _ledger: Ledger) -> str:
    """The tick after it settles: it answers with the list of groups that the Map reads."""
    same(answer["phase"], "settling")
    groups = json.loads(aws.store("").get(answer["groups_key"]))
    same(groups, [{"run": EVENTS_RUN, "epoch": 0, "group": 0}])
    same(groups[0], read_event("reduce.json"))
    return answer["groups_key"]


def expect_part(answer: Any, aws: Aws, _ledger: Ledger) -> str:
    """The only group's tables lie under results/, not yet published."""
    same((answer["done"], answer["failed"]), (EVENTS_RECORDS, 0))
    same(read_published(aws.store(f"results/{EVENTS_RUN}/")), None)
    names = aws.store(f"results/{EVENTS_RUN}/result-0000/").list_keys("")
    same([name for name in names if name.startswith("result/")], ["result/part-00000-00000.parquet"])
    return f"{answer['rows']} rows, {len(names)} files"


def expect_published(answer: Any, aws: Aws, ledger: Ledger) -> str:
    """The pointer names files that are there, and the epoch is over."""
    same(answer["phase"], "done")
    results = aws.store(f"results/{EVENTS_RUN}/")
    published = read_published(results)
    if published is None:
        raise CheckFailed("nothing is published")
    same((published["epoch"], published["reason"]), (0, SETTLED))
    there = set(results.list_keys(published["prefix"]))
    names = list_names(published)
    same([name for name in names if published["prefix"] + name not in there], [])
    same([stop.reason for stop in ledger.list_stops()], [SETTLED])
    return f"{len(names)} files"


def read_task(message: dict[str, Any]) -> TaskMessage:
    """The task in a message."""
    return TaskMessage.from_text(message["Body"])


CHECKS = (
    Check("Cut", "cut.json", expect_count, arrange_dataset),
    Check("SmallWorker", "worker_prepare.json", expect_prepared, arrange_templates),
    Check("Cut", "cut_parts.json", expect_chunks, arrange_numbers),
    Check("Intake", "intake.json", expect_accepted, arrange_request),
    Check("Bury", "bury.json", expect_halves, arrange_run),
    Check("Tally", "tally.json", expect_task),
    Check("SmallWorker", "worker.json", expect_outcomes),
    Check("Tally", "tally.json", expect_groups),
    Check("Reduce", "reduce.json", expect_part),
    Check("Reduce", "reduce_publish.json", expect_published),
)


def check_events(tools: Tools, template: Path, aws: Aws) -> None:
    """Invoke each function with its event, in an order in which each finds what it needs."""
    left_out = {path.name for path in (ROOT / "events").glob("*.json")} - {check.event for check in CHECKS}
    if left_out:
        raise CheckFailed(f"events without a check: {', '.join(sorted(left_out))}")
    for check in CHECKS:
        check.arrange(aws)
        begun = time.monotonic()
        answer = invoke(tools, template, check.function, check.event)
        try:
            seen = check.expect(answer.value, aws, aws.ledger(EVENTS_RUN))
        except CheckFailed as err:
            raise CheckFailed(f"{check.function} with events/{check.event}: {err}\n{answer.log}") from err
        report(f"{check.function} {check.event}", seen, begun)
