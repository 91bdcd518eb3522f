"""Readers of keys, and of notes in a bucket and in a run's folder.

Owns these targets. Imports the core, and of the orchestrator what reads notes in a run's folder.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from aliquot.announcement import describe_published
from aliquot.aws import S3Store
from aliquot.carried import unpack_package
from aliquot.errors import BadOption, FolderInUse, StoreError, Undecodable
from aliquot.keys import ChunkId, OutcomeKey, name_stop, parse_stop
from aliquot.ledger import SETTLED, Ledger
from aliquot.prices import Prices
from aliquot.reducer import read_published
from aliquot.roster import Roster, Share, decide_roster, split_roster
from aliquot.spans import SpanSet
from benchmarks.fuzz.forge import dump_json, join, split
from benchmarks.fuzz.memory import MemoryS3
from benchmarks.fuzz.objects import CHUNK
from benchmarks.fuzz.targets import JSON, Ask, Target, as_it_is
from orchestrator.aws.folder import CLOUD, CloudAddress, find_address, write_address
from orchestrator.budget import PRICES, read_prices
from orchestrator.placing import place_delivery, read_delivered
from orchestrator.show import describe_end

KEY = OutcomeKey("work", CHUNK, CHUNK.all_records, "abc", "small", 12, 1, 1)


def _ask_keys(body: bytes) -> None:
    """A key that reads as another would have one object counted for another."""
    text = body.decode("utf-8", "replace")
    for parse, spell in (
        (SpanSet.parse, str),
        (ChunkId.parse, lambda chunk: chunk.key if text.startswith("chunks/") else str(chunk)),
        (OutcomeKey.parse, str),
        (parse_stop, name_stop),
    ):
        with suppress(ValueError):
            parsed = parse(text)
            assert spell(parsed) == text, f"{text!r} reads as {spell(parsed)!r}"  # type: ignore[operator]


def _seed_keys() -> Iterator[bytes]:
    for text in (str(KEY), str(CHUNK), CHUNK.key, "0-57+58-100", name_stop(3), name_stop(12345)):
        yield text.encode()


def _ask_roster(body: bytes) -> None:
    roster = Roster.from_json(body)
    assert Roster.from_json(roster.to_json()) == roster
    assert sum(len(group.shares) for group in split_roster(roster, 2)) == len(roster.shares)
    for chunk, shares in roster.shares.items():
        held = [share.spans for share in shares]
        assert not SpanSet.of(s for h in held for s in h.spans) - chunk.all_records, "beyond its chunk"
        assert all(not (a & b) for a, b in pairwise(held)), "a record twice"


def _seed_roster() -> Iterator[bytes]:
    yield Roster({CHUNK: (Share(SpanSet.range(0, 2), KEY),)}, {CHUNK: SpanSet.range(2, 3)}).to_json()
    chunks = [CHUNK, ChunkId(1, 5)]
    yield decide_roster(chunks, [KEY], lambda _: SpanSet.range(1, 2)).to_json()


def _ask_ledger(body: bytes) -> None:
    name, manifest, stop, sealed = split(body, 4)
    put = {"manifest.json": manifest, "stop/0000.json": stop, "sealed": sealed}
    put[name.decode("utf-8", "replace") or "x"] = b""
    objects = {("runs", f"runs/june/{key}"): value for key, value in put.items()}
    ledger = Ledger(S3Store(MemoryS3(objects), "runs", "runs/june/"))
    for read in (
        ledger.read_manifest,
        ledger.list_stops,
        ledger.list_chunks,
        ledger.list_voids,
        ledger.count_redeliveries,
        lambda: ledger.list_outcomes("work"),
        lambda: ledger.measure("work").gaps,
        lambda: ledger.settle("work", 0),
    ):
        with suppress(Undecodable, StoreError):
            read()


def _seed_ledger() -> Iterator[bytes]:
    stop = dump_json({"reason": SETTLED, "at": 5})
    for name in (CHUNK.key, str(KEY), f"voids/{KEY}", name_stop(1), "redelivered/small-abc"):
        yield join(name.encode(), dump_json({"job": "toy"}), stop, dump_json({"chunks": 1, "records": 3}))


def _make_package() -> Ask:
    folder = Path(tempfile.mkdtemp(prefix="aliquot-fuzz-"))
    (folder / "deep").mkdir()

    def ask(body: bytes) -> None:
        into = folder / "deep" / "into"
        shutil.rmtree(into, ignore_errors=True)
        (folder / "package").write_bytes(body)
        try:
            unpack_package(folder / "package", into)
        finally:
            assert {path.name for path in folder.iterdir()} == {"package", "deep"}, "left its folder"
            assert {path.name for path in (folder / "deep").iterdir()} <= {"into"}, "left its folder"
            assert not any(path.is_symlink() for path in into.rglob("*")), "a link"

    return ask


def _seed_package() -> Iterator[bytes]:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("job.py", "def f(record): ...\n" * 5)
            archive.writestr("deep/data.txt", "x")
            archive.writestr("../up", "x")
        yield buffer.getvalue()


def _in_folder(ask: Callable[[Path, bytes], None]) -> Callable[[], Ask]:
    def make() -> Ask:
        folder = Path(tempfile.mkdtemp(prefix="aliquot-fuzz-"))
        (folder / "ledger").mkdir()
        return lambda body: ask(folder, body)

    return make


def _ask_delivered(folder: Path, body: bytes) -> None:
    (folder / "ledger" / "delivered.json").write_bytes(body)
    found = read_delivered(folder)
    assert found.is_whole(folder, 0, "parquet") in {True, False}
    assert all(Path(name).name == name for name in found.names)
    (folder / "aside").mkdir(exist_ok=True)
    (folder / "aside" / "a").touch()
    place_delivery(folder / "aside", folder, 0, "parquet")
    assert (folder / "ledger" / "delivered.json").exists(), "what is not delivered was removed"


def _seed_delivered() -> Iterator[bytes]:
    yield dump_json({"epoch": 0, "ending": "parquet", "names": ["result", "summary.json"]})
    yield dump_json({"epoch": None, "ending": "csv", "names": []})


def _ask_address(folder: Path, body: bytes) -> None:
    (folder / CLOUD).write_bytes(body)
    found = find_address(folder)
    assert found is not None
    kept = (
        found.stack,
        found.region,
        found.bucket,
        found.run,
        found.state_machine,
        found.token,
        found.kms_key,
    )
    assert all(isinstance(text, str) for text in kept), "a field that is no text"
    assert isinstance(found.profile, str | None), "a profile that is no text"
    assert isinstance(found.manifest, dict), "a manifest that is none"
    assert isinstance(found.is_rehearsal, bool)
    assert found.said
    assert found.on
    assert found.encryption is not None


def _seed_address() -> Iterator[bytes]:
    folder = Path(tempfile.mkdtemp(prefix="aliquot-fuzz-"))
    for profile, kms_key in ((None, ""), ("work", "arn:aws:kms:x")):
        address = CloudAddress("prod", "eu-west-1", profile, "bucket", "june", "arn:x", "abc", kms_key)
        write_address(folder, address)
        yield (folder / CLOUD).read_bytes()


def _ask_prices(folder: Path, body: bytes) -> None:
    (folder / "prices.json").write_bytes(body)
    os.environ[PRICES] = str(folder / "prices.json")
    prices = read_prices()
    assert prices.memory_s("arm64", 1769) >= 0
    assert Prices.from_plain(json.loads(json.dumps(prices.to_plain()))) == prices


def _seed_prices() -> Iterator[bytes]:
    yield dump_json(Prices().to_plain())
    yield dump_json({"s3_put": 0.000005})


def _ask_published(body: bytes) -> None:
    pointer, summary, invoice = split(body, 3)
    put = {
        "published/0000.json": pointer,
        "result-0000/summary.json": summary,
        "result-0000/invoice.json": invoice,
    }
    objects = {("runs", f"results/june/{key}"): value for key, value in put.items()}
    store = S3Store(MemoryS3(objects), "runs", "results/june/")
    manifest = {"settings": {"max_failed": "5%"}, "job": "toy"}
    with suppress(Undecodable, StoreError):
        read_published(store)
    with suppress(Undecodable, StoreError):
        json.dumps(describe_published("june", 0, "prod", manifest, store, "s3://runs/results/june/"))


def _seed_published() -> Iterator[bytes]:
    pointer = {"epoch": 0, "prefix": "result-0000/", "reason": SETTLED, "files": [{"name": "a", "rows": 1}]}
    summary = dict.fromkeys(("records", "done", "failed", "not_tried", "rows"), 1)
    yield join(dump_json(pointer), dump_json(summary), dump_json({"total": 0.5}))


def _ask_summary(folder: Path, body: bytes) -> None:
    for name, said in zip(("summary.json", "invoice.json"), split(body, 2), strict=True):
        (folder / name).write_bytes(said)
    assert describe_end(folder)


def _seed_summary() -> Iterator[bytes]:
    counts = {"records": 3, "done": 2, "failed": 1, "not_tried": 0, "rows": 2, "failures": {"crash": 1}}
    summary = dump_json({"job": "toy", **counts, "elapsed_s": 5.0, "cpu_s": 9.0, "remarks": ["so it is"]})
    yield join(summary, dump_json({"currency": "USD", "total": 0.5, "wasted": {"crashes": 0.1}}))


NOTES = (
    Target("keys", as_it_is(_ask_keys), _seed_keys, (), ("outcomes/", "chunks/", "stop/", "~", "+", "0")),
    Target("roster", as_it_is(_ask_roster), _seed_roster, (Undecodable,), ("chunks", "outcomes/", *JSON)),
    Target(
        "ledger",
        as_it_is(_ask_ledger),
        _seed_ledger,
        (Undecodable, StoreError),
        ("chunks/", "voids/", *JSON),
        n_items=4,
    ),
    Target("package", _make_package, _seed_package, (StoreError,), ("PK\\x01\\x02", "PK\\x05\\x06", "../")),
    Target("delivered", _in_folder(_ask_delivered), _seed_delivered, (), ("names", "..", *JSON)),
    Target("address", _in_folder(_ask_address), _seed_address, (FolderInUse,), ("manifest", *JSON)),
    Target("prices", _in_folder(_ask_prices), _seed_prices, (BadOption,), ("s3_put", "as_of", *JSON)),
    Target("published", as_it_is(_ask_published), _seed_published, (), ("prefix", "files", *JSON), n_items=3),
    Target("summary", _in_folder(_ask_summary), _seed_summary, (StoreError,), JSON, n_items=2),
)
