"""The project's own stack, cutting what lies in buckets: state machine, handlers and layers together."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from dataclasses import asdict

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aliquot.aws import S3Objects, S3Store
from aliquot.cutter import REFUSED, describe_reads
from aliquot.ledger import BUDGET_REACHED, SETTLED, Ledger
from aliquot.prices import Prices
from aliquot.readers.objects import find_objects
from aliquot.spending import CUT_MB, Tariff
from aliquot.stages import StageNote
from orchestrator.installed_layers import assemble_layers, plan_layers
from orchestrator.rehearsal import rehearse
from tests.functional.rights import list_missing

JOB = "def double(record):\n    return {'name': record['name'], 'twice': 2 * int(record['n'])}\n"
N_RECORDS = 400
A_SECOND = Prices().memory_s("arm64", CUT_MB)


@pytest.fixture(scope="module")
def stack(project_root, tmp_path_factory):
    if missing := plan_layers(project_root).missing:
        pytest.skip(f"not installed here: {', '.join(map(str, missing))}")
    layers = assemble_layers(project_root, tmp_path_factory.mktemp("layers"))
    given = {"AllowCode": "true", "DataBuckets": "arn:aws:s3:::data"}
    with rehearse(project_root / "template.yaml", parameters=given, code=layers) as found:
        boto3.client("s3").create_bucket(Bucket="data")
        yield found
        assert not list_missing(found)


def put_dataset(bucket):
    """A table in each of three forms; some rows are at fault, one has a newline in quotes."""
    rows = [f"r{i},{i}" for i in range(N_RECORDS)]
    rows[7], rows[9] = "r7", '"r\n9",9'
    table = ("name,n\n" + "\n".join(rows) + "\n").encode()
    parquet = io.BytesIO()
    pq.write_table(pa.table({"name": [f"p{i}" for i in range(50)], "n": list(range(50))}), parquet)
    for name, body in {
        "1.csv": table,
        "2.csv.gz": gzip.compress(table),
        "3.parquet": parquet.getvalue(),
    }.items():
        boto3.client("s3").put_object(Bucket=bucket, Key=f"in/{name}", Body=body)


def submit(stack, run, bucket, *, changes=False, budget_usd=None):
    """Put what a run needs that is cut in the stack, and start it; gives its ledger."""
    s3, runs = boto3.client("s3"), stack.outputs["Bucket"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("brought.py", JOB)
    sha256 = hashlib.sha256(package.getvalue()).hexdigest()
    s3.put_object(Bucket=runs, Key=f"references/{sha256}", Body=package.getvalue())
    sources = find_objects([f"s3://{bucket}/in/"], S3Objects(s3).list_objects)
    ledger = Ledger(S3Store(s3, runs, f"runs/{run}/"))
    ledger.begin(
        {
            "job": "brought:double",
            "stages": [StageNote("call").to_plain()],
            "options": {},
            "settings": {
                "record_timeout_s": 20.0,
                "window": 10,
                "max_failed": "50%",
                "budget_usd": budget_usd,
                "tariff": Tariff(Prices(), "arm64", 150.0).to_plain(),
            },
            "versions": {},
            "created": "2026-11-22T12:00:00+00:00",
            "source_names": [source.path for source in sources],
            "package": sha256,
            "is_function": True,
            "identity": {
                "job": "brought:double",
                "sources": [asdict(source) for source in sources],
                "columns": {},
                "keep": [],
            },
            "reads": describe_reads(None),
        }
    )
    if changes:
        s3.put_object(Bucket=bucket, Key="in/2.csv.gz", Body=gzip.compress(b"name,n\nother,1\n"))
    drive(stack, run, 0)
    return ledger


def drive(stack, run, number):
    """Start an execution, and wait for its end."""
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"],
        name=f"{run}-{number}",
        input=json.dumps({"run": run, "cut": True}),
    )
    stack.drain()


def read_published(stack, run, epoch=0):
    """The reason, the tables, the invoice."""
    s3, runs = boto3.client("s3"), stack.outputs["Bucket"]

    def get(key):
        return s3.get_object(Bucket=runs, Key=f"results/{run}/{key}")["Body"].read()

    said = json.loads(get(f"published/{epoch:04d}.json"))
    tables = {"result": [], "failures": []}
    for name in sorted(each["name"] for each in said["files"]):
        table = name.split("/")[0]
        if table in tables:
            tables[table] += pq.read_table(io.BytesIO(get(said["prefix"] + name))).to_pylist()
    return said["reason"], tables, json.loads(get(said["prefix"] + "invoice.json"))


@pytest.mark.parametrize("where", ["inbox", "named"])
def test_dataset_in_a_bucket_becomes_a_result(stack, where):
    bucket = stack.outputs["InboxBucket"] if where == "inbox" else "data"
    put_dataset(bucket)
    ledger = submit(stack, f"run-{where}", bucket)
    assert ledger.is_sealed
    reason, tables, invoice = read_published(stack, f"run-{where}")
    assert reason == SETTLED
    check_preparing(stack, f"run-{where}", invoice)
    names = [f"r{i}" for i in range(N_RECORDS) if i != 7]
    names[8] = "r\n9"
    assert [row["name"] for row in tables["result"]] == [*names, *names, *(f"p{i}" for i in range(50))]
    assert [(row["source"], row["line"], row["record"]) for row in tables["failures"]] == [
        (f"s3://{bucket}/in/1.csv", 9, 7),
        (f"s3://{bucket}/in/2.csv.gz", 9, N_RECORDS + 7),
    ]


def check_preparing(stack, run, invoice):
    """The line has what Lambda billed for cutting, and the total has the line."""
    found, (work,) = invoice["preparing"], invoice["stages"].values()
    cuts = list_cuts(stack, run)
    billed_s, noted_s = sum(each.billed_ms for each in cuts) / 1000, found["compute"] / A_SECOND
    assert 0.95 * billed_s < noted_s < billed_s + 0.2 * len(cuts)
    assert min(found["requests"], found["s3"], found["step_functions"]) > 0
    assert set(found) == set(work)
    total_usd = found["total"] + work["total"] + invoice["settling"]["total"]
    assert invoice["total"] == pytest.approx(total_usd, abs=3e-6)


def test_budget_that_cutting_would_cross_stops_it_and_more_goes_on(stack):
    """Nothing is lost, and what cutting cost before is part of the whole bill."""
    put_dataset("data")
    ledger = submit(stack, "run-over", "data", budget_usd=0.03)
    reason, tables, invoice = read_published(stack, "run-over")
    assert (reason, tables["result"], ledger.list_chunks()) == (BUDGET_REACHED, [], [])
    assert 0 < invoice["preparing"]["total"] <= invoice["total"] < 0.03
    assert [each.event["step"] for each in list_cuts(stack, "run-over")] == ["plan"]

    manifest = ledger.read_manifest()
    ledger.replace_manifest({**manifest, "settings": {**manifest["settings"], "budget_usd": 0.1}})
    drive(stack, "run-over", 1)
    reason, tables, invoice = read_published(stack, "run-over", epoch=1)
    assert reason == SETTLED
    assert len(tables["result"]) == 2 * (N_RECORDS - 1) + 50
    assert invoice["total"] < 0.1
    check_preparing(stack, "run-over", invoice)


def list_cuts(stack, run):
    return [each for each in stack.invocations("Cut") if each.event["run"] == run]


def test_object_that_has_changed_ends_the_run_and_is_named(stack):
    put_dataset("data")
    ledger = submit(stack, "run-changed", "data", changes=True)
    reason, tables, _ = read_published(stack, "run-changed")
    assert (reason, tables["result"]) == (REFUSED, [])
    assert "s3://data/in/2.csv.gz: has changed" in ledger.list_stops()[0].facts["message"]
