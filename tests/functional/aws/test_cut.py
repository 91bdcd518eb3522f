"""A dataset in a bucket, cut as the state machine calls for it, against a submission of the same files."""

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aliquot.aws import S3Objects, S3Store
from aliquot.chunk import ChunkReader
from aliquot.cloud import Cloud
from aliquot.cutter import REFUSED, Cutter, describe_reads
from aliquot.cutting import cut_chunks
from aliquot.errors import DatasetError, StoreError
from aliquot.job import Column, read_fields
from aliquot.ledger import Ledger
from aliquot.readers import Limits, Source, find_sources, read_batches
from aliquot.readers.objects import find_objects
from aliquot.readers.streams import open_stream
from aliquot.stages import StageNote
from aliquot.store import FolderStore
from aliquot.surroundings import Surroundings
from orchestrator.aws.site import open_objects_with
from orchestrator.submit import submit_chunks

TOY_JOBS = Path(__file__).parent.parent / "engine" / "toy_jobs.py"
PREFIX = "runs/june/"


class Reads(NamedTuple):
    a: Annotated[str | None, Column(("a", "smiles"), "line")]
    id: Annotated[str | None, Column(("id", "b"), "id")]
    c: str | None = None


def make_csv(n_rows: int, has_newlines: bool = False) -> bytes:
    chance = random.Random(7)
    middle = ["plain", 'say ""x""', "1,5", ""] + (["two\nlines", "two\r\nlines"] if has_newlines else [])
    rows = [f'"{chance.choice(middle)}",{i},{chance.random()}' for i in range(n_rows)]
    rows[n_rows // 2] = "too,few"
    return ("a,b,c\n" + "\n".join(rows)).encode()


def make_parquet(n_rows: int) -> bytes:
    sink = io.BytesIO()
    columns = {
        "a": [f"C{i}" if i % 50 else None for i in range(n_rows)],
        "b": [str(i) for i in range(n_rows)],
    }
    pq.write_table(pa.table(columns), sink, row_group_size=97)
    return sink.getvalue()


SMI = b"smiles id\n" + b"".join(b"C%d x%d\n\n" % (i, i) for i in range(400))
JSONL = b"".join(b'{"a": "C%d", "b": "%d"}\n' % (i, i) if i % 70 else b"{\n" for i in range(300))
FILES = {
    "1.csv": make_csv(300),
    "2.csv": make_csv(200, has_newlines=True),
    "3.csv.gz": gzip.compress(make_csv(250, has_newlines=True)),
    "4.smi": SMI,
    "5.jsonl": JSONL,
    "6.jsonl.gz": gzip.compress(JSONL),
    "7.parquet": make_parquet(500),
    "8.smi": b"",
}


class Bucket:
    """A run's bucket and a dataset's, and the state machine's calls in their order."""

    def __init__(self, aws: Callable[[str], Any], folder: Path) -> None:
        self.s3, self.folder = aws("s3"), folder
        self.s3.create_bucket(Bucket="data")
        self.objects = S3Objects(self.s3)
        self.ledger = Ledger(S3Store(self.s3, "runs", PREFIX))
        self.now = 0.0
        self.put_s = 0.0
        self.s3.meta.events.register("before-call.s3.PutObject", self.pass_time)
        self.n_again = 0
        self.calls: list[str] = []

    def put(self, files: dict[str, bytes]) -> None:
        for name, body in files.items():
            self.s3.put_object(Bucket="data", Key=f"in/{name}", Body=body)
            (self.folder / name).write_bytes(body)

    def begin(
        self, item: str = "s3://data/in/", reads: type | None = Reads, keep: tuple[str, ...] = ()
    ) -> None:
        sources = find_objects([item], self.objects.list_objects)
        identity = {"sources": [asdict(each) for each in sources], "columns": {}, "keep": list(keep)}
        self.ledger.begin(
            {
                "identity": identity,
                "reads": describe_reads(reads),
                "job": "one",
                "stages": [StageNote("work").to_plain()],
                "options": {},
                "source_names": [each.path for each in sources],
                "created": "2026-11-22T12:00:00+00:00",
                "settings": {"record_timeout_s": 5.0, "window": 4, "max_failed": "5%", "ending": "parquet"},
            }
        )

    def pass_time(self, **_: Any) -> None:
        self.now += self.put_s

    def call(self, event: dict[str, Any]) -> dict[str, Any]:
        cutter = Cutter(
            self.ledger,
            "june",
            PREFIX,
            self.objects.open,
            part_bytes=2000,
            limits=Limits(block_bytes=300, records=50),
            now=lambda: self.now,
        )
        said: dict[str, Any] = json.loads(json.dumps(cutter.take(json.loads(json.dumps(event)), 900.0)))
        self.calls.append(event["step"])
        return said

    def read_items(self, key: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.s3.get_object(Bucket="runs", Key=key)["Body"].read())
        return items

    def cut(self, twice: bool = False) -> None:
        said = {"next": "plan", "epoch": None}
        while said["next"] != "done":
            event = {"run": "june", "step": said["next"], "epoch": said["epoch"]}
            said = self.call(event)
            if twice:
                assert self.call(event) == said
            if said["parts_key"]:
                items = self.read_items(said["parts_key"])
                for item in random.Random(1).sample(items, len(items)):
                    self.hand_out(item, twice)

    def hand_out(self, item: dict[str, Any], twice: bool) -> None:
        for _ in range(1 + twice):
            while self.call(item)["again"]:
                self.n_again += 1

    def read(self) -> list[tuple[Any, ...]]:
        return read_ledger(self.ledger)

    def submit_here(self, reads: type | None = Reads, keep: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        specs = read_fields(reads) if reads else ()
        fields = {spec.name: spec.column for spec in specs} or None
        optional = {spec.name for spec in specs if not spec.is_required}
        batches = read_batches(find_sources([self.folder]), fields, keep, optional=optional)
        ledger = Ledger(FolderStore(self.folder / "ledger"))
        list(submit_chunks(ledger, cut_chunks(batches), is_repeatable=True))
        assert ledger.is_sealed
        return read_ledger(ledger)


def read_ledger(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Every record: number, source, line, values, kept values, fault."""
    rows: list[tuple[Any, ...]] = []
    for chunk in ledger.list_chunks():
        reader = ChunkReader(ledger.store.get(chunk.key), chunk)
        columns = {name: reader.column(name) for name in reader.column_names}
        kept = {name: reader.kept(name) for name in reader.kept_kinds}
        bad = reader.bad()
        for i in range(chunk.n_records):
            values = {name: each[i] for name, each in columns.items() if each[i] is not None}
            carried = {name: each[i] for name, each in kept.items()}
            rows.append((reader.first + i, *reader.locate(i), values, carried, bad.get(i)))
    assert [row[0] for row in rows] == list(range(len(rows)))
    return rows


@pytest.fixture
def bucket(aws, tmp_path):
    return Bucket(aws, tmp_path)


@pytest.mark.parametrize("reads", [Reads, None])
def test_dataset_in_a_bucket_is_cut_as_its_files_are_submitted(bucket, reads):
    """Same records in the same order under the same numbers, from the same lines, with the same faults."""
    bucket.put(FILES)
    bucket.begin(reads=reads)
    bucket.cut()
    assert bucket.read() == bucket.submit_here(reads)
    assert bucket.ledger.is_sealed
    sealed = json.loads(bucket.ledger.store.get("sealed"))
    assert sealed == {"chunks": len(bucket.ledger.list_chunks()), "records": len(bucket.read())}
    assert bucket.calls.count("count") > 8
    assert bucket.calls.count("cut") > 20
    assert bucket.ledger.store.has("cut/plan-1.json")  # 2.csv has newlines in quotes


def test_kept_columns_come_along(bucket):
    bucket.put({"1.csv": make_csv(200), "2.parquet": make_parquet(100)})
    bucket.begin(keep=("b",))
    bucket.cut()
    assert bucket.read() == bucket.submit_here(keep=("b",))


def test_every_step_may_be_called_twice(bucket):
    """Lambda and Step Functions both try again; what was put first stays."""
    bucket.put(FILES)
    bucket.begin()
    bucket.cut(twice=True)
    assert bucket.read() == bucket.submit_here()


def test_invocations_that_run_out_of_time_hand_on(bucket):
    """A stream of many gigabytes takes longer than one function may run."""
    bucket.put({"1.csv.gz": FILES["3.csv.gz"], "2.csv": FILES["2.csv"], "3.parquet": FILES["7.parquet"]})
    bucket.begin()
    bucket.put_s = 850.0
    bucket.cut()
    assert bucket.read() == bucket.submit_here()
    assert bucket.n_again > 5


def test_chunks_of_a_part_that_was_left_go_on_after_the_last(bucket, monkeypatch):
    """Its next invocation cuts the same chunks and puts those that are not there."""
    monkeypatch.setattr("aliquot.cutting.CHUNK_RECORDS", 7)
    bucket.put({"1.smi": SMI})
    bucket.begin()
    bucket.put_s = 300.0
    bucket.cut()
    assert bucket.read() == bucket.submit_here()
    assert bucket.n_again > 10


def test_sealed_run_is_not_cut_again(bucket):
    bucket.put({"1.smi": SMI})
    bucket.begin()
    bucket.cut()
    bucket.calls.clear()
    bucket.cut()
    assert bucket.calls == ["plan"]


@pytest.mark.parametrize("step", ["count", "cut"])
@pytest.mark.parametrize("name", ["1.csv", "3.csv.gz", "7.parquet"])
def test_object_that_changes_during_the_run_ends_it_by_name(bucket, step, name):
    """Half of one version and half of another would be a result of nothing."""
    bucket.put({name: FILES[name]})
    bucket.begin()
    said = bucket.call({"run": "june", "step": "plan", "epoch": None})
    if step == "cut":
        for item in bucket.read_items(said["parts_key"]):
            bucket.call(item)
        said = bucket.call({"run": "june", "step": "number", "epoch": 0})
    bucket.put({name: FILES[name][:-1] + b"!"})
    for item in bucket.read_items(said["parts_key"]):
        assert bucket.call(item) == {"again": False}
    assert bucket.call({"run": "june", "step": said["next"], "epoch": 0})["next"] == "done"
    (stop,) = bucket.ledger.list_stops()
    assert stop.reason == REFUSED
    assert f"s3://data/in/{name}: has changed" in stop.facts["message"]
    assert not bucket.ledger.is_sealed


def test_missing_column_ends_the_run_with_the_reason(bucket):
    bucket.put({"1.csv": b"x,y\n1,2\n"})
    bucket.begin()
    bucket.cut()
    (stop,) = bucket.ledger.list_stops()
    assert "has no column for a" in stop.facts["message"]


def test_cancelled_run_is_not_cut_on(bucket):
    """What is not cut needs not be paid for."""
    bucket.put({"1.smi": SMI})
    bucket.begin()
    said = bucket.call({"run": "june", "step": "plan", "epoch": None})
    bucket.ledger.stop(0, "cancelled", {})
    for item in bucket.read_items(said["parts_key"]):
        assert bucket.call(item) == {"again": False}
    assert bucket.call({"run": "june", "step": "number", "epoch": 0})["next"] == "done"
    assert not bucket.ledger.store.list_keys("cut/counts/")


def test_dataset_without_records_is_refused(bucket):
    bucket.put({"1.smi": b"smiles\n"})
    bucket.begin()
    bucket.cut()
    assert "no records" in bucket.ledger.list_stops()[0].facts["message"]


def test_neighbours_share_an_invocation(bucket):
    """A folder of a thousand small objects does not take a thousand functions."""
    bucket.put({f"{i:03d}.smi": b"C\n" for i in range(50)})
    bucket.begin()
    bucket.cut()
    assert (bucket.calls.count("count"), bucket.calls.count("cut")) == (1, 1)
    assert len(bucket.read()) == 50


# ----------------------------------------------------------------------------------------- objects


@pytest.mark.parametrize(
    "items", [["in/"], ["in/*.smi"], ["in/**/*.smi"], ["in/[ab].smi"], ["in/deep/c.smi", "in/a.smi"]]
)
def test_names_in_a_bucket_mean_what_they_mean_in_a_folder(bucket, items):
    (bucket.folder / "in/deep/.hidden").mkdir(parents=True)
    for name in (
        "a.smi",
        "b.smi",
        "deep/c.smi",
        "deep/.hidden/d.smi",
        ".e.smi",
        "notes.txt",
        "deep/f.csv.gz",
    ):
        (bucket.folder / "in" / name).write_bytes(b"C\n")
        bucket.s3.put_object(Bucket="data", Key=f"in/{name}", Body=b"C\n")
    here = find_sources([f"{bucket.folder}/{item}".rstrip("/") for item in items])
    there = find_objects([f"s3://data/{item}" for item in items], bucket.objects.list_objects)
    assert [each.path.removeprefix("s3://data/") for each in there] == [
        str(Path(each.path).relative_to(bucket.folder)) for each in here
    ]
    assert [(each.format, each.is_gzip, each.size_bytes) for each in there] == [
        (each.format, each.is_gzip, each.size_bytes) for each in here
    ]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("s3://data/in/none.smi", "no such object"),
        ("s3://data/in", "end it in a slash"),
        ("s3://data/in/*.csv", "matches no object"),
        ("s3://data/elsewhere/", "no object with a known ending"),
        ("s3://data/in/notes.txt", "ending"),
        ("s3:///x", "BUCKET"),
    ],
)
def test_names_that_match_nothing_are_refused(bucket, item, reason):
    for name in ("a.smi", "notes.txt"):
        bucket.s3.put_object(Bucket="data", Key=f"in/{name}", Body=b"C\n")
    with pytest.raises(DatasetError, match=reason):
        find_objects([item], bucket.objects.list_objects)


def test_key_with_brackets_in_it_is_found(bucket):
    bucket.s3.put_object(Bucket="data", Key="in/a[1].smi", Body=b"C\n")
    (source,) = find_objects(["s3://data/in/a[1].smi"], bucket.objects.list_objects)
    assert source.path == "s3://data/in/a[1].smi"


def test_large_object_is_read_in_windows(bucket):
    """Nothing holds more of an object than a window; a body that breaks off is asked for again."""
    body = b"CCO x\n" * 2_000_000
    bucket.s3.put_object(Bucket="data", Key="a.smi", Body=body)
    (source,) = find_objects(["s3://data/a.smi"], bucket.objects.list_objects)
    asked: list[tuple[int, int]] = []

    class Counting:
        def get_object(self, **given: Any) -> Any:
            first, last = given["Range"].removeprefix("bytes=").split("-")
            asked.append((int(first), int(last)))
            return bucket.s3.get_object(**given)

    with open_stream(source, None, S3Objects(Counting()).open) as stream:
        assert sum(len(iter_piece) for iter_piece in iter(lambda: stream.read(1 << 16), b"")) == len(body)
    assert len(asked) == 3
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(asked))


def test_body_that_breaks_off_is_fetched_again_and_not_for_ever(bucket):
    from botocore.exceptions import ResponseStreamingError

    bucket.s3.put_object(Bucket="data", Key="a.smi", Body=b"C\n" * 10)
    (source,) = find_objects(["s3://data/a.smi"], bucket.objects.list_objects)

    class Breaking:
        def __init__(self, n_breaks: int) -> None:
            self.left = n_breaks

        def get_object(self, **given: Any) -> Any:
            if self.left:
                self.left -= 1
                raise ResponseStreamingError(error="reset")
            return bucket.s3.get_object(**given)

    assert S3Objects(Breaking(3)).open(source).read() == b"C\n" * 10
    with pytest.raises(StoreError):
        S3Objects(Breaking(4)).open(source).read()


def test_object_in_a_bucket_that_may_not_be_read_says_so():
    from botocore.exceptions import ClientError

    class Refusing:
        def get_object(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    source = Source("s3://elsewhere/a.smi", "smi", size_bytes=5, etag="x")
    with pytest.raises(DatasetError, match="DataBuckets"):
        S3Objects(Refusing()).open(source).read()


def test_plan_that_may_not_read_its_dataset_says_what_to_ask_for_and_how_to_do_without(bucket):
    """Whoever may submit need not be able to read what the stack reads: DataBuckets would not help them."""
    bucket.s3.put_object(Bucket="data", Key="a.smi", Body=b"C\n")
    (source,) = find_objects(["s3://data/a.smi"], bucket.objects.list_objects)
    assert open_objects_with(None, "us-east-1")(source).read() == b"C\n"
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}
    bucket.s3.put_bucket_policy(Bucket="data", Policy=json.dumps({"Statement": [denied]}))
    with pytest.raises(DatasetError, match=r"s3://data/a.smi: may not be .* s3:GetObject .* --anyway"):
        open_objects_with(None, "us-east-1")(source).read()


def test_unpinned_source_is_refused(bucket):
    bucket.put({"1.smi": SMI})
    sources = find_objects(["s3://data/in/"], bucket.objects.list_objects)
    identity = {"sources": [asdict(replace(sources[0], etag=None))], "columns": {}, "keep": []}
    bucket.ledger.begin({"identity": identity, "reads": None})
    bucket.cut()
    assert "pinned" in bucket.ledger.list_stops()[0].facts["message"]


# ------------------------------------------------------------------------------------- what follows


def test_refused_run_is_published_with_nothing_done(bucket, aws, tmp_path):
    """Whoever waits for the run has to hear that it is over, and why."""
    bucket.put({"1.csv": b"x,y\n1,2\n"})
    bucket.begin()
    bucket.cut()
    url = aws("sqs").get_queue_url(QueueName="small")["QueueUrl"]
    given = {"ALIQUOT_BUCKET": "runs", "ALIQUOT_QUEUES": json.dumps({"small": url})}
    around = Surroundings.read({**given, "ALIQUOT_JOBS": json.dumps({"one": f"{TOY_JOBS}:one"})})
    cloud = Cloud(around, bucket.s3, aws("sqs"), tmp_path / "cache")
    said = cloud.tick({"run": "june", "state": {"epoch": 0}})
    for _ in range(20):
        if said["phase"] != "running":
            break
        said = cloud.tick(said)
    assert said["phase"] == "settling"
    for item in bucket.read_items(said["groups_key"]):
        assert cloud.reduce_group(item)["done"] == 0
    assert cloud.publish({"run": "june", "epoch": 0})["phase"] == "done"
    published = bucket.s3.get_object(Bucket="runs", Key="results/june/published/0000.json")["Body"].read()
    assert json.loads(published)["reason"] == REFUSED
