"""Any object of a run, read back for a person: what it is, what it holds, and what is refused."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import random
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from aliquot.chunk import BadRow, Chunk
from aliquot.codec import pack
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable
from aliquot.frames import pack_frame
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.rows import Block, join_block
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from orchestrator.decode import MOST_BYTES, decode, render_object
from orchestrator.readable import write_json

CHUNK = Chunk(40, 2, {"id": ["a", "b"]}, {"n": [1, 2]}, ((0, 0, 7),), {1: BadRow("too few fields", "b")})
BLOCK = Block(0, [1, 2], {"x": [1, 2, 3]}, ["one", None]).pack()
OUTCOME = Outcome({0: BLOCK}, {"x": {"int"}}, 3, [Failure(1, "exception", "no", "Traceback")], 12, 34)
MESSAGE = TaskMessage("june", "work", ChunkId(0, 9), SpanSet.range(2, 5), epoch=3)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(FolderStore(tmp_path / "chunks" / "ledger"))  # a folder of the user's called as ours are


def read(path):
    return decode(path.read_bytes(), str(path))


def test_a_chunk_says_its_records_with_what_was_kept_and_what_did_not_parse():
    said = decode(CHUNK.to_bytes(), "x")
    assert (said["type"], said["key"]) == ("chunk", None)
    assert said["content"]["records"] == [{"id": "a", "n": 1}, {"id": "b", "n": 2}]
    assert said["content"]["bad"] == {"1": {"reason": "too few fields", "text": "b"}}
    assert said["content"]["provenance"] == [{"index": 0, "source": 0, "line": 7}]


def test_an_outcome_says_rows_by_record_and_what_its_name_says(ledger):
    key = ledger.put_outcome("work", ChunkId(0, 2), SpanSet.range(0, 2), OUTCOME, 5_000_000)
    said = read(ledger.store.root / str(key))
    assert said["type"] == "outcome"
    assert said["key"]["kind"] == "outcome"
    assert (said["key"]["spans"], said["key"]["billed_ms"], said["key"]["n_failed"]) == ("0-2", 5, 1)
    assert said["content"]["records"] == [
        {"record": 0, "rows": [{"x": 1}], "note": "one"},
        {"record": 1, "rows": [{"x": 2}, {"x": 3}]},
    ]
    failure = {"index": 1, "kind": "exception", "message": "no", "traceback": "Traceback"}
    assert failure.items() <= said["content"]["failures"][0].items()


def test_a_tombstone_is_called_one(ledger):
    key = ledger.put_outcome("work", ChunkId(0, 2), SpanSet.range(0, 1), OUTCOME, 0, rung="tombstone")
    assert read(ledger.store.root / str(key))["key"]["kind"] == "tombstone"


def test_markers_say_what_their_names_say(ledger):
    key = ledger.put_outcome("work", ChunkId(0, 2), SpanSet.range(0, 2), OUTCOME, 0)
    ledger.void(key)
    ledger.note_redelivery("small")
    void = read(next((ledger.store.root / "voids").rglob("*~*")))
    assert (void["key"]["kind"], void["key"]["attempt"]) == ("void", key.attempt)
    marker = read(next((ledger.store.root / "redelivered").iterdir()))
    assert (marker["type"], marker["key"]) == ("marker", {"kind": "redelivered", "of": "small"})


def test_decisions_are_told_apart(ledger):
    ledger.begin({"format": "aliquot/run/1", "job": "one"})
    ledger.put_chunk(ChunkId(0, 2), CHUNK.to_bytes())
    ledger.seal(1, 2)
    ledger.put_outcome("work", ChunkId(0, 2), SpanSet.range(0, 1), OUTCOME, 0)
    ledger.settle("work", 0)
    ledger.stop(0, "time is up", {"elapsed_s": 1})
    root = ledger.store.root
    names = ("manifest.json", "sealed", "roster/work/0000.json", "stop/0000.json")
    assert [read(root / name)["type"] for name in names] == ["manifest", "sealed", "roster", "stop"]
    assert read(root / "roster/work/0000.json")["content"]["chunks"][0]["not_tried"] == "1-2"
    assert read(root / "stop/0000.json")["key"] == {"kind": "stop", "epoch": 0}
    pointer = {"epoch": 0, "prefix": "result-0000/", "reason": "settled", "files": []}
    assert decode(json.dumps(pointer).encode(), "-")["type"] == "published"


def test_messages_are_read_alone_and_in_the_events_that_bring_them(project_root):
    said = decode(f"{MESSAGE.to_text()}\n".encode(), "-")
    assert said["type"] == "message"
    assert (said["content"]["run"], said["content"]["spans"], said["content"]["epoch"]) == ("june", "2-5", 3)
    source = OutcomeKey("first", ChunkId(0, 9), SpanSet.range(0, 9), "a", "small", 5, 0, 1)
    later = decode(replace(MESSAGE, source=source).to_text().encode(), "-")
    assert later["content"]["source"] == str(source)
    event = read(project_root / "events" / "bury.json")
    assert event["content"]["messages"][0]["chunk"] == "00000000.100"


def test_frames_are_read_with_the_chunk_and_the_rows_that_they_carry():
    chunk = {"op": "chunk", "chunk": "00000000.2", "body": CHUNK.to_bytes()}
    answer = {"op": "answer", "block": [BLOCK.stored, BLOCK.crc, BLOCK.plain_bytes]}
    said = decode(pack_frame(chunk) + pack_frame(answer), "-")
    assert said["type"] == "frames"
    assert said["content"][0]["body"]["records"][0] == {"id": "a", "n": 1}
    assert said["content"][1]["block"][1]["rows"] == [{"x": 2}, {"x": 3}]


def test_values_that_json_lacks_are_told_as_text_lists_and_base64():
    values = [
        (np.array([[1.5, float("nan")]]), [[1.5, "nan"]]),
        (float("inf"), "inf"),
        (b"\x00\xff", {"base64": base64.b64encode(b"\x00\xff").decode()}),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.timedelta(seconds=90), "0:01:30"),
        (decimal.Decimal("1.10"), "1.10"),
        (1j, [0.0, 1.0]),
        (1 << 80, 1 << 80),
        ({(1, 2): "x"}, {"[1, 2]": "x"}),
    ]
    chunk = Chunk(0, len(values), {"v": [value for value, _ in values]}, {}, ((0, 0, 1),))
    said = json.loads(write_json(decode(chunk.to_bytes(), "-")))
    assert [record["v"] for record in said["content"]["records"]] == [wanted for _, wanted in values]


def test_what_exchanges_leave_is_told_by_its_header():
    body = Envelope({"type": "run", "names": ["x"], "rows": 3}, {"block:0": Part.of(b"123")}).to_bytes()
    said = decode(body, "-")
    assert said["type"] == "run"
    assert said["content"] == {"names": ["x"], "rows": 3, "part_bytes": {"block:0": 3}}


def test_long_values_are_cut_with_a_note_and_json_has_all():
    chunk = Chunk(0, 30, {"id": ["x" * 500] * 30}, {}, ((0, 0, 1),))
    document = decode(chunk.to_bytes(), "-")
    said = render_object(document)
    assert "and 20 more" in said
    assert " more)" in said
    assert said.endswith("long values are cut; --json prints all")
    assert max(map(len, said.splitlines())) <= 120
    assert json.loads(write_json(document))["content"]["records"][29]["id"] == "x" * 500
    assert "cut" not in render_object(decode(b'{"reason": "settled"}', "-"))
    one_long_line = json.dumps({"reason": "x" * 100}).encode()
    assert "long values are cut" in render_object(decode(one_long_line, "-"))


def rows_without_columns():
    """A block of two words that says that it has 2^31 rows for a record."""
    packed = pack({"first": 0, "counts": b"\xff\xff\xff\x7f" * 2, "columns": {}, "notes": []})
    return Outcome({0: Part.of(join_block(packed, []))}, {}, 0).to_bytes()


def test_a_block_cannot_claim_rows_that_it_has_not():
    said = decode(rows_without_columns(), "-")
    assert said["content"]["records"] == [{"record": 0, "rows": 2**31 - 1}, {"record": 1, "rows": 2**31 - 1}]


def test_what_unpacks_to_too_much_is_not_unpacked():
    part = Part(b"x", 0, MOST_BYTES + 1)
    with pytest.raises(Undecodable, match="decode reads up to"):
        decode(Envelope({"type": "chunk", "records": 1}, {"column:id": part}).to_bytes(), "-")


DAMAGED = {
    "truncated": CHUNK.to_bytes()[:-3],
    "flipped": CHUNK.to_bytes()[:-1] + b"!",
    "of another type": Envelope({"type": "letter"}, {}).to_bytes(),
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 300 + b"]" * 300,
    "base64 of something": base64.b64encode(b"hello, world"),
    "half a frame": pack_frame({"op": "step"})[:-1],
    "a frame of a list": b"\0\0\0\1\x90",
    "Parquet": b"PAR1....PAR1",
    "text": b"id,smiles\nr0,C\n",
    "JSON that ends": b'{"format": "aliquot/run/1"',
    "an event of numbers": b'{"Records": [{"body": "AAAA"}]}',
    "a roster of nothing": b'{"format": "aliquot/roster/1"}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused_by_name(name):
    with pytest.raises(Undecodable, match=r"^it cannot be read: "):
        decode(DAMAGED[name], "it")


def test_no_bytes_end_it_otherwise():
    """Objects with a few bytes changed, as a disk or somebody changes them."""
    draw = random.Random(20260)
    whole = [CHUNK.to_bytes(), OUTCOME.to_bytes(), pack_frame({"op": "x", "block": [b"", 0, 0]})]
    for _ in range(500):
        body = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 4)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        with suppress(Undecodable):
            write_json(decode(bytes(body), "it"))
