"""Objects on disk: what was written is read, and damage is told, never returned."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aliquot import envelope
from aliquot.codec import pack
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable, Unencodable


def _make_body(header: dict[str, Any], content: bytes = b"") -> bytes:
    """An object with any header, checksums right."""
    packed = pack(header)
    return struct.pack("<4sBII", b"ALQT", 2, len(packed), zlib.crc32(packed)) + packed + content


def _open_all(body: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    read = Envelope.from_bytes(body, "chunk")
    return read.header, {name: read.open(name) for name in read.parts}


@given(st.dictionaries(st.text("abc:", max_size=4), st.binary(max_size=200), max_size=4))
def test_parts_read_back(parts: dict[str, bytes]) -> None:
    body = Envelope(
        {"type": "chunk", "first": 7}, {name: Part.of(plain) for name, plain in parts.items()}
    ).to_bytes()
    header, read = _open_all(body)
    assert read == parts
    assert header["first"] == 7


def test_damage_to_any_byte_is_told() -> None:
    """A flipped bit on a disk must not become a row."""
    body = Envelope({"type": "chunk"}, {"a": Part.of(b"CCO>>CC=O" * 20), "b": Part.of(b"")}).to_bytes()
    for place in range(len(body)):
        for flip in (0x01, 0x80):
            damaged = bytearray(body)
            damaged[place] ^= flip
            with pytest.raises(Undecodable):
                _open_all(bytes(damaged))


def test_every_truncation_is_told() -> None:
    body = Envelope({"type": "chunk"}, {"a": Part.of(b"CCO" * 50)}).to_bytes()
    for length in range(len(body)):
        with pytest.raises(Undecodable):
            _open_all(body[:length])


def test_an_object_of_another_type_is_refused() -> None:
    with pytest.raises(Undecodable, match="another type"):
        Envelope.from_bytes(Envelope({"type": "outcome"}, {}).to_bytes(), "chunk")


def test_a_part_that_is_not_there_is_told() -> None:
    with pytest.raises(Undecodable, match="no part 'x'"):
        Envelope({"type": "chunk"}, {}).open("x")


@pytest.mark.parametrize("said_bytes", [0, 10, (1 << 27) - 1, (1 << 27) + 1])
def test_a_frame_larger_than_its_header_says_is_refused_before_it_is_unpacked(said_bytes: int) -> None:
    """128 MB of zeros compress to 4 kB: such an object must not fill the memory of who reads it."""
    stored = zstandard.ZstdCompressor().compress(bytes(1 << 27))
    part = Part(stored, zlib.crc32(stored), said_bytes)
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable):
            part.open("bomb")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_hides_its_size_is_held_to_what_its_header_says() -> None:
    squeeze = zstandard.ZstdCompressor(write_content_size=False)
    stored = squeeze.compress(b"CCO" * 100)
    assert Part(stored, zlib.crc32(stored), 300).open("part") == b"CCO" * 100
    for said_bytes in (0, 299, 301):
        with pytest.raises(Undecodable):
            Part(stored, zlib.crc32(stored), said_bytes).open("part")


@pytest.mark.parametrize(
    "parts",
    [
        None,
        {},
        [1],
        [["a", 1, 2]],
        [["a", -1, 0, 0]],
        [["a", 1.5, 0, 0]],
        [[5, 1, 0, 0]],
        [["a", 1, 0, (1 << 30) + 1]],
        [["a", 1 << 60, 0, 0]],
        [["a", 1 << 31, 0, 0]],
    ],
)
def test_lists_of_parts_that_cannot_be_are_refused(parts: Any) -> None:
    with pytest.raises(Undecodable):
        Envelope.from_bytes(_make_body({"type": "chunk", "parts": parts}, b"xyz"), "chunk")


@given(st.binary(max_size=80))
def test_any_bytes_raise_one_error(body: bytes) -> None:
    for hostile in (body, b"ALQT\x02" + body):
        with pytest.raises(Undecodable):
            Envelope.from_bytes(hostile, "chunk")


def test_a_part_too_large_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put has to be readable, or its records would be done again without end."""
    monkeypatch.setattr(envelope, "LARGEST_PART_BYTES", 100)
    Part.of(bytes(100))
    with pytest.raises(Unencodable, match="101 bytes"):
        Part.of(bytes(101))


def test_only_noise_is_stored_uncompressed() -> None:
    """It hardly shrinks, at a tenth of the speed; what shrinks does, whatever its beginning is like."""
    noise = np.random.default_rng(7).standard_normal(1 << 17).tobytes()
    for plain, most in (
        (noise, 1.01),
        (noise[:50_000], 0.97),
        (b"CCO" * 400_000, 0.01),
        (noise + bytes(1 << 22), 0.3),
    ):
        part = Part.of(plain)
        assert part.open("part") == plain
        assert len(part.stored) < most * len(plain)
    assert Part.of(noise).stored is noise
