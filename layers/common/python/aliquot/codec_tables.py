"""Tables and frames: Arrow's own messages, read without a copy, and back as what they were.

    pyarrow Table, RecordBatch     as they are, with chunks and metadata
    pandas DataFrame, Series       through Arrow (`codec_pandas`); what Arrow would change is refused
    polars DataFrame, Series       as polars writes them

    one value    head, padding, an Arrow stream
    a column     `p`, sizes of head and padding, head, padding, one schema, the batches of all      where one
                 schema is that of all, and without dictionaries; head: [name, bytes of the schema, what is
                 beside each, the lengths of each one's batches]

A stream lies at a multiple of 16 from the payload's start, or from that of the list or column that it is in;
what lies elsewhere than at multiples of 8 is copied. Owns extension 8 and the column of tables. Imports
pyarrow and polars as their values are met. When it is wrong, a column changes its type, or a reader is led
beyond the bytes that it has.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgpack

from aliquot.codec import Stored
from aliquot.codec_forms import EXT_COLUMN, EXT_TABLE, LONG_HEAD, VERSION, check_version, frame
from aliquot.codec_pandas import give_frame, give_series, take_frame, take_series
from aliquot.errors import Unencodable

if TYPE_CHECKING:
    from aliquot.codec import Reading, Writing

_ALIGNED = 8
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream, by Arrow's format
_BATCH = "pyarrow.RecordBatch"
_SIZES = struct.Struct("<IB")

Make = Callable[[int], Any]


def write_table(value: Any, _: Writing) -> Any:
    """The extension of a table, frame or series; raises Unencodable."""
    name, write = _find_writer(type(value))
    more, content = write(value)
    return EXT_TABLE, b"".join(_spell(name, more, _list_messages(content), 0))


def write_list(values: Sequence[Any]) -> bytes:
    """The msgpack form of a list of tables of one type, and None: a column, or one by one; copied once."""
    name, write = _find_writer(next(type(value) for value in values if value is not None))
    held = [None if value is None else write(value) for value in values]
    return b"".join(_spell_column(name, held) or _spell_each(name, held))


def _find_writer(kind: type) -> tuple[str, Callable[[Any], tuple[Any, Any]]]:
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    if name not in _FAMILIES:
        raise Unencodable("", f"{kind.__module__}.{kind.__qualname__}")
    return name, _FAMILIES[name][0]


def _spell_column(name: str, held: Sequence[Any]) -> list[Any]:
    """The column of values that share a flat schema; nothing where they do not."""
    schema = next(getattr(each[1], "schema", None) for each in held if each is not None)
    if schema is None or not _is_flat(schema):
        return []
    batches = [None if each is None else _list_batches(each[1], schema) for each in held]
    if any(each is None and there is not None for each, there in zip(batches, held, strict=True)):
        return []
    spelt = schema.serialize()
    lengths = [None if each is None else list(map(len, each)) for each in batches]
    head = msgpack.packb([name, len(spelt), [each and each[0] for each in held], lengths])
    pad = -(LONG_HEAD + 2 + _SIZES.size + len(head)) % 16
    messages = [message for each in batches if each is not None for message in each]
    return frame(EXT_COLUMN, [VERSION, b"p", _SIZES.pack(len(head), pad), head, bytes(pad), spelt, *messages])


def _spell_each(name: str, held: Sequence[Any]) -> list[Any]:
    """A list of extensions, and None."""
    parts: list[Any] = [msgpack.Packer().pack_array_header(len(held))]
    size = len(parts[0])
    for each in held:
        more = [b"\xc0"]
        if each is not None:
            more = frame(EXT_TABLE, _spell(name, each[0], _list_messages(each[1]), size + LONG_HEAD))
        size += sum(map(len, more))
        parts += more
    return parts


def _spell(name: str, more: Any, stream: Sequence[Any], at: int) -> list[Any]:
    """The payload of a value, its stream aligned where the payload begins at this place."""
    head = msgpack.packb([name, more])
    if len(head) > 0xFF:
        raise Unencodable("", f"{name} with a name of {len(head)} bytes")
    pad = -(at + 3 + len(head)) % 16
    return [VERSION, bytes((len(head),)), head, bytes((pad,)), bytes(pad), *stream]


def _list_messages(content: Any) -> list[Any]:
    """The stream of a table or batch: of flat columns its messages, which are copied once; polars' own."""
    import pyarrow as pa

    if isinstance(content, memoryview):
        return [content]
    if _is_flat(content.schema):
        return [content.schema.serialize(), *_list_batches(content, content.schema), _END]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write(content)
    return [sink.getvalue()]


def _list_batches(content: Any, schema: Any) -> Any:
    """The messages of its batches; None where it has another schema."""
    if content.schema is not schema and not content.schema.equals(schema, check_metadata=True):
        return None
    batches = content.to_batches() if hasattr(content, "to_batches") else [content]
    return [batch.serialize() for batch in batches]


def _is_flat(schema: Any) -> bool:
    """Whether each column is one array without a dictionary, of which a batch's message has all."""
    import pyarrow as pa

    return not any(
        kind.num_fields or pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType)
        for kind in schema.types
    )


def read_table(payload: bytes | memoryview, _: Reading) -> Any:
    """The table, frame or series of an extension."""
    check_version(EXT_TABLE, payload)
    end = 2 + payload[1]
    name, more = msgpack.unpackb(payload[2:end])
    return _find_reader(name)(memoryview(payload)[end + 1 + payload[end] :], more)


def read_column(payload: bytes | memoryview, reading: Reading) -> list[Any]:
    """The values of a column of tables."""
    name, schema, rows = _split_column(payload)
    make = _make_of(name, schema, rows) if reading.opens else None
    return [
        None
        if row is None
        else make(at)
        if make
        else Stored(EXT_TABLE, b"".join(_spell(name, row[0], [schema, *row[1], _END], 0)))
        for at, row in enumerate(rows)
    ]


def list_tables(payload: bytes | memoryview) -> tuple[str, Make, int]:
    """The type of a column of tables, what makes the value of a row, and how many these are."""
    name, schema, rows = _split_column(payload)
    return name, _make_of(name, schema, rows), len(rows)


def _split_column(payload: bytes | memoryview) -> tuple[str, memoryview, list[Any]]:
    """Type, schema, and for each row None or what is beside it and its batches; raises ValueError."""
    view = memoryview(payload)
    n_head, pad = _SIZES.unpack_from(view, 2)
    end = 2 + _SIZES.size + n_head
    name, n_schema, beside, lengths = msgpack.unpackb(view[2 + _SIZES.size : end])
    if name not in _FAMILIES or _is_polars(name):
        raise ValueError(f"a column of tables of type {name!r} is not read")
    at = end + pad + n_schema
    schema, rows = view[end + pad : at], []
    for more, sizes in zip(beside, lengths, strict=True):
        messages = []
        for size in sizes or ():
            if not 0 <= size <= len(view) - at:
                raise ValueError("a column whose tables are not as long as they say")
            messages.append(view[at : at + size])
            at += size
        rows.append(None if sizes is None else (more, messages))
    if at != len(view):
        raise ValueError("a column whose tables are not as long as they say")
    return name, schema, rows


def _make_of(name: str, schema: memoryview, rows: Sequence[Any]) -> Make:
    import pyarrow as pa

    @cache  # by whoever asks first: a schema is made in C++, of bytes that may be anybody's
    def read_schema() -> Any:
        return pa.ipc.read_schema(_align(schema))

    def make(at: int) -> Any:
        if rows[at] is None:
            return None
        more, messages = rows[at]
        batches = [pa.ipc.read_record_batch(_align(message), read_schema()) for message in messages]
        return _FAMILIES[name][1](_assemble(name, batches, read_schema()), more)

    return make


def _find_reader(name: Any) -> Callable[[memoryview, Any], Any]:
    """What makes a value of its stream; raises ValueError."""
    if name not in _FAMILIES:
        raise ValueError(f"a table of type {name!r} is not read")
    give = _FAMILIES[name][1]
    return give if _is_polars(name) else lambda stream, more: give(_read_arrow(name, stream), more)


def _is_polars(name: str) -> bool:
    return name.startswith("polars.")


def _read_arrow(name: str, stream: memoryview) -> Any:
    import pyarrow as pa

    reader = pa.RecordBatchStreamReader(_align(stream))
    return _assemble(name, list(reader), reader.schema)


def _assemble(name: str, batches: Sequence[Any], schema: Any) -> Any:
    """A table, or the one batch; offsets that lead elsewhere are found here, not where they are followed."""
    import pyarrow as pa

    if name == _BATCH:
        (content,) = batches
    else:
        content = pa.Table.from_batches(batches, schema)
    content.validate(full=True)
    return content


def _align(stream: memoryview) -> Any:
    """What Arrow reads of, for it takes numbers as they lie."""
    import pyarrow as pa

    buffer = pa.py_buffer(stream)
    return buffer if buffer.address % _ALIGNED == 0 else pa.py_buffer(bytes(stream))


def _take_polars(frame: Any) -> tuple[Any, Any]:
    import polars as pl

    if any(dtype.base_type() is pl.Object for dtype in frame.dtypes):
        raise Unencodable("", "polars frame with a column of Python objects")
    body = io.BytesIO()
    frame.write_ipc_stream(body)
    return None, body.getbuffer()


def _give_polars(stream: memoryview, _: Any) -> Any:
    import polars as pl

    try:
        return pl.read_ipc_stream(bytes(stream))
    except pl.exceptions.PanicException as err:  # of damaged bytes; no Exception
        raise ValueError(f"polars gave up: {err}") from err


# by type: what gives what lies beside the table, and the table (of polars the stream); what makes it of these
_FAMILIES: dict[str, tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]]] = {
    "pyarrow.Table": (lambda table: (None, table), lambda table, _: table),
    _BATCH: (lambda batch: (None, batch), lambda batch, _: batch),
    "pandas.DataFrame": (take_frame, give_frame),
    "pandas.Series": (take_series, give_series),
    "polars.DataFrame": (_take_polars, _give_polars),
    "polars.Series": (
        lambda series: _take_polars(series.to_frame()),
        lambda stream, _: _give_polars(stream, None).to_series(0),
    ),
}
