"""Tables and frames come back as what they were; what Arrow would change is refused; forged ones are too."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aliquot.codec import Stored, pack, unpack, unpack_late
from aliquot.codec_forms import EXT_COLUMN, EXT_TABLE, VERSION
from aliquot.errors import Undecodable, Unencodable, Unopened

TABLE = pa.table({"n": [1, None], "s": ["x", "y"], "l": [[1], [2, 3]]}, metadata={"k": "v"})

FLAT = pa.table({"n": [1, None, 3], "s": ["x", "y", None], "b": [True, None, False]}, metadata={"k": "v"})


def read_back(value: Any) -> Any:
    read = unpack(pack({"x": [value]}), opens=True)["x"][0]
    assert type(read) is type(value)
    return read


@pytest.mark.parametrize(
    "table",
    [
        *(TABLE, TABLE.slice(1), TABLE.slice(0, 0), pa.concat_tables([TABLE, TABLE])),
        *(FLAT, FLAT.slice(1), FLAT.slice(0, 0), pa.concat_tables([FLAT, FLAT])),
    ],
)
def test_arrow_tables_read_back_with_chunks_and_metadata(table: pa.Table) -> None:
    read = read_back(table)
    assert read.equals(table, check_metadata=True)
    assert read.column(0).num_chunks == len(table.to_batches())
    (batch, *_) = [*table.to_batches(), TABLE.to_batches()[0]]
    assert read_back(batch).equals(batch, check_metadata=True)


_TEXTS = pa.table({"s": pa.array(["x", "y"]).dictionary_encode()})


@pytest.mark.parametrize(
    ("tables", "is_shared"),
    [
        ([FLAT, None, FLAT.slice(1), FLAT.slice(0, 0), pa.concat_tables([FLAT, FLAT])], True),
        ([FLAT.to_batches()[0], FLAT.to_batches()[0].slice(0, 0), None], True),
        ([None, pd.DataFrame({"n": [1]}), pd.DataFrame({"n": [2, 3]}, index=pd.RangeIndex(4, 0, -2))], True),
        ([pd.Series([1], name="a"), pd.Series([2], name=0)], True),
        ([FLAT, FLAT.replace_schema_metadata({"k": "w"})], False),
        ([FLAT, FLAT.select(["n"])], False),
        ([TABLE, TABLE], False),
        ([_TEXTS, None, _TEXTS], False),
        ([pl.DataFrame({"n": [1]}), None, pl.DataFrame({"n": [2]})], False),
    ],
)
def test_columns_of_tables_share_a_schema_where_they_have_one(tables: list[Any], *, is_shared: bool) -> None:
    body = pack(tables)
    assert is_shared == (body[:1] != bytes((0x90 + len(tables),)))
    passed_on = unpack(pack(unpack(body)), opens=True)  # by whoever opens no tables
    for read in (unpack(body, opens=True), list(unpack_late(body, "column")), passed_on):
        assert [type(each) for each in read] == [type(each) for each in tables]
        for each, table in zip(read, tables, strict=True):
            assert table is None or each.equals(table)
            if isinstance(table, pa.Table):
                assert each.schema.equals(table.schema, check_metadata=True)
                assert each.column(0).num_chunks == len(table.to_batches())
            elif isinstance(table, pd.DataFrame | pd.Series):
                assert each.index.equals(table.index)
                assert getattr(each, "name", None) == getattr(table, "name", None)


def test_a_frame_that_was_read_can_be_changed() -> None:
    read = unpack(
        pack([pd.DataFrame({"n": [1, 2], "x": [0.5, 1.5], "m": [3, 4], "s": ["a", "b"]})]), opens=True
    )[0]
    read.loc[0, "n"] = 7
    read.iloc[1, 3] = "c"
    assert read.to_dict("list") == {"n": [7, 2], "x": [0.5, 1.5], "m": [3, 4], "s": ["a", "c"]}


@pytest.mark.parametrize("before", [0, 1])
def test_tables_of_a_column_lie_where_numbers_may(before: int) -> None:
    """In place where a column begins at an address of numbers, else copied there."""
    for tables in ([pa.table({"n": np.arange(9000.0)})] * 2, [pa.table({"l": [np.arange(9000.0)]})] * 2):
        body = bytes(before) + pack(tables)
        used = pa.total_allocated_bytes()
        for read in unpack_late(memoryview(body)[before:], "column"):
            column = read.column(0).chunk(0)
            numbers = column.buffers()[-1]
            assert numbers.address % 8 == 0
            place = numbers.address - np.frombuffer(body, np.uint8).ctypes.data
            assert (0 <= place < len(body)) == (before == 0)
        assert pa.total_allocated_bytes() - used < 1 << 14


def test_a_table_is_read_without_a_copy_of_its_columns() -> None:
    kept = unpack(pack(pa.table({"n": np.arange(1000.0)})))
    assert type(kept) is Stored
    column = kept.open().column(0).chunk(0)
    assert column.buffers()[1].address % 8 == 0
    assert pa.total_allocated_bytes() < 1 << 20


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"n": [1, 2], "x": [0.5, np.nan]}),
        pd.DataFrame(
            {"s": ["x", None], "b": [True, False], "h": np.array([1, -0.0], "f2")},
            index=pd.RangeIndex(5, 1, -2),
        ).rename_axis(index="row", columns="what"),
        pd.DataFrame({"n": [1]}).rename_axis(columns="long" * 60),
        pd.concat([pd.DataFrame({"s": ["a"]}), pd.DataFrame({"s": ["b"]})], ignore_index=True),
        pd.DataFrame({"s": pd.Series([], dtype="str"), "x": pd.Series([], dtype="f4")}),
        pd.DataFrame(
            {"s": ["x", None], "c": pd.Categorical(["u", "v"]), "i": pd.array([1, None], dtype="Int64")}
        ),
        pd.DataFrame({"t": pd.to_datetime(["2020", "2021"]).tz_localize("Europe/Paris")}, index=["p", "q"]),
        pd.DataFrame({"n": [1, 2]}, index=pd.date_range("2020", periods=2, freq="D", name="day")),
        pd.DataFrame({"d": [decimal.Decimal("1.50")], "e": [dt.date(2020, 1, 1)]}),
        pd.DataFrame(np.arange(6).reshape(2, 3)),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        pd.DataFrame(),
    ],
)
def test_pandas_frames_and_their_series_read_back(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read_back(frame), frame, check_exact=True)
    for name in [] if frame.columns.nlevels > 1 else frame.columns[:1]:
        series = frame[name].rename(int(name) if isinstance(name, np.integer) else name)
        pd.testing.assert_series_equal(read_back(series), series, check_exact=True)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"o": [1, "a"]}),
        pd.DataFrame({"o": [(1,), (2,)]}),
        pd.DataFrame({"o": [{1}]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"c": [1 + 2j]}),
        pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}),
        pl.LazyFrame({"n": [1]}),
        pl.DataFrame({"o": [object()]}),
        pa.array([1]),
        pd.NA,
        pd.NaT,
        pd.Timestamp("2020-01-01T00:00:00.000000001"),
    ],
)
def test_what_would_change_is_refused(frame: Any) -> None:
    with pytest.raises(Unencodable) as caught:
        pack({"t": [frame]}, "row")
    assert caught.value.path == 'row["t"][0]'


def test_polars_frames_and_series_read_back() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, None],
            "l": [[1], [2, 3]],
            "d": [dt.date(2020, 1, 1)] * 2,
            "c": pl.Series(["u", "v"], dtype=pl.Categorical),
            "e": pl.Series(["u", "v"], dtype=pl.Enum(["u", "v"])),
            "x": [decimal.Decimal("1.5")] * 2,
            "s": [{"q": 1}, {"q": 2}],
            "a": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
        }
    )
    read = read_back(frame)
    assert read.equals(frame)
    assert read.schema == frame.schema
    assert read_back(frame["e"]).equals(frame["e"], check_names=True, check_dtypes=True)
    assert read_back(pl.DataFrame()).shape == (0, 0)


def test_a_polars_frame_that_panics_is_refused() -> None:
    """What Rust raises then is no Exception; found by fuzzing."""
    refusals = set()
    stored = unpack(pack(pl.DataFrame({"n": [1, None], "s": ["a", "b"]})))
    for at in range(200, 320):  # of the schema and of the batch's message
        damaged = Stored(stored.code, stored.payload[:at] + b"\xf2" + stored.payload[at + 1 :])
        try:
            damaged.open()
        except Undecodable as err:
            refusals.add("gave up" in err.reason)
    assert True in refusals


def _forge(head: Any, stream: bytes) -> bytes:
    packed = msgpack.packb(head)
    return msgpack.packb(
        msgpack.ExtType(EXT_TABLE, VERSION + bytes((len(packed),)) + packed + b"\0" + stream)
    )


def test_offsets_that_lead_out_of_a_table_are_found() -> None:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([["a", "b"]], ["s"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write(batch)
    sound, stream = np.array([0, 1, 2], "<i4").tobytes(), sink.getvalue().to_pybytes()
    before, _, after = stream.rpartition(sound)
    forged = before + np.array([0, 1, 1 << 30], "<i4").tobytes() + after
    for name in ("pyarrow.Table", "pyarrow.RecordBatch", "pandas.DataFrame"):
        with pytest.raises(Undecodable):
            unpack(_forge([name, None], forged), opens=True)
    column = pack([pa.Table.from_batches([batch])] * 2)
    before, _, after = column.rpartition(sound)
    damaged = before + np.array([0, 1, 1 << 30], "<i4").tobytes() + after
    late = unpack_late(damaged, "column")
    assert late[0].to_pydict() == {"s": ["a", "b"]}
    with pytest.raises(Unopened, match=r"pyarrow.Table \(ArrowInvalid"):
        late[1]


@pytest.mark.parametrize(
    "head",
    [
        ["os.system", 0, [None], [None]],
        ["polars.DataFrame", 0, [None], [[8]]],
        ["pyarrow.Table", 0, [None], []],
        ["pyarrow.Table", 0, [None], [[1 << 40]]],
        ["pyarrow.Table", 0, [None], [[-8]]],
        ["pyarrow.Table", 0, [None], [["x"]]],
        ["pyarrow.Table", 99, [None], [[]]],
        ["pyarrow.Table", -1, [None], [[]]],
        ["pyarrow.Table", 0, [None], [[0]]],
        ["pandas.DataFrame", 0, [[0, 1 << 60, 1, None, None]], [[]]],
        [1],
    ],
)
def test_forged_columns_of_tables_are_refused(head: Any) -> None:
    packed = msgpack.packb(head)
    body = VERSION + b"p" + struct.pack("<IB", len(packed), 0) + packed
    with pytest.raises(Undecodable):
        unpack(msgpack.packb(msgpack.ExtType(EXT_COLUMN, body)), opens=True)


def test_a_plain_frame_has_the_rows_of_its_index() -> None:
    stored = unpack(pack(pd.DataFrame({"n": [1, 2]})))
    sound, forged = msgpack.packb([0, 2, 1]), msgpack.packb([0, 9, 1])
    at = 2 + stored.payload[1]
    assert sound[1:] in stored.payload[:at]
    stored.payload = stored.payload[:at].replace(sound[1:], forged[1:]) + stored.payload[at:]
    with pytest.raises(Undecodable, match="2 rows on an index of 9"):
        stored.open()


@pytest.mark.parametrize("head", [["os.system", None], ["pyarrow.Table", None], [None, None], [1]])
def test_forged_tables_are_refused(head: Any) -> None:
    with pytest.raises(Undecodable):
        unpack(_forge(head, b"no stream"), opens=True)
