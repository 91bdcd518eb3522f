"""Bytes that nobody of ours wrote: whatever they are, they are read, or refused by one error.

Where `test_codec` and its neighbours damage bytes, these forge them: checksums fit, and what they guard does
not. Everything that an object can be asked is asked.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aliquot.chunk import Chunk, ChunkReader
from aliquot.codec import pack, unpack
from aliquot.envelope import Part
from aliquot.errors import Undecodable
from aliquot.frames import Channel, pack_frame
from aliquot.inbox import Dropped
from aliquot.keys import ChunkId, OutcomeKey, parse_stop
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome, OutcomeReader
from aliquot.protocol import check_frames
from aliquot.request_file import RequestRefused, RunRequest
from aliquot.roster import Roster
from aliquot.rows import Block, make_block
from aliquot.spans import SpanSet
from benchmarks.fuzz.forge import forge as forge_packed

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=12)
)
ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)


def forge(header: dict[Any, Any], parts: dict[str, bytes]) -> bytes:
    """An object with any header and any parts, whose lengths and checksums are right."""
    return forge_packed(pack(header), list(parts), list(parts.values()))


def ask_chunk(body: bytes, chunk: ChunkId) -> None:
    """Read everything that a chunk can be asked for."""
    read = ChunkReader(body, chunk)
    for name in read.column_names:
        assert len(read.column(name)) == chunk.n_records
    for name in read.kept_kinds:
        with suppress(Undecodable):
            read.kept(name)
    assert all(isinstance(row.reason, str) for row in read.bad().values())
    source, line = read.locate(chunk.n_records - 1)
    assert source >= 0
    assert line >= 0
    assert sum(end - first for _, first, end in read.split_by_source(0, chunk.n_records)) == chunk.n_records


def ask_outcome(body: bytes) -> None:
    """Read everything that an outcome can be asked for."""
    read = OutcomeReader(body)
    assert sum(read.failed.spans, ()) is not None
    assert all(isinstance(name, str) for name in [*read.kinds, *read.places])
    assert all(isinstance(failure.message, str) for failure in read.failures())
    for block in read.blocks(0, 1000):
        assert all(len(values) == block.n_rows for values in block.columns.values())


def _encode(fields: Any) -> str:
    return base64.b64encode(pack(fields)).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


CHUNK = ChunkId(0, 3)
CHUNK_HEADER = {
    "type": "chunk",
    "first": 0,
    "records": 3,
    "columns": ["id"],
    "kept": {"k": ["int"]},
    "provenance": [[0, 0, 1]],
}
CHUNK_PARTS = {
    "column:id": pack(["a", "b", "c"]),
    "kept:k": pack([1, 2, 3]),
    "bad": pack([[1, "why", "text"]]),
}
BLOCK = make_block(0, [[{"n": 1}], [], [{"n": 2}]], [None] * 3, ())
OUTCOME_HEADER = {
    "type": "outcome",
    "kinds": {"n": ["int"]},
    "places": {"n": [0, 0]},
    "rows": 2,
    "failed": "1-2",
    "cpu_ms": 1,
    "peak_mib": 1,
}
OUTCOME_PARTS = {"block:0": pack({"x": 1}), "failures": pack([[1, "crash", "why", ""]])}


def test_what_is_forged_here_is_read_when_it_is_sound() -> None:
    ask_chunk(forge(CHUNK_HEADER, CHUNK_PARTS), CHUNK)
    blocks = {0: BLOCK.pack()}
    ask_outcome(
        Outcome(blocks, {"n": ["int"]}, 2, [Failure(1, "crash", "why")], places={"n": (0, 0)}).to_bytes()
    )


@QUICK
@given(st.sampled_from(sorted(CHUNK_HEADER)), ANYTHING)
def test_chunk_with_anything_in_its_header(field: str, value: Any) -> None:
    with suppress(Undecodable):
        ask_chunk(forge({**CHUNK_HEADER, field: value}, CHUNK_PARTS), CHUNK)


@QUICK
@given(st.sampled_from(sorted(CHUNK_PARTS)), ANYTHING)
def test_chunk_with_anything_in_its_parts(part: str, value: Any) -> None:
    with suppress(Undecodable):
        ask_chunk(forge(CHUNK_HEADER, {**CHUNK_PARTS, part: pack(value)}), CHUNK)


@QUICK
@given(st.sampled_from(sorted(OUTCOME_HEADER)), ANYTHING)
def test_outcome_with_anything_in_its_header(field: str, value: Any) -> None:
    with suppress(Undecodable):
        ask_outcome(forge({**OUTCOME_HEADER, field: value}, OUTCOME_PARTS))


@QUICK
@given(st.sampled_from(["block:0", "block:00", "block:-1", "block:x", "failures"]), ANYTHING)
def test_outcome_with_anything_in_its_parts(part: str, value: Any) -> None:
    with suppress(Undecodable):
        ask_outcome(forge(OUTCOME_HEADER, {part: pack(value)}))


@QUICK
@given(
    st.fixed_dictionaries(
        {
            "first": st.just(0) | ANYTHING,
            "counts": st.binary(max_size=12) | ANYTHING,
            "columns": st.dictionaries(st.text(max_size=2), st.binary(max_size=6) | ANYTHING, max_size=2)
            | ANYTHING,
            "notes": st.just([]) | ANYTHING,
        }
    )
)
def test_block_of_anything(body: dict[str, Any]) -> None:
    with suppress(Undecodable):
        block = Block.unpack(Part.of(pack(body)))
        assert len(block.slice(0, 2).counts) <= 2


@QUICK
@given(st.binary(max_size=200), st.integers(0, 12))
def test_any_bytes_behind_a_sound_prefix(tail: bytes, cut: int) -> None:
    body = forge(CHUNK_HEADER, CHUNK_PARTS)
    for hostile in (tail, body[: len(body) - cut] + tail, body[:13] + tail):
        with suppress(Undecodable):
            ask_chunk(hostile, CHUNK)
        with suppress(Undecodable):
            ask_outcome(hostile)


@QUICK
@given(st.recursive(_LEAVES.filter(lambda v: not isinstance(v, bytes)), st.lists, max_leaves=8), st.data())
def test_roster_of_anything(value: Any, data: st.DataObject) -> None:
    sound = {
        "format": "aliquot/roster/1",
        "chunks": [["00000000.3", [["0-3", "outcomes/w/00000000.3/0-3~a.local.1.0.1"]], ""]],
    }
    assert Roster.from_json(json.dumps(sound).encode()).shares
    place = data.draw(st.integers(0, 2))
    chunk = list(sound["chunks"][0])
    chunk[place] = value
    for hostile in (value, {"format": "aliquot/roster/1", "chunks": value}, {**sound, "chunks": [chunk]}):
        with suppress(Undecodable):
            Roster.from_json(json.dumps(hostile).encode())


@pytest.mark.parametrize(
    ("shares", "gap"),
    [
        ([["0-4", "0-3~a.local.1.0.1"]], ""),
        ([["0-2", "0-3~a.local.1.0.1"], ["1-3", "0-3~b.local.1.0.1"]], ""),
        ([["0-3", "0-3~a.local.1.0.1"]], "2-3"),
        ([], "0-9"),
    ],
)
def test_roster_gives_no_record_twice_and_none_that_is_not_there(shares: list[list[str]], gap: str) -> None:
    given = [[spans, f"outcomes/w/00000000.3/{outcome}"] for spans, outcome in shares]
    body = {"format": "aliquot/roster/1", "chunks": [["00000000.3", given, gap]]}
    with pytest.raises(Undecodable, match=r"00000000\.3"):
        Roster.from_json(json.dumps(body).encode())


@QUICK
@given(st.lists(ANYTHING, max_size=11), st.integers(0, 9), ANYTHING)
def test_message_of_anything(fields: list[Any], place: int, value: Any) -> None:
    sound = unpack(_decode(TaskMessage("june", "match", CHUNK, CHUNK.all_records).to_text()))
    forged = [*sound[:place], value, *sound[place + 1 :]]
    for hostile in (fields, forged):
        with suppress(Undecodable):
            message = TaskMessage.from_text(_encode(hostile))
            assert 0 < len(message.spans) <= message.chunk.n_records


@QUICK
@given(st.text(max_size=60))
def test_message_of_any_text(text: str) -> None:
    with pytest.raises(Undecodable):
        TaskMessage.from_text(text)


@pytest.mark.parametrize(
    "fields",
    [
        [1, "june", "match", "00000000.3", "0-9" + "9" * 30, 0, 0, 1, "small", False],
        [1, "june", "match", f"00000000.{10**30}", f"0-{10**30}", 0, 0, 1, "small", False],
        [1, "june", "match", "00000000.٣", "0-3", 0, 0, 1, "small", False],
        [1, "../june", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june/../july", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "a/b", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "match", "../00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "match", "00000000.3", "0-3", 1 << 31, 0, 1, "small", False],
        [1, "june", "match", "00000000.3", "0-3", 0, -1, 1, "small", False],
        [1, "june\n", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
    ],
)
def test_message_that_asks_for_what_cannot_be_is_refused(fields: list[Any]) -> None:
    with pytest.raises(Undecodable):
        TaskMessage.from_text(_encode(fields))


@QUICK
@given(st.text("0123456789-+./~abz٣\n", max_size=40))
def test_keys_and_spans_read_as_they_are_written_or_not_at_all(text: str) -> None:
    """A key that reads as another would have one object counted for another."""
    for parse, spell in (
        (SpanSet.parse, str),
        (lambda t: OutcomeKey.parse(f"outcomes/w/00000000.3/0-3~{t}"), lambda k: str(k).partition("~")[2]),
    ):
        with suppress(ValueError):
            parsed = parse(text)
            assert len(str(parsed)) < 500
            if parse is SpanSet.parse:
                assert spell(parsed) == text
                assert len(parsed) >= 0
    for read in (ChunkId.parse, parse_stop):
        with suppress(ValueError):
            read(text)


@QUICK
@given(st.lists(ANYTHING | st.dictionaries(st.text(max_size=6), ANYTHING, max_size=4), max_size=3))
def test_frames_of_anything_are_refused_before_they_are_believed(frames: list[Any]) -> None:
    read_end, write_end = os.pipe()
    channel = Channel(os.dup(write_end), read_end)
    try:
        for frame in frames:
            os.write(write_end, pack_frame(frame))
        with suppress(Undecodable):
            got = channel.receive()
            check_frames(got, {0: (0, 3)})
            assert all(frame["op"] in {"answer", "opened", "failed", "broken"} for frame in got)
    finally:
        os.close(write_end)
        channel.close()


ANSWER = {
    "op": "answer",
    "thread": 0,
    "first": 0,
    "end": 3,
    "block": [b"", 0, 0],
    "rows": 0,
    "kinds": {},
    "failures": [],
    "wall_ns": 1,
    "cpu_ns": 1,
}


@pytest.mark.parametrize(
    "lie",
    [
        {"thread": 1},
        {"thread": -1},
        {"thread": None},
        {"thread": True},
        {"thread": [0]},
        {"first": 1},
        {"end": 4},
        {"end": 0},
        {"end": -1},
        {"end": "3"},
        {"end": 2.5},
        {"block": [b"", 0]},
        {"block": ["", 0, 0]},
        {"rows": None},
        {"kinds": {"a": "int"}},
        {"failures": [[7, "crash", "", ""]]},
        {"failures": [[1, "crash", ""]]},
        {"wall_ns": -5},
    ],
)
def test_answer_for_what_was_not_asked_is_refused(lie: dict[str, Any]) -> None:
    """A job that writes to its host's pipe must not answer for records of others."""
    check_frames([ANSWER], {0: (0, 3)})
    with pytest.raises(Undecodable):
        check_frames([ANSWER | lie], {0: (0, 3), 2: (9, 12)})


def test_answer_that_comes_twice_or_unasked_is_refused() -> None:
    for frames, sent in (([ANSWER, ANSWER], {0: (0, 3), 1: (3, 6)}), ([ANSWER], {1: (0, 3)}), ([ANSWER], {})):
        with pytest.raises(Undecodable):
            check_frames(frames, sent)


@QUICK
@given(ANYTHING)
def test_event_of_anything(value: Any) -> None:
    for event in (
        value,
        {"detail": value},
        {"detail": {"bucket": {"name": value}, "object": {"key": value, "etag": value, "size": value}}},
    ):
        with suppress(Undecodable):
            Dropped.read(event)


@pytest.mark.parametrize("field", ["version-id", "sequencer"])
@pytest.mark.parametrize("value", [[], 5, None])
def test_event_of_an_object_whose_version_is_no_text(field: str, value: Any) -> None:
    """Found by `make fuzz`; a run's id is made of it."""
    found = {"key": "a.run.json", "size": 10, "etag": "abc", field: value}
    with pytest.raises(Undecodable):
        Dropped.read({"detail": {"bucket": {"name": "inbox"}, "object": found}})


@pytest.mark.parametrize("field", ["budget_usd", "budget_time_s", "record_timeout_s"])
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_request_with_a_figure_past_all_floats_is_answered(field: str, value: int) -> None:
    """Found by `make fuzz`: an OverflowError, and nobody would have heard why nothing began."""
    request = {"format": "aliquot/request/1", "job": "crossref", "data": "a", field: value}
    with pytest.raises(RequestRefused, match=field):
        RunRequest.from_bytes(json.dumps(request).encode())


@QUICK
@given(
    st.binary(max_size=80)
    | st.recursive(_LEAVES.filter(lambda v: not isinstance(v, bytes)), st.lists).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_request_of_anything(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        RunRequest.from_bytes(body)


@pytest.mark.parametrize("order", ["<", ">"])
def test_array_of_texts_is_of_characters_that_there_are(order: str) -> None:
    """Found by `make fuzz`: it was read, and a SystemError of NumPy came up where its text was asked for."""
    sound = np.array(["ab", "\U0010ffff"]).astype(f"{order}U2")
    assert unpack(pack(sound)).tolist() == ["ab", "\U0010ffff"]
    packed = pack(sound).replace(sound.tobytes(), sound.tobytes()[:-4] + b"\x7f\xff\xff\x7f")
    with pytest.raises(Undecodable, match="characters that there are not"):
        unpack(packed)


def test_timestamps_of_msgpack_become_a_type_that_is_known() -> None:
    assert unpack(b"\xd6\xff\x00\x00\x00\x01").year == 1970


def test_sound_chunk_is_no_hostile_one() -> None:
    ask_chunk(Chunk(0, 3, {"id": ["a", "b", "c"]}, provenance=((0, 0, 1), (2, 1, 1))).to_bytes(), CHUNK)


@pytest.mark.parametrize("plain", [b"", b"some", bytes(1 << 20)])
def test_frame_that_tells_no_size_is_read_as_the_protocol_says(plain: bytes) -> None:
    """Hosts in other languages may stream theirs; a size of 0 is a limit like any other."""
    stored = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
    assert Part(stored, zlib.crc32(stored), len(plain)).open("part") == plain
    with pytest.raises(Undecodable):
        Part(stored, zlib.crc32(stored), len(plain) + 1).open("part")
