"""The rows of consecutive records as columns: what a host gives back and what an outcome holds.

A block holds, for records first..first+n of a chunk, how many rows each gave, and the rows' values column
by column: bytes of the head u32 | head (msgpack map, with the bytes of each column) | columns, each at a
multiple of 16. With it go the kinds of value that each column holds, so that a merge knows the schema of a
result from headers alone.

Owns this form, and the check that what a function returned are rows. Imports `codec` and `envelope`. When
it is wrong, rows change on their way.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from aliquot.codec import Stored, is_column, name_stored, pack, unpack, unpack_late
from aliquot.columnar import is_arrow, is_table, join_tables, name_kind, pack_table, unpack_table
from aliquot.envelope import ALIGNED, Part, align, is_count
from aliquot.errors import Undecodable

Kinds = dict[str, set[str]]
_HEAD = struct.Struct("<I")


class NotRows(TypeError):
    """A record's answer is not rows: filed as that record's exception."""


@dataclass(frozen=True)
class Block:
    """Rows of the records first..first+len(counts) of a chunk.

    Args:
        counts: rows per record, shape (n_records,).
        columns: the rows' values by column name, each of sum(counts) values; None where a row lacks it.
            Lists, or, of answers that were tables, Arrow arrays all of them.
        notes: a note per record, or empty where no record has one.
    """

    first: int
    counts: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    notes: Sequence[str | None] = ()

    @property
    def n_rows(self) -> int:
        """Rows of all records."""
        return sum(self.counts)

    def pack(self) -> Part:
        """The block, compressed; raises Unencodable with the path to the value."""
        if self.is_table:
            columns = {"": pack_table(self.columns)}
        else:
            columns = {name: pack(values, name) for name, values in self.columns.items()}
        head = {
            "first": self.first,
            "counts": array("I", self.counts).tobytes(),
            "table" if self.is_table else "columns": {name: len(body) for name, body in columns.items()},
            "notes": list(self.notes),
        }
        return Part.of(join_block(pack(head), columns.values()), "the rows of one step")

    @property
    def is_table(self) -> bool:
        """Whether its columns are Arrow arrays."""
        return bool(self.columns) and all(map(is_arrow, self.columns.values()))

    @classmethod
    def unpack(cls, part: Part, *, opens: bool = False) -> Block:
        """Read a block; raises Undecodable.

        Args:
            opens: values of registered types and tables are made, for a job, as each is asked for; else they
                stay `Stored`.
        """
        body = memoryview(part.open("block"))
        try:
            (n_head,) = _HEAD.unpack_from(body)
            head = unpack(body[_HEAD.size : _HEAD.size + n_head], "block")
            counts = array("I")
            counts.frombytes(head["counts"])
            columns = _unpack_columns(head, body, _HEAD.size + n_head, opens=opens)
            block = cls(head["first"], counts, columns, head["notes"])
            is_even = all(len(values) == block.n_rows for values in columns.values())
            is_noted = type(block.notes) is list and len(block.notes) in (0, len(counts))
            is_even &= is_count(block.first) and all(type(name) is str for name in columns)
        except (KeyError, TypeError, ValueError, AttributeError, struct.error) as err:
            raise Undecodable("block", f"{type(err).__name__}: {err}") from err
        if not is_even or not is_noted:
            raise Undecodable("block", "its columns are garbled, or not as long as its rows")
        return block

    def kinds(self) -> Kinds:
        """The kinds of value in each column."""
        if self.is_table:
            return {name: {name_kind(values)} for name, values in self.columns.items()}
        return {name: name_kinds(values) for name, values in self.columns.items()}

    def slice(self, first: int, end: int) -> Block:
        """The part of the block that answers for the chunk's records first..end."""
        a = min(max(first - self.first, 0), len(self.counts))
        b = max(min(end - self.first, len(self.counts)), a)
        row_a = sum(self.counts[:a])
        row_b = row_a + sum(self.counts[a:b])
        columns = {name: values[row_a:row_b] for name, values in self.columns.items()}
        return Block(self.first + a, self.counts[a:b], columns, self.notes[a:b])


def join_block(head: bytes, columns: Iterable[bytes]) -> bytes:
    """A block's plain bytes: what is behind its head begins at multiples of 16."""
    pieces, end = [_HEAD.pack(len(head)), head], _HEAD.size + len(head)
    for body in columns:
        pieces += (bytes(-end % ALIGNED), body)
        end = align(end) + len(body)
    return b"".join(pieces)


def _unpack_columns(head: dict[str, Any], body: memoryview, at: int, *, opens: bool) -> Mapping[str, Any]:
    """The columns that lie behind a block's head, which ends at `at`."""
    bodies: dict[str, memoryview] = {}
    for name, n_bytes in head["table" if "table" in head else "columns"].items():
        if not is_count(n_bytes) or align(at) + n_bytes > len(body):
            raise ValueError("its columns are longer than it is")
        bodies[name] = body[align(at) : align(at) + n_bytes]
        at = align(at) + n_bytes
    if "table" in head:
        table = unpack_table(bodies[""], "block")
        return dict(zip(table.schema.names, table.columns, strict=True))
    columns = {
        name: unpack_late(values, f'row["{name}"]') if opens else unpack(values, f"column {name!r}")
        for name, values in bodies.items()
    }
    if not all(is_column(values) for values in columns.values()):
        raise Undecodable("block", "its columns are garbled, or not as long as its rows")
    return columns


def as_rows(answer: Any, columns: tuple[str, ...]) -> Sequence[Any]:
    """The rows in a record's answer: None, a row or several, or an Arrow table; raises NotRows.

    Args:
        answer: what a job gave for one record.
        columns: the declared columns of a row, empty where rows are dicts.
    """
    if type(answer) is dict:  # nearly always; Mapping's own check costs ten times as much
        return (answer,)
    if answer is None:
        return ()
    if is_table(answer):
        return answer  # type: ignore[no-any-return]
    if isinstance(answer, Mapping) or (columns and _is_named_row(answer)):
        answer = (answer,)
    elif not isinstance(answer, list | tuple):
        answer = _listed(answer)
    return answer  # type: ignore[no-any-return]


def make_block(
    first: int, answers: Sequence[Sequence[Any]], notes: Sequence[str | None], columns: tuple[str, ...]
) -> Block:
    """The block of these answers, each a list of rows; raises NotRows or ValueError for malformed rows."""
    counts = list(map(len, answers))
    if tables := [answer for answer in answers if is_table(answer)]:
        if sum(map(len, tables)) != sum(counts):
            raise NotRows("of the records of one step some gave tables, others rows")
        return Block(first, counts, join_tables(tables), notes if any(notes) else ())
    rows = list(chain.from_iterable(answers))
    by_column = _columns_of_tuples(rows, columns) if columns else _columns_of_dicts(rows)
    return Block(first, counts, by_column, notes if any(notes) else ())


def name_kinds(values: Sequence[Any]) -> set[str]:
    """The kinds of value in a column: `int`, `list float`, `array <f4 2,3`, `stored set`."""
    kinds: set[str] = set()
    found = set(map(type, values))
    for kind in found:
        name = _name_kind(kind)
        name_each = _NAMED_ONE_BY_ONE.get(name)
        if name_each is None:
            kinds.add(name)
            continue
        those: Sequence[Any] = values
        if len(found) > 1:
            those = [value for value in values if type(value) is kind]
        if name == "int":
            kinds |= _name_ints(those)
        else:
            kinds.update(map(name_each, those))
    return kinds


def _name_ints(values: Sequence[int]) -> set[str]:
    """As of each; where the least and the largest are plain, all between them are."""
    ends = {_name_int(min(values)), _name_int(max(values))}
    return ends if ends == {"int"} else set(map(_name_int, values))


def _name_kind(kind: type) -> str:
    """A type's name; of a subclass of text, an integer or a float (an enum) what it is stored as."""
    if kind.__module__ not in _TOLD_BY_NAME or kind in _SETS:
        stored = None if kind is Stored else name_stored(kind)
        if stored is not None:
            return _STORED + stored
    if kind.__name__ in _KIND_NAMES:
        return _KIND_NAMES[kind.__name__]
    return next((stored.__name__ for stored in (str, int, float) if issubclass(kind, stored)), kind.__name__)


_STORED = "stored "
_SETS = (set, frozenset)
_TOLD_BY_NAME = frozenset({"builtins", "datetime", "decimal", "numpy"})
_ARRAYS_TOLD = frozenset("biufcUSmM")  # dtypes whose values tables, or their JSON, hold
_KIND_NAMES = {
    "NoneType": "none",
    "tuple": "list",
    "str_": "str",
    "bool_": "bool",
    "bool": "bool",  # a subclass of int
    **{f"float{bits}": "float" for bits in (16, 32, 64)},
    **{name: f"{_STORED}numpy.{name}" for name in ("void", "longdouble", "clongdouble")},
    **{f"{sign}int{bits}": "int" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def _name_int(value: int) -> str:
    """`int` where a float holds it exactly, `wide` to 64 bits, else `bigint`."""
    if -(1 << 53) <= value <= (1 << 53):
        return "int"
    return "wide" if -(1 << 63) <= value < (1 << 63) else "bigint"


def _name_list(value: Sequence[Any]) -> str:
    inner = name_kinds(value)
    if any(kind.startswith(_STORED) for kind in inner):
        return f"{_STORED}list"
    is_flat = inner <= {"int", "wide", "float", "str", "bool", "none"}
    return f"list {','.join(sorted(inner))}" if is_flat else "json"


def _name_array(value: Any) -> str:
    if value.dtype.kind not in _ARRAYS_TOLD or value.dtype.char in "gG":
        return f"{_STORED}numpy.ndarray"
    return f"array {value.dtype.str} {','.join(map(str, value.shape))}"


def _name_map(value: Mapping[Any, Any]) -> str:
    inner = name_kinds(list(value.values()))
    return f"{_STORED}dict" if any(kind.startswith(_STORED) for kind in inner) else "json"


def _name_datetime(value: Any) -> str:
    return "datetime" if value.tzinfo is None else "datetime utc"


_NAMED_ONE_BY_ONE: dict[str, Callable[[Any], str]] = {
    "int": _name_int,
    "list": _name_list,
    "ndarray": _name_array,
    "datetime": _name_datetime,
    "dict": _name_map,
    "Stored": lambda value: _STORED + value.name,
}


def _is_named_row(answer: Any) -> bool:
    return isinstance(answer, tuple) and hasattr(answer, "_fields")


def _listed(answer: Any) -> list[Any]:
    is_many = hasattr(answer, "__iter__") and not isinstance(answer, str | bytes)
    if not is_many or hasattr(answer, "__array_interface__"):
        raise NotRows(
            f"returned a value of type {type(answer).__name__}: return None, a row (a dict) or several rows"
        )
    return list(answer)


def _columns_of_tuples(rows: list[Any], columns: tuple[str, ...]) -> dict[str, list[Any]]:
    width = len(columns)
    if not all(map(isinstance, rows, repeat(tuple))):
        wrong = next(row for row in rows if not isinstance(row, tuple))
        raise NotRows(
            f"returned a row of type {type(wrong).__name__}: a row is a tuple ({', '.join(columns)})"
        )
    if any(map(width.__ne__, map(len, rows))):
        raise NotRows(f"a row must have {width} values ({', '.join(columns)})")
    if not rows:
        return {name: [] for name in columns}
    return {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}


def _columns_of_dicts(rows: list[Any]) -> dict[str, list[Any]]:
    are_dicts = set(map(type, rows)) <= {dict}
    if not are_dicts and not all(map(isinstance, rows, repeat(Mapping))):
        wrong = next(row for row in rows if not isinstance(row, Mapping))
        raise NotRows(
            f"returned a row of type {type(wrong).__name__}: a row is a dict of column name to value"
        )
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    if not all(map(isinstance, names, repeat(str))):
        raise NotRows("a row's keys are column names and must be text")
    if are_dicts:  # others may make up what they lack
        with suppress(KeyError):
            return {name: list(map(itemgetter(name), rows)) for name in names}
    return {name: [row.get(name) for row in rows] for name in names}
