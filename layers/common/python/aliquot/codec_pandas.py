"""pandas frames and series as Arrow tables and what lies beside these, and back as what they were.

    numbers and texts on a range     column by column; beside: the range, its name and that of the columns
    any other                        by pandas' own conversion, if what it gives back is the same; beside: the
                                     frequency of an index of times
    a series                         its frame of one column; beside: its name, and the above

Owns this conversion. Imports pandas, pyarrow and NumPy inside functions. When it is wrong, a column changes
its type or its index.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from aliquot.errors import Unencodable

_LONGEST_LABEL = 50  # of an index, beside the table


def take_frame(frame: Any) -> tuple[Any, Any]:
    """What is beside its table, and the table; back again to see that it is the same where it might not be.

    Raises:
        Unencodable: Arrow does not hold it, or would change it.
    """
    import pyarrow as pa

    if frame.attrs:
        raise Unencodable(".attrs", "attributes of a pandas frame")
    arrays = _list_plain(frame)
    if arrays:
        index = frame.index
        more = [index.start, index.stop, index.step, index.name, frame.columns.name]
        return more, pa.Table.from_arrays(arrays, list(frame.columns))
    freq = getattr(frame.index, "freqstr", None)
    try:
        table = pa.Table.from_pandas(frame)
        is_same = _is_same(_make_pandas(table, freq), frame)
    except (pa.ArrowException, ValueError, TypeError, KeyError, NotImplementedError) as err:
        reason = str(err).partition("\n")[0]
        raise Unencodable("", f"pandas frame that Arrow does not hold ({reason})") from err
    if not is_same:
        raise Unencodable("", f"pandas frame that Arrow would change (of {_list_dtypes(frame)})")
    return freq, table


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


def give_frame(table: Any, more: Any) -> Any:
    """The frame of a table and what is beside it."""
    return _make_plain(table, more) if type(more) is list else _make_pandas(table, more)


def take_series(series: Any) -> tuple[Any, Any]:
    """As of a frame with one column; its name lies beside."""
    if series.name is not None and type(series.name) not in (str, int):
        raise Unencodable(".name", f"{type(series.name).__name__} as the name of a pandas series")
    if series.attrs:
        raise Unencodable(".attrs", "attributes of a pandas series")
    more, table = take_frame(series.to_frame("values"))
    return [series.name, more], table


def give_series(table: Any, more: Any) -> Any:
    """The series of a table and what is beside it."""
    name, of_frame = more
    return give_frame(table, of_frame)["values"].rename(name)
