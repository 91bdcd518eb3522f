"""Tables: types settled from kinds alone hold every value, in Parquet and as CSV."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot import tables
from aliquot.codec import decode, pack, unpack
from aliquot.rows import name_kinds
from aliquot.tables import (
    IS_JSON,
    TableWriter,
    choose_type,
    make_array,
    make_field,
    number_records,
    repeat_values,
    write_table,
)

_TIMES = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001 - both kinds are tested
_INTS = st.integers(-(1 << 63), (1 << 63) - 1)
_COLUMNS = st.one_of(
    *(
        st.lists(st.none() | values, max_size=6)
        for values in (
            st.booleans(),
            _INTS,
            st.floats(allow_nan=False),
            st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
            st.binary(max_size=5),
            _TIMES,
            st.dates(dt.date(1, 1, 1)),
            st.times(),
            st.timedeltas(dt.timedelta(-(10**5)), dt.timedelta(10**5)),
            st.lists(st.none() | st.integers(-9, 9), max_size=3),
            st.lists(st.text("abc", max_size=2), max_size=3),
        )
    )
)
_MIXED = st.lists(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé5", max_size=3)
    | st.lists(st.booleans() | _INTS | st.floats(allow_nan=False, allow_infinity=False), max_size=3)
    | st.dictionaries(st.text("ab", max_size=2), st.integers() | st.lists(st.integers()), max_size=2),
    max_size=5,
)


def _store(values: list[Any]) -> tuple[pa.Field, pa.Array]:
    """A column as a merge makes it: kinds from the host's values, values as they come off the wire."""
    field = make_field("x", name_kinds(values))
    return field, make_array(unpack(pack(values)), field)


def _is_same(read: Any, value: Any) -> bool:
    if isinstance(value, list) and isinstance(read, list):
        return len(read) == len(value) and all(map(_is_same, read, value))
    return bool(read == value)


@given(_COLUMNS)
def test_columns_of_one_kind_keep_their_values(values: list[Any]) -> None:
    field, stored = _store(values)
    assert field.metadata is None
    assert stored.type == field.type
    assert stored.to_pylist() == values


@given(_MIXED)
def test_columns_of_many_kinds_lose_nothing(values: list[Any]) -> None:
    """Where no type holds all of a column's values, it is text: each value's JSON."""
    field, stored = _store(values)
    read = stored.to_pylist()
    if field.metadata == IS_JSON:
        read = [None if text is None else json.loads(text) for text in read]
    assert len(read) == len(values)
    assert all(map(_is_same, read, values))


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ([], pa.null()),
        (["none"], pa.null()),
        (["int", "none"], pa.int64()),
        (["wide", "int", "bool"], pa.int64()),
        (["int", "float"], pa.float64()),
        (["wide", "float"], None),
        (["bigint"], None),
        (["int", "str"], None),
        (["datetime", "date"], None),
        (["list ", "list int"], pa.list_(pa.int64())),
        (["list int", "list float,none"], pa.list_(pa.float64())),
        (["list int", "list str"], None),
        (["list int", "int"], None),
        (["array <f4 2,3"], pa.fixed_shape_tensor(pa.float32(), (2, 3))),
        (["array >f8 2"], pa.fixed_shape_tensor(pa.float64(), (2,))),
        (["array <f4 2", "array <f4 3"], pa.list_(pa.float32())),
        (["array <f4 2,3", "array <f4 3,2"], None),
        (["array <f4 2", "array <f8 2"], None),
        (["array <f4 "], None),
        (["array <f4 0"], pa.list_(pa.float32())),
        (["array <U3 2"], None),
        (["array <f4 2", "list float"], None),
        (["Decimal"], pa.string()),
        (["json"], None),
    ],
)
def test_kinds_choose_the_type_that_holds_them_all(kinds: list[str], wanted: pa.DataType | None) -> None:
    assert choose_type(kinds) == wanted


def test_only_arrays_of_noise_are_written_uncompressed(tmp_path: Path) -> None:
    """Noise would take three times the time for 4% of its size; texts, lists and sparse arrays shrink."""
    noise = list(np.random.default_rng(7).standard_normal((40, 20, 30)))
    columns = {
        "no.ise": [None, *noise],
        "bits": [np.eye(20, dtype="u1")] * 41,
        "text": ["C"] * 41,
        "list": [["a", "b"]] * 41,
    }
    write_table(
        tmp_path / "t", columns, {name: name_kinds(values) for name, values in columns.items()}, "parquet"
    )
    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    found = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    told = {path: (each.compression, each.has_dictionary_page) for path, each in found.items()}
    assert told == {
        "no.ise.list.element": ("UNCOMPRESSED", False),
        "bits.list.element": ("ZSTD", False),
        "text": ("ZSTD", True),
        "list.list.element": ("ZSTD", True),
    }
    read = pq.read_table(tmp_path / "t.parquet")
    assert np.array_equal(read["no.ise"].chunk(0)[1:].to_numpy_ndarray(), noise)
    assert read["list"].to_pylist() == columns["list"]


def test_arrays_that_lie_in_a_row_are_taken_as_they_lie() -> None:
    """As a block's are. Any others, also some of these in another order, are put in a row first."""
    rows = np.arange(24.0).reshape(4, 2, 3)
    lying, apart = list(rows), [row.copy() for row in rows]
    field = make_field("a", {"array <f8 2,3"})
    for values in (
        lying,
        lying[1:3],
        apart,
        [lying[2], lying[0]],
        [lying[0], None],
        [rows[0].T.reshape(2, 3)],
    ):
        made = make_array(values, field)
        shown = [None if value is None else value.reshape(-1).tolist() for value in values]
        assert made.storage.to_pylist() == shown
    viewed = unpack(pack(lying))
    where = make_array(viewed, field).storage.values.buffers()[1].address
    assert where == viewed[0].__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", ["<i2", "<f4", ">f8", "<u8", "<f2"])
def test_arrays_of_one_shape_become_tensors_with_nulls(tmp_path: Path, dtype: str) -> None:
    """The shape stands in the schema: who reads the result gets arrays, not lists to be guessed at."""
    values = [np.arange(6).astype(dtype).reshape(2, 3), None, np.asarray(np.ones((3, 2)).T, dtype, order="F")]
    write_table(tmp_path / "t", {"x": unpack(pack(values))}, {"x": name_kinds(values)}, "parquet")
    read = pq.read_table(tmp_path / "t.parquet")
    assert read.schema.field("x").type.shape == [2, 3]
    assert read["x"].null_count == 1
    chunk = read["x"].combine_chunks()
    for place, value in enumerate(values):
        if value is not None:
            assert np.array_equal(np.asarray(chunk.storage[place].as_py()).reshape(2, 3), value)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i8"])
def test_arrays_of_many_lengths_become_lists(dtype: str) -> None:
    field, stored = _store([np.arange(2, dtype=dtype), None, np.arange(3, dtype=dtype), np.zeros(0, dtype)])
    assert pa.types.is_list(field.type)
    assert stored.to_pylist() == [[0, 1], None, [0, 1, 2], []]


def test_json_keeps_text_apart_from_numbers() -> None:
    assert _store(["5", 5, None])[1].to_pylist() == ['"5"', "5", None]


def test_json_takes_keys_that_json_lacks() -> None:
    values = [{(1, 2): {dt.date(2020, 1, 2): 3}}, {"a": np.arange(2)}]
    assert [json.loads(text) for text in _store(values)[1].to_pylist()] == [
        {"(1, 2)": {"2020-01-02": 3}},
        {"a": [0, 1]},
    ]


@given(st.lists(_COLUMNS.filter(bool), min_size=1, max_size=3))
def test_parquet_reads_back(tmp_path_factory: pytest.TempPathFactory, columns: list[list[Any]]) -> None:
    length = min(map(len, columns))
    named = {f"c{n}": values[:length] for n, values in enumerate(columns)}
    folder = tmp_path_factory.mktemp("t")
    write_table(folder / "t", named, {name: name_kinds(values) for name, values in named.items()}, "parquet")
    assert pq.read_table(folder / "t.parquet").to_pydict() == named


def test_csv_holds_what_csv_can_and_json_for_the_rest(tmp_path: Path) -> None:
    columns = {
        "n": [1, None],
        "text": ['a,"b"', ""],
        "list": [[1, 2], None],
        "array": [np.arange(4.0).reshape(2, 2), None],
        "mixed": [1, "1"],
        "bytes": [b"ab", None],
        "wait": [dt.timedelta(seconds=90), None],
        "empty": [None, None],
    }
    write_table(
        tmp_path / "t", columns, {name: name_kinds(values) for name, values in columns.items()}, "csv"
    )
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] | {"wait": ""} == {
        "n": "1",
        "text": 'a,"b"',
        "list": "[1, 2]",
        "array": "[[0.0, 1.0], [2.0, 3.0]]",
        "mixed": "1",
        "bytes": '"ab"',
        "wait": "",
        "empty": "",
    }
    assert rows[1]["mixed"] == '"1"'
    assert "0:01:30" in rows[0]["wait"]
    assert rows[1]["array"] == ""


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_an_empty_table_still_has_its_schema(tmp_path: Path, ending: str) -> None:
    schema = pa.schema([("record", pa.int64()), ("x", pa.fixed_shape_tensor(pa.float32(), (2,)))])
    writer = TableWriter(tmp_path / "part", schema, ending, is_split=True)
    writer.close()
    path = tmp_path / f"part-00000.{ending}"
    if ending == "parquet":
        assert pq.read_schema(path).names == ["record", "x"]
        assert pq.read_schema(path).field("x").type == schema.field("x").type
    else:
        assert path.read_text().strip() == '"record","x"'


def test_a_long_table_is_split_and_keeps_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 10)
    monkeypatch.setattr(tables, "ROWS_PER_FILE", 30)
    writer = TableWriter(
        tmp_path / "part", pa.schema([("x", pa.int64()), ("y", pa.string())]), "parquet", is_split=True
    )
    for first in range(0, 100, 4):
        writer.write({"x": list(range(first, first + 4))})
    writer.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [x for file in files for x in pq.read_table(file)["x"].to_pylist()] == list(range(100))
    assert pq.read_table(files[0])["y"].null_count == pq.read_table(files[0]).num_rows
    assert writer.n_rows == 100


def test_records_are_numbered_and_values_repeated_by_their_rows() -> None:
    counts = [2, 0, 1]
    assert number_records(1 << 33, counts).to_pylist() == [1 << 33, 1 << 33, (1 << 33) + 2]
    assert number_records(5, counts).type == pa.int64()
    assert repeat_values(["a", "b", "c"], counts) == ["a", "a", "c"]


def test_decimals_keep_their_digits_as_text() -> None:
    values = [decimal.Decimal("1.230"), None, decimal.Decimal("1e400")]
    field = make_field("price", name_kinds(values))
    assert make_array(values, field).to_pylist() == ["1.230", None, "1E+400"]


@pytest.mark.parametrize(
    ("values", "types"),
    [
        ([{1}, None, frozenset("a")], b"frozenset, set"),
        ([[{1}], {"a": {2}}, None], b"dict, list"),
        ([{1}, 5, "text"], b"set"),
        ([np.zeros(2, [("n", "<i4")]), np.longdouble(1.5)], b"numpy.longdouble, numpy.ndarray"),
    ],
)
def test_what_no_table_type_holds_is_stored_and_decoded(
    tmp_path: Path, values: list[Any], types: bytes
) -> None:
    """A column that holds it once is stored whole: nothing of it becomes JSON, in which it would be lost."""
    kinds = {"n": {"int"}, "x": name_kinds(values)}
    for ending in ("parquet", "csv"):
        write_table(tmp_path / "t", {"n": range(len(values)), "x": values}, kinds, ending)
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.schema.field("x").metadata == {b"aliquot": b"codec", b"aliquot.types": types}
    with (tmp_path / "t.csv").open(newline="") as file:
        texts = [row["x"] or None for row in csv.DictReader(file)]
    for read in (decode(table.column("x")), decode(texts)):
        assert [repr(each) for each in read] == [repr(each) for each in values]
