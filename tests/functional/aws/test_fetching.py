"""What a run carries is fetched whole, in bounded memory, as it was named: over a store that damages it."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from aliquot import aws
from aliquot.aws import S3Store
from aliquot.cache import Cache
from aliquot.carried import Carried
from aliquot.errors import BadReference, OpenFailed, StoreError
from aliquot.folders import list_folder
from aliquot.host import HostLimits
from aliquot.job import Job, Reference, Stage
from aliquot.launch import ZygoteLauncher
from aliquot.loading import JobSpec, make_options
from aliquot.page import Page
from aliquot.processes import can_fork

MIB = 1 << 20
SPARED = 32 * MIB


class Objects:
    """A client of S3 that counts requests; `damages` are what befalls the bodies of the next GETs."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.counts: Counter[str] = Counter()
        self.damages: list[str] = []
        self.read_from: list[int] = []

    def get_object(self, **asked: str) -> dict[str, Any]:
        self.counts["get"] += 1
        first = int(asked.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        assert asked.get("IfMatch") == ('"1"' if "Range" in asked else None), "two contents would be one file"
        self.read_from.append(first)
        body = self._find(asked["Key"])[first:]
        damage = self.damages.pop(0) if self.damages else ""
        if damage == "altered":
            body = bytes([body[0] ^ 1]) + body[1:]
        said = {"ContentLength": len(body), "ETag": '"1"', "Metadata": self.metadata.get(asked["Key"], {})}
        return {**said, "Body": Body(body, damage)}

    def get_paginator(self, _name: str) -> Objects:
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        keys = [key for key in sorted(self.bodies) if key.startswith(asked["Prefix"])]
        return [{"Contents": [{"Key": key} for key in keys]}]

    def _find(self, key: str) -> bytes:
        if key not in self.bodies:
            raise ClientError({"Error": {"Code": "404"}}, "GetObject")
        return self.bodies[key]


class Body:
    """What comes over one connection: all of it, or two pieces and an error, or without one, or nothing."""

    def __init__(self, body: bytes, damage: str) -> None:
        self._body, self._damage = body, damage

    def close(self) -> None:
        """As often as anybody likes."""

    def iter_chunks(self, n_bytes: int) -> Iterator[bytes]:
        n_pieces = {"broken off": 2, "short": 2, "dead": 0}.get(self._damage, len(self._body))
        for number, first in enumerate(range(0, len(self._body), n_bytes)):
            if number == n_pieces:
                break
            yield self._body[first : first + n_bytes]
        else:
            return
        if self._damage != "short":
            raise IncompleteReadError(actual_bytes=1, expected_bytes=2)


@pytest.fixture
def objects(monkeypatch):
    monkeypatch.setattr(aws, "_PIECE_BYTES", 1000)
    return Objects()


def fetch(objects: Objects, body: bytes, to: Path) -> None:
    objects.bodies["k"] = body
    S3Store(objects, "b", "").get_file("k", to, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("n_bytes", [0, 1, 999, 1000, 1001, 12_345])
def test_pieces_become_the_file_in_order(objects, tmp_path, n_bytes):
    body = bytes(number * 7 % 251 for number in range(n_bytes))
    fetch(objects, body, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == body
    assert objects.counts["get"] == 1


@pytest.mark.parametrize("damage", ["broken off", "short"])
def test_connection_that_breaks_off_is_gone_on_from(objects, tmp_path, damage):
    """Of 3 GB some connection breaks: what arrived before is not fetched twice, however often."""
    objects.damages = [damage] * 6
    body = bytes(number * 7 % 251 for number in range(13_000))
    fetch(objects, body, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == body
    assert objects.read_from == [0, 2000, 4000, 6000, 8000, 10_000, 12_000]


def test_object_that_gives_nothing_any_more_is_given_up(objects, tmp_path):
    objects.damages = ["broken off", "dead", "dead", "dead", "dead"]
    with pytest.raises(StoreError, match="gives nothing from byte 2,000 on"):
        fetch(objects, bytes(5000), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_content_that_was_altered_on_its_way_is_fetched_again(objects, tmp_path):
    objects.damages = ["altered"]
    fetch(objects, bytes(3000), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == bytes(3000)
    assert objects.counts == Counter(get=2)


def test_object_that_is_another_is_refused_and_named_and_nothing_is_left(objects, tmp_path):
    objects.bodies["k"] = b"other"
    wanted = hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(StoreError, match=rf"s3://b/k: its SHA-256 is \w+, not {wanted}: remove it"):
        S3Store(objects, "b", "").get_file("k", tmp_path / "file", wanted)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_digest_of_its_own_is_held_to_the_one_it_was_put_with(objects, tmp_path):
    """Prepared files: their keys name no digest."""
    objects.bodies["k"], objects.metadata["k"] = b"altered", {"sha256": hashlib.sha256(b"mine").hexdigest()}
    with pytest.raises(StoreError, match="its SHA-256 is"):
        S3Store(objects, "b", "").get_file("k", tmp_path / "file")
    del objects.metadata["k"]  # put by a release from before
    S3Store(objects, "b", "").get_file("k", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"altered"


def test_memory_does_not_grow_with_the_file(objects, tmp_path, monkeypatch):
    monkeypatch.setattr(aws, "_PIECE_BYTES", MIB // 4)
    body = bytes(24 * MIB)
    tracemalloc.start()
    try:
        fetch(objects, body, tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


# ---- of runs


class Worker:
    """What a function of so much room does with the runs that it serves."""

    def __init__(self, objects: Objects, folder: Path, room_mib: int) -> None:
        self.objects, self.folder = objects, folder
        cache = Cache(folder, room_mib * MIB + SPARED)
        jobs = {"toy": "json:loads"}
        self._carried = Carried(lambda prefix: S3Store(objects, "b", prefix), jobs, cache, allows_code=False)

    def put(self, n_mib: int, seed: int) -> str:
        body = bytes([seed]) * (n_mib * MIB)
        digest = hashlib.sha256(body).hexdigest()
        self.objects.bodies[f"references/{digest}"] = body
        return digest

    def open(self, run: str, *digests: str) -> list[Path]:
        """The paths that the run's job is given."""
        options = {str(number): {"path": "/u/r", "sha256": each} for number, each in enumerate(digests)}
        spec = self._carried.localize(run, {"job": "toy", "options": options})
        return [Path(value["path"]) for value in spec.options.values()]

    def list_kept(self) -> set[str]:
        return {each.name for each in self.folder.rglob("*") if each.is_file()}


@pytest.fixture
def worker(objects, tmp_path, monkeypatch):
    monkeypatch.setattr(aws, "_PIECE_BYTES", MIB)
    return Worker(objects, tmp_path / "cache", room_mib=4)


def test_warm_environment_fetches_a_reference_once_for_all_its_runs(worker):
    digest = worker.put(1, 1)
    for run in ("a", "b", "c"):
        worker.open(run, digest)
    assert worker.objects.counts == Counter(get=1)


def test_runs_with_other_references_take_the_place_of_the_oldest(worker):
    digests = [worker.put(2, seed) for seed in range(3)]
    for run, digest in enumerate(digests):
        worker.open(f"run-{run}", digest)
    assert worker.list_kept() == set(digests[1:])


def test_references_of_one_run_do_not_push_each_other_out(worker):
    """The second of them would find room in the place of the first, which the job is about to map."""
    small, large = worker.put(2, 1), worker.put(3, 2)
    with pytest.raises(OpenFailed, match=r"has 3 MiB, and of 36 MiB in /tmp there are 2 .*TmpMiB"):
        worker.open("run", small, large)
    assert worker.list_kept() == {small}
    assert worker.open("next", large)[0].stat().st_size == 3 * MIB


def test_file_damaged_between_two_runs_is_fetched_again(worker):
    digest = worker.put(1, 1)
    (path,) = worker.open("a", digest)
    path.write_bytes(bytes(MIB))
    assert worker.open("b", digest) == [path]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_prepared_file_damaged_between_two_opens_is_fetched_again(worker):
    worker.objects.bodies["runs/a/prepared/table"] = b"table"
    worker.open("a")
    path = worker.folder / "prepared" / "a" / "table"
    path.write_bytes(b"other")
    worker.open("a")
    assert path.read_bytes() == b"table"


# ---- folders


class OneAtATime(Cache):
    """A cache that takes its time, and fails where it is asked meanwhile."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        super().__init__(folder, most_bytes)
        self._asked = threading.Lock()

    def find(self, name: str, sha256: str = "") -> Path | None:
        assert self._asked.acquire(blocking=False), "two at a time"
        try:
            time.sleep(0.01)
            return super().find(name, sha256)
        finally:
            self._asked.release()


class Shards(Worker):
    """A worker whose runs have a folder of shards, 1 MiB each."""

    def put_folder(self, folder: Path, n_shards: int) -> dict[str, Any]:
        """The option of a run that has it."""
        folder.mkdir()
        for number in range(n_shards):
            (folder / f"shard-{number}").write_bytes(bytes([number]) * MIB)
        listing = list_folder(folder)
        for name, member in listing.members.items():
            self.objects.bodies[f"references/{member.sha256}"] = (folder / name).read_bytes()
        self.objects.bodies[f"references/{listing.sha256}"] = listing.to_bytes()
        return {"path": str(folder), "sha256": listing.sha256, "is_folder": True}

    def localize(self, run: str, option: dict[str, Any]) -> tuple[JobSpec, Reference]:
        """What hosts are sent, and what a job then has."""
        spec = self._carried.localize(run, {"job": "toy", "options": {"stock": option}})
        return spec, make_options(JOB, spec.options).stock

    def close(self) -> None:
        self._carried.close()


@dataclass(frozen=True)
class Options:
    stock: Reference


def open_shards(options: Options, _prepared: Path) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Answers with the bytes of the shard that a record names."""
    options.stock.file("shard-0")
    return lambda records: ([{"first": options.stock.file(r["shard"]).read_bytes()[0]}] for r in records)


JOB = Job("shards", 1, Options, (Stage("look", open_shards),))


@pytest.fixture
def shards(objects, tmp_path, monkeypatch):
    monkeypatch.setattr(aws, "_PIECE_BYTES", MIB)
    made = Shards(objects, tmp_path / "cache", room_mib=4)
    yield made
    made.close()


@pytest.mark.skipif(not can_fork(), reason="functions run on Linux")
def test_hosts_fetch_only_the_shards_that_they_ask_for_each_once(shards, tmp_path):
    """Of a stock in 200 shards a worker needs those that its keys fall in."""
    option = shards.put_folder(tmp_path / "stock", 10)
    spec, stock = shards.localize("run", option)
    assert shards.list_kept() == {"listing"}
    page = Page.create()
    launcher = ZygoteLauncher(replace(spec, address=f"{__file__}:JOB"), HostLimits(60.0, 1000), page)
    try:
        launcher.open()  # in a process of its own, which has no client of S3
        assert shards.list_kept() == {"listing", "shard-0"}
    finally:
        launcher.close()
        page.close()
    with ThreadPoolExecutor(4) as pool:
        bodies = [path.read_bytes() for path in pool.map(stock.file, ["shard-3"] * 8)]
    assert set(bodies) == {bytes([3]) * MIB}
    assert shards.list_kept() == {"listing", "shard-0", "shard-3"}
    assert shards.objects.counts["get"] == 1 + 2


def test_shards_make_room_for_each_other_the_one_asked_for_longest_ago_first(shards, tmp_path):
    """A stock may be larger than /tmp; and a host that has mapped a shard keeps what it has mapped."""
    _, stock = shards.localize("run", shards.put_folder(tmp_path / "stock", 5))
    with stock.file("shard-1").open("rb") as mapped:
        for number in (0, 2, 0, 3):
            stock.file(f"shard-{number}")
        assert shards.list_kept() == {"listing", "shard-0", "shard-2", "shard-3"}
        assert mapped.read() == bytes([1]) * MIB
    assert stock.file("shard-1").read_bytes() == bytes([1]) * MIB
    assert shards.objects.counts["get"] == 1 + 5


def test_shard_without_room_is_refused_for_good(objects, tmp_path, monkeypatch):
    monkeypatch.setattr(aws, "_PIECE_BYTES", MIB)
    small = Shards(objects, tmp_path / "small", room_mib=1)
    option = small.put_folder(tmp_path / "stock", 3)
    _, stock = small.localize("run", option)
    with pytest.raises(BadReference, match=r"shard-0: .* has 1 MiB, .*TmpMiB"):
        stock.file("shard-0")
    small.close()


def test_shard_that_s3_does_not_give_now_is_a_lost_connection(shards, tmp_path):
    """Of which the engine tries a record again; another process's word for it is no StoreError there."""
    option = shards.put_folder(tmp_path / "stock", 2)
    _, stock = shards.localize("run", option)
    kept = dict(shards.objects.bodies)
    shards.objects.bodies.clear()
    with pytest.raises(ConnectionError, match="no such object"):
        stock.file("shard-1")
    shards.objects.bodies.update(kept)
    assert stock.file("shard-1").read_bytes() == bytes([1]) * MIB
    with pytest.raises(BadReference, match="is no file of this folder"):
        stock.file("../../x")


def test_shard_damaged_between_two_runs_is_fetched_again(shards, tmp_path):
    option = shards.put_folder(tmp_path / "stock", 2)
    _, stock = shards.localize("a", option)
    stock.file("shard-1").write_bytes(b"other")
    _, stock = shards.localize("b", option)
    assert stock.file("shard-1").read_bytes() == bytes([1]) * MIB


def test_folders_that_nobody_holds_make_room_shard_by_shard(shards, tmp_path):
    old, new = (shards.put_folder(tmp_path / name, n) for name, n in (("old", 3), ("new", 2)))
    _, stock = shards.localize("a", old)
    for number in (2, 1, 0):
        stock.file(f"shard-{number}")
    _, stock = shards.localize("b", new)
    stock.file("shard-0")
    stock.file("shard-1")
    assert sum(each.stat().st_size for each in shards.folder.rglob("shard-*")) <= 4 * MIB


def test_another_stage_of_the_run_leaves_open_hosts_their_answers(shards, tmp_path):
    """Each stage is opened by itself; hosts of the one before it are still there, and still ask."""
    option = shards.put_folder(tmp_path / "stock", 2)
    _, stock = shards.localize("run", option)
    _, later = shards.localize("run", option)
    assert stock.file("shard-0") == later.file("shard-0")
    assert stock.file("shard-1").read_bytes() == bytes([1]) * MIB


def test_cache_is_used_by_one_at_a_time_when_a_stage_of_brought_code_is_opened(objects, tmp_path):
    """Hosts of the stage before it ask meanwhile: a change of what is kept would end whoever answers them."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("job.py", "rows = 1")
    sha256 = hashlib.sha256(package.getvalue()).hexdigest()
    objects.bodies[f"references/{sha256}"] = package.getvalue()
    cache = OneAtATime(tmp_path / "cache", 4 * MIB + SPARED)
    carried = Carried(lambda prefix: S3Store(objects, "b", prefix), {}, cache, allows_code=True)
    manifest = {"job": "toy", "package": sha256, "identity": {"job": "job:rows"}, "options": {}}
    carried.localize("run", manifest)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: carried.localize("run", manifest).search_path, range(12)))
    assert found == [(str(cache.folder / "packages" / sha256),)] * 12


def test_run_that_is_over_is_answered_no_more(shards, tmp_path):
    _, stock = shards.localize("run", shards.put_folder(tmp_path / "stock", 1))
    shards.close()
    with pytest.raises(ConnectionError):
        stock.file("shard-0")
