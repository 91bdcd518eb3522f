"""Values of registered types, one by one and as columns of one type.

    one value    head, body                               head: [name, version of the type]
    a column     `b`, head, count, plain bytes (0: the bodies are not in a zstd frame), length of each, bodies
                 `f`, head, presence of each, a column for each field      dataclasses, NamedTuples

A length of 2^32 - 1, or a presence of 0, is None. A body is the bytes of the type's `to_bytes`; or msgpack, a
map of fields; or the name of an enum's member. Fields are set without running anything of the class.

Owns extensions 7 and 9. Imports `registry`. When it is wrong, a value comes back as another one.
"""

from __future__ import annotations

import enum
import struct
from array import array
from collections import deque
from dataclasses import fields, is_dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgpack
import zstandard

from aliquot.codec import Stored, is_column, pack
from aliquot.codec_forms import EXT_NAMED, VERSION, check_version, order_bytes
from aliquot.errors import Unencodable
from aliquot.registry import Known, find, find_reader, is_named_tuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aliquot.codec import Reading, Writing

_NONE = 0xFFFFFFFF
_SAMPLE_BYTES, _LEAST_BYTES = 1 << 14, 1 << 10  # by which it is told whether bodies can be squeezed
_WORTH_IT = 0.8
_MOST_SQUEEZED = 100  # a column that claims more is refused: it would fill memory out of nothing


def write_named(value: Any, writing: Writing) -> Any:
    """The extension of one value."""
    known = find(type(value))
    assert known is not None  # noqa: S101 - or it would not have come here
    return EXT_NAMED, VERSION + _write_head(known) + _write_body(known, value, writing)


def write_column(known: Known, values: Sequence[Any], writing: Writing) -> list[Any] | None:
    """The column of values of one type, None among them; None where they go one by one."""
    if known.to_bytes is not None:
        return _write_bodies(known, values)
    if issubclass(known.kind, enum.Enum):
        return None
    there = [value for value in values if value is not None]
    names = list_fields(known.kind)
    _check_attributes(known.kind, there, names)
    columns = {name: list(map(attrgetter(name), there)) for name in names}
    presence = bytes([value is not None for value in values])
    body = [presence, {name: writing.inner.pack(column) for name, column in columns.items()}]
    return [b"f", _write_head(known), msgpack.packb(body)]


def _write_bodies(known: Known, values: Sequence[Any]) -> list[Any]:
    bodies = [None if value is None else _write_bytes(known, value) for value in values]
    lengths = array("I", [_NONE if body is None else len(body) for body in bodies])
    joined = b"".join([body for body in bodies if body])
    squeezed = _squeeze(joined)
    count = struct.pack("<II", len(bodies), len(joined) if squeezed else 0)
    return [b"b", _write_head(known), count, order_bytes(lengths).tobytes(), squeezed or joined]


def _squeeze(joined: bytes) -> bytes:
    """The bodies in a zstd frame; nothing where that is not worth it.

    RDKit's binaries of molecules say the same names again and again: they take a twelfth.
    """
    sample = joined[:_SAMPLE_BYTES]
    if len(sample) < _LEAST_BYTES or len(zstandard.compress(sample, 1)) > len(sample) * _WORTH_IT:
        return b""
    squeezed = zstandard.compress(joined, 1)
    return squeezed if len(joined) <= len(squeezed) * _MOST_SQUEEZED else b""


def _expand(body: bytes, plain_bytes: int) -> bytes:
    if plain_bytes > len(body) * _MOST_SQUEEZED:
        raise ValueError(
            f"{plain_bytes:,} bytes out of {len(body):,}: they are squeezed to less than is written"
        )
    if zstandard.frame_content_size(body) != plain_bytes:  # which it would be given, whatever it holds
        raise ValueError(f"a frame of another size than {plain_bytes:,} bytes")
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=plain_bytes)


def _check_attributes(kind: type, values: Sequence[Any], names: Sequence[str]) -> None:
    """Raise Unencodable where a value has more than its fields."""
    if not hasattr(values[0], "__dict__"):
        return
    n_expected = 0 if is_named_tuple(kind) else len(names)
    if set(map(len, map(vars, values))) != {n_expected}:
        for value in values:
            _take_fields(value)


def list_fields(kind: type) -> Sequence[str]:
    """The fields of a dataclass or NamedTuple."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    return kind._fields  # type: ignore[attr-defined, no-any-return]


def read_named(payload: bytes, reading: Reading) -> Any:
    """The value of an extension."""
    check_version(EXT_NAMED, payload)
    name, version, at = _read_head(payload, 1)
    return _find_maker(name, version, reading)(payload[at:])


def read_bodies(payload: bytes | memoryview, reading: Reading) -> list[Any]:
    """The values of a column of what their type's own functions wrote."""
    _, make, bodies = list_bodies(payload, reading)
    return [None if body is None else make(body) for body in bodies]


def list_bodies(
    payload: bytes | memoryview, reading: Reading
) -> tuple[str, Callable[[bytes], Any], list[bytes | None]]:
    """A column's type, what makes its values, and the bytes of each."""
    name, version, at = _read_head(payload, 2)
    body = bytes(payload[at:])
    count, plain_bytes = struct.unpack_from("<II", body)
    lengths = array("I")
    lengths.frombytes(body[8 : 8 + 4 * count])
    if len(lengths) != count:
        raise ValueError(f"a column of {count} values that has the lengths of {len(lengths)}")
    lengths = order_bytes(lengths)
    bodies = body[8 + 4 * count :]
    if plain_bytes:
        bodies = _expand(bodies, plain_bytes)
    ends = list(accumulate((0 if length == _NONE else length for length in lengths), initial=0))
    if ends[-1] != len(bodies):
        raise ValueError("a column whose values are not as long as they say")
    make = _find_maker(name, version, reading) if reading.opens else _keep_stored(name, version)
    spans = zip(lengths, pairwise(ends), strict=True)
    return name, make, [None if length == _NONE else bodies[first:end] for length, (first, end) in spans]


def read_fields(payload: bytes | memoryview, reading: Reading) -> list[Any]:
    """The values of a column of fields."""
    inner = reading.inner
    name, version, presence, columns = split_fields(payload, lambda _, column: inner.read(column))
    if reading.opens:
        return join_fields(name, version, presence, columns)
    keep = _keep_stored(name, version)
    return _place(presence, [keep(pack(held)) for held in _list_rows(presence, columns)])


def join_fields(name: str, version: int, presence: bytes, columns: dict[str, Sequence[Any]]) -> list[Any]:
    """The values of a column out of its fields."""
    known, older = find_reader(name, version)
    kind, rows = known.kind, _list_rows(presence, columns)
    if older or is_named_tuple(kind) or not _has_dict(kind) or columns.keys() != set(list_fields(kind)):
        return _place(presence, list(map(choose_setter(name, version), rows)))
    made: list[Any] = list(map(object.__new__, repeat(kind, len(presence) - presence.count(0))))
    deque(map(object.__setattr__, made, repeat("__dict__"), rows), 0)  # without a call of ours for each
    return _place(presence, made)


def _list_rows(presence: bytes, columns: dict[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The fields of each value that is there."""
    if not columns:
        return iter([{} for _ in range(len(presence) - presence.count(0))])
    return map(dict, map(zip, repeat(list(columns)), zip(*columns.values(), strict=True)))


def _place(presence: bytes, values: list[Any]) -> list[Any]:
    """The rows of a column: its values where they are, and None."""
    there = iter(values)
    return values if all(presence) else [next(there) if each else None for each in presence]


def split_fields(
    payload: bytes | memoryview, read: Callable[[str, bytes], Any]
) -> tuple[str, int, bytes, dict[str, Sequence[Any]]]:
    """A column's type and its version, the presence of each row, and its fields as `read` gives them."""
    name, version, at = _read_head(payload, 2)
    presence, packed = msgpack.unpackb(memoryview(payload)[at:])
    columns = {field: read(field, column) for field, column in packed.items()}
    n_there = len(presence) - presence.count(0)
    if not all(is_column(column) and len(column) == n_there for column in columns.values()):
        raise ValueError("a column whose fields are not as long as it says")
    return name, version, presence, columns


def _keep_stored(name: str, version: int) -> Callable[[bytes], Stored]:
    """What makes bodies the values that they were, still stored."""
    head = VERSION + _spell_head(name, version)
    return lambda body: Stored(EXT_NAMED, head + body)


def _write_head(known: Known) -> bytes:
    return _spell_head(known.name, known.version)


def _spell_head(name: str, version: int) -> bytes:
    head: bytes = msgpack.packb([name, version])
    if len(head) > 0xFF:
        raise Unencodable("", f"a type whose name has {len(head)} bytes")
    return bytes((len(head),)) + head


def _read_head(payload: bytes | memoryview, at: int) -> tuple[str, int, int]:
    """A type's name, its version, and where its head ends."""
    end = at + 1 + payload[at]
    name, version = msgpack.unpackb(payload[at + 1 : end])
    if type(name) is not str or type(version) is not int:
        raise ValueError("a value without the name of its type")
    return name, version, end


def _write_body(known: Known, value: Any, writing: Writing) -> bytes:
    if known.to_bytes is not None:
        return _write_bytes(known, value)
    if isinstance(value, enum.Enum):
        if value.name not in known.kind.__members__:  # type: ignore[attr-defined]
            raise Unencodable("", f"a combination of members of {known.name}: {value!r}")
        return value.name.encode()
    return writing.inner.pack(_take_fields(value))


def _write_bytes(known: Known, value: Any) -> bytes:
    try:
        body = known.to_bytes(value)  # type: ignore[misc]
    except Unencodable:
        raise
    except Exception as err:  # the type's own code, which C++ may stand behind
        raise Unencodable("", f"{known.name} ({type(err).__name__}: {err})") from err
    if type(body) is not bytes or len(body) >= _NONE:
        raise Unencodable("", f"{known.name}, whose to_bytes gave {type(body).__name__}, not bytes")
    return body


def _take_fields(value: Any) -> dict[str, Any]:
    """A value's fields; raises Unencodable where it has more than these, or lacks one."""
    names = list_fields(type(value))
    more = getattr(value, "__dict__", {}).keys() - set(names)
    for name in sorted(more):
        if not isinstance(getattr(type(value), name, None), cached_property):
            raise Unencodable(f".{name}", f"attribute that is no field of {type(value).__qualname__}")
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError as err:
        raise Unencodable("", f"{type(value).__qualname__} without a field: {err}") from err


def _find_maker(name: str, version: int, reading: Reading) -> Callable[[bytes], Any]:
    """What makes values of a type from their bodies; raises NotRegistered."""
    known, older = find_reader(name, version)
    if known.from_bytes is not None:
        return older or known.from_bytes
    if issubclass(known.kind, enum.Enum):
        members = known.kind.__members__
        return lambda body: (older or members.__getitem__)(body.decode())
    setter, inner = choose_setter(name, version), reading.inner
    return lambda body: setter(inner.read(body))


@cache
def _has_dict(kind: type) -> bool:
    """Whether all of a value lies in its `__dict__`."""
    return not any("__slots__" in vars(base) for base in kind.__mro__[:-1])


def choose_setter(name: str, version: int) -> Callable[[Any], Any]:
    """What makes a dataclass or NamedTuple from a map of its fields."""
    known, older = find_reader(name, version)
    if older is not None:
        return older
    kind, names = known.kind, list_fields(known.kind)
    wanted = set(names)

    def make(held: Any) -> Any:
        if type(held) is not dict or held.keys() != wanted:
            raise ValueError(f"a value of {name!r} with other fields than {', '.join(names)}")
        if is_named_tuple(kind):
            return tuple.__new__(kind, [held[each] for each in names])
        made: Any = object.__new__(kind)
        if _has_dict(kind):
            object.__setattr__(made, "__dict__", held)
        else:
            for each in names:
                object.__setattr__(made, each, held[each])
        return made

    return make
