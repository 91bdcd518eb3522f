"""Arrow tables in chunks and blocks: columns that never become a Python object for each value.

    arrays by name --pack_table--> bytes, an Arrow stream of one batch --unpack_table--> the batch, not copied
    a column --name_kind--> a word that tells its type --read_kind--> the type

Owns these forms. pyarrow is imported as they are used: whoever runs jobs of records has none of it. When it
is wrong, values change on their way.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aliquot.errors import Undecodable

if TYPE_CHECKING:
    import pyarrow as pa

_KIND = "arrow "


def is_arrow(values: Any) -> bool:
    """Whether a column is an Arrow array."""
    return hasattr(values, "__arrow_c_array__")


def is_table(value: Any) -> bool:
    """Whether a value is an Arrow table, of whichever library."""
    return hasattr(value, "__arrow_c_stream__")


def pack_table(columns: Mapping[str, Any]) -> bytes:
    """Arrow arrays of one length by name, as an Arrow stream of one batch."""
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpack_table(body: bytes | memoryview, what: str) -> pa.RecordBatch:
    """The batch of a stream; raises Undecodable, naming `what`."""
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            batch = stream.read_next_batch()
        batch.validate(full=True)
    except (pa.ArrowException, OSError, StopIteration) as err:
        raise Undecodable(what, f"is no Arrow stream: {_first_line(err)}") from err
    return batch


def to_table(batch: pa.RecordBatch) -> pa.Table:
    """A batch as a table."""
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def join_tables(tables: Sequence[Any]) -> dict[str, Any]:
    """The rows of tables of the same columns, by column; each column one array."""
    import pyarrow as pa

    # `pa.table` asks first whether it is a frame, and imports pandas for that where it is installed
    read = [pa.RecordBatchReader.from_stream(table).read_all() for table in tables]
    whole = pa.concat_tables(read, promote_options="default")
    return {name: _join(column) for name, column in zip(whole.column_names, whole.columns, strict=True)}


def join_arrays(arrays: Sequence[Any]) -> Any:
    """Arrays of one type as one."""
    import pyarrow as pa

    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(list(arrays))


def name_kind(values: Any) -> str:
    """The kind of an Arrow column, from which `read_kind` makes its type."""
    import pyarrow as pa

    return _KIND + encode_schema(pa.schema([("", values.type)]))


def read_kind(kind: str) -> pa.DataType | None:
    """The Arrow type of a kind; None where it is the kind of Python values."""
    return decode_schema(kind.removeprefix(_KIND)).field(0).type if has_type(kind) else None


def has_type(kind: str) -> bool:
    """Whether a kind says an Arrow type: its rows are of tables, and belong to no single record."""
    return kind.startswith(_KIND)


def encode_schema(schema: pa.Schema) -> str:
    """A schema as text."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    """A schema of its text; raises Undecodable."""
    import pyarrow as pa

    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True)))
    except (pa.ArrowException, OSError, ValueError) as err:
        raise Undecodable("schema", _first_line(err)) from err


def _join(column: pa.ChunkedArray[Any]) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0] or type(err).__name__
