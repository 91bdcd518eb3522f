"""Several byte strings in one input, JSON of some of them, and objects whose lengths and checksums fit.

A fuzzer does not guess a CRC: what it mutates is the plain content, and these put the sums around it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.envelope import ALIGNED, MAGIC, VERSION, Part
from aliquot.errors import Undecodable
from aliquot.rows import join_block

_LENGTH = struct.Struct(">H")


def join(*items: bytes) -> bytes:
    """One input of several items, each of at most 64 KiB."""
    return b"".join(_LENGTH.pack(len(item)) + item for item in items)


def split(body: bytes, count: int) -> list[bytes]:
    """The first `count` items of an input, empty where it has fewer; the last takes what is left."""
    items: list[bytes] = []
    at = 0
    while len(items) < count:
        length = _LENGTH.unpack_from(body, at)[0] if at + _LENGTH.size <= len(body) else 0
        at += _LENGTH.size
        items.append(body[at : at + length])
        at += length
    return items


def dump_json(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value).encode()


def load_json(body: bytes) -> Any:
    """What JSON says, or a text where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def wrap_header(header: bytes, parts: bytes = b"") -> bytes:
    """An object with these bytes as header, whose length and checksum are right."""
    return struct.pack("<4sBII", MAGIC, VERSION, len(header), zlib.crc32(header)) + header + parts


def forge_block(said: Any) -> bytes:
    """The plain bytes of a block whose head says anything; columns that are bytes lie behind it."""
    columns = said.get("columns") if isinstance(said, dict) else None
    if not isinstance(columns, dict):
        return join_block(pack(said), [])
    bodies = {name: body for name, body in columns.items() if isinstance(body, bytes)}
    sizes = {**columns, **{name: len(body) for name, body in bodies.items()}}
    return join_block(pack({**said, "columns": sizes}), bodies.values())


def forge(header: bytes, names: Sequence[str], plains: Sequence[bytes]) -> bytes:
    """An object with any header and any parts, whose lengths and checksums are right.

    Args:
        header: msgpack of a map without `parts`; of anything else it is put in as it is.
    """
    parts = {name: Part.of(plain) for name, plain in zip(names, plains, strict=True)}
    listed = [[name, len(part.stored), part.crc, part.plain_bytes] for name, part in parts.items()]
    try:
        fields = unpack(header)
        packed = pack({**fields, "parts": listed}) if isinstance(fields, dict) else header
    except (Undecodable, ValueError):
        packed = header
    body = bytearray(wrap_header(packed))
    for part in parts.values():
        body += bytes(-len(body) % ALIGNED) + part.stored
    return bytes(body)
