"""Chunks: columns, provenance and the rows that did not parse read back as they were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.chunk import BadRow, Chunk, ChunkReader
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable, Unencodable
from aliquot.keys import ChunkId


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    n_records = draw(st.integers(1, 12))
    values = st.lists(st.text(max_size=4) | st.none() | st.integers(), min_size=n_records, max_size=n_records)
    starts = sorted({0, *draw(st.sets(st.integers(0, n_records - 1), max_size=4))})
    return Chunk(
        first=draw(st.integers(0, 10**9)),
        n_records=n_records,
        columns=draw(st.dictionaries(st.text(max_size=3), values, max_size=3)),
        kept=draw(st.dictionaries(st.text(max_size=3), values, max_size=2)),
        provenance=tuple((at, draw(st.integers(0, 3)), draw(st.integers(1, 10**6))) for at in starts),
        bad={
            at: BadRow("no arrow", "CCO") for at in draw(st.sets(st.integers(0, n_records - 1), max_size=3))
        },
    )


def _read(chunk: Chunk) -> ChunkReader:
    return ChunkReader(chunk.to_bytes(), ChunkId(0, chunk.n_records))


@given(chunks())
def test_a_chunk_reads_back(chunk: Chunk) -> None:
    read = _read(chunk)
    assert read.first == chunk.first
    assert {name: read.column(name) for name in read.column_names} == dict(chunk.columns)
    assert read.column_names == list(chunk.columns)
    assert {name: read.kept(name) for name in chunk.kept} == dict(chunk.kept)
    assert read.bad() == chunk.bad
    assert read.provenance == chunk.provenance


@given(chunks())
def test_every_record_knows_its_source_and_line(chunk: Chunk) -> None:
    read = _read(chunk)
    for index in range(chunk.n_records):
        at, source, line = max(run for run in chunk.provenance if run[0] <= index)
        assert read.locate(index) == (source, line + index - at)


@given(chunks(), st.data())
def test_a_span_splits_into_pieces_of_one_source_each(chunk: Chunk, data: st.DataObject) -> None:
    read = _read(chunk)
    first = data.draw(st.integers(0, chunk.n_records))
    end = data.draw(st.integers(first, chunk.n_records))
    pieces = list(read.split_by_source(first, end))
    assert [index for _, a, b in pieces for index in range(a, b)] == list(range(first, end))
    assert all(read.locate(index)[0] == source for source, a, b in pieces for index in range(a, b))
    assert all(left[0] != right[0] for left, right in pairwise(pieces))


def test_a_chunk_under_another_s_key_is_refused() -> None:
    body = Chunk(0, 3, {"a": [1, 2, 3]}).to_bytes()
    with pytest.raises(Undecodable, match="holds 3 records where its key says 4"):
        ChunkReader(body, ChunkId(0, 4))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(Undecodable, match="does not hold 3 values"):
        _read(Chunk(0, 3, {"a": [1, 2]})).column("a")


def test_what_cannot_be_stored_is_named_by_column_and_place() -> None:
    with pytest.raises(Unencodable) as caught:
        Chunk(0, 2, {"smiles": ["CC", object()]}).to_bytes()
    assert caught.value.path == "smiles[1]"


@pytest.mark.parametrize("lacking", ["first", "columns", "kept", "provenance", "records"])
def test_a_header_that_lacks_a_field_is_damage(lacking: str) -> None:
    header = dict(Envelope.from_bytes(Chunk(0, 1, {"a": [1]}).to_bytes(), "chunk").header)
    del header[lacking], header["parts"]
    with pytest.raises(Undecodable, match=lacking):
        ChunkReader(Envelope(header, {}).to_bytes(), ChunkId(0, 1))


def test_bad_rows_of_another_form_are_damage() -> None:
    sound = Envelope.from_bytes(Chunk(0, 1, {"a": [1]}).to_bytes(), "chunk")
    header = {name: value for name, value in sound.header.items() if name != "parts"}
    body = Envelope(header, {"bad": Part.of(b"\x91\x01")}).to_bytes()
    with pytest.raises(Undecodable):
        ChunkReader(body, ChunkId(0, 1)).bad()
