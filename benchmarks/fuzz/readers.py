"""Readers of bytes, messages and notes: everything that an object can be asked is asked.

Owns these targets. Imports the core, and of the orchestrator what reads notes in a run's folder.
"""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from aliquot.carried import unpack_package
from aliquot.chunk import BadRow, Chunk, ChunkReader
from aliquot.codec import pack, unpack
from aliquot.envelope import Envelope, Part
from aliquot.errors import BadOption, FolderInUse, StoreError, Undecodable
from aliquot.frames import Channel, pack_frame, read_frame
from aliquot.inbox import Dropped
from aliquot.keys import ChunkId, OutcomeKey, name_stop, parse_stop
from aliquot.lane import Task
from aliquot.ledger import SETTLED, Ledger
from aliquot.message import TaskMessage, hand_back
from aliquot.outcome import Failure, Outcome, OutcomeReader
from aliquot.prices import Prices
from aliquot.protocol import check_frames
from aliquot.request_file import RequestRefused, RunRequest
from aliquot.roster import Roster, Share, decide_roster, split_roster
from aliquot.rows import Block, make_block
from aliquot.spans import SpanSet
from benchmarks.fuzz.forge import forge, join, split, wrap_header
from benchmarks.fuzz.targets import Ask, Target
from orchestrator.aws.folder import CLOUD, CloudAddress, find_address, write_address
from orchestrator.budget import PRICES, read_prices
from orchestrator.placing import place_delivery, read_delivered

CHUNK = ChunkId(0, 3)
ROWS = [[{"n": 1, "s": "a"}], [], [{"n": 2, "s": None}]]
BLOCK = make_block(0, ROWS, [None, "note", None], ())
KEY = OutcomeKey("work", CHUNK, CHUNK.all_records, "abc", "small", 12, 1, 1)
TASK = TaskMessage("june", "work", CHUNK, CHUNK.all_records, share=4)
VALUES: tuple[Any, ...] = (
    None,
    [1, -1, 1 << 40, 1 << 80, 0.5, True, "text", b"bytes"],
    {"a": {"b": [1]}, (1, 2): 3, 7: "x"},
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.array(["2020-01-01"], dtype="M8[D]"),
    np.array(["ab", "c"]),
    complex(1, 2),
)
ANSWER = {
    "op": "answer",
    "first": 0,
    "end": 3,
    "block": [BLOCK.pack().stored, BLOCK.pack().crc, BLOCK.pack().plain_bytes],
    "rows": 2,
    "kinds": {"n": ["int"]},
    "failures": [[1, "crash", "why", ""]],
    "wall_ns": 1,
    "cpu_ns": 1,
}


def _outcome() -> bytes:
    failures = [Failure(1, "crash", "why", "where")]
    return Outcome({0: BLOCK.pack()}, BLOCK.kinds(), 2, failures, 5, 6, {"n": (0, 0)}).to_bytes()  # type: ignore[arg-type]


def _chunk() -> bytes:
    columns = {"id": ["a", "b", "c"]}
    kept = {"k": [1, None, "x"]}
    return Chunk(0, 3, columns, kept, ((0, 0, 1), (2, 1, 1)), {1: BadRow("why", "text")}).to_bytes()


def _open_up(body: bytes, kind: str) -> tuple[bytes, dict[str, bytes]]:
    """An object's header without its parts, and its plain parts."""
    found = Envelope.from_bytes(body, kind)
    header = {name: value for name, value in found.header.items() if name != "parts"}
    return pack(header), {name: found.open(name) for name in found.parts}


# ------------------------------------------------------------------------------------------ objects


def _seed_codec() -> Iterator[bytes]:
    import datetime as dt
    import decimal

    day = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
    times = [day, day.date(), day.time(), dt.timedelta(1, 2, 3)]
    for value in (*VALUES, times, decimal.Decimal("1.50"), decimal.Decimal("Infinity")):
        yield pack(value)
    yield b"\xd6\xff\x00\x00\x00\x01"


def _ask_codec(body: bytes) -> None:
    value = unpack(body)
    repr(value)[:100]


def _ask_envelope(body: bytes) -> None:
    header, parts = split(body, 2)
    for kind in ("chunk", "outcome"):
        for whole in (wrap_header(header, parts), body):
            with suppress(Undecodable):
                read = Envelope.from_bytes(whole, kind)
                for name in read.parts:
                    with suppress(Undecodable):
                        assert len(read.open(name)) == read.parts[name].plain_bytes


def _seed_envelope() -> Iterator[bytes]:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(5000))
    for stored, plain_bytes in ((zstandard.compress(b"part" * 9), 36), (unsized, 5000), (unsized, 1 << 30)):
        listed = [["part", len(stored), zlib.crc32(stored), plain_bytes]]
        yield join(pack({"type": "chunk", "parts": listed}), stored)
    yield _chunk()


def _ask_part(body: bytes) -> None:
    """A compressed part whose checksum fits and whose plain size is any."""
    said, stored = split(body, 2)
    plain_bytes = int.from_bytes(said[:4], "big") % (1 << 30)
    assert len(Part(stored, zlib.crc32(stored), plain_bytes).open("part")) == plain_bytes


def _seed_part() -> Iterator[bytes]:
    for plain in (b"", b"part" * 9, bytes(1 << 20)):
        size = len(plain).to_bytes(4, "big")
        yield join(size, zstandard.compress(plain))
        yield join(size, zstandard.ZstdCompressor(write_content_size=False).compress(plain))


_CHUNK_PARTS = ("column:id", "kept:k", "bad")


def _ask_chunk(body: bytes) -> None:
    header, *plains = split(body, 1 + len(_CHUNK_PARTS))
    read = ChunkReader(forge(header, _CHUNK_PARTS, plains), CHUNK)
    for names, column in ((read.column_names, read.column), (read.kept_kinds, read.kept)):
        for name in names:
            with suppress(Undecodable):
                assert len(column(name)) == CHUNK.n_records
    with suppress(Undecodable):
        assert all(isinstance(row.reason, str) for row in read.bad().values())
    pieces = list(read.split_by_source(0, 3))
    if read.provenance:
        source, line = read.locate(CHUNK.n_records - 1)
        assert source >= 0
        assert line >= 0
        assert sum(end - first for _, first, end in pieces) == CHUNK.n_records
    else:
        read.locate(0)


def _seed_chunk() -> Iterator[bytes]:
    header, parts = _open_up(_chunk(), "chunk")
    yield join(header, *(parts[name] for name in _CHUNK_PARTS))


_OUTCOME_PARTS = ("block:0", "block:2", "failures")


def _ask_outcome(body: bytes) -> None:
    header, *plains = split(body, 1 + len(_OUTCOME_PARTS))
    read = OutcomeReader(forge(header, _OUTCOME_PARTS, plains))
    assert len(read.failed) >= 0
    with suppress(Undecodable):
        assert all(isinstance(failure.message, str) for failure in read.failures())
    for block in read.blocks(0, 3):
        assert all(len(values) == block.n_rows for values in block.columns.values())
        assert block.kinds() is not None


def _seed_outcome() -> Iterator[bytes]:
    header, parts = _open_up(_outcome(), "outcome")
    yield join(header, parts["block:0"], parts["block:0"], parts["failures"])


def _ask_block(body: bytes) -> None:
    block = Block.unpack(Part.of(body))
    assert len(block.slice(0, 2).counts) <= 2
    assert block.kinds() is not None


def _seed_block() -> Iterator[bytes]:
    yield BLOCK.pack().open("block")
    yield make_block(0, [[{"a": value}] for value in VALUES], [None] * len(VALUES), ()).pack().open("block")


# ------------------------------------------------------------------------------- frames and messages


def _ask_frames(body: bytes) -> None:
    """Frames as a host writes them: cut by the fuzzer's lengths, and as they come."""
    for said in (body, b"".join(len(item).to_bytes(4, "big") + item for item in split(body, 3) if item)):
        for receive in (_receive, _read_blocking):
            with suppress(Undecodable):
                for frame in receive(said[: 60 << 10]):
                    assert isinstance(frame, dict)


def _receive(body: bytes) -> list[dict[str, Any]]:
    read_end, write_end = os.pipe()
    channel = Channel(os.dup(write_end), read_end)
    try:
        os.write(write_end, body)
        frames = channel.receive()
        check_frames(frames, (0, 3))
        for frame in frames:
            if frame["op"] == "answer":
                Block.unpack(Part(*frame["block"]))
        return frames
    finally:
        os.close(write_end)
        channel.close()


def _read_blocking(body: bytes) -> list[dict[str, Any]]:
    read_end, write_end = os.pipe()
    os.write(write_end, body)
    os.close(write_end)
    try:
        return list(iter(lambda: read_frame(read_end), None))
    finally:
        os.close(read_end)


def _seed_frames() -> Iterator[bytes]:
    failed = {"op": "failed", "error": "OpenFailed", "args": ["toy", "why"]}
    broken = {"op": "broken", "chunk": "00000000.3", "reason": "why"}
    frames = ({"op": "opened"}, ANSWER, failed, broken)
    yield from map(pack_frame, frames)
    yield join(*(pack(frame) for frame in frames[:3]))


def _ask_message(body: bytes) -> None:
    for text in (base64.b64encode(body).decode(), body.decode("utf-8", "replace")):
        with suppress(Undecodable):
            message = TaskMessage.from_text(text)
            assert 0 < len(message.spans) <= message.chunk.n_records
            assert TaskMessage.from_text(message.to_text()) == message
            children = hand_back(message, [Task(message.chunk, message.spans)], 1.0, 30.0)
            assert len(children) <= 8
            assert not children or SpanSet.of(s for c in children for s in c.spans.spans) == message.spans


def _seed_message() -> Iterator[bytes]:
    yield base64.b64decode(TASK.to_text())
    yield TASK.to_text().encode()
    yield pack([1, "june", "work", "00000000.100", "0-3+5-100", 2, 3, 4, "large", True])


def _ask_event(body: bytes) -> None:
    dropped = Dropped.read(_load(body))
    assert dropped.url
    assert isinstance(dropped.version, str)


def _seed_event() -> Iterator[bytes]:
    found = {"key": "a.run.json", "size": 10, "etag": "abc", "sequencer": "01"}
    for more in ({}, {"version-id": "v1"}):
        yield _dump({"detail": {"bucket": {"name": "inbox"}, "object": {**found, **more}}})


def _ask_request(body: bytes) -> None:
    request = RunRequest.from_bytes(body)
    assert request.job
    assert all(isinstance(item, str) for item in (*request.data, *request.keep))
    json.dumps(asdict(request)).encode()


def _seed_request() -> Iterator[bytes]:
    wanted = {
        "format": "aliquot/request/1",
        "job": "crossref",
        "data": ["june/*.rsmi.gz"],
        "options": {"templates": {"sha256": "a" * 64}},
        "columns": {"reaction": "rxn"},
        "keep": ["a"],
        "package": "0" * 64,
        "budget_usd": 5,
        "budget_time_s": 60.5,
        "record_timeout_s": 3,
        "max_failed": "5%",
        "window": 7,
    }
    yield _dump(wanted)
    yield _dump({name: wanted[name] for name in ("format", "job", "data")})


# ---------------------------------------------------------------------------------- keys and notes


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


def _make_ledger() -> Ask:
    from benchmarks.fuzz.memory import MemoryS3

    def ask(body: bytes) -> None:
        from aliquot.aws import S3Store

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

    return ask


def _seed_ledger() -> Iterator[bytes]:
    stop = _dump({"reason": SETTLED, "at": 5})
    for name in (CHUNK.key, str(KEY), f"voids/{KEY}", name_stop(1), "redelivered/small-abc"):
        yield join(name.encode(), _dump({"job": "toy"}), stop, _dump({"chunks": 1, "records": 3}))


def _make_package() -> Ask:
    folder = Path(tempfile.mkdtemp(prefix="aliquot-fuzz-"))
    (folder / "deep").mkdir()

    def ask(body: bytes) -> None:
        import shutil

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
    yield _dump({"epoch": 0, "ending": "parquet", "names": ["result", "summary.json"]})
    yield _dump({"epoch": None, "ending": "csv", "names": []})


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
    yield _dump(Prices().to_plain())
    yield _dump({"s3_put": 0.000005})


def _ask_published(body: bytes) -> None:
    from aliquot.announcement import describe_published
    from aliquot.aws import S3Store
    from aliquot.reducer import read_published
    from benchmarks.fuzz.memory import MemoryS3

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
    yield join(_dump(pointer), _dump(summary), _dump({"total": 0.5}))


def _ask_summary(folder: Path, body: bytes) -> None:
    from orchestrator.results import read_invoice, read_summary

    for name, read in (("summary.json", read_summary), ("invoice.json", read_invoice)):
        (folder / name).write_bytes(body)
        with suppress(StoreError, Undecodable, FolderInUse):
            assert isinstance(read(folder), dict)


def _seed_summary() -> Iterator[bytes]:
    yield _dump({"job": "toy", "records": 3, "done": 2, "failed": 1, "failures": {"crash": 1}})
    yield _dump({"currency": "USD", "total": 0.5})


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _load(body: bytes) -> Any:
    """What JSON says, or a text where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _plain(ask: Ask) -> Callable[[], Ask]:
    return lambda: ask


_JSON = ("[", "]", "{", "}", "null", "true", "1e999", "-1", "NaN", '""', "\\ud800")

READERS = (
    Target("codec", _plain(_ask_codec), _seed_codec, (Undecodable,)),
    Target("envelope", _plain(_ask_envelope), _seed_envelope, (Undecodable,), n_items=2),
    Target("part", _plain(_ask_part), _seed_part, (Undecodable,), n_items=2),
    Target(
        "chunk", _plain(_ask_chunk), _seed_chunk, (Undecodable,), ("provenance", "kept", "columns"), n_items=4
    ),
    Target(
        "outcome",
        _plain(_ask_outcome),
        _seed_outcome,
        (Undecodable,),
        ("kinds", "places", "failed"),
        n_items=4,
    ),
    Target("block", _plain(_ask_block), _seed_block, (Undecodable,), ("counts", "columns", "notes")),
    Target("frames", _plain(_ask_frames), _seed_frames, (Undecodable,), tuple(ANSWER), n_items=3),
    Target("message", _plain(_ask_message), _seed_message, (Undecodable,), ("0-3", "00000000.3", "june")),
    Target("event", _plain(_ask_event), _seed_event, (Undecodable,), ("version-id", *_JSON)),
    Target("request", _plain(_ask_request), _seed_request, (RequestRefused,), ("budget_time_s", *_JSON)),
    Target("keys", _plain(_ask_keys), _seed_keys, (), ("outcomes/", "chunks/", "stop/", "~", "+", "0")),
    Target("roster", _plain(_ask_roster), _seed_roster, (Undecodable,), ("chunks", "outcomes/", *_JSON)),
    Target(
        "ledger",
        _make_ledger,
        _seed_ledger,
        (Undecodable, StoreError),
        ("chunks/", "voids/", *_JSON),
        n_items=4,
    ),
    Target("package", _make_package, _seed_package, (StoreError,), ("PK\\x01\\x02", "PK\\x05\\x06", "../")),
    Target("delivered", _in_folder(_ask_delivered), _seed_delivered, (), ("names", "..", *_JSON)),
    Target("address", _in_folder(_ask_address), _seed_address, (FolderInUse,), ("manifest", *_JSON)),
    Target("prices", _in_folder(_ask_prices), _seed_prices, (BadOption,), ("s3_put", "as_of", *_JSON)),
    Target("published", _plain(_ask_published), _seed_published, (), ("prefix", "files", *_JSON), n_items=3),
    Target("summary", _in_folder(_ask_summary), _seed_summary, (), _JSON),
)
