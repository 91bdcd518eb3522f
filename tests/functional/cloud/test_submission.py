"""A submission that is cut at any of its writes goes on to the same run, with every chunk in it once."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from aliquot import cutting
from aliquot.chunk import ChunkReader
from aliquot.cutting import cut_chunks, encode_chunk
from aliquot.errors import BadReference, DatasetError, FolderInUse, StoreError
from orchestrator.aws import session
from orchestrator.aws.folder import find_address
from orchestrator.aws.run import CloudRun, Link
from orchestrator.aws.session import CloudSession
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.site import Pace, Site
from orchestrator.aws.target import Target
from orchestrator.request import make_request
from orchestrator.stack.errors import AwsRefused
from orchestrator.stack.outputs import StackOutputs

REGION, BUCKET = "us-east-1", "runs"
N_RECORDS = 60
JOB = """
import dataclasses
from aliquot import Job, Reference, Stage

@dataclasses.dataclass(frozen=True)
class Options:
    templates: Reference

def prepare(options, into):
    (into / "deep").mkdir()
    (into / "deep" / "table").write_bytes(options.templates.path.read_bytes())
    (into / "size").write_text("1")

def open_it(options, prepared):
    size = (prepared / "size").read_text()
    return lambda records: ([{"id": record["id"], "size": size}] for record in records)

job = Job("carried", version=1, options=Options, prepare=prepare, stages=(Stage("go", open_it),))
"""
WRITES = ("put_object", "upload_file", "upload_part", "start_execution")


class Cut:
    """A client of AWS that refuses from a certain write on."""

    def __init__(self, client, count):
        self._client, self._count = client, count

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if name not in WRITES:
            return found

        def write(*args, **words):
            if next(self._count) < 0:
                raise ClientError({"Error": {"Code": "SlowDown", "Message": "cut"}}, name)
            return found(*args, **words)

        return write


class Countdown:
    """So many writes, then no more; shared by threads."""

    def __init__(self, n_writes):
        self._left, self._lock = n_writes, threading.Lock()

    def __next__(self):
        with self._lock:
            self._left -= 1
            return self._left


class Bench:
    """A stack on moto that publishes as soon as a run is sealed, and a user who submits to it."""

    def __init__(self, folder, monkeypatch):
        self.s3, self.states = (boto3.client(name, region_name=REGION) for name in ("s3", "stepfunctions"))
        self.s3.create_bucket(Bucket=BUCKET)
        states = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'
        made = self.states.create_state_machine(
            name="settle", definition=states, roleArn="arn:aws:iam::123456789012:role/s"
        )
        self.arn = made["stateMachineArn"]
        self.folder, self.out = folder, folder / "out"
        (folder / "code").mkdir()
        (folder / "code" / "carried_submission.py").write_text(JOB)
        (folder / "templates").write_text("a\nb\n")
        self.write_records(N_RECORDS)
        monkeypatch.setattr(session, "open_site", self._open)
        monkeypatch.setattr(cutting, "CHUNK_RECORDS", 10)
        self._n_writes, self.tmp_mib = sys.maxsize, 2048

    def write_records(self, n_records, name="data.csv"):
        (self.folder / name).write_text("id\n" + "".join(f"r{i}\n" for i in range(n_records)))

    def submit(self, n_writes=sys.maxsize, records=None):
        """The session of a command; it is cut after so many writes."""
        self._n_writes = n_writes
        data = records if records is not None else str(self.folder / "data.csv")
        options = {"templates": str(self.folder / "templates")}
        request = make_request("carried_submission:job", data, options, {}, (), self.folder / "code")
        return CloudSession(self.out, request, Target("aws:prod"), CloudSettings()).run()

    @contextmanager
    def _open(self, _target, _request):
        place = ("prod", REGION, BUCKET, {}, "letters", self.arn)
        stack = StackOutputs(*place, allow_code=True, tmp_mib=self.tmp_mib)
        count = Countdown(self._n_writes)
        link = Link(Cut(self.s3, count), Cut(self.states, count))
        yield Site(stack, link, Pace(0.01, 0.01), is_rehearsal=False, check=self._publish)

    def _publish(self):
        run = self.run
        if run.ledger.is_sealed and not run.results.has("published/0000.json"):
            n_records = sum(chunk.n_records for chunk in run.ledger.list_chunks())
            counts = {"done": n_records, "failed": 0, "records": n_records, "not_tried": 0, "rows": 0}
            summary = {**counts, "elapsed_s": 5.0, "cpu_s": 9.0, "failures": {}}
            run.results.put("result-0000/summary.json", json.dumps(summary).encode())
            files = [{"name": "summary.json", "rows": None}]
            said = {"epoch": 0, "prefix": "result-0000/", "reason": "settled", "files": files}
            run.results.put("published/0000.json", json.dumps(said).encode())

    @property
    def run(self):
        return CloudRun(find_address(self.out), Link(self.s3, self.states))

    def list_keys(self, prefix):
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", ())]

    def read_ids(self):
        ledger = self.run.ledger
        readers = [ChunkReader(ledger.store.get(chunk.key), chunk) for chunk in ledger.list_chunks()]
        return [name for reader in readers for name in reader.column("id")]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delitem(sys.modules, "carried_submission", raising=False)
    with mock_aws():
        yield Bench(tmp_path, monkeypatch)


def test_submission_cut_at_any_write_goes_on_with_the_same_run(bench):
    """Each session is allowed one write: the next goes on, and nothing is begun or put twice."""
    n_cut, runs, summary = 0, set(), None
    while summary is None:
        try:
            summary = bench.submit(1)
        except (StoreError, AwsRefused):
            n_cut += 1
            assert n_cut < 100, "no session gets any further"
        if find_address(bench.out) is not None:
            runs.add(find_address(bench.out).run)
    assert n_cut > 10  # two references, two prepared files, the manifest, six chunks, ...
    assert summary["records"] == N_RECORDS
    assert runs == {bench.run.address.run}
    assert {key.split("/")[1] for key in bench.list_keys("runs/")} == runs
    assert bench.read_ids() == [f"r{i}" for i in range(N_RECORDS)]
    started = bench.states.list_executions(stateMachineArn=bench.arn)["executions"]
    assert [each["name"] for each in started] == [f"{bench.run.address.run}-0"]
    assert bench.run.objects.list_keys("prepared/") == ["prepared/deep/table", "prepared/size"]
    assert len(bench.list_keys("references/")) == 2


def test_manifest_says_what_workers_need(bench):
    bench.submit()
    manifest = bench.run.ledger.read_manifest()
    assert manifest["job"] == "carried"
    assert manifest["identity"]["job"] == "carried_submission:job"
    assert manifest["package"] in {key.removeprefix("references/") for key in bench.list_keys("references/")}
    assert [stage["name"] for stage in manifest["stages"]] == ["go"]
    assert manifest["is_function"] is False
    assert manifest["settings"]["window"] == 1000
    assert manifest["stack"]["name"] == "prod"
    assert manifest["code"]
    assert manifest["client_token"] == bench.run.address.token


def test_code_that_changed_is_refused_with_the_way_on(bench):
    bench.submit()
    (bench.folder / "code" / "notes.txt").write_text("changed")
    bench.run.objects._client.delete_object(Bucket=BUCKET, Key=f"runs/{bench.run.address.run}/sealed")
    with pytest.raises(FolderInUse, match="aliquot resume"):
        bench.submit()


def test_reference_without_room_in_the_workers_is_refused_before_anything_is_put(bench):
    """Uploaded, it would take an hour to learn that no worker can open the job."""
    bench.tmp_mib = 33
    with (bench.folder / "templates").open("ab") as file:
        file.truncate(2 << 20)
    with pytest.raises(BadReference, match=r"templates: needs 2 MiB, .* room for 1 MiB .*TmpMiB=512"):
        bench.submit()
    assert bench.list_keys("") == []
    bench.tmp_mib = 34
    with pytest.raises(BadReference, match=r"with what goes beside it"):  # what was prepared of it
        bench.submit()
    assert bench.list_keys("") == []


def test_second_run_with_the_same_reference_uploads_it_not_again(bench):
    """Each run of a stack has its own code and prepared files; a stock of gigabytes is there once."""
    bench.submit()
    kept = bench.s3.list_objects_v2(Bucket=BUCKET, Prefix="references/")["Contents"]
    for each in kept:  # bytes of the same size that only a second upload would replace
        bench.s3.put_object(Bucket=BUCKET, Key=each["Key"], Body=b"-" * each["Size"])
    bench.out = bench.folder / "again"
    bench.submit()
    bodies = [bench.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in kept]
    assert all(set(body) == {ord("-")} for body in bodies)
    assert len(bodies) == len(bench.list_keys("references/")) == 2


def test_records_given_anew_must_be_the_same(bench):
    """An iterable cannot be known to be the same: it is read and compared, even when all was submitted."""
    records = [{"id": f"r{i}"} for i in range(N_RECORDS)]
    assert bench.submit(records=records)["records"] == N_RECORDS
    assert bench.submit(records=records)["records"] == N_RECORDS
    records[33] = {"id": "other"}
    with pytest.raises(DatasetError, match="other records than before from record 30 on"):
        bench.submit(records=records)


def test_chunks_are_those_of_a_local_run(bench):
    bench.submit()
    request = make_request(
        "carried_submission:job",
        str(bench.folder / "data.csv"),
        {"templates": str(bench.folder / "templates")},
        {},
        (),
        bench.folder / "code",
    )
    ledger = bench.run.ledger
    expected = {str(cut.id): encode_chunk(cut.chunk) for cut in cut_chunks(request.read())}
    assert {str(chunk): ledger.store.get(chunk.key) for chunk in ledger.list_chunks()} == expected
