"""Intake over moto: what it copies, what it refuses, and what an event that comes again finds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from aliquot import intake as intake_module
from aliquot.aws import S3Store
from aliquot.errors import StoreError, Undecodable
from aliquot.folders import list_folder
from aliquot.inbox import Dropped
from aliquot.intake import Intake, Permits, choose_settings, name_run
from aliquot.ledger import Ledger
from aliquot.prices import Prices
from aliquot.request_file import FORMAT, RequestRefused, RunRequest
from aliquot.spending import Tariff, estimate_least_usd
from aliquot.surroundings import Surroundings
from orchestrator.aws.settings import CloudSettings
from orchestrator.stack.outputs import StackOutputs

REGION = "us-east-1"
TIMEOUT_S, NOW_S = 150.0, 1795348800.0
PERMITS = Permits(
    stack="prod",
    region=REGION,
    state_machine=f"arn:aws:states:{REGION}:123456789012:stateMachine:prod-settle",
    inbox="inbox",
    data_buckets=frozenset({"data", "gone"}),
    record_timeout_s=60.0,
    concurrency=500,
    architecture="arm64",
)
REQUEST = {
    "format": FORMAT,
    "job": "crossref",
    "data": "small/",
    "options": {"templates": "references/templates.csv"},
}
TARIFF = Tariff(Prices(), "arm64", TIMEOUT_S)


class AlreadyExists(Exception):
    """As Step Functions' client has it."""


class Machine:
    """Counts what is started, and refuses a name that was used."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=AlreadyExists)

    def __init__(self):
        self.started = []

    def start_execution(self, **given):
        if given["name"] in {each["name"] for each in self.started}:
            raise AlreadyExists
        self.started.append(given)


class Changing:
    """A client of S3 in front of which something happens before one of its calls."""

    def __init__(self, client, name, do):
        self._client, self._name, self._do = client, name, do

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if name != self._name:
            return found

        def call(*args, **given):
            self._do(**given)
            return found(*args, **given)

        return call


class Desk:
    """An inbox, and the function that takes requests in."""

    def __init__(self):
        self.s3, self.machine = boto3.client("s3", region_name=REGION), Machine()
        for name in ("inbox", "runs", "data"):
            self.s3.create_bucket(Bucket=name)
        known = {"crossref": "aliquot_chem.crossref:job"}
        self.around = Surroundings(
            "runs", {"small": "url"}, "small", 1, 1400, 30.0, TIMEOUT_S, known, {}, allows_code=True
        )
        self.permits = PERMITS
        self.put("small/a.rsmi", b"CCO>>CC=O\n")
        self.put("references/templates.csv", b"id,smarts\n")

    def put(self, key, body, bucket="inbox"):
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def drop(self, name="june", sequencer="1", **fields):
        """A request; gives the event of its arrival."""
        body = json.dumps({**REQUEST, **fields}).encode()
        etag = self.put(f"{name}.run.json", body)["ETag"].strip('"')
        found = {"key": f"{name}.run.json", "size": len(body), "etag": etag, "sequencer": sequencer}
        return {"detail": {"bucket": {"name": "inbox"}, "object": found}}

    def take(self, event, s3=None):
        return Intake(self.around, self.permits, s3 or self.s3, self.machine, lambda: NOW_S).take(event)

    def answer(self, kind, name="june"):
        body = self.s3.get_object(Bucket="inbox", Key=f"{name}.{kind}.json")["Body"].read()
        return json.loads(body)

    def manifest(self, run):
        return json.loads(self.s3.get_object(Bucket="runs", Key=f"runs/{run}/manifest.json")["Body"].read())

    def list_keys(self, bucket="inbox"):
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=bucket).get("Contents", ())}


@pytest.fixture
def desk(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Desk()


def test_run_is_frozen_and_started(desk):
    run = desk.take(desk.drop(budget_usd=100, budget_time_s=60, window=7, keep=["yield"])).run
    found = desk.manifest(run)
    assert found["settings"] == {
        "window": 7,
        "record_timeout_s": 60.0,
        "max_failed": "5%",
        "ending": "parquet",
        "threads": None,
        "rate": None,
        "retries": None,
        "budget_usd": 100.0,
        "budget_time_s": 60.0,
        "estimated_usd": None,
        "estimated_s": None,
        "tariff": TARIFF.to_plain(),
        "concurrency": 500,
        "begun_s": NOW_S,
        "spent_s": 0.0,
        "until_s": NOW_S + 60,
    }
    assert found["created"] == "2026-11-22T12:00:00+00:00"
    (source,) = found["identity"]["sources"]
    assert (source["path"], source["size_bytes"]) == ("s3://inbox/small/a.rsmi", 10)
    assert source["etag"] == hashlib.md5(b"CCO>>CC=O\n").hexdigest()  # noqa: S324 - S3's
    assert found["reads"]["columns"]["reaction"]["kind"] == "line"
    assert found["stack"]["state_machine"] == PERMITS.state_machine
    (started,) = desk.machine.started
    assert started["name"] == f"{run}-0"
    assert json.loads(started["input"]) == {"run": run, "epoch": 0, "cut": True, "prepare": True}


def test_what_taking_in_is_billed_is_noted_once(desk):
    event = desk.drop()
    run = desk.take(event).run
    assert desk.take(event).run == run
    (note,) = Ledger(S3Store(desk.s3, "runs", f"runs/{run}/")).list_paid()
    assert (note.kind, note.n_items) == ("intake", 0)
    assert 1000 <= note.billed_ms < 30_000


def test_event_that_comes_again_finds_the_run_begun(desk):
    """Though its data, and the request itself, are gone by then."""
    event = desk.drop()
    first = desk.take(event)
    for key in desk.list_keys():
        desk.s3.delete_object(Bucket="inbox", Key=key)
    before = desk.manifest(first.run)
    assert desk.take(event) == first
    assert desk.manifest(first.run) == before
    assert len(desk.machine.started) == 1
    assert desk.answer("accepted")["run"] == first.run


def test_function_that_was_killed_before_it_started_the_run_goes_on(desk):
    event = desk.drop()
    run = desk.take(event).run
    desk.machine.started.clear()
    assert desk.take(event).run == run
    assert len(desk.machine.started) == 1


def test_run_is_told_apart_by_where_and_as_what_its_request_came():
    dropped = Dropped("inbox", "a/june 1.run.json", "e", 1, "e:1")
    assert name_run(dropped).startswith("june-1-")
    others = [replace(dropped, **{name: "other"}) for name in ("bucket", "version")]
    others.append(replace(dropped, key="b/june 1.run.json"))
    assert len({name_run(each) for each in (dropped, replace(dropped), *others)}) == 4
    assert len(name_run(replace(dropped, key="x" * 900 + ".run.json"))) <= 64


def test_version_is_that_of_the_object_where_there_is_one():
    def read(**more):
        found = {"key": "a.run.json", "size": 1, "etag": "e", "sequencer": "7", **more}
        return Dropped.read({"detail": {"bucket": {"name": "b"}, "object": found}}).version

    assert read() == read(**{"version-id": "null"}) == "e:7"
    assert read(**{"version-id": "v"}) == "v"


@pytest.mark.parametrize("event", [{}, {"detail": None}, {"detail": {"bucket": {"name": "b"}, "object": {}}}])
def test_event_of_something_else_is_an_error(desk, event):
    with pytest.raises(Undecodable):
        desk.take(event)


def test_other_buckets_and_files_are_errors(desk):
    event = desk.drop()
    for change in (("bucket", {"name": "data"}), ("object", {**event["detail"]["object"], "key": "a.json"})):
        with pytest.raises(Undecodable):
            desk.take({"detail": {**event["detail"], change[0]: change[1]}})


def test_request_that_was_replaced_is_left_to_its_own_event(desk):
    event = desk.drop()
    desk.drop(budget_usd=1)
    assert desk.take(event) == intake_module.Taken()
    assert not {key for key in desk.list_keys() if "accepted" in key or "rejected" in key}


def test_file_that_is_too_large_is_refused_unread(desk):
    """Somebody may call anything so, and it would be read into memory."""
    event = desk.drop()
    event["detail"]["object"]["size"] = 1 << 40
    unread = Changing(desk.s3, "get_object", lambda **_: pytest.fail("it was read"))
    assert desk.take(event, unread).field == "file"
    assert "1,099,511,627,776 bytes" in desk.answer("rejected")["reason"]


def test_one_answer_stands_at_a_time(desk):
    assert desk.take(desk.drop(job="none")).field == "job"
    assert "june.rejected.json" in desk.list_keys()
    assert desk.take(desk.drop(sequencer="2")).run
    assert {"june.accepted.json"} == {key for key in desk.list_keys() if key.endswith("ed.json")}


# ------------------------------------------------------------------------------------------ references


def test_reference_is_copied_once_under_its_digest(desk):
    body = bytes(range(256)) * 40_000  # 10 MB: past the size from which boto3 copies in parts
    desk.put("references/templates.csv", body)
    sha256 = hashlib.sha256(body).hexdigest()
    run = desk.take(desk.drop()).run
    assert desk.manifest(run)["options"]["templates"] == {
        "path": "s3://inbox/references/templates.csv",
        "sha256": sha256,
    }
    assert desk.s3.get_object(Bucket="runs", Key=f"references/{sha256}")["Body"].read() == body
    copied = []
    watching = Changing(desk.s3, "copy", lambda **given: copied.append(given))
    assert desk.take(desk.drop("july"), watching).run
    assert copied == []
    assert desk.answer("accepted", "july")["references"] == {"templates": sha256}


def test_reference_without_room_in_the_workers_is_refused(desk):
    """Else the run would begin, and none of its workers could open the job."""
    desk.around = replace(desk.around, tmp_mib=33)
    desk.put("references/templates.csv", bytes(1 << 20))
    assert desk.take(desk.drop()).run
    desk.put("references/templates.csv", bytes((1 << 20) + 1))
    assert desk.take(desk.drop("july")).field == "options.templates"
    assert "workers have room for 1 MiB in /tmp" in desk.answer("rejected", "july")["reason"]


def test_reference_that_is_there_is_named_by_its_digest(desk):
    run = desk.take(desk.drop()).run
    sha256 = desk.manifest(run)["options"]["templates"]["sha256"]
    assert desk.take(desk.drop("july", options={"templates": {"sha256": sha256}})).run
    for value in ({"sha256": "0" * 64}, {"sha256": "0"}, {"path": "a"}, 7, ""):
        assert desk.take(desk.drop("july", options={"templates": value})).field == "options.templates"


def test_folder_that_is_there_is_named_by_its_digest_and_as_one(desk, tmp_path):
    """A command has sent it; the request says that the digest is of a folder."""
    (tmp_path / "shard").write_bytes(bytes(2 << 20))
    listing = list_folder(tmp_path)
    desk.put(f"references/{listing.sha256}", listing.to_bytes(), "runs")
    option = {"sha256": listing.sha256, "is_folder": True}
    run = desk.take(desk.drop(options={"templates": option})).run
    path = f"s3://runs/references/{listing.sha256}"
    assert desk.manifest(run)["options"]["templates"] == {**option, "path": path}
    desk.around = replace(desk.around, tmp_mib=33)  # its files count, not its list
    assert desk.take(desk.drop("july", options={"templates": option})).field == "options.templates"
    desk.put(f"references/{'0' * 64}", b"no list", "runs")
    option = {"sha256": "0" * 64, "is_folder": True}
    assert desk.take(desk.drop("may", options={"templates": option})).field == "options.templates"
    assert "is no folder" in desk.answer("rejected", "may")["reason"]


def test_reference_outside_of_the_inbox_is_refused(desk):
    desk.put("t.csv", b"", "data")
    assert desk.take(desk.drop(options={"templates": "s3://data/t.csv"})).field == "options.templates"
    assert "is not in the inbox" in desk.answer("rejected")["reason"]


def test_reference_that_changes_while_it_is_copied_is_refused(desk):
    """Else other content would lie under the digest."""

    def change(**_):
        desk.put("references/templates.csv", b"id,smarts\nother,C>>C\n")

    s3 = Changing(desk.s3, "copy", change)
    assert desk.take(desk.drop(), s3).field == "options.templates"
    assert "was changed while it was read" in desk.answer("rejected")["reason"]
    assert not desk.list_keys("runs")


# --------------------------------------------------------------------------------------------- datasets


def test_results_of_runs_are_datasets(desk):
    desk.put("results/june-1/result-0000/result/part-00000-00000.parquet", b"x", "runs")
    run = desk.take(desk.drop(data="s3://runs/results/june-1/result-0000/result/")).run
    (source,) = desk.manifest(run)["identity"]["sources"]
    assert source["format"] == "parquet"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("s3://runs/runs/x/", "where this stack reads no datasets"),
        ("s3://other/a.csv", "DataBuckets, data, gone"),
        ("s3:///a.csv", "is not s3://BUCKET/KEY"),
        ("s3://gone/a.csv", "NoSuchBucket"),
        ("a.csv", "there is no such object"),
        ("small", "end it in a slash"),
        (["small/", "june.run.json"], "has an ending that says nothing"),
    ],
)
def test_dataset_that_cannot_be_is_refused_in_words(desk, data, said):
    assert desk.take(desk.drop(data=data)).field == "data"
    assert said in desk.answer("rejected")["reason"]
    assert not desk.machine.started


def test_refusal_of_s3_that_may_pass_is_tried_again(desk):
    def refuse(**_):
        raise ClientError({"Error": {"Code": "SlowDown"}}, "ListObjectsV2")

    paginator = SimpleNamespace(paginate=lambda **_: refuse())
    s3 = Changing(desk.s3, "", None)
    s3.get_paginator = lambda _: paginator
    with pytest.raises(StoreError):
        desk.take(desk.drop(), s3)
    assert "june.rejected.json" not in desk.list_keys()


def test_dataset_of_too_many_objects_is_refused(desk, monkeypatch):
    monkeypatch.setattr(intake_module, "MOST_OBJECTS", 1)
    desk.put("small/b.rsmi", b"CCO>>CC=O\n")
    assert desk.take(desk.drop()).field == "data"


def test_columns_that_the_job_does_not_read_are_refused(desk):
    """The cutting function would break on them, and with it the run."""
    assert desk.take(desk.drop(columns={"product": "p"})).field == "columns"


# ------------------------------------------------------------------------------------- jobs and their code


def test_own_code_needs_a_stack_that_allows_it(desk):
    desk.put(f"references/{'0' * 64}", b"", "runs")
    fields = {"job": "m:f", "package": "0" * 64, "options": {}}
    run = desk.take(desk.drop(**fields)).run
    found = desk.manifest(run)
    assert (found["job"], found["identity"]["job"], found["is_function"]) == ("m:f", "m:f", True)
    assert found["reads"] is None
    for job in ("m", "m:f; rm", "../m.py:f", "m:"):
        assert desk.take(desk.drop(**{**fields, "job": job})).field == "job"
    desk.around = replace(desk.around, allows_code=False)
    assert desk.take(desk.drop("july", **fields)).field == "package"
    assert "without AllowCode" in desk.answer("rejected", "july")["reason"]


# ----------------------------------------------------------------------------------------------- limits


def test_budget_puts_a_fifth_of_itself_at_stake():
    def choose(**fields):
        return choose_settings(RunRequest("crossref", ("a/",), **fields), PERMITS, TIMEOUT_S, NOW_S)

    assert choose()["window"] == 500
    assert choose(window=900)["window"] == 900
    assert choose(budget_usd=1e6, window=20)["window"] == 20
    small = choose(budget_usd=0.5)["window"]
    assert 0.8 * 0.1 < small * TARIFF.task_usd <= 0.1


def test_least_budget_is_told():
    least = estimate_least_usd(TARIFF, is_cut=True, is_prepared=True)
    for budget_usd, is_taken in ((least * 0.99, False), (least * 1.2, True)):
        request = RunRequest("crossref", ("a/",), budget_usd=budget_usd)
        if is_taken:
            assert choose_settings(request, PERMITS, TIMEOUT_S, NOW_S)["window"] == 3
            continue
        with pytest.raises(RequestRefused, match=r"give \$0\.1 or more"):
            choose_settings(request, PERMITS, TIMEOUT_S, NOW_S)


def test_settings_are_those_of_a_command():
    """`aliquot attach` and `resume` read them."""
    chosen = choose_settings(RunRequest("crossref", ("a/",)), PERMITS, TIMEOUT_S, NOW_S)
    outputs = StackOutputs("prod", REGION, "runs", {}, "", "", concurrency=500)
    assert set(chosen) == set(CloudSettings().fit(outputs).freeze(outputs))
    assert CloudSettings.from_plain(chosen).fit(outputs) == CloudSettings().fit(outputs)


def test_permits_are_read_from_the_environment():
    found = Permits.read(
        {
            "ALIQUOT_STACK": "prod",
            "AWS_REGION": REGION,
            "ALIQUOT_STATE_MACHINE": PERMITS.state_machine,
            "ALIQUOT_INBOX": "inbox",
            "ALIQUOT_DATA_BUCKETS": "arn:aws:s3:::data,arn:aws-cn:s3:::gone",
            "ALIQUOT_RECORD_TIMEOUT_S": "60",
            "ALIQUOT_CONCURRENCY": "500",
            "ALIQUOT_ARCHITECTURE": "arm64",
        }
    )
    assert found == PERMITS
