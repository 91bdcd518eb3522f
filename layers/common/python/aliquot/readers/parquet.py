"""Records of a Parquet file, of which only the wanted columns are read.

Owns how Parquet's values become Python's. The only reader that imports pyarrow, while it reads. When it is
wrong, memory grows with the file, or one odd value ends a run.
"""

from __future__ import annotations

import gzip
import reprlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from aliquot.errors import DatasetError
from aliquot.readers.batch import Batch, Limits, make_batch
from aliquot.readers.columns import Layout, Wanted, lay_out
from aliquot.readers.sources import Source
from aliquot.readers.streams import Opener, Stream, buffer_windows, open_file

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 1 << 20
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group: its rows, and about the bytes of the wanted columns, decoded but for dictionaries."""

    n_rows: int
    n_bytes: int


def read_parquet(
    source: Source,
    wanted: Wanted,
    limits: Limits,
    opener: Opener = open_file,
    rows: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    """The records of a Parquet file in batches of about 1 MiB; nested values as lists and dicts.

    Times finer than a microsecond are cut to it, whether or not pandas is there to hold them.

    Args:
        opener: gives the file; it is read in pieces of about a megabyte.
        rows: half-open; None for all. Row groups without any of them are not touched.

    Raises:
        DatasetError: not Parquet, damaged, or without a wanted column.
    """
    import pyarrow.parquet as pq

    at = [0]
    # A column is read through a small buffer: pre-buffered, a whole row group would lie in memory.
    with (
        _explained(source, at),
        _open_plain(source, opener) as plain,
        pq.ParquetFile(plain, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
    ):
        names = file.schema_arrow.names
        layout = lay_out(source.path, names, wanted)
        n_rows = max(1, file.metadata.num_rows)
        first, end = rows or (0, n_rows)
        size = _count_per_batch(file.metadata, limits.records)
        make = _make_table_batch if wanted.is_table else _make_batch
        at[0], groups = _choose_groups(file.metadata, first, end)
        columns = _name_columns(layout, names)
        for whole in file.iter_batches(size, row_groups=groups, columns=columns, use_threads=False):
            before = max(0, min(first - at[0], whole.num_rows))
            table = whole.slice(before, max(0, min(end - at[0], whole.num_rows) - before))
            if table.num_rows:
                yield make(table, layout, names, at[0] + before, n_rows)
            at[0] += whole.num_rows


def is_parquet(head: bytes) -> bool:
    """Whether what begins with `head` is a Parquet file."""
    return head.startswith(b"PAR1")


def read_piped_parquet(source: Source, stream: Stream, wanted: Wanted, limits: Limits) -> Iterator[Batch]:
    """The records of a Parquet file that comes through a pipe: it is put on disk first, whole.

    Raises DatasetError as `read_parquet` and the stream do.
    """
    with tempfile.TemporaryFile() as whole:
        try:
            while piece := stream.read(BUFFER_BYTES):
                whole.write(piece)
            whole.seek(0)
        except OSError as err:
            raise DatasetError(source.path, f"cannot be put on disk: {err.strerror}") from err
        yield from read_parquet(source, wanted, limits, lambda _: cast("BinaryIO", whole))


def list_row_groups(source: Source, wanted: Wanted, opener: Opener = open_file) -> list[RowGroup]:
    """The file's row groups, from its footer; raises DatasetError as `read_parquet` does."""
    import pyarrow.parquet as pq

    with _explained(source, [0]), _open_plain(source, opener) as plain, pq.ParquetFile(plain) as file:
        names = file.schema_arrow.names
        columns = set(_name_columns(lay_out(source.path, names, wanted), names))
        return [_describe_group(file.metadata.row_group(i), columns) for i in range(file.num_row_groups)]


def _describe_group(group: Any, columns: set[str]) -> RowGroup:
    chunks = [group.column(i) for i in range(group.num_columns)]
    n_bytes = sum(
        chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns
    )
    return RowGroup(group.num_rows, n_bytes)


def _name_columns(layout: Layout, names: list[str]) -> list[str]:
    indices = {i for i in (*layout.fields.values(), *layout.keep.values()) if i is not None}
    return [names[i] for i in sorted(indices)]


def _choose_groups(metadata: Any, first: int, end: int) -> tuple[int, list[int]]:
    """The first row of the row groups that hold rows from `first` to `end`, and their indices."""
    ends = list(accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))
    starts = [0, *ends[:-1]]
    groups = [i for i, (a, b) in enumerate(zip(starts, ends, strict=False)) if a < end and b > first]
    return (starts[groups[0]] if groups else 0), groups


@contextmanager
def _explained(source: Source, at: list[int]) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise DatasetError(source.path, f"cannot be read as Parquet after {at[0]:,} rows: {reason}") from err


@contextmanager
def _open_plain(source: Source, opener: Opener) -> Iterator[BinaryIO]:
    """The file as it is, or unpacked on disk where it lies within gzip: Parquet is read from its end."""
    if not source.is_gzip:
        with opener(source) as file:
            yield file
        return
    with (
        opener(source) as raw,
        gzip.GzipFile(fileobj=buffer_windows(raw), mode="rb") as packed,
        tempfile.TemporaryFile() as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked, BUFFER_BYTES)
        unpacked.seek(0)
        yield cast("BinaryIO", unpacked)


def _count_per_batch(metadata: Any, limit: int) -> int:
    n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    bytes_per_row = n_bytes / max(1, metadata.num_rows)
    return max(1, min(limit, int(BATCH_BYTES / max(1.0, bytes_per_row))))


def _make_batch(table: pa.RecordBatch, layout: Layout, names: list[str], n_before: int, n_rows: int) -> Batch:
    n_here = table.num_rows
    odd: dict[int, str] = {}
    values = {name: _list_values(table.column(name), odd) for name in table.schema.names}
    columns: dict[str, list[Any]] = {}
    for name, index in layout.fields.items():
        columns[name] = [None] * n_here if index is None else list(values[names[index]])
    kept = {name: list(values[names[index]]) for name, index in layout.keep.items()}

    def get_raw(index: int) -> str:
        return reprlib.repr({name: column[index] for name, column in values.items()})

    return make_batch(
        columns,
        kept,
        lines=list(range(n_before + 1, n_before + n_here + 1)),
        sizes=_measure(table, values),
        bad={index: (reason, get_raw(index)) for index, reason in odd.items()},
        fraction=(n_before + n_here) / n_rows,
        line_field=layout.line_field,
        get_raw=get_raw,
    )


def _make_table_batch(
    table: pa.RecordBatch, _layout: Layout, _names: list[str], n_before: int, n_rows: int
) -> Batch:
    """All columns as they are, sizes evenly."""
    n_here = table.num_rows
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    lines = range(n_before + 1, n_before + n_here + 1)
    sizes = [table.nbytes // n_here] * n_here
    return Batch(0, columns, {}, lines, {}, sizes, (n_before + n_here) / n_rows)


def _list_values(column: pa.Array[Any], odd: dict[int, str]) -> list[Any]:
    """A column as Python values; where one has none (a date in the year 20000), its row is put in `odd`."""
    column = _cut_nanoseconds(column)
    try:
        listed: list[Any] = column.to_pylist()
        return listed
    except (ValueError, OverflowError):  # pyarrow.ArrowInvalid and UnicodeDecodeError are ValueErrors
        return [_read_value(value, index, odd) for index, value in enumerate(column)]


def _read_value(value: Any, index: int, odd: dict[int, str]) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError) as err:
        odd[index] = f"a value that Python cannot hold: {err}"
        return None


def _cut_nanoseconds(column: pa.Array[Any]) -> pa.Array[Any]:
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if getattr(kind, "unit", "") != "ns":
        return column
    if types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column.cast(pa.duration("us") if types.is_duration(kind) else pa.time64("us"), safe=False)


def _measure(table: pa.RecordBatch, values: dict[str, list[Any]]) -> list[int]:
    """About the bytes of each row: text by its length, other columns evenly."""
    texts = [name for name in table.schema.names if set(map(type, values[name])) <= {str, bytes}]
    even = sum(table.column(name).nbytes for name in table.schema.names if name not in texts)
    sizes = [even // table.num_rows] * table.num_rows
    for name in texts:
        sizes = [size + len(value) for size, value in zip(sizes, values[name], strict=True)]
    return sizes
