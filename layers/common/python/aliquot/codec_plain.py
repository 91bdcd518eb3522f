"""Values of Python's own types that msgpack lacks: times, decimals, large and complex numbers, sets.

Owns extensions 2 to 6. Imports the standard library. When it is wrong, a date moves or a digit is lost.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import struct
import zoneinfo
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import msgpack

from aliquot.codec_forms import (
    EXT_BIGINT,
    EXT_COMPLEX,
    EXT_DECIMAL,
    EXT_SET,
    EXT_TIME,
    VERSION,
    as_key,
    check_version,
    order_bytes,
)
from aliquot.errors import Unencodable

if TYPE_CHECKING:
    from aliquot.codec import Reading, Write, Writing

Time = dt.datetime | dt.date | dt.time | dt.timedelta
TIMES = (dt.datetime, dt.date, dt.time, dt.timedelta)

_ZONED = b"\x02"  # a time with more than an offset: the zone's name, or the second of two equal hours
_MAX_DIGITS = 4000  # of an integer; Python itself refuses to read more than 4300
_MAX_ZONE = 100
_NO_TIME = -(1 << 63)
_MICROSECOND = dt.timedelta(microseconds=1)


def choose_writer(kind: type) -> Write:
    """What writes values of a type; raises Unencodable."""
    for base, write in _WRITERS.items():
        if issubclass(kind, base) and (base not in (set, frozenset) or kind is base):
            return write
    known = "which is not registered" if issubclass(kind, enum.Enum) else ""
    raise Unencodable("", f"{kind.__module__}.{kind.__qualname__}{', ' if known else ''}{known}")


def _write_int(value: int, _: Writing) -> Any:
    """An integer past 64 bits as decimal text; a smaller one, such as of an enum, as it is."""
    if -(1 << 63) <= value < (1 << 64):
        return int(value)
    if value.bit_length() > _MAX_DIGITS * 3:
        raise Unencodable("", f"integer of {value.bit_length()} bits")
    return EXT_BIGINT, VERSION + str(int(value)).encode()


def _write_decimal(value: decimal.Decimal, _: Writing) -> Any:
    return EXT_DECIMAL, VERSION + str(value).encode()


def write_complex(value: complex, _: Writing) -> Any:
    """Two doubles."""
    return EXT_COMPLEX, VERSION + struct.pack("<dd", value.real, value.imag)


def _write_set(value: set[Any] | frozenset[Any], writing: Writing) -> Any:
    """The items' forms, sorted: a set has no order, and equal sets have equal bytes."""
    packed = sorted(map(writing.inner.pack, value))
    head = msgpack.Packer().pack_array_header(len(packed))
    return EXT_SET, b"".join((VERSION, b"f" if type(value) is frozenset else b"s", head, *packed))


def _write_time(value: Time, _: Writing) -> Any:
    if value != value:  # noqa: PLR0124 - pandas' NaT, a datetime that no calendar knows
        raise Unencodable("", "missing time (NaT)")
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise Unencodable("", f"{type(value).__name__} with nanoseconds: give a NumPy datetime64")
    if isinstance(value, dt.timedelta):
        return EXT_TIME, VERSION + f"D{value.days},{value.seconds},{value.microseconds}".encode()
    letter = "T" if isinstance(value, dt.datetime) else "d" if isinstance(value, dt.date) else "t"
    zone, fold = getattr(value, "tzinfo", None), getattr(value, "fold", 0)
    if not fold and (zone is None or (type(zone) is dt.timezone and zone == _bare(zone))):
        return EXT_TIME, VERSION + (letter + value.isoformat()).encode()
    said = _name_zone(zone)
    bare = value.replace(tzinfo=None).isoformat()  # type: ignore[call-arg]
    return EXT_TIME, _ZONED + f"{letter}{bare} {fold} {said}".encode()


def _bare(zone: dt.timezone) -> dt.timezone | None:
    """The zone of this offset without a name; None where it has one of its own."""
    offset = zone.utcoffset(None)
    return zone if zone.tzname(None) == dt.timezone(offset).tzname(None) else None


def _name_zone(zone: dt.tzinfo | None) -> str:
    if zone is None or (type(zone) is dt.timezone and _bare(zone)):
        return "" if zone is None else str(_seconds(zone))
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    raise Unencodable("", f"time in a zone of type {type(zone).__name__}: give a ZoneInfo or a plain offset")


def _seconds(zone: dt.timezone) -> float:
    return zone.utcoffset(None).total_seconds()


_WRITERS: dict[type, Write] = {
    int: _write_int,
    dt.date: _write_time,
    dt.time: _write_time,
    dt.timedelta: _write_time,
    decimal.Decimal: _write_decimal,
    complex: write_complex,
    set: _write_set,
    frozenset: _write_set,
}


def write_column(kind: type, values: Sequence[Any]) -> list[Any] | None:
    """A column of dates, times, decimals or sets; None where they go one by one."""
    if kind in _SETS:
        return _write_sets(kind, values)
    if kind is dt.datetime:
        return _write_instants(values)
    if kind not in _TEXTS or (kind is dt.time and not all(_is_bare(each) for each in values if each)):
        return None
    letter, spell, _ = _TEXTS[kind]
    return [b"t", letter, "\n".join(["" if value is None else spell(value) for value in values]).encode()]


def _write_instants(values: Sequence[dt.datetime | None]) -> list[Any] | None:
    """Dates and times of one plain zone as microseconds, as its clocks show them, since 1970."""
    there = [value for value in values if value is not None]
    zones = set(map(attrgetter("tzinfo"), there))
    zone = next(iter(zones))
    if len(zones) > 1 or not _is_bare(there[0]) or any(map(attrgetter("fold"), there)):
        return None
    epoch = dt.datetime(1970, 1, 1, tzinfo=zone)
    numbers = array("q", [_NO_TIME if each is None else (each - epoch) // _MICROSECOND for each in values])
    return [b"i", _name_zone(zone).encode() + b"\n", order_bytes(numbers).tobytes()]


def _write_sets(kind: type, values: Sequence[Any]) -> list[Any] | None:
    """Sets of one of a few types, each sorted."""
    inner = set(map(type, chain.from_iterable(filter(None, values))))
    if len(inner) > 1 or not inner <= {str, int, bytes}:
        return None
    lists = [None if value is None else sorted(value) for value in values]
    return [b"s", b"f" if kind is frozenset else b"s", msgpack.packb(lists)]


def _is_bare(value: Any) -> bool:
    zone = value.tzinfo
    return not value.fold and (zone is None or (type(zone) is dt.timezone and _bare(zone) is not None))


_SETS = (set, frozenset)
_TEXTS: dict[type, tuple[bytes, Callable[[Any], str], Callable[[str], Any]]] = {
    dt.date: (b"d", dt.date.isoformat, dt.date.fromisoformat),
    dt.time: (b"t", dt.time.isoformat, dt.time.fromisoformat),
    decimal.Decimal: (b"n", str, decimal.Decimal),
}


def read_texts(payload: bytes | memoryview, _: Reading) -> list[Any]:
    """The values of a column of texts; an empty one is None."""
    letter = bytes(payload[2:3])
    read = next((read for known, _, read in _TEXTS.values() if known == letter), None)
    if read is None:
        raise ValueError(f"a column of texts of type {letter!r}")
    return [read(text) if text else None for text in bytes(payload[3:]).decode().split("\n")]


def read_instants(payload: bytes | memoryview, _: Reading) -> list[Any]:
    """The dates and times of a column."""
    zone, _newline, body = bytes(payload[2:]).partition(b"\n")
    numbers = array("q")
    numbers.frombytes(body)
    epoch = dt.datetime(1970, 1, 1, tzinfo=_read_zone(zone.decode()))
    return [None if number == _NO_TIME else epoch + _MICROSECOND * number for number in order_bytes(numbers)]


def read_sets(payload: bytes | memoryview, _: Reading) -> list[Any]:
    """The sets of a column."""
    kind: Any = {b"s": set, b"f": frozenset}[bytes(payload[2:3])]
    return [None if items is None else kind(items) for items in msgpack.unpackb(payload[3:])]


def read_bigint(payload: bytes, _: Reading) -> int:
    """The integer of decimal text."""
    check_version(EXT_BIGINT, payload)
    if len(payload) - 1 > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(payload) - 1} digits is not read")
    return int(payload[1:])


def read_decimal(payload: bytes, _: Reading) -> decimal.Decimal:
    """The decimal of its text."""
    check_version(EXT_DECIMAL, payload)
    return decimal.Decimal(payload[1:].decode())


def read_complex(payload: bytes, _: Reading) -> complex:
    """The complex number of two doubles."""
    check_version(EXT_COMPLEX, payload)
    return complex(*struct.unpack("<dd", payload[1:]))


def read_set(payload: bytes, reading: Reading) -> set[Any] | frozenset[Any]:
    """The set of its items; a list among them was a tuple."""
    check_version(EXT_SET, payload)
    kind: Any = {b"s": set, b"f": frozenset}[bytes(payload[1:2])]
    items = reading.inner.read(memoryview(payload)[2:])
    if type(items) is not list:
        raise ValueError("a set whose items are no list")
    return cast("set[Any] | frozenset[Any]", kind(map(as_key, items)))


def read_time(payload: bytes, _: Reading) -> Time:
    """The time of its text."""
    version = check_version(EXT_TIME, payload, VERSION + _ZONED)
    text = payload[1:].decode()
    letter, rest = text[:1], text[1:]
    if letter == "D":
        days, seconds, microseconds = (int(part) for part in rest.split(","))
        return dt.timedelta(days, seconds, microseconds)
    read: Any = {"T": dt.datetime, "d": dt.date, "t": dt.time}.get(letter)
    if read is None:
        raise ValueError(f"not a time: {text[:40]!r}")
    if version == VERSION[0] or letter == "d":
        return cast(Time, read.fromisoformat(rest))
    bare, fold, zone = rest.split(" ", 2)
    if fold not in {"0", "1"}:
        raise ValueError(f"not a time: {text[:40]!r}")
    time = read.fromisoformat(bare)
    return cast(Time, time.replace(fold=int(fold), tzinfo=_read_zone(zone)))


def _read_zone(text: str) -> dt.tzinfo | None:
    if not text:
        return None
    if text[0].isdigit() or text[0] == "-":
        return dt.timezone(dt.timedelta(seconds=float(text)))
    if len(text) > _MAX_ZONE:
        raise ValueError(f"a zone named by {len(text)} characters")
    return zoneinfo.ZoneInfo(text)  # refuses names that lead out of its folders
