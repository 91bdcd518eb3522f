"""What goes into a stack's bucket and comes out of it, on moto: references, results, executions."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto import mock_aws

from aliquot.errors import BadReference, Interrupted, SettlingFailed, StoreError, TooManyFailed
from aliquot.folders import list_folder, read_listing
from orchestrator.aws import references
from orchestrator.aws.executions import Executions, shorten_cause
from orchestrator.aws.fetch import Fetching, fetch, mark_fetched
from orchestrator.aws.folder import CloudAddress
from orchestrator.aws.references import upload_any, upload_reference
from orchestrator.aws.run import CloudRun, Link
from orchestrator.aws.session import WatchSession, take_up
from orchestrator.aws.site import make_link

REGION, BUCKET, RUN = "us-east-1", "runs", "20261122-one-000000"
ROLE = "arn:aws:iam::123456789012:role/settle"
STATES = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'


@pytest.fixture
def run(monkeypatch):
    """A run whose bucket and state machine are there, and empty; executions run until they are stopped."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        s3, states = (boto3.client(name, region_name=REGION) for name in ("s3", "stepfunctions"))
        s3.create_bucket(Bucket=BUCKET)
        machine = states.create_state_machine(name="settle", definition=STATES, roleArn=ROLE)[
            "stateMachineArn"
        ]
        yield CloudRun(CloudAddress("prod", REGION, None, BUCKET, RUN, machine, "token"), Link(s3, states))


def write(path: Path, body: bytes) -> tuple[Path, str]:
    path.write_bytes(body)
    return path, hashlib.sha256(body).hexdigest()


# ---- references

PART = 5 << 20  # the least that S3 takes


class Counting:
    """A client of S3 that counts what is put, and says what happened before a call to `act` on it."""

    def __init__(self, client, act=lambda _name: None):
        self._client, self._act, self.counts = client, act, Counter()

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not name.startswith(("put_", "upload_", "create_", "complete_", "abort_")):
            return found

        def write(**given):
            self._act(name)
            self.counts[name] += 1
            return found(**given)

        return write


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(references, "PART_BYTES", PART)


def watch(run, act=lambda _name: None):
    """The run, reached by a client that counts."""
    return replace(run, link=Link(Counting(run.link.s3, act), run.link.states))


@pytest.mark.parametrize("n_bytes", [0, 1, PART, PART + 1, 3 * PART])
def test_reference_is_stored_under_its_digest_whatever_its_size(run, tmp_path, n_bytes):
    path, digest = write(tmp_path / "reference", bytes(n_bytes))
    upload_reference(run, path, digest)
    run.references.get_file(digest, tmp_path / "back", digest)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert (tmp_path / "back").stat().st_size == n_bytes
    assert run.link.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("n_bytes", [10, 2 * PART])
def test_reference_that_is_there_is_not_sent_again(run, tmp_path, n_bytes):
    """A stock of gigabytes is uploaded once, not once a run."""
    path, digest = write(tmp_path / "reference", bytes(n_bytes))
    first, second = watch(run), watch(run)
    upload_reference(first, path, digest)
    upload_reference(second, path, digest)
    assert first.link.s3.counts
    assert second.link.s3.counts == {}


@pytest.mark.parametrize("n_bytes", [10, 2 * PART])
def test_of_two_submissions_at_once_the_first_stays(run, tmp_path, n_bytes):
    """Replaced, it would be another object to workers that are fetching it by ranges."""
    path, digest = write(tmp_path / "reference", bytes(n_bytes))
    place = {"Bucket": BUCKET, "Key": f"references/{digest}"}

    def overtake(name):
        if name in ("put_object", "complete_multipart_upload"):
            run.link.s3.put_object(**place, Body=path.read_bytes(), Metadata={"by": "the first"})

    upload_reference(watch(run, overtake), path, digest)
    assert run.link.s3.head_object(**place)["Metadata"] == {"by": "the first"}
    assert run.link.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("n_bytes", [10, 2 * PART])
def test_object_of_another_size_is_mended(run, tmp_path, n_bytes):
    """Copied there by hand, and cut: without it the run could never open its job."""
    path, digest = write(tmp_path / "reference", bytes(n_bytes))
    run.references.put(digest, b"cut")
    upload_reference(run, path, digest)
    run.references.get_file(digest, tmp_path / "back", digest)


@pytest.mark.parametrize("n_bytes", [10, 2 * PART])
def test_reference_that_changed_is_never_stored_under_the_old_digest(run, tmp_path, n_bytes):
    """Every later run would compute with it and say that it was the other."""
    path, digest = write(tmp_path / "reference", bytes(n_bytes))
    path.write_bytes(b"x" + bytes(n_bytes - 1))
    with pytest.raises(BadReference, match="changed while it was read"):
        upload_reference(run, path, digest)
    assert not run.references.has(digest)
    assert run.link.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_folder_is_sent_file_by_file_once_and_its_list_last(run, tmp_path):
    """Of a stock that grew by a shard one file is sent; a folder that is there whole is not read again."""
    stock = tmp_path / "stock"
    stock.mkdir()
    for number in range(3):
        (stock / f"shard-{number}").write_text(str(number))
    sent = []
    for _ in range(2):
        watched = watch(run)
        upload_any(watched, stock, list_folder(stock).sha256, lambda: None)
        sent.append(watched.link.s3.counts["put_object"])
    (stock / "shard-3").write_text("3")
    watched, digest = watch(run), list_folder(stock).sha256
    upload_any(watched, stock, digest, lambda: None)
    assert [*sent, watched.link.s3.counts["put_object"]] == [3 + 1, 0, 1 + 1]
    listing = read_listing(digest, run.references.get(digest))
    assert all(run.references.has(member.sha256) for member in listing.members.values())
    (stock / "shard-0").write_text("other")
    with pytest.raises(BadReference, match="changed"):
        upload_any(run, stock, "0" * 64, lambda: None)


def test_part_that_is_refused_is_sent_again_by_itself(run, tmp_path):
    """Of 400 parts some meet a 503; the client is the one that submissions use."""
    path, digest = write(tmp_path / "reference", bytes(3 * PART))
    client, refused = make_link(boto3.Session(region_name=REGION)).s3, []

    def refuse(request, **_):
        if request.method == "PUT" and len(refused) < 2:
            refused.append(request.url)
            return AWSResponse(request.url, 503, {}, RawBody(b"<Error><Code>SlowDown</Code></Error>"))
        return None

    client.meta.events.register_first("before-send.s3", refuse)
    watched = replace(run, link=Link(Counting(client), run.link.states))
    upload_reference(watched, path, digest)
    assert len(refused) == 2
    assert watched.link.s3.counts["upload_part"] == 3
    run.references.get_file(digest, tmp_path / "back", digest)


def test_upload_of_a_large_file_stays_small_and_can_be_ended(run, tmp_path):
    """Of three gigabytes four parts are in memory; Ctrl-C does not wait for the others."""
    path, digest = write(tmp_path / "reference", b"")
    os.truncate(path, 1 << 30)
    sent = []

    def check():
        sent.append(tracemalloc.get_traced_memory()[0])
        if len(sent) == 20:
            raise Interrupted("out")

    tracemalloc.start()
    try:
        with pytest.raises(Interrupted):
            upload_reference(replace(run, link=Link(Swallowing(), None)), path, digest, check)
    finally:
        tracemalloc.stop()
    assert max(sent) < 10 * PART


class Swallowing:
    """An S3 that has nothing and keeps nothing."""

    class exceptions:  # noqa: N801 - as boto3 has it
        ClientError = ClientError

    def head_object(self, **_):
        raise ClientError({"Error": {"Code": "404"}}, "HeadObject")

    def __getattr__(self, _name):
        return lambda **_: {"UploadId": "1", "ETag": "1"}


class RawBody(io.BytesIO):
    def stream(self, **_):
        yield self.read()


# ---- what was published


class Publication:
    """A result as the stack publishes it, made by hand."""

    def __init__(self, run: CloudRun, folder: Path) -> None:
        self._run, self._folder = run, folder
        self.files: list[dict[str, object]] = []

    def add(self, name: str, table: pa.Table) -> None:
        path = self._folder / "part.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=3)
        self._run.results.put_file(f"result-0000/{name}", path)
        self.files.append({"name": name, "rows": table.num_rows})

    def publish(self, epoch: int = 0, reason: str = "settled", **more: object) -> None:
        counts = {"done": 20, "failed": 0, "records": 20, "not_tried": 0, "rows": 20}
        summary = {**counts, "elapsed_s": 5.0, "cpu_s": 9.0, "failures": {}, **more}
        self._run.results.put("result-0000/summary.json", json.dumps(summary).encode())
        files = [*self.files, {"name": "summary.json", "rows": None}]
        said = {"epoch": epoch, "prefix": "result-0000/", "reason": reason, "files": files}
        self._run.results.put(f"published/{epoch:04d}.json", json.dumps(said).encode())


@pytest.fixture
def publication(run, tmp_path):
    (tmp_path / "made").mkdir()
    return Publication(run, tmp_path / "made")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out" / "ledger").mkdir(parents=True)
    return tmp_path / "out"


def numbers(first, end):
    lists = pa.array([[float(n)] for n in range(first, end)], pa.list_(pa.float64()))
    return pa.table({"record": pa.array(range(first, end), pa.int64()), "v": lists})


def add_all(publication):
    publication.add("result/part-00001-00000.parquet", numbers(10, 20))
    publication.add("result/part-00000-00001.parquet", numbers(5, 10))
    publication.add("result/part-00000-00000.parquet", numbers(0, 5))
    publication.add("failures/part-00001.parquet", pa.table({"message": ["b", "c"]}))
    publication.add("failures/part-00000.parquet", pa.table({"message": ["a"]}))
    publication.add("unexplained/part-00000.parquet", numbers(0, 0))
    publication.add("templates.parquet", pa.table({"id": ["t"]}))


def fetch_now(run, out, ending="parquet"):
    published = run.find_published()
    return fetch(Fetching(run, published, out, ending, lambda: None))


def test_parts_become_the_files_of_a_local_run(run, publication, out):
    add_all(publication)
    publication.publish()
    assert fetch_now(run, out)["done"] == 20
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.parquet")}
    assert names == {
        *(f"result/part-{place:05d}.parquet" for place in range(3)),
        "failures.parquet",
        "unexplained.parquet",
        "templates.parquet",
    }
    assert pyarrow.parquet.read_table(out / "result").column("record").to_pylist() == list(range(20))
    failures = pyarrow.parquet.read_table(out / "failures.parquet")
    assert failures.column("message").to_pylist() == ["a", "b", "c"]
    assert pyarrow.parquet.read_table(out / "unexplained.parquet").equals(numbers(0, 0))
    mark_fetched(run, run.find_published())
    assert run.results.has("fetched")


def test_csv_is_made_here(run, publication, out):
    add_all(publication)
    publication.publish()
    fetch_now(run, out, "csv")
    assert not list(out.rglob("*.parquet"))
    rows = (out / "result" / "part-00000.csv").read_text().splitlines()
    assert rows == ['"record","v"', *(f'{n},"[{float(n)}]"' for n in range(20))]
    assert (out / "unexplained.csv").read_text().splitlines() == ['"record","v"']


def test_what_was_fetched_is_not_fetched_again(run, publication, out):
    """Every `watch` after the first must be free, and must mend what somebody has removed."""
    add_all(publication)
    publication.publish()
    fetch_now(run, out)
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps({**summary, "job": "as it was"}))
    assert fetch_now(run, out)["job"] == "as it was"
    (out / "templates.parquet").unlink()
    assert fetch_now(run, out)["done"] == 20
    fetch_now(run, out, "csv")
    assert not list(out.glob("*.parquet"))


def test_later_epoch_takes_the_place_of_the_earlier(run, publication, out):
    add_all(publication)
    publication.add("not_tried.parquet", pa.table({"first": [0]}))
    publication.publish(reason="cancelled")
    fetch_now(run, out)
    assert (out / "not_tried.parquet").exists()
    publication.files.pop()
    publication.publish(epoch=1)
    assert run.find_published().epoch == 1
    fetch_now(run, out)
    assert not (out / "not_tried.parquet").exists()


def test_interrupted_fetch_leaves_what_was_there(run, publication, out):
    add_all(publication)
    publication.publish()
    fetch_now(run, out)
    publication.publish(epoch=1)
    asked = iter(range(5))

    def interrupt():
        if next(asked, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(Fetching(run, run.find_published(), out, "parquet", interrupt))
    assert len(list((out / "result").iterdir())) == 3
    assert fetch_now(run, out)["done"] == 20


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/b/c.parquet", "result/../../x.parquet"]
)
def test_names_that_lead_out_of_the_folder_are_refused(run, publication, out, name):
    """Whoever may write into a bucket must not write into the home of who reads it."""
    publication.files.append({"name": name, "rows": 1})
    publication.publish()
    with pytest.raises(StoreError, match="not a name that a run publishes"):
        fetch_now(run, out)


def test_limit_of_failures_is_judged_as_of_a_local_run(run, publication, out):
    """A run that its stack gave up has too many failures, even where its limit was raised since."""

    def fetch_within(max_failed):
        settings = {"ending": "parquet", "max_failed": max_failed}
        return WatchSession(out)._fetch(run, {"job": "one", "settings": settings}, run.find_published())

    publication.add("failures/part-00000.parquet", pa.table({"message": ["no 0"]}))
    publication.publish(done=95, failed=5)
    assert fetch_within("5%")["failed"] == 5
    with pytest.raises(TooManyFailed, match=r"finished: 5 of 100 .*limit 4.*the first: no 0"):
        fetch_within("4")
    publication.publish(epoch=1, reason="too many failed", done=95, failed=5)
    for max_failed in ("4", "5%"):
        with pytest.raises(TooManyFailed, match="stopped: 5 of 100"):
            fetch_within(max_failed)


# ---- what drives a run


def test_run_is_begun_once_however_often_it_is_asked(run):
    """A client may repeat a start whose answer it never saw; two executions would pay each tick twice."""
    executions = Executions(run.link.states, run.address.state_machine, RUN)
    assert executions.find_latest(3) is None
    for _ in range(2):
        assert executions.begin(0).is_running
    found = run.link.states.list_executions(stateMachineArn=run.address.state_machine)["executions"]
    assert [each["name"] for each in found] == [f"{RUN}-0"]
    assert executions.find_latest(3).epoch == 0


def end(run, epoch=0):
    arn = run.address.state_machine.replace(":stateMachine:", ":execution:")
    run.link.states.stop_execution(executionArn=f"{arn}:{RUN}-{epoch}")


def test_run_is_taken_up_in_an_epoch_of_its_own(run):
    """An execution's name is taken for 90 days, and a stop that stands must not stop who comes after."""
    assert take_up(run, -1).epoch == 0
    assert take_up(run, -1).epoch == 0  # it runs: nothing to begin
    end(run)
    assert take_up(run, -1).epoch == 1
    assert [stop.reason for stop in run.ledger.list_stops()] == ["taken up again"]
    run.ledger.stop(1, "settled", {})
    assert take_up(run, -1).epoch == 1  # it is over: nothing to begin


def test_run_that_is_being_stopped_is_taken_up_after_its_end(run):
    """Cancel, then resume at once: the first execution still merges what finished."""
    take_up(run, -1)
    run.ledger.stop(0, "cancelled", {})
    assert take_up(run, 0) is None
    end(run)
    assert take_up(run, 0).epoch == 1


def test_stop_is_told_before_a_repeated_command_goes_on(run):
    """Who comes back to a run that hit its failure limit must not pay for more without having seen it."""
    take_up(run, -1)
    run.ledger.stop(0, "too many failed", {})
    end(run)
    pointer = {"epoch": 0, "prefix": "result-0000/", "reason": "too many failed", "files": []}
    run.results.put("published/0000.json", json.dumps(pointer).encode())
    assert take_up(run, -1).epoch == 0
    assert take_up(run, 0).epoch == 1


def test_stop_that_broke_before_it_was_told_is_gone_on_from(run):
    """Nobody will ever tell of it: to wait for that would be to wait for ever."""
    take_up(run, -1)
    run.ledger.stop(0, "cancelled", {})
    assert take_up(run, -1).is_running  # it drains, and will tell
    end(run)
    assert take_up(run, -1).epoch == 1


def test_taking_up_may_be_cut_between_its_two_steps(run):
    take_up(run, -1)
    end(run)
    run.ledger.stop(0, "taken up again", {})
    assert take_up(run, -1).epoch == 1


def test_error_of_a_broken_run_says_how_to_go_on():
    err = SettlingFailed("out", RUN, "Lambda was not there")
    assert str(err).endswith("aliquot resume out")


def test_cause_of_a_broken_run_is_a_line():
    """Step Functions hands on a function's whole stack trace as JSON."""
    said = {"errorType": "StoreError", "errorMessage": "access\ndenied", "stackTrace": ["x" * 5000]}
    assert shorten_cause(json.dumps(said)) == "StoreError: access denied"
    assert shorten_cause("by hand") == "by hand"
    assert len(shorten_cause("x" * 5000)) == 503
