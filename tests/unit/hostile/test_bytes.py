"""Bytes that nobody of ours wrote: whatever they are, they are read, or refused by one error.

Where `test_codec` and its neighbours damage bytes, these forge them: checksums fit, and what they guard does
not. Everything that an object can be asked is asked.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aliquot.chunk import Chunk, ChunkReader
from aliquot.codec import pack, unpack
from aliquot.envelope import Part
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId
from aliquot.outcome import Failure, Outcome, OutcomeReader
from aliquot.rows import Block, make_block
from benchmarks.fuzz.forge import forge as forge_packed
from benchmarks.fuzz.forge import forge_block
from tests.unit.hostile.anything import ANYTHING, QUICK


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
        block = Block.unpack(Part.of(forge_block(body)))
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
