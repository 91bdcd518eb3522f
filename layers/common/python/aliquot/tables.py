"""Tables on disk: Arrow types from kinds of value, Parquet or CSV files written as rows come.

The one module of the core that imports pyarrow. Types are settled before the first row is written, from the
kinds that hosts noted; where kinds do not agree on one type, the column becomes text (JSON), and nothing
is lost. Arrays become Arrow's fixed-shape tensors: fixed-size lists with their shape in the schema.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from aliquot.codec import pack
from aliquot.columnar import read_kind
from aliquot.envelope import is_noise

Schema = pa.Schema
ROWS_PER_GROUP = 1 << 15  # 1M rows of two integers peak at 100 MB so, at 144 MB with 2^17
BYTES_PER_GROUP = 32 << 20
ROWS_PER_FILE = 1 << 23
_SAMPLE_VALUES = 1 << 13  # of an array column, to see whether it can be compressed
IS_JSON = {b"aliquot": b"json"}
_IS_STORED = b"codec"  # under `aliquot` in a field's metadata: `aliquot.decode` reads its values

_SIMPLE: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "wide": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "bytes": pa.binary(),
    "datetime": pa.timestamp("us"),
    "datetime utc": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timedelta": pa.duration("us"),
    "Decimal": pa.string(),  # its digits, none lost
}
_NUMBERS = {"bool": 0, "int": 1, "wide": 2, "float": 3}


def choose_type(kinds: Collection[str]) -> pa.DataType | None:  # noqa: PLR0911 - one for each sort of type
    """The Arrow type that holds all these kinds of value without loss; None where only JSON text does."""
    found = set(kinds) - {"none"}
    if len(found) == 1 and (arrow := read_kind(next(iter(found)))) is not None:
        return arrow
    if not found:
        return pa.null()
    if _list_stored(found):
        return pa.binary()
    if len(found) == 1 and (only := next(iter(found))) in _SIMPLE:
        return _SIMPLE[only]
    if {"wide", "float"} <= found:
        return None  # an integer past 2**53 among floats: a float64 would round it
    if found <= set(_NUMBERS):
        return _SIMPLE[max(found, key=lambda kind: _NUMBERS[kind])]
    if all(kind.startswith("list ") for kind in found):
        inner = choose_type(
            {part for kind in found for part in kind.removeprefix("list ").split(",") if part}
        )
        return None if inner is None else pa.list_(inner)
    if all(kind.startswith("array ") for kind in found):
        return _choose_array_type(found)
    return None


def _choose_array_type(kinds: Collection[str]) -> pa.DataType | None:
    parts = [kind.split(" ")[1:] for kind in kinds]
    dtypes = {np.dtype(dtype) for dtype, _ in parts}
    shapes = {tuple(int(side) for side in shape.split(",") if side) for _, shape in parts}
    if len(dtypes) != 1 or next(iter(dtypes)).kind not in "iuf":
        return None
    value_type = pa.from_numpy_dtype(next(iter(dtypes)).newbyteorder("="))
    if len(shapes) == 1 and all(next(iter(shapes))) and next(iter(shapes)):
        return pa.fixed_shape_tensor(value_type, next(iter(shapes)))
    return pa.list_(value_type) if {len(shape) for shape in shapes} == {1} else None


def make_field(name: str, kinds: Collection[str]) -> pa.Field[Any]:
    """A schema's field for a column of these kinds; its metadata marks JSON and stored values."""
    if stored := _list_stored(kinds):
        marked = {b"aliquot": _IS_STORED, b"aliquot.types": ", ".join(stored).encode()}
        return pa.field(name, pa.binary(), metadata=marked)
    chosen = choose_type(kinds)
    return pa.field(name, pa.string(), metadata=IS_JSON) if chosen is None else pa.field(name, chosen)


def _list_stored(kinds: Collection[str]) -> list[str]:
    """The types in a column of which no Arrow type holds the values: all of it is then the codec's bytes."""
    return sorted(kind.removeprefix("stored ") for kind in kinds if kind.startswith("stored "))


def _is_stored(field: pa.Field[Any]) -> bool:
    return (field.metadata or {}).get(b"aliquot") == _IS_STORED


def make_schema(kinds: Mapping[str, Collection[str]]) -> pa.Schema:
    """A table's schema: its columns by name, each of these kinds of value."""
    return pa.schema([make_field(name, found) for name, found in kinds.items()])


def make_array(values: Sequence[Any], field: pa.Field[Any]) -> pa.Array[Any]:
    """An Arrow array of `values`, which are of the kinds that `field` was made for."""
    if field.metadata == IS_JSON:
        return pa.array([None if value is None else _to_text(value) for value in values], pa.string())
    if _is_stored(field):
        return pa.array([None if value is None else pack(value, field.name) for value in values], pa.binary())
    if isinstance(field.type, pa.FixedShapeTensorType):
        return _make_tensors(values, field.type)
    try:
        return pa.array(values, field.type)  # type: ignore[no-any-return]
    except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # a bool among integers, an integer among floats, arrays in the other byte order
        return pa.array([_convert(value, field.type) for value in values], field.type)  # type: ignore[no-any-return]


def _convert(value: Any, wanted: pa.DataType) -> Any:
    """A number as the kind of number that `wanted` holds, inside lists too."""
    if value is None:
        return None
    if pa.types.is_list(wanted):
        return [_convert(item, wanted.value_type) for item in value]
    if pa.types.is_string(wanted):
        return str(value)
    if pa.types.is_integer(wanted):
        return int(value)
    return float(value) if pa.types.is_floating(wanted) else value


def _make_tensors(values: Sequence[Any], tensor: pa.FixedShapeTensorType[Any]) -> pa.Array[Any]:
    size = int(np.prod(tensor.shape))
    flat = _find_row(values, size)
    is_null = None
    if flat is None:
        flat = np.zeros((len(values), size), tensor.value_type.to_pandas_dtype())
        for place, value in enumerate(values):
            if value is not None:
                flat[place] = value.reshape(-1)
        is_null = pa.array([value is None for value in values])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), size, mask=is_null)
    return pa.ExtensionArray.from_storage(tensor, storage)


def _find_row(values: Sequence[Any], size: int) -> np.ndarray[Any, Any] | None:
    """The memory in which arrays lie one behind the other, as a column's do; None where they do not."""
    held = getattr(values[0], "base", None)
    if not isinstance(held, np.ndarray) or not held.flags.c_contiguous or not held.dtype.isnative:
        return None
    first = (_address(values[0]) - _address(held)) // held.itemsize
    is_row = all(
        value is not None
        and value.base is held
        and value.dtype == held.dtype
        and value.flags.c_contiguous
        and _address(value) == _address(held) + (first + place * size) * held.itemsize
        for place, value in enumerate(values)
    )
    return held.reshape(-1)[first : first + len(values) * size] if is_row else None


def _address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _to_text(value: Any) -> str:
    """A value as JSON; text too, so that "5" and 5 stay apart."""
    try:
        return json.dumps(value, default=_to_plain, ensure_ascii=False)
    except TypeError:  # keys that JSON lacks: dates, tuples
        return json.dumps(_with_text_keys(value), default=_to_plain, ensure_ascii=False)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): _with_text_keys(item) for key, item in value.items()
        }
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class TableWriter:
    """Writes the rows of one table into files of a folder, or into one file, as they come.

    Args:
        path: without its ending; a folder's `part` for tables of several files.
        schema: columns and their types.
        ending: "parquet" or "csv".
        is_split: start another file every ROWS_PER_FILE rows (`part-00000.parquet`, ...).
    """

    def __init__(self, path: Path, schema: pa.Schema, ending: str, *, is_split: bool = False) -> None:
        self._path, self._schema, self._ending, self._is_split = path, schema, ending, is_split
        self._batches: list[pa.RecordBatch] = []
        self._n_waiting = 0
        self._bytes_waiting = 0
        self._n_files = 0
        self._rows_in_file = 0
        self._writer: Any = None
        self.n_rows = 0

    @property
    def schema(self) -> pa.Schema:
        """Columns and types."""
        return self._schema

    def write(self, columns: Mapping[str, Sequence[Any] | pa.Array[Any]]) -> None:
        """Add rows, given column by column; a column that is not given is null."""
        length = max((len(values) for values in columns.values()), default=0)
        if not length:
            return
        arrays = [self._as_array(columns.get(field.name), field, length) for field in self._schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._batches.append(batch)
        self._n_waiting += length
        self._bytes_waiting += batch.nbytes
        self.n_rows += length
        if self._n_waiting >= ROWS_PER_GROUP or self._bytes_waiting >= BYTES_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits, and at least one file, so that an empty table still has its schema."""
        self._flush()
        if self._writer is None:
            self._writer = self._open(self._schema.empty_table())
        self._writer.close()
        self._writer = None

    def _flush(self) -> None:
        if not self._batches:
            return
        if self._writer is not None and self._is_split and self._rows_in_file >= ROWS_PER_FILE:
            self._writer.close()
            self._writer = None
        table = pa.Table.from_batches(self._batches, self._schema)
        if self._writer is None:
            self._writer = self._open(table)
        self._writer.write_table(_as_csv(table) if self._ending == "csv" else table)
        self._rows_in_file += self._n_waiting
        self._batches, self._n_waiting, self._bytes_waiting = [], 0, 0

    def _open(self, first: pa.Table) -> Any:
        suffix = f"-{self._n_files:05d}" if self._is_split else ""
        path = self._path.with_name(f"{self._path.name}{suffix}.{self._ending}")
        self._n_files += 1
        self._rows_in_file = 0
        if self._ending == "csv":
            return pyarrow.csv.CSVWriter(path, _as_csv(self._schema.empty_table()).schema)
        return pyarrow.parquet.ParquetWriter(path, self._schema, **_choose_encoding(first))

    def _as_array(self, values: Any, field: pa.Field[Any], length: int) -> pa.Array[Any]:
        if values is None:
            return pa.nulls(length, field.type)  # type: ignore[no-any-return]
        if isinstance(values, pa.Array):
            return values if values.type == field.type else make_array(values.to_pylist(), field)
        return make_array(values, field)


def _choose_encoding(first: pa.Table) -> dict[str, Any]:
    """How columns are written, by the first rows: arrays without a dictionary; noise as it is.

    100 MB of float64 noise take 0.1 s so, 0.3 s with a dictionary and zstd, which makes them 4% smaller.
    """
    tensors = [field.name for field in first.schema if isinstance(field.type, pa.FixedShapeTensorType)]
    if not tensors:
        return {"compression": "zstd"}
    leaves = {field.name: _name_leaf(field.name, field.type) for field in first.schema}
    noise = [name for name in tensors if is_noise(_take_sample(first.column(name)))]
    others = [leaf for name, leaf in leaves.items() if name not in tensors]
    return {
        "compression": {leaf: "none" if name in noise else "zstd" for name, leaf in leaves.items()},
        "use_dictionary": others,
        "write_statistics": others,  # nobody looks for an array by its least value
    }


def _name_leaf(path: str, kind: pa.DataType) -> str:
    """Parquet's name for the values of a column, which may be lists of lists."""
    while isinstance(kind, pa.FixedShapeTensorType) or pa.types.is_list(kind):
        path, kind = f"{path}.list.element", kind.value_type
    return path


def _take_sample(column: pa.ChunkedArray[Any]) -> bytes:
    """Some values out of the middle of an array column's first rows; none where it has no rows."""
    if not column.num_chunks:
        return b""
    tensors: Any = column.chunk(0)
    values = tensors.storage.values
    return np.asarray(values.slice(len(values) // 2, _SAMPLE_VALUES)).tobytes()


def write_table(
    path: Path, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Collection[str]], ending: str
) -> None:
    """Write a small table as one file."""
    writer = TableWriter(path, make_schema({name: kinds[name] for name in columns}), ending)
    writer.write(columns)
    writer.close()


def count_rows(path: Path) -> int:
    """The rows of a Parquet file, by its footer."""
    return pyarrow.parquet.read_metadata(path).num_rows


def number_records(first: int, counts: Sequence[int]) -> pa.Array[Any]:
    """The `record` column of a piece: each record's number as often as it has rows, int64."""
    return pa.array(
        np.repeat(np.arange(first, first + len(counts), dtype=np.int64), np.asarray(counts, dtype=np.int64))
    )


def repeat_values(values: Sequence[Any], counts: Iterable[int]) -> list[Any]:
    """Each record's value as often as it has rows."""
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _as_csv(table: pa.Table) -> pa.Table:
    """The table with what CSV cannot hold (lists, tensors, bytes, durations) as JSON text or base64."""
    columns = [
        _column_in_base64(table.column(place))
        if _is_stored(field)
        else _column_as_csv(table.column(place), field.type)
        for place, field in enumerate(table.schema)
    ]
    return pa.table(columns, names=table.schema.names)


def _column_in_base64(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    texts = [None if body is None else base64.b64encode(body).decode() for body in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _column_as_csv(column: pa.ChunkedArray[Any], kind: pa.DataType) -> pa.ChunkedArray[Any]:
    is_plain = not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_duration(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )
    if is_plain:
        return column
    shape = kind.shape if isinstance(kind, pa.FixedShapeTensorType) else None
    values = (value if value is None or not shape else _nest(value, shape) for value in column.to_pylist())
    texts = [None if value is None else _to_text(value) for value in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _nest(flat: Sequence[Any], shape: Sequence[int]) -> Any:
    """A tensor's values, which Arrow gives in one row, as lists within lists."""
    return np.asarray(flat).reshape(shape).tolist()
