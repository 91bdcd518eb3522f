"""Values as msgpack, with typed extensions for what msgpack lacks: arrays, dates, decimals, big integers.

No pickles: what is read can only become one of the types below, so hostile bytes execute nothing. Each
extension carries its version in its payload's first byte. Nothing is imported for a type that is not used:
a value is recognised by its class's module and name. Packing goes through `msgpack.packb`; only values that
msgpack does not know take the slower way.

Owns the wire form of single values. Imports msgpack, and NumPy only when an array is met. When it is
wrong, rows differ from what a function returned.
"""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from aliquot.errors import Undecodable, Unencodable

if TYPE_CHECKING:
    import numpy as np

VERSION = b"\x01"
MAX_BYTES = 1 << 30  # longest text, array or list that is read: what is longer is refused, not allocated

EXT_ARRAY, EXT_TIME, EXT_DECIMAL, EXT_BIGINT, EXT_COMPLEX = 1, 2, 3, 4, 5

_AS_DATETIME = 3  # msgpack's own timestamps, which nobody here writes, as a type that is known here
_DEEPEST_PATH = 16  # steps into a value that an error's path names
_SMALL_BYTES = 1 << 12  # what so few bytes can claim is no burden
_MAX_DIGITS = 4000  # of an integer; Python itself refuses to read more than 4300
_ARRAY_KINDS = frozenset("biufcSUmM")


def pack(value: Any, path: str = "value") -> bytes:
    """The msgpack form of `value`; raises Unencodable with the path to what cannot be stored."""
    try:
        return msgpack.packb(value, default=_extend)  # type: ignore[no-any-return]
    except _NoExtension as err:
        raise Unencodable(_find_culprit(value, path)[0], err.type_name) from err
    except (TypeError, ValueError, OverflowError, RecursionError) as err:
        where, culprit = _find_culprit(value, path)
        raise Unencodable(where, f"{type(culprit).__name__} ({err})") from err


def unpack(body: bytes | memoryview, what: str = "value") -> Any:
    """The value of its msgpack form; raises Undecodable."""
    try:
        if len(body) > _SMALL_BYTES:
            _check_lengths(body)
        try:
            return _unpack(body, None)
        except TypeError:
            return _unpack(
                body, _make_dict
            )  # keys that were tuples; costs twice the time where maps are many
    except Exception as err:  # msgpack raises a family of its own, and ValueError for the rest
        raise Undecodable(what, f"{type(err).__name__}: {err}") from err


def _check_lengths(body: bytes | memoryview) -> None:
    """Raise what msgpack raises unless every list and map is as long as it says.

    A list is allocated at the length that it claims, and each of 1,024 nested ones may claim as many items as
    the body has bytes. Walking through first takes a tenth to a third of the time of reading.
    """
    walker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    walker.feed(body)
    walker.skip()


def _unpack(body: bytes | memoryview, make_dict: Callable[[list[tuple[Any, Any]]], Any] | None) -> Any:
    return msgpack.unpackb(
        body,
        ext_hook=_restore,
        object_pairs_hook=make_dict,
        strict_map_key=False,
        timestamp=_AS_DATETIME,
        max_str_len=MAX_BYTES,
        max_bin_len=MAX_BYTES,
        max_ext_len=MAX_BYTES,
    )


class _NoExtension(TypeError):
    def __init__(self, type_name: str) -> None:
        super().__init__(type_name)
        self.type_name = type_name


def _extend(value: Any) -> Any:
    kind = type(value)
    if kind.__module__ == "numpy" or hasattr(value, "__array_interface__"):
        return _extend_numpy(value)
    if isinstance(value, int):
        return _extend_bigint(value)
    if isinstance(value, dt.datetime | dt.date | dt.time | dt.timedelta):
        return msgpack.ExtType(EXT_TIME, VERSION + _time_text(value).encode())
    if isinstance(value, decimal.Decimal):
        return msgpack.ExtType(EXT_DECIMAL, VERSION + str(value).encode())
    if isinstance(value, complex):
        return _extend_complex(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise _NoExtension(f"{kind.__module__}.{kind.__qualname__}")


def _extend_bigint(value: int) -> Any:
    """An integer past 64 bits, as decimal text."""
    if value.bit_length() > _MAX_DIGITS * 3:
        raise _NoExtension(f"integer of {value.bit_length()} bits")
    return msgpack.ExtType(EXT_BIGINT, VERSION + str(value).encode())


def _extend_complex(value: complex) -> Any:
    return msgpack.ExtType(EXT_COMPLEX, VERSION + struct.pack("<dd", value.real, value.imag))


def _extend_numpy(value: Any) -> Any:
    """Scalars as Python's own (msgpack asks once: what comes back has to be final), arrays as they are."""
    import numpy as np

    if isinstance(value, np.complex64 | np.complex128):
        return _extend_complex(complex(value))
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "biufSU" else _extend_array(np.asarray(value))
    if isinstance(value, np.ndarray):
        return _extend_array(value)
    raise _NoExtension(f"{type(value).__module__}.{type(value).__qualname__}")


def _extend_array(array: np.ndarray[Any, Any]) -> Any:
    """dtype, shape and C-order bytes, the bytes aligned at 8 from the payload's start."""
    if array.dtype.kind not in _ARRAY_KINDS or array.dtype.fields is not None:
        raise _NoExtension(f"numpy array of {array.dtype}")
    head = msgpack.packb([array.dtype.str, list(array.shape)])
    if len(head) > 255:
        raise _NoExtension(f"numpy array of {array.ndim} dimensions")
    pad = -(3 + len(head)) % 8
    payload = b"".join((VERSION, struct.pack("<BB", len(head), pad), head, b"\0" * pad, array.tobytes()))
    return msgpack.ExtType(EXT_ARRAY, payload)


def _make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A map whose keys may have been tuples, which msgpack knows as lists only."""
    return {_as_key(key): value for key, value in pairs}


def _as_key(key: Any) -> Any:
    return tuple(map(_as_key, key)) if isinstance(key, list) else key


def _restore(code: int, payload: bytes) -> Any:
    if payload[:1] != VERSION:
        raise ValueError(f"extension {code} has version {payload[:1]!r}; this release reads {VERSION!r}")
    if code == EXT_ARRAY:
        return _restore_array(payload)
    if code == EXT_TIME:
        return _read_time(payload[1:].decode())
    if code == EXT_DECIMAL:
        return decimal.Decimal(payload[1:].decode())
    if code == EXT_BIGINT:
        return _read_bigint(payload[1:])
    if code == EXT_COMPLEX:
        return complex(*struct.unpack("<dd", payload[1:]))
    raise ValueError(f"extension {code} is unknown to this release")


def _restore_array(payload: bytes) -> np.ndarray[Any, Any]:
    """A read-only view of the payload: no copy."""
    import numpy as np

    head_bytes, pad = struct.unpack_from("<BB", payload, 1)
    dtype_text, shape = msgpack.unpackb(payload[3 : 3 + head_bytes])
    dtype = np.dtype(str(dtype_text))
    if dtype.kind not in _ARRAY_KINDS or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of {dtype} and shape {shape} is not read")
    at = 3 + head_bytes + pad
    if dtype.kind == "U" and len(payload) > at and dtype.itemsize:
        codes = np.frombuffer(payload, f"{dtype.byteorder}u4", offset=at)
        if codes.max() > sys.maxunicode:  # NumPy would make no text of it, and say so where it is read
            raise ValueError("an array of texts with characters that there are not")
    return np.frombuffer(payload, dtype, offset=at).reshape(shape)


def _read_bigint(text: bytes) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits is not read")
    return int(text)


def _time_text(value: dt.datetime | dt.date | dt.time | dt.timedelta) -> str:
    if isinstance(value, dt.timedelta):
        return f"D{value.days},{value.seconds},{value.microseconds}"
    letter = "T" if isinstance(value, dt.datetime) else "d" if isinstance(value, dt.date) else "t"
    if value != value:  # noqa: PLR0124 - pandas' NaT, a datetime that no calendar knows
        raise _NoExtension("missing time (NaT)")
    return letter + value.isoformat()


def _read_time(text: str) -> dt.datetime | dt.date | dt.time | dt.timedelta:
    letter, rest = text[0], text[1:]
    if letter == "T":
        return dt.datetime.fromisoformat(rest)
    if letter == "d":
        return dt.date.fromisoformat(rest)
    if letter == "t":
        return dt.time.fromisoformat(rest)
    if letter == "D":
        days, seconds, microseconds = (int(part) for part in rest.split(","))
        return dt.timedelta(days, seconds, microseconds)
    raise ValueError(f"not a time: {text[:40]!r}")


def _find_culprit(value: Any, path: str, depth: int = 0) -> tuple[str, Any]:
    """The path to the first thing in `value` that cannot be packed, and the thing."""
    children: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        children = ((f"{path}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        children = ((f"{path}[{place}]", item) for place, item in enumerate(value))
    for child_path, item in children:
        try:
            msgpack.packb(item, default=_extend)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return _find_culprit(item, child_path, depth + 1) if depth < _DEEPEST_PATH else (child_path, item)
    return path, value
