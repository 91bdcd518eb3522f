"""The protocol's document is true: its examples are what the code writes and reads."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import re
import zlib
import zoneinfo
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from aliquot.chunk import BadRow, ChunkReader
from aliquot.codec import pack, unpack
from aliquot.envelope import Part
from aliquot.frames import Channel, pack_frame, read_frame
from aliquot.job import MOST_THREADS
from aliquot.keys import ChunkId
from aliquot.page import ANSWERED, AT_NS, AWAKE_NS, N_SLOTS, READ, Page
from aliquot.registry import register
from aliquot.rows import Block, name_kinds

DOCUMENT = (Path(__file__).parents[3] / "docs/host-protocol.md").read_text()
FRAMES = [
    (json.loads(shown), bytes.fromhex(written))
    for shown, written in re.findall(r"```json\n(.+?)\n```\n\n```hex\n(.+?)\n```", DOCUMENT, re.DOTALL)
]


@dataclass(frozen=True)
class Grid:
    """A type with functions of its own for its bytes."""

    cells: bytes


class Pose(NamedTuple):
    """A type whose fields are stored."""

    score: float
    tags: set[str]


register(Grid, "acme.grid", to_bytes=lambda grid: grid.cells, from_bytes=Grid)
register(Pose, "acme.pose")
VALUES = {
    "text": "CCO",
    "small integer": 7,
    "float": 0.5,
    "list or tuple": [1, None],
    "array, extension 1": np.array([[1, 2]], "<f4"),
    "date, extension 2": dt.date(2020, 1, 2),
    "date and time, extension 2": dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    "time, extension 2": dt.time(3, 4, 5),
    "duration, extension 2": dt.timedelta(1, 2, 3),
    "decimal, extension 3": decimal.Decimal("1.50"),
    "big integer, extension 4": 1 << 64,
    "complex, extension 5": 1 + 2j,
    "array in Fortran order, extension 1": np.array([[1, 2], [3, 4]], "<i2", order="F"),
    "structured array, extension 1": np.array([(1, 2.5)], [("n", "<i2"), ("x", "<f4")]),
    "NumPy scalar, extension 1": np.datetime64("2020-01-02", "D"),
    "zoned time, extension 2": dt.datetime(
        2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")
    ),
    "set, extension 6": {1, 2},
    "frozenset, extension 6": frozenset({"a"}),
    "registered type, extension 7": Grid(b"ab"),
    "dataclass or named tuple, extension 7": Pose(0.5, {"a"}),
    "column of arrays, extension 9": [np.array([1, 2], "<i2")] * 2,
    "column of a registered type, extension 9": [Grid(b"ab"), None],
    "column of dataclasses or named tuples, extension 9": [Pose(0.5, {"a"}), None],
    "column of dates, extension 9": [dt.date(2020, 1, 2), None],
    "column of dates and times, extension 9": [dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None],
    "column of sets, extension 9": [{"a"}, None],
}


def _with_bytes(shown: Any) -> Any:
    """JSON as the document shows it: text that begins with 0x is bytes."""
    if isinstance(shown, dict):
        return {key: _with_bytes(value) for key, value in shown.items()}
    if isinstance(shown, list):
        return [_with_bytes(value) for value in shown]
    return bytes.fromhex(shown[2:]) if isinstance(shown, str) and shown.startswith("0x") else shown


def _read_block(kind: str) -> bytes:
    found = re.findall(rf"```{kind}\n(.+?)\n```", DOCUMENT, re.DOTALL)
    assert len(found) == 1
    return bytes.fromhex(found[0])


def test_every_frame_has_an_example() -> None:
    shown = {frame["op"] for frame, _ in FRAMES}
    assert shown == {"prepare", "prepared", "open", "opened", "failed", "chunk", "broken", "step", "answer"}


@pytest.mark.parametrize(("shown", "written"), FRAMES, ids=[frame["op"] for frame, _ in FRAMES])
def test_frames_are_written_as_shown(shown: dict[str, Any], written: bytes) -> None:
    assert pack_frame(_with_bytes(shown)) == written


@pytest.mark.parametrize(("shown", "written"), FRAMES, ids=[frame["op"] for frame, _ in FRAMES])
def test_frames_are_read_as_shown(shown: dict[str, Any], written: bytes) -> None:
    """By a host's blocking end, and by the supervisor's, to which bytes come as they please."""
    read_end, write_end = os.pipe()
    os.write(write_end, written)
    assert read_frame(read_end) == _with_bytes(shown)
    unread_end, to_host = os.pipe()
    channel = Channel(to_host, read_end)
    received = []
    for byte in written + written:
        os.write(write_end, bytes([byte]))
        received += channel.receive()
    os.close(write_end)
    assert received == [_with_bytes(shown)] * 2
    assert channel.receive() == []
    assert channel.is_ended
    channel.close()
    os.close(unread_end)


def test_values_are_stored_as_shown() -> None:
    rows = re.findall(r"^\| (.+?) \| .+? \| `([0-9a-f]+)` \|$", DOCUMENT, re.MULTILINE)
    assert {name for name, _ in rows} == set(VALUES)
    for name, written in rows:
        assert pack(VALUES[name]).hex() == written
        read = unpack(bytes.fromhex(written), opens=True)
        assert type(read) is type(VALUES[name])
        assert repr(read) == repr(VALUES[name])


def test_the_chunk_reads_as_the_document_says() -> None:
    read = ChunkReader(_read_block("chunk"), ChunkId(0, 3))
    assert read.first == 100
    assert (read.column("id"), read.column("smiles")) == (["r1", "r2", None], ["CCO", "CC=O", None])
    assert read.bad() == {2: BadRow("no columns", "??")}
    assert read.locate(1) == (0, 102)
    assert (
        next(frame["body"] for frame, _ in FRAMES if frame["op"] == "chunk")
        == "0x" + _read_block("chunk").hex()
    )


def test_the_block_reads_as_the_document_says() -> None:
    stored = _read_block("block")
    plain_bytes = int(re.findall(r"(\d+) bytes when unpacked:", DOCUMENT)[0])
    read = Block.unpack(Part(stored, zlib.crc32(stored), plain_bytes))
    assert (list(read.counts), read.columns, list(read.notes)) == (
        [1, 2, 0],
        {"n": [1, 2, 3]},
        [None, "b", None],
    )
    answer = next(frame for frame, _ in FRAMES if frame["op"] == "answer")
    assert answer["block"] == ["0x" + stored.hex(), zlib.crc32(stored), plain_bytes]
    assert {name: sorted(kinds) for name, kinds in read.kinds().items()} == answer["kinds"]


def test_the_page_is_laid_out_as_the_document_says() -> None:
    words = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", DOCUMENT, re.MULTILINE))
    assert {name: int(at) for name, at in words.items()} == {
        "READ": READ * 8,
        "ANSWERED": ANSWERED * 8,
        "AT_NS": AT_NS * 8,
        "AWAKE_NS": AWAKE_NS * 8,
    }
    assert f"A host has {MOST_THREADS} of them" in DOCUMENT
    assert f"{N_SLOTS} slots of eight signed 64-bit words" in DOCUMENT
    page = Page.create()
    slot = page.slot(3)
    slot[AT_NS] = 0x0102030405060708
    assert os.pread(page.fd, 8, 3 * 64 + 16) in (bytes(range(1, 9)), bytes(range(8, 0, -1)))
    assert os.fstat(page.fd).st_size == (N_SLOTS + 1) * 64
    page.pace[0] = 7
    assert os.pread(page.fd, 8, N_SLOTS * 64) in ((7).to_bytes(8, "little"), (7).to_bytes(8, "big"))
    slot.release()
    page.close()


def test_the_kinds_that_the_document_lists_are_those_that_are_named() -> None:
    section = DOCUMENT.partition("### Kinds of value")[2]
    made = name_kinds([None, True, 1, 1 << 60, 1 << 70, 0.5, "", b"", *VALUES.values(), {}, [1]])
    for kind in made - {"Decimal", "complex", "datetime64"}:
        assert f"`{kind.split(' ')[0]}" in section
