"""Names that lead elsewhere: no run, reference, prepared file, package or note gets out of its place."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from aliquot.aws import S3Store
from aliquot.cache import Cache
from aliquot.carried import Carried, unpack_package
from aliquot.chunk import Chunk
from aliquot.cloud import Cloud
from aliquot.errors import StoreError, Undecodable
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage
from aliquot.store import FolderStore
from aliquot.surroundings import Surroundings
from orchestrator.placing import place_files

BUCKET = "runs"
CLIMBERS = ["../evil", "a/../../evil", "/etc/evil", "..", "a/..", "", "/"]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def carried(s3: Any, tmp_path: Path) -> Carried:
    jobs = {"toy": "json:loads"}
    cache = Cache(tmp_path / "cache", 1 << 30)
    return Carried(lambda prefix: S3Store(s3, BUCKET, prefix), jobs, cache, allows_code=True)


def _list_all(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _manifest(**more: Any) -> dict[str, Any]:
    return {"job": "toy", "options": {}, **more}


@pytest.mark.parametrize("name", CLIMBERS)
def test_prepared_file_stays_in_its_folder(carried: Carried, s3: Any, tmp_path: Path, name: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"runs/june/prepared/{name}", Body=b"evil")
    with pytest.raises(StoreError, match="leads out of the folder"):
        carried.localize("june", _manifest())
    assert not any("evil" in path for path in _list_all(tmp_path))


@pytest.mark.parametrize("digest", ["../../evil", "../packages/x", "", "A" * 64, "a" * 63, "a" * 64 + "/x"])
def test_reference_is_named_by_a_digest(carried: Carried, s3: Any, tmp_path: Path, digest: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"references/{digest or 'x'}", Body=b"evil")
    option = {"path": "t.csv", "sha256": digest}
    with pytest.raises(StoreError, match="is no digest"):
        carried.localize("june", _manifest(options={"templates": option}))
    if digest:
        with pytest.raises(StoreError, match="is no digest"):
            carried.localize("june", _manifest(package=digest, identity={"job": "a:b"}))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def _link(archive: zipfile.ZipFile, name: str, to: str) -> None:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, to)


def test_package_stays_in_its_folder(tmp_path: Path) -> None:
    """What climbs is cut, and a link is a file that holds its target's name."""
    with zipfile.ZipFile(tmp_path / "package", "w") as archive:
        for name in ("../../evil", "/etc/evil", "a/../../b", "job.py"):
            archive.writestr(name, "evil")
        _link(archive, "link", "/etc/passwd")
        archive.writestr("link/through", "evil")
    (tmp_path / "deep").mkdir()
    with pytest.raises(StoreError):  # a file is where a folder should be: nothing goes through the link
        unpack_package(tmp_path / "package", tmp_path / "deep" / "into")
    written = _list_all(tmp_path) - {"package", "deep", "deep/into"}
    assert all(path.startswith("deep/into/") for path in written)
    assert not (tmp_path / "deep" / "into" / "link").is_symlink()


def test_half_unpacked_package_is_not_taken_for_a_whole_one(
    carried: Carried, s3: Any, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("job.py", "def f(record): ...\n" * 100)
        archive.writestr("other.py", "x")
    body = buffer.getvalue().replace(b"def f", b"DEF F")  # its checksum does not fit
    digest = hashlib.sha256(body).hexdigest()
    s3.put_object(Bucket=BUCKET, Key=f"references/{digest}", Body=body)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be unpacked"):
            carried.localize("june", _manifest(package=digest, identity={"job": "job:f"}))
    assert list((tmp_path / "cache" / "packages").iterdir()) == []


@pytest.mark.parametrize(
    "run", ["../june", "june/../../x", "", "june/", ".", "a" * 200, None, 5, ["june"], "june\n"]
)
def test_run_of_another_place_is_refused_by_every_handler(s3: Any, tmp_path: Path, run: Any) -> None:
    around = Surroundings(BUCKET, {"small": "url"}, "small", 1, 100, 1.0, 10.0, {}, {})
    cloud = Cloud(around, s3, None, tmp_path / "cache")
    event = {"run": run, "epoch": 0, "group": 0, "prepare": run, "step": "plan", "parts": [0, 1], "round": 0}
    for handle in (cloud.tick, cloud.reduce_group, cloud.publish):
        with pytest.raises(Undecodable, match="which cannot be"):
            handle(event)
    for handle_for in (cloud.prepare, cloud.cut):
        with pytest.raises(Undecodable, match="which cannot be"):
            handle_for(event, 100.0)
    assert _list_all(tmp_path) == set()
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_delivery_removes_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    """The note of what was delivered before comes with a folder, which may come from anybody."""
    (tmp_path / "precious").write_text("mine")
    aside = tmp_path / "run" / "ledger" / "delivery"
    (aside / "result").mkdir(parents=True)
    (tmp_path / "run" / "old.csv").touch()
    place_files(aside, tmp_path / "run", ["../precious", str(tmp_path / "precious"), "..", "old.csv"])
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "run" / "old.csv").exists()


@pytest.mark.parametrize(
    "key",
    [
        "chunks/readme",
        "chunks/00000000",
        "outcomes/work/x",
        "voids/x",
        "stop/x.json",
        "stop/00001.json",
        "chunks/00000000.٣",
        "chunks/00000000.03",
        "outcomes/work/00000000.03/0-3~a.small.1.0.1",
        "outcomes/work/00000000.3/0-3~a.small.01.0.1",
        "outcomes/work/00000000.3/0-3~a.small.1.00.1",
    ],
)
def test_object_that_is_none_of_ours_is_named(tmp_path: Path, key: str) -> None:
    """Whoever put it there has to hear which object it is, in the orchestrator and in the stack's log."""
    ledger = Ledger(FolderStore(tmp_path))
    ledger.store.put(key, b"")
    with pytest.raises(Undecodable, match=key.rpartition("/")[2]):
        _ = ledger.list_chunks(), ledger.list_outcomes("work"), ledger.list_voids(), ledger.epoch


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 100_000, b'{"reason": 5}', b"\xff"])
def test_marker_and_manifest_that_are_damaged_are_named(tmp_path: Path, body: bytes) -> None:
    ledger = Ledger(FolderStore(tmp_path))
    ledger.store.put("stop/0000.json", body)
    with pytest.raises(Undecodable, match="stop/0000"):
        ledger.list_stops()
    ledger.store.put("manifest.json", body if body != b"{}" else b"5")
    if body != b'{"reason": 5}':
        with pytest.raises(Undecodable, match="manifest"):
            ledger.read_manifest()


def test_chunk_that_was_lost_is_missed_when_the_run_settles(tmp_path: Path) -> None:
    """A listing without it looks complete: its records would be gone without a word."""
    ledger = Ledger(FolderStore(tmp_path))
    for seq in range(2):
        ledger.put_chunk(ChunkId(seq, 1), Chunk(seq, 1, {"id": ["a"]}).to_bytes())
    ledger.seal(2, 2)
    (tmp_path / "chunks" / "00000001.1").unlink()
    with pytest.raises(Undecodable, match="restore the chunks"):
        ledger.settle("work", 0)


@pytest.mark.parametrize("run", ["../june", "june/../july", "", "june\n"])
def test_message_spells_nothing_but_plain_names(run: str) -> None:
    chunk = ChunkId(0, 3)
    assert TaskMessage.from_text(TaskMessage("june", "work", chunk, chunk.all_records).to_text())
    with pytest.raises(Undecodable):
        TaskMessage.from_text(TaskMessage(run, "work", chunk, chunk.all_records).to_text())
