"""The file form of chunks and outcomes: a msgpack header and named parts, each compressed and checked.

    b"ALQT" | version u8 | header bytes u32 | crc32 of header u32 | header (msgpack map) | parts...

The header's `parts` lists [name, stored bytes, crc32 of stored bytes, plain bytes]; a part is one zstd
frame, or as it is where it has as many bytes stored as plain. Each begins at a multiple of 16, so that arrays
are used where they lie. Parts are independent: a reader unpacks only those that it needs, and the header
alone says what an object is. Sizes are checked before anything is allocated.

Owns this form. Imports msgpack through `codec`, and zstandard. When it is wrong, no object can be read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

import zstandard

from aliquot.codec import pack, unpack
from aliquot.errors import Undecodable, Unencodable

T = TypeVar("T")
Buffer = bytes | memoryview

MAGIC = b"ALQT"
VERSION = 2
ALIGNED = 16  # bytes, of which a part's place is a multiple: no type of NumPy's wants more
LARGEST_PART_BYTES = 1 << 30
_PREFIX = struct.Struct("<4sBII")
# Of zstd. Measured on columns of USPTO reaction SMILES, one core: level 1 makes them 4.3 (mapped) to 5.2
# (maps stripped) times smaller at 350-460 MB/s; level 3 gains another 5-11% at 0.73-0.88 of that speed.
_LEVEL = 1
# What hardly shrinks is stored as it is, and read without a copy: arrays of float64 noise, which level 1
# makes 4% smaller at 0.9 GB/s. A sample tells, within 0.2 ms.
_NOISE = 0.9  # a sample's size after, over before
_SAMPLE_BYTES = 1 << 14
_MOST_PLAIN = 1 << 15  # bytes that one byte of a frame can become: a block of 128 KiB takes 4 at least


@dataclass(frozen=True)
class Part:
    """One part, as it is stored."""

    stored: Buffer
    crc: int
    plain_bytes: int

    @classmethod
    def of(cls, plain: bytes, what: str = "part") -> Part:
        """Compress `plain`; raises Unencodable where it is larger than what is read back."""
        if len(plain) > LARGEST_PART_BYTES:
            raise Unencodable(
                what, f"value of {len(plain):,} bytes (at most {LARGEST_PART_BYTES:,} are read)"
            )
        stored = plain if _is_long_noise(plain) else zstandard.ZstdCompressor(level=_LEVEL).compress(plain)
        if len(stored) >= len(plain):
            stored = plain
        return cls(stored, zlib.crc32(stored), len(plain))

    def open(self, what: str) -> Buffer:
        """The plain bytes; raises Undecodable where they are damaged."""
        if zlib.crc32(self.stored) != self.crc:
            raise Undecodable(what, "its checksum does not fit: the object is damaged")
        if self.plain_bytes == len(self.stored):
            return self.stored
        if self.plain_bytes > len(self.stored) * _MOST_PLAIN:  # before that much memory is asked for
            raise Undecodable(what, f"{len(self.stored)} bytes cannot become {self.plain_bytes}")
        room = max(1, self.plain_bytes)  # 0 would be no limit
        try:
            # a frame that tells its size is given that much memory, whatever `max_output_size` says
            if zstandard.frame_content_size(self.stored) not in (self.plain_bytes, -1):
                raise Undecodable(
                    what, f"its header says {self.plain_bytes} bytes and its frame another size"
                )
            plain = zstandard.ZstdDecompressor().decompress(self.stored, max_output_size=room)
        except zstandard.ZstdError as err:
            raise Undecodable(what, str(err)) from err
        if len(plain) != self.plain_bytes:
            raise Undecodable(what, f"{len(plain)} bytes where its header says {self.plain_bytes}")
        return plain


@dataclass(frozen=True)
class Envelope:
    """A header and its parts."""

    header: dict[str, Any]
    parts: Mapping[str, Part]

    def to_bytes(self) -> bytes:
        """The object's bytes."""
        listed = [[name, len(part.stored), part.crc, part.plain_bytes] for name, part in self.parts.items()]
        header = pack({**self.header, "parts": listed})
        pieces: list[Buffer] = [_PREFIX.pack(MAGIC, VERSION, len(header), zlib.crc32(header)), header]
        end = _PREFIX.size + len(header)
        for part in self.parts.values():
            pieces += (bytes(-end % ALIGNED), part.stored)
            end = align(end) + len(part.stored)
        return b"".join(pieces)

    @classmethod
    def from_bytes(cls, body: Buffer, kind: str) -> Envelope:
        """Read an object whose header's `type` is `kind`; parts are left as stored. Raises Undecodable.

        Parts are views of `body`, not copied.
        """
        header, start = read_header(body, kind)
        parts: dict[str, Part] = {}
        view = memoryview(body)
        for name, stored_bytes, crc, plain_bytes in _listed_parts(header, kind):
            if any(view[start : align(start)]):
                raise Undecodable(kind, f"damaged before part {name!r}")
            start = align(start)
            stored = view[start : start + stored_bytes]
            if len(stored) != stored_bytes:
                raise Undecodable(kind, f"truncated: part {name!r} has {len(stored)} of {stored_bytes} bytes")
            parts[name] = Part(stored, crc, plain_bytes)
            start += stored_bytes
        return cls(header, parts)

    def read(self, name: str, kind: type[T], is_sound: Callable[[T], bool] = bool) -> T:
        """A field of the header; raises Undecodable where it is none of that kind, or not sound."""
        value = self.header.get(name)
        if type(value) is not kind or not is_sound(value):
            raise Undecodable(str(self.header.get("type")), f"its header lacks or garbles {name!r}")
        return value

    def open(self, name: str) -> Buffer:
        """The plain bytes of a part; raises Undecodable where there is none."""
        if name not in self.parts:
            raise Undecodable(str(self.header.get("type")), f"has no part {name!r}")
        return self.parts[name].open(f"part {name!r}")


def align(place: int) -> int:
    """The next place at which a part may begin."""
    return place + -place % ALIGNED


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number from 0 to what any index may be."""
    return type(value) is int and 0 <= value < 1 << 48


def is_texts(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return type(value) is list and all(type(each) is str for each in value)


def is_texts_by_name(value: Any) -> bool:
    """Whether a map has lists of texts by texts."""
    return all(type(name) is str and is_texts(texts) for name, texts in value.items())


def is_noise(sample: bytes) -> bool:
    """Whether zstd saves so little of a sample that compressing the rest is not worth its time."""
    stored = zstandard.ZstdCompressor(level=_LEVEL).compress(sample)
    return bool(sample) and len(stored) > _NOISE * len(sample)


def _is_long_noise(plain: bytes) -> bool:
    """Whether compressing is not worth its time, by three pieces of what is long enough to ask."""
    step = len(plain) // 4
    if step < 4 * _SAMPLE_BYTES:
        return False
    return is_noise(b"".join(plain[at : at + _SAMPLE_BYTES] for at in (step, 2 * step, 3 * step)))


def read_header(body: Buffer, kind: str) -> tuple[dict[str, Any], int]:
    """The header of an object's first bytes, and where its parts begin; raises Undecodable."""
    if len(body) < _PREFIX.size:
        raise Undecodable(kind, f"{len(body)} bytes are too few")
    magic, version, header_bytes, crc = _PREFIX.unpack_from(body)
    if magic != MAGIC:
        raise Undecodable(kind, f"starts with {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise Undecodable(kind, f"is of format {version}; this release reads {VERSION}")
    packed = body[_PREFIX.size : _PREFIX.size + header_bytes]
    if len(packed) != header_bytes or zlib.crc32(packed) != crc:
        raise Undecodable(kind, "its header is truncated or damaged")
    header = unpack(packed, kind)
    if not isinstance(header, dict) or header.get("type") != kind:
        raise Undecodable(kind, "its header is of another type of object")
    return header, _PREFIX.size + header_bytes


def _listed_parts(header: dict[str, Any], kind: str) -> list[tuple[str, int, int, int]]:
    listed = header.get("parts")
    is_sound = isinstance(listed, list) and all(
        isinstance(row, list)
        and len(row) == 4
        and isinstance(row[0], str)
        and all(isinstance(number, int) and 0 <= number <= LARGEST_PART_BYTES * 4 for number in row[1:])
        and row[3] <= LARGEST_PART_BYTES
        for row in listed
    )
    if not is_sound:
        raise Undecodable(kind, "its header lists parts that cannot be")
    return [tuple(row) for row in listed]  # type: ignore[union-attr]
