"""Readers of objects and of what they hold: everything that a chunk or an outcome can be asked is asked.

Owns these targets, and a sound chunk, outcome and block. Imports the core.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import zstandard

from aliquot.chunk import BadRow, Chunk, ChunkReader
from aliquot.codec import is_column, pack, unpack, unpack_late
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId
from aliquot.outcome import Failure, Outcome, OutcomeReader
from aliquot.registry import register
from aliquot.rows import Block, make_block
from benchmarks.fuzz.binaries import list_chemistry, list_tables
from benchmarks.fuzz.forge import forge, join, split, wrap_header
from benchmarks.fuzz.targets import Target, as_it_is

CHUNK = ChunkId(0, 3)
BLOCK = make_block(0, [[{"n": 1, "s": "a"}], [], [{"n": 2, "s": None}]], [None, "note", None], ())


class Pair(NamedTuple):
    """A type whose fields are stored."""

    a: Any
    b: Any


class Wrapped:
    """A type that has functions of its own for its bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body


register(Pair, "fuzz.Pair")
register(Wrapped, "fuzz.Wrapped", to_bytes=lambda each: each.body, from_bytes=Wrapped)

VALUES: tuple[Any, ...] = (
    None,
    [1, -1, 1 << 40, 1 << 80, 0.5, True, "text", b"bytes"],
    {"a": {"b": [1]}, (1, 2): 3, 7: "x"},
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.array(["2020-01-01"], dtype="M8[D]"),
    np.array(["ab", "c"]),
    complex(1, 2),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array([(1, 2.5, "c")], [("n", "<i4"), ("x", ">f8"), ("s", "<U2")]),
    np.array(["a", "bc"], np.dtypes.StringDType()),
    np.datetime64("2020-01-01"),
    [np.arange(3.0), np.arange(3.0)],
    {"s": {1, (2, "x")}, "f": frozenset({b"a"})},
    [{"a"}, None],
    {"p": Pair(1, [Pair({2}, None)]), "w": Wrapped(b"body")},
    [Pair(1, "a"), None, Pair(2, "b")],
    [Wrapped(b"body" * 500), None, Wrapped(b"")],
)


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


def _seed_codec() -> Iterator[bytes]:
    import datetime as dt
    import decimal
    import zoneinfo

    day = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
    times = [day, day.date(), day.time(), dt.timedelta(1, 2, 3)]
    zoned = dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    columns = [[day, None], [day.date()], [decimal.Decimal("1.50"), None]]
    others = (*list_tables(), *list_chemistry())
    for value in (
        *VALUES,
        times,
        zoned,
        *columns,
        decimal.Decimal("1.50"),
        decimal.Decimal("Infinity"),
        *others,
    ):
        yield pack(value)
    yield b"\xd6\xff\x00\x00\x00\x01"


def _ask_codec(body: bytes) -> None:
    repr(unpack(body))[:100]
    with suppress(Undecodable):
        repr(unpack(body, opens=True))[:100]
    column = unpack_late(body, "column")
    for at in range(len(column) if is_column(column) else 0):
        with suppress(Undecodable):
            repr(column[at])[:100]


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
    yield bytes(BLOCK.pack().open("block"))
    part = make_block(0, [[{"a": value}] for value in VALUES], [None] * len(VALUES), ()).pack()
    yield bytes(part.open("block"))


OBJECTS = (
    Target("codec", as_it_is(_ask_codec), _seed_codec, (Undecodable,)),
    Target("envelope", as_it_is(_ask_envelope), _seed_envelope, (Undecodable,), n_items=2),
    Target("part", as_it_is(_ask_part), _seed_part, (Undecodable,), n_items=2),
    Target(
        "chunk",
        as_it_is(_ask_chunk),
        _seed_chunk,
        (Undecodable,),
        ("provenance", "kept", "columns"),
        n_items=4,
    ),
    Target(
        "outcome",
        as_it_is(_ask_outcome),
        _seed_outcome,
        (Undecodable,),
        ("kinds", "places", "failed"),
        n_items=4,
    ),
    Target("block", as_it_is(_ask_block), _seed_block, (Undecodable,), ("counts", "columns", "notes")),
)
