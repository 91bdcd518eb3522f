"""NumPy's arrays and scalars: any dtype without objects, C or Fortran order, read without a copy.

    version 1   [dtype, shape], content in C order            dtypes that NumPy spells in one text
    version 2   [dtype, shape, order], content                structured, sub-arrays, long doubles, texts of
                                                              any length; order C, F, or S for a scalar

The content lies at a multiple of 8 (version 2: 16) from the payload's start, and what is read is a view of
the payload, read-only. Owns extension 1 and the column of arrays. Imports NumPy. When it is wrong, numbers
change, or a reader looks beyond the bytes that it has.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from aliquot.codec_forms import EXT_ARRAY, LONG_HEAD, VERSION, check_version
from aliquot.errors import Unencodable

if TYPE_CHECKING:
    from aliquot.codec import Reading, Writing

Array = np.ndarray[Any, Any]

_RICH = b"\x02"
_KINDS = frozenset("biufcSUmM")  # of which a text says all
_DEEPEST = 8  # dtypes in dtypes


def write_numpy(value: Any, writing: Writing) -> Any:
    """Scalars as Python's own where these hold them, others and arrays as they are."""
    if isinstance(value, np.complex64 | np.complex128):
        from aliquot.codec_plain import write_complex

        return write_complex(complex(value), writing)
    if isinstance(value, np.generic) and _is_python_s(type(value)):
        return value.item()
    if isinstance(value, np.generic):
        return EXT_ARRAY, _write_rich(np.asarray(value), "S")
    if type(value) not in (np.ndarray, np.memmap):
        kind = type(value)
        raise Unencodable("", f"{kind.__module__}.{kind.__qualname__}")
    return EXT_ARRAY, _write_array(value)


def plain_scalars(kind: type, values: Sequence[Any]) -> list[Any] | None:
    """Python's own values of a column of NumPy's scalars; None where these do not hold them."""
    if not (issubclass(kind, np.generic) and _is_python_s(kind)):
        return None
    return [None if value is None else value.item() for value in values]


def write_column(values: Sequence[Any]) -> list[Any] | None:
    """Arrays of one dtype and shape as one array of them all; None where they are not."""
    first = values[0]
    if type(first) is not np.ndarray or not first.nbytes or not first.ndim or first.dtype.kind not in _KINDS:
        return None
    if first.dtype.char in "gG" or not all(
        type(each) is np.ndarray
        and each.dtype == first.dtype
        and each.shape == first.shape
        and each.flags.c_contiguous
        for each in values
    ):
        return None
    _refuse_metadata(first.dtype)
    head = msgpack.packb([first.dtype.str, [len(values), *first.shape]])
    if len(head) > 255:
        return None
    n_before = LONG_HEAD + 4 + len(head)
    pad = -n_before % 16
    return [b"a", struct.pack("<BB", len(head), pad), head, bytes(pad), *_contents(values)]


def read_column(payload: bytes | memoryview, _: Reading) -> list[Any]:
    """The arrays, each a view of the payload where that is aligned, else of one copy of it."""
    n_head, pad = struct.unpack_from("<BB", payload, 2)
    dtype_text, shape = msgpack.unpackb(bytes(payload[4 : 4 + n_head]))
    array = _view(_read_simple(dtype_text), shape, payload, 4 + n_head + pad, "C")
    if not array.nbytes or array.ndim < 2:
        raise ValueError(f"a column of arrays of shape {shape} is not read")
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return list(array)


def _contents(values: Sequence[Any]) -> list[Any]:
    """The bytes of contiguous arrays, none of them copied."""
    return [memoryview(each.reshape(-1).view(np.uint8)) for each in values]


def _is_python_s(kind: type) -> bool:
    return issubclass(
        kind, np.bool_ | np.integer | np.str_ | np.bytes_ | np.float16 | np.float32 | np.float64
    ) and not issubclass(kind, np.timedelta64)


def _write_array(array: Array) -> bytes:
    dtype = array.dtype
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    if dtype.kind not in _KINDS or dtype.char in "gG" or dtype.fields is not None or is_fortran:
        return _write_rich(array, "F" if is_fortran else "C")
    _refuse_metadata(dtype)
    head = msgpack.packb([dtype.str, list(array.shape)])
    return _join(VERSION, head, 8, _contents([np.ascontiguousarray(array)])[0], array)


def _write_rich(array: Array, order: str) -> bytes:
    if array.dtype.kind == "T":
        return _write_texts(array, order)
    head = msgpack.packb([_spell(array.dtype, array), list(array.shape), order])
    return _join(_RICH, head, 16, array.tobytes("F" if order == "F" else "C"), array)


def _write_texts(array: Array, order: str) -> bytes:
    """Texts of any length: a list of them, for NumPy keeps them elsewhere."""
    if array.dtype != np.dtypes.StringDType():
        raise Unencodable("", f"numpy array of {array.dtype!r}")
    head = msgpack.packb(["T", list(array.shape), "C" if order == "F" else order])
    return _join(_RICH, head, 16, msgpack.packb(array.reshape(-1).tolist()), array)


def _join(version: bytes, head: bytes, align: int, content: bytes | memoryview, array: Array) -> bytes:
    if len(head) > 0xFFFF or (version == VERSION and len(head) > 0xFF):
        raise Unencodable("", f"numpy array of {array.ndim} dimensions")
    size = struct.pack("<B" if version == VERSION else "<H", len(head))
    pad = -(2 + len(size) + len(head)) % align
    return b"".join((version, size, struct.pack("<B", pad), head, bytes(pad), content))


def _spell(dtype: np.dtype[Any], array: Array, depth: int = 0) -> Any:
    """A dtype as plain values: a text; [size, aligned, fields]; [of, shape]; [digits, long double]."""
    _refuse_metadata(dtype)
    if depth > _DEEPEST:
        raise Unencodable("", f"numpy array of a dtype nested more than {_DEEPEST} deep")
    if dtype.subdtype is not None:
        return [_spell(dtype.subdtype[0], array, depth + 1), list(dtype.subdtype[1])]
    if dtype.fields is not None:
        held = [
            [name, *_spell_title(dtype.fields[name]), _spell(dtype.fields[name][0], array, depth + 1)]
            for name in dtype.names or ()
        ]
        return [dtype.itemsize, dtype.isalignedstruct, held]
    if dtype.char in "gG":
        return [int(np.finfo(dtype).nmant), dtype.str]
    if dtype.kind not in _KINDS | {"V"}:
        raise Unencodable("", f"numpy array of {array.dtype}")
    return dtype.str


def _spell_title(field: Any) -> list[Any]:
    """A field's offset, and its title where that is text."""
    title = field[2] if len(field) > 2 else None
    if title is not None and not isinstance(title, str):
        raise Unencodable("", f"numpy array with a field's title of type {type(title).__name__}")
    return [field[1], title]


def _refuse_metadata(dtype: np.dtype[Any]) -> None:
    if dtype.metadata:
        raise Unencodable("", "numpy array with metadata in its dtype, which NumPy itself drops in files")


def read_array(payload: bytes, _: Reading) -> Any:
    """A read-only view of the payload: no copy. Of a scalar, the scalar."""
    if check_version(EXT_ARRAY, payload, VERSION + _RICH) == VERSION[0]:
        n_head, pad = struct.unpack_from("<BB", payload, 1)
        dtype_text, shape = msgpack.unpackb(payload[3 : 3 + n_head])
        return _view(_read_simple(dtype_text), shape, payload, 3 + n_head + pad, "C")
    n_head, pad = struct.unpack_from("<HB", payload, 1)
    spelt, shape, order = msgpack.unpackb(payload[4 : 4 + n_head])
    if order not in {"C", "F", "S"}:
        raise ValueError(f"an array in order {order!r} is not read")
    if spelt == "T":
        array = _read_texts(payload[4 + n_head + pad :], shape)
    else:
        array = _view(_read_dtype(spelt), shape, payload, 4 + n_head + pad, order)
    return array[()] if order == "S" else array


def _view(dtype: np.dtype[Any], shape: Any, payload: Any, at: int, order: str) -> Array:
    if type(shape) is not list or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of shape {shape} is not read")
    if not dtype.itemsize:
        if len(payload) > at:
            raise ValueError("an array of values without bytes that has some")
        return np.ndarray(shape, dtype)
    array = np.frombuffer(payload, dtype, offset=at)
    _check_texts(array)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _check_texts(array: Array) -> None:
    """Raise ValueError where texts have characters that there are not, as NumPy would where they are read."""
    for name in array.dtype.names or ():
        _check_texts(array[name])
    if array.dtype.kind != "U" or not array.nbytes:
        return
    codes = np.ascontiguousarray(array).reshape(-1).view(f"{array.dtype.byteorder}u4")
    if codes.max() > sys.maxunicode:
        raise ValueError("an array of texts with characters that there are not")


def _read_texts(body: bytes, shape: Any) -> Array:
    texts = msgpack.unpackb(body)
    if type(texts) is not list or not all(type(each) is str for each in texts):
        raise ValueError("an array of texts that are none")
    return np.array(texts, np.dtypes.StringDType()).reshape(shape)


def _read_simple(text: Any) -> np.dtype[Any]:
    dtype = np.dtype(str(text))
    if dtype.kind not in _KINDS or dtype.fields is not None:
        raise ValueError(f"an array of {dtype} is not read")
    return dtype


def _read_dtype(spelt: Any, depth: int = 0) -> np.dtype[Any]:
    """The dtype of its plain values; raises ValueError or TypeError."""
    if depth > _DEEPEST:
        raise ValueError(f"a dtype nested more than {_DEEPEST} deep")
    if type(spelt) is str:
        dtype = np.dtype(spelt)
        is_read = dtype.kind in _KINDS | {"V"} and dtype.char not in "gG"
        if not is_read or dtype.fields is not None or dtype.subdtype is not None:
            raise ValueError(f"an array of {spelt!r} is not read")
        return dtype
    if len(spelt) == 3:
        size, is_aligned, held = spelt
        names, offsets, titles, inner = zip(*held, strict=True) if held else ((), (), (), ())
        formats = [_read_dtype(each, depth + 1) for each in inner]
        spec = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
        if any(title is not None for title in titles):
            spec["titles"] = titles
        made: np.dtype[Any] = np.dtype(spec, align=bool(is_aligned))  # type: ignore[call-overload]
        return made
    first, second = spelt
    if type(first) is int:
        dtype = np.dtype(str(second))
        if dtype.char not in "gG" or np.finfo(dtype).nmant != first:
            raise ValueError(f"long doubles of {first} binary digits are not those of this machine")
        return dtype
    return np.dtype((_read_dtype(first, depth + 1), tuple(second)))
