"""Values survive the wire; what cannot survive is refused with its path; hostile bytes raise one error."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import subprocess
import sys
import types
import zoneinfo
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aliquot.codec import pack, unpack
from aliquot.codec_forms import EXT_ARRAY, EXT_BIGINT, VERSION
from aliquot.errors import Undecodable, Unencodable

_ZONES = st.none() | st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 300), 1 << 300)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | _TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=_ZONES)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
)
_KEYS = _TEXT | st.integers() | st.dates() | st.tuples(st.integers(0, 9), _TEXT) | st.tuples(st.tuples(_TEXT))
_SETS = st.frozensets(_KEYS, max_size=3)
_COLUMNS = st.one_of(  # of one type each, which are one extension
    *(
        st.lists(st.none() | each, max_size=4)
        for each in (
            st.datetimes(timezones=_ZONES),
            st.dates(),
            st.times(),
            st.decimals(allow_nan=False),
            _SETS.map(set),
            st.sets(_TEXT, max_size=3),
            st.frozensets(st.integers(0, 9)),
        )
    )
)
_VALUES = st.recursive(
    _SCALARS | _SETS | _SETS.map(set) | _COLUMNS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?"),
        hnp.complex_number_dtypes(endianness="?"),
        hnp.unicode_string_dtypes(endianness="?"),
        hnp.byte_string_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.timedelta64_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4),
)
_RECORD_ARRAYS = hnp.arrays(
    hnp.nested_dtypes(max_leaves=3, max_itemsize=200, subtype_strategy=hnp.integer_dtypes(endianness="?")),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3),
)


@given(_VALUES)
def test_values_read_back(value: Any) -> None:
    read = unpack(pack(value))
    assert read == value
    assert type(read) is type(value)


@given(_ARRAYS | _RECORD_ARRAYS, st.sampled_from(["C", "F", "reversed"]))
def test_arrays_read_back_with_dtype_and_shape(array: np.ndarray, order: str) -> None:
    given_array = (
        array[::-1]
        if order == "reversed" and array.ndim
        else np.asarray(array, order="F" if order == "F" else "C")
    )
    read = unpack(pack({"x": [given_array]}))["x"][0]
    assert read.dtype == given_array.dtype
    assert read.shape == given_array.shape
    assert read.tobytes() == given_array.tobytes()
    assert read.flags.f_contiguous or order != "F"


@given(_ARRAYS | _RECORD_ARRAYS, st.integers(1, 3))
def test_a_column_of_arrays_reads_back(array: np.ndarray, n: int) -> None:
    for read in unpack(pack([array] * n)):
        assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize(
    "value",
    [
        np.array(["CCO", "ééé" * 40], np.dtypes.StringDType()),
        np.zeros(3, [("x", "<i4"), ("y", ">f8", (2, 3)), ("z", "U3")]),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.array([1.1], np.longdouble),
        np.zeros(2, "V5"),
        np.zeros((0, 3)),
        np.array(3),
        np.longdouble("1.1"),
        np.datetime64("2020-01-01T00:00:00.000000001"),
        np.timedelta64(3, "25s"),
        np.zeros(2, [("x", "i4")])[0],
    ],
)
def test_odd_dtypes_and_scalars_read_back_as_what_they_were(value: Any) -> None:
    read = unpack(pack({"x": value}))["x"]
    assert type(read) is type(value)
    assert (read.dtype, read.shape) == (value.dtype, value.shape)
    assert read.dtype.isalignedstruct == value.dtype.isalignedstruct
    assert np.array_equal(read, value)


def test_a_large_column_of_arrays_is_read_without_a_copy() -> None:
    """Rows of a step share the bytes that were unpacked, and these are aligned in them."""
    body = pack([np.arange(4096.0) + place for place in range(40)])
    read = unpack(body)
    assert np.shares_memory(read[7], np.frombuffer(body, np.uint8))
    assert read[7].flags.aligned
    assert not read[7].flags.writeable


def test_nothing_is_imported_that_is_not_used() -> None:
    """A host of plain values has no NumPy, and one of arrays no pyarrow."""
    script = (
        "import sys; from aliquot.codec import pack, unpack; unpack(pack([1, 'a', {'b': [2.5]}]));"
        "print(*sorted({'numpy', 'pyarrow', 'pandas', 'polars', 'rdkit', 'aliquot.codec_plain'}"
        " & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


def test_arrays_are_views_of_the_bytes_that_were_read() -> None:
    """A fingerprint matrix of 100 MB must not be copied once per reader, nor changed by one."""
    read = unpack(pack(np.arange(6.0).reshape(2, 3)))
    assert not read.flags.writeable
    assert not read.flags.owndata
    assert read.ctypes.data % 8 == 0
    with pytest.raises(ValueError, match="read-only"):
        read[0, 0] = 1


@pytest.mark.parametrize(
    ("given_value", "read"),
    [
        (np.int8(-3), -3),
        (np.uint64(1 << 63), 1 << 63),
        (np.float32(0.5), 0.5),
        (np.bool_(1), True),
        (np.str_("CCO"), "CCO"),
        (np.bytes_(b"x"), b"x"),
        (np.complex64(1 + 2j), 1 + 2j),
        (np.complex128(1 + 2j), 1 + 2j),
        ((1, (2, 3)), [1, [2, 3]]),
        (bytearray(b"x"), b"x"),
        (types.MappingProxyType({"a": 10**30}), {"a": 10**30}),
        (enum.IntEnum("Colour", "RED").RED, 1),
        (10**3000, 10**3000),
        (-(10**3000), -(10**3000)),
    ],
)
def test_near_relatives_are_stored_as_what_they_mean(given_value: Any, read: Any) -> None:
    assert unpack(pack([given_value])) == [read]
    assert type(unpack(pack([given_value]))[0]) is type(read)


def test_zones_and_the_second_of_two_hours_survive() -> None:
    paris = zoneinfo.ZoneInfo("Europe/Paris")
    for time in (
        dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=paris),
        dt.time(2, 30, tzinfo=paris),
        dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=dt.UTC),
        dt.datetime(2020, 1, 1, fold=1, tzinfo=dt.timezone(dt.timedelta(seconds=-90))),
    ):
        for read in (unpack(pack(time)), unpack(pack([time, None]))[0]):
            assert (read, read.tzinfo, read.fold) == (time, time.tzinfo, time.fold)


def test_equal_sets_have_equal_bytes() -> None:
    """A plan compares rows of two processes by their bytes, and hashes of texts differ between them."""
    texts = [str(n) for n in range(50)]
    assert pack(set(texts)) == pack({*texts[::-1]})
    assert pack([{*texts, 1}]) == pack([{1, *texts[::-1]}])


def test_floats_that_equal_nothing_survive() -> None:
    assert math.isnan(unpack(pack(math.nan)))
    assert unpack(pack(decimal.Decimal("NaN"))).is_nan()
    assert math.copysign(1, unpack(pack(-0.0))) == -1


class _Molecule:
    pass


class _NotATime(dt.datetime):
    """As pandas' NaT: a datetime that equals nothing, and that no text gives back."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = dt.datetime.__hash__


@pytest.mark.parametrize(
    ("value", "path", "said"),
    [
        ({"a": [1, {"mol": _Molecule()}]}, 'row["a"][1]["mol"]', "_Molecule"),
        ({"a": {7: {_Molecule}}}, f'row["a"][7]{{{_Molecule!r}}}', "type"),
        ({"a": np.array([_Molecule()])}, 'row["a"]', "object"),
        ({"a": np.zeros(2, [("x", "O")])}, 'row["a"]', "numpy array"),
        ({"a": np.ma.array([1], mask=[True])}, 'row["a"]', "MaskedArray"),
        ({"a": np.zeros(1, np.dtype("i4", metadata={"unit": "m"}))}, 'row["a"]', "metadata"),
        ({"a": {"b": "\ud800"}}, 'row["a"]["b"]', "str"),
        ([dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "X"))], "row[0]", "zone"),
        ([enum.Enum("Plain", "A").A], "row[0]", "not registered"),
        ([0, 10**5000], "row[1]", "integer"),
        ({"t": _NotATime(2020, 1, 1)}, 'row["t"]', "NaT"),
        ([lambda: 0], "row[0]", "function"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_path(value: Any, path: str, said: str) -> None:
    with pytest.raises(Unencodable) as caught:
        pack(value, "row")
    assert caught.value.path == path
    assert said in caught.value.type_name


def test_nesting_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable):
        pack({"a": endless})


@pytest.mark.parametrize("depth", [100, 500, 1000, 1020, 1024, 1030, 5000])
def test_what_is_packed_can_be_read(depth: int) -> None:
    """An outcome that was put and cannot be read would be done again without end."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    try:
        body = pack(value)
    except Unencodable:
        return
    assert pack(unpack(body)) == body


def try_to_read(body: bytes) -> BaseException | None:
    """What reading raises, but the error that it documents."""
    try:
        unpack(body)
    except Undecodable:
        return None
    except Exception as err:  # noqa: BLE001 - whatever it is, is told by who asked
        return err
    return None


@given(st.binary(max_size=60))
def test_any_bytes_read_or_raise_one_error(body: bytes) -> None:
    assert try_to_read(body) is None


@given(_VALUES | _ARRAYS, st.data())
def test_damaged_bytes_read_or_raise_one_error(value: Any, data: st.DataObject) -> None:
    body = bytearray(pack(value))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    assert [try_to_read(hostile) for hostile in (bytes(body), bytes(body[:cut]))] == [None, None]


@given(st.integers(0, 127), st.binary(max_size=40))
def test_any_extension_reads_or_raises_one_error(code: int, payload: bytes) -> None:
    bodies = [msgpack.packb(msgpack.ExtType(code, body)) for body in (payload, VERSION + payload)]
    assert [try_to_read(body) for body in bodies] == [None, None]


def _array_payload(dtype: Any, shape: Any, content: bytes = b"") -> bytes:
    head = msgpack.packb([dtype, shape])
    return msgpack.packb(msgpack.ExtType(EXT_ARRAY, VERSION + bytes((len(head), 0)) + head + content))


@pytest.mark.parametrize(
    "body",
    [
        _array_payload("|O", [1], bytes(8)),
        _array_payload("i4,i4", [1], bytes(8)),
        _array_payload([["a", "<i4"]], [1], bytes(4)),
        _array_payload("<i4", [1 << 40], bytes(4)),
        _array_payload("<i4", [-1], bytes(4)),
        _array_payload("<i4", None, bytes(4)),
        _array_payload("<i4", [2], bytes(7)),
        _array_payload("<U2000000000", [1], bytes(4)),
        msgpack.packb(msgpack.ExtType(EXT_BIGINT, VERSION + b"9" * 4500)),
        msgpack.packb(msgpack.ExtType(EXT_BIGINT, b"\x02" + b"9")),
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\xc6\xff\xff\xff\xff",  # bytes, four billion of them
        b"\x81\x80\x01",  # a map that has a map as a key
        b"\x91" * 100_000,
        b"\x01\x02",  # two values
        b"",
    ],
)
def test_bytes_that_lie_are_refused(body: bytes) -> None:
    with pytest.raises(Undecodable):
        unpack(body)


def test_values_of_another_version_are_refused_by_it() -> None:
    with pytest.raises(Undecodable, match="version"):
        unpack(msgpack.packb(msgpack.ExtType(EXT_BIGINT, b"\x07123")))
