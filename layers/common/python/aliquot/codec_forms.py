"""What extensions of values have in common: their codes, their version byte, how they are framed.

Owns the codes. Imports msgpack. When it is wrong, one extension is read as another.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import msgpack

VERSION = b"\x01"

EXT_ARRAY, EXT_TIME, EXT_DECIMAL, EXT_BIGINT, EXT_COMPLEX = 1, 2, 3, 4, 5
EXT_SET, EXT_NAMED, EXT_TABLE, EXT_COLUMN = 6, 7, 8, 9

LONG_HEAD = 6  # bytes before the payload of an extension of more than 64 KiB
_LONG = 0xC9
# of the others, by msgpack's first byte: bytes before the payload, and its size where none of them says it
_HEADS = {0xC7: (3, 0), 0xC8: (4, 0), _LONG: (LONG_HEAD, 0)} | {
    0xD4 + power: (2, 1 << power) for power in range(5)
}


def check_version(code: int, payload: bytes | memoryview, versions: bytes = VERSION) -> int:
    """The version of an extension's payload; raises ValueError where it is none of these."""
    if not payload or payload[0] not in versions:
        found = bytes(payload[:1])
        raise ValueError(f"extension {code} has version {found!r}; this release reads {versions!r}")
    return payload[0]


def order_bytes(numbers: array[int]) -> array[int]:
    """Numbers in little-endian order, from or to this machine's."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def as_key(key: Any) -> Any:
    """A map's key, or a set's item, that may have been a tuple, which msgpack knows as a list only."""
    return tuple(map(as_key, key)) if isinstance(key, list) else key


def frame(code: int, parts: Sequence[Any]) -> list[Any]:
    """An extension's msgpack form in parts that are to be joined: long ones are copied there only."""
    size = sum(map(len, parts))
    if size > 0xFFFF:
        return [struct.pack(">BIB", _LONG, size, code), *parts]
    return [msgpack.packb(msgpack.ExtType(code, b"".join(parts)))]


def find_extension(body: bytes | memoryview, at: int = 0) -> tuple[int, int, int] | None:
    """Code, begin and end of the payload of the extension at a place; None where there is none.

    Raises:
        ValueError: it ends behind the bytes.
    """
    n_head, size = _HEADS.get(body[at], (0, 0)) if at < len(body) else (0, 0)
    if not n_head:
        return None
    begin = at + n_head
    end = begin + (size or int.from_bytes(body[at + 1 : begin - 1]))
    if end > len(body):
        raise ValueError("an extension that is not as long as it says")
    return body[begin - 1], begin, end
