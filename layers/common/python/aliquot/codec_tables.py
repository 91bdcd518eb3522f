"""Tables and frames: Arrow's own stream, read without a copy, and back as what they were.

    pyarrow Table, RecordBatch     as they are, with chunks and metadata
    pandas DataFrame, Series       through Arrow; what Arrow would change is refused. Numbers and texts on a
                                   range column by column, without what else pandas looks for
    polars DataFrame, Series       as polars writes them

The stream lies at a multiple of 16 from the payload's start, or from that of a list of tables; what another
place has moved from multiples of 8 is copied. Owns extension 8. Imports pyarrow, pandas and
polars as their values are met. When it is wrong, a column changes its type, or a reader is led beyond the
bytes that it has.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgpack

from aliquot.codec_forms import EXT_TABLE, LONG_HEAD, VERSION, check_version, frame
from aliquot.errors import Unencodable

if TYPE_CHECKING:
    from aliquot.codec import Reading, Writing

_ALIGNED = 8
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream, by Arrow's format
_LONGEST_LABEL = 50  # of an index, beside the table


def write_table(value: Any, _: Writing) -> Any:
    """The extension of a table, frame or series; raises Unencodable."""
    return EXT_TABLE, b"".join(_write_parts(value, 0))


def write_list(values: Sequence[Any]) -> bytes:
    """The msgpack form of a list of such, and None: each copied once, its stream at a multiple of 16."""
    parts: list[Any] = [msgpack.Packer().pack_array_header(len(values))]
    size = len(parts[0])
    for value in values:
        more = [b"\xc0"] if value is None else frame(EXT_TABLE, _write_parts(value, size + LONG_HEAD))
        size += sum(map(len, more))
        parts += more
    return b"".join(parts)


def _write_parts(value: Any, at: int) -> list[Any]:
    """The payload of a value, its stream aligned where the payload begins at this place."""
    kind = type(value)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    if name not in _WRITERS:
        raise Unencodable("", f"{kind.__module__}.{kind.__qualname__}")
    more, stream = _WRITERS[name](value)
    head = msgpack.packb([name, more])
    if len(head) > 0xFF:
        raise Unencodable("", f"{name} with a name of {len(head)} bytes")
    pad = -(at + 3 + len(head)) % 16
    return [VERSION, bytes((len(head),)), head, bytes((pad,)), bytes(pad), *stream]


def read_table(payload: bytes, _: Reading) -> Any:
    """The table, frame or series of an extension."""
    check_version(EXT_TABLE, payload)
    end = 2 + payload[1]
    name, more = msgpack.unpackb(payload[2:end])
    if name not in _READERS:
        raise ValueError(f"a table of type {name!r} is not read")
    return _READERS[name](memoryview(payload)[end + 1 + payload[end] :], more)


def _write_arrow(table: Any) -> tuple[Any, list[Any]]:
    """A stream: of flat columns in its messages, which are copied once; else as Arrow's writer gives it."""
    import pyarrow as pa

    if all(map(_is_flat, table.schema.types)):
        batches = [table] if isinstance(table, pa.RecordBatch) else table.to_batches()
        return None, [table.schema.serialize(), *[batch.serialize() for batch in batches], _END]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return None, [sink.getvalue()]


def _is_flat(kind: Any) -> bool:
    """Whether a column is one array, with no dictionary, which a stream has messages of its own for."""
    import pyarrow as pa

    return not (kind.num_fields or isinstance(kind, pa.DictionaryType | pa.BaseExtensionType))


def _read_arrow(stream: memoryview, _: Any) -> Any:
    import pyarrow as pa

    table = pa.RecordBatchStreamReader(_align(stream)).read_all()
    table.validate(full=True)  # offsets that lead elsewhere are found here, not where they are followed
    return table


def _align(stream: memoryview) -> Any:
    """What Arrow reads of, for it takes numbers as they lie."""
    import pyarrow as pa

    buffer = pa.py_buffer(stream)
    return buffer if buffer.address % _ALIGNED == 0 else pa.py_buffer(bytes(stream))


def _read_batch(stream: memoryview, _: Any) -> Any:
    import pyarrow as pa

    batch = pa.RecordBatchStreamReader(_align(stream)).read_next_batch()
    batch.validate(full=True)
    return batch


def _write_pandas(frame: Any) -> tuple[Any, list[Any]]:
    """Through Arrow, and back to see that it is the same where it might not be."""
    import pyarrow as pa

    if frame.attrs:
        raise Unencodable(".attrs", "attributes of a pandas frame")
    arrays = _list_plain(frame)
    if arrays:
        index = frame.index
        more = [index.start, index.stop, index.step, index.name, frame.columns.name]
        return more, _write_arrow(pa.Table.from_arrays(arrays, list(frame.columns)))[1]
    freq = getattr(frame.index, "freqstr", None)
    try:
        table = pa.Table.from_pandas(frame)
        is_same = _is_same(_make_pandas(table, freq), frame)
    except (pa.ArrowException, ValueError, TypeError, KeyError, NotImplementedError) as err:
        reason = str(err).partition("\n")[0]
        raise Unencodable("", f"pandas frame that Arrow does not hold ({reason})") from err
    if not is_same:
        raise Unencodable("", f"pandas frame that Arrow would change (of {_list_dtypes(frame)})")
    return freq, _write_arrow(table)[1]


def _list_plain(frame: Any) -> list[Any]:
    """The columns of a frame of plain numbers and texts on a range, and nothing else; none of any other."""
    import pandas as pd
    import pyarrow as pa

    index, columns = frame.index, frame.columns
    if not (
        type(index) is pd.RangeIndex
        and type(columns) is pd.Index
        and columns.dtype == "str"
        and columns.is_unique
        and all(
            name is None or (type(name) is str and len(name) <= _LONGEST_LABEL)
            for name in (index.name, columns.name)
        )
        and hasattr(pd.api, "internals")  # by which they are read: since pandas 3
    ):
        return []
    arrays = []
    for column in map(itemgetter(1), frame.items()):
        dtype = column.dtype
        if getattr(dtype, "isnative", False) and dtype.kind in "biuf" and dtype.itemsize <= 8:
            arrays.append(pa.array(column.to_numpy()))
        elif dtype == "str":
            arrays.append(pa.array(column.array))
        else:
            return []
    return arrays


def _make_plain(table: Any, more: Any) -> Any:
    """The frame of its columns: numbers of one type in one block, as pandas keeps them."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    start, stop, step, name, columns_name = more
    index = pd.RangeIndex(start, stop, step, name=name)
    if len(index) != table.num_rows:
        raise ValueError(f"a frame of {table.num_rows} rows on an index of {len(index)}")
    texts = pd.StringDtype("pyarrow", na_value=np.nan)
    names = texts.__from_arrow__(pa.array(table.column_names, pa.large_string()))
    blocks: list[tuple[Any, Any]] = []
    places: dict[Any, list[int]] = {}
    for at, column in enumerate(table.columns):
        if _is_text(column.type):
            blocks.append((texts.__from_arrow__(column), np.array([at])))
        elif _is_number(column.type) and not column.null_count:
            places.setdefault(column.type.to_pandas_dtype(), []).append(at)
        else:
            raise ValueError(f"a plain frame with a column of {column.type}, {column.null_count} of it null")
    for dtype, held in places.items():
        block = np.empty((len(held), len(index)), dtype)
        for row, at in enumerate(held):
            block[row] = table.column(at).to_numpy()
        blocks.append((block, np.array(held)))
    columns = pd.Index(names, name=columns_name, copy=False)
    return pd.api.internals.create_dataframe_from_blocks(blocks, index, columns)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(kind) or pa.types.is_string(kind))


def _is_same(read: Any, frame: Any) -> bool:
    import pandas as pd

    try:
        pd.testing.assert_frame_equal(
            read, frame, check_exact=True, check_flags=True, check_column_type="equiv"
        )
    except AssertionError:
        return False
    return [type(each) for each in _list_objects(read)] == [type(each) for each in _list_objects(frame)]


def _list_objects(frame: Any) -> list[Any]:
    """What lies in columns of objects, whose types a comparison of values does not see."""
    return [value for name in frame.columns for value in frame[name] if frame[name].dtype == object]


def _list_dtypes(frame: Any) -> str:
    return ", ".join(sorted({str(each) for each in frame.dtypes}))


def _make_pandas(table: Any, freq: str | None) -> Any:
    """The frame of an Arrow table; the frequency of an index of times is not in it."""
    frame = table.to_pandas()
    if freq is not None and frame.index.freq is None:
        frame.index.freq = freq
    return frame


def _read_pandas(stream: memoryview, freq: Any) -> Any:
    table = _read_arrow(stream, None)
    return _make_plain(table, freq) if type(freq) is list else _make_pandas(table, freq)


def _write_series(series: Any) -> tuple[Any, list[Any]]:
    if series.name is not None and type(series.name) not in (str, int):
        raise Unencodable(".name", f"{type(series.name).__name__} as the name of a pandas series")
    if series.attrs:
        raise Unencodable(".attrs", "attributes of a pandas series")
    freq, stream = _write_pandas(series.to_frame("values"))
    return [series.name, freq], stream


def _read_series(stream: memoryview, more: Any) -> Any:
    name, freq = more
    return _read_pandas(stream, freq)["values"].rename(name)


def _write_polars(frame: Any) -> tuple[Any, list[Any]]:
    import polars as pl

    if any(dtype.base_type() is pl.Object for dtype in frame.dtypes):
        raise Unencodable("", "polars frame with a column of Python objects")
    body = io.BytesIO()
    frame.write_ipc_stream(body)
    return None, [body.getbuffer()]


def _read_polars(stream: memoryview, _: Any) -> Any:
    import polars as pl

    return pl.read_ipc_stream(bytes(stream))


def _write_polars_series(series: Any) -> tuple[Any, list[Any]]:
    return _write_polars(series.to_frame())


def _read_polars_series(stream: memoryview, _: Any) -> Any:
    return _read_polars(stream, None).to_series(0)


_WRITERS: dict[str, Callable[[Any], tuple[Any, list[Any]]]] = {
    "pyarrow.Table": _write_arrow,
    "pyarrow.RecordBatch": _write_arrow,
    "pandas.DataFrame": _write_pandas,
    "pandas.Series": _write_series,
    "polars.DataFrame": _write_polars,
    "polars.Series": _write_polars_series,
}
_READERS: dict[str, Callable[[memoryview, Any], Any]] = {
    "pyarrow.Table": _read_arrow,
    "pyarrow.RecordBatch": _read_batch,
    "pandas.DataFrame": _read_pandas,
    "pandas.Series": _read_series,
    "polars.DataFrame": _read_polars,
    "polars.Series": _read_polars_series,
}
