"""Columns whose values are made one by one, when a job's step comes to them.

What makes a value out of bytes may be a user's code, or C++ that trusts them: it raises, hangs, or ends the
process. So whoever takes records reads a column of such values as `Late`: each is made while its record is
the one at hand, and costs that record alone. Columns of anything else are read at once, as ever.

    b   the types' own bytes      sliced when the column is read, each made when it is asked for
    f   fields                    at once where no field is late, else row by row
    a list that holds such        found where each item begins; each is unpacked when it is asked for

Owns when values are made, and the path in an error of reading. Imports `codec` and `codec_named`. When it is
wrong, one record's value costs others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, overload

import msgpack

from aliquot.codec import EXT_COLUMN, EXT_NAMED, EXT_TABLE, MOST_NESTED, Reading, check_version, pack, unpack
from aliquot.codec_named import choose_setter, join_fields, list_bodies, split_fields
from aliquot.codec_paths import find_culprit
from aliquot.errors import Undecodable, Unencodable, Unopened
from aliquot.registry import NotRegistered, is_current

_COLUMN = bytes((EXT_COLUMN,))
# of an extension, by msgpack's first byte: bytes before the payload, and its size where none of them says it
_HEADS = {0xC7: (3, 0), 0xC8: (4, 0), 0xC9: (6, 0)} | {0xD4 + power: (2, 1 << power) for power in range(5)}


class Late(Sequence[Any]):
    """A column's values, each made anew whenever it is asked for.

    Args:
        make: the value of a row of the column.
        rows: those that are in it.
        path: to the column, in errors.
        find: names what in a row cannot be made: path and reason.

    Raises:
        Unopened: (`[]`) the value cannot be made of its bytes.
        Undecodable: (`[]`) its type is not known in this process.
    """

    __slots__ = ("_find", "_make", "_path", "_rows")

    def __init__(
        self,
        make: Callable[[int], Any],
        rows: range,
        path: str,
        find: Callable[[int, Exception], tuple[str, str]],
    ) -> None:
        self._make, self._rows, self._path, self._find = make, rows, path, find

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> Late: ...

    def __getitem__(self, at: int | slice) -> Any:
        rows = self._rows[at]
        if isinstance(rows, range):
            return Late(self._make, rows, self._path, self._find)
        try:
            return self._make(rows)
        except Unopened:  # of a field
            raise
        except NotRegistered as err:
            raise Undecodable(self._path, str(err)) from err
        except Exception as err:  # a user's reader, or C++
            raise Unopened(*self._find(rows, err)) from err

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self._rows)))


class _Rich(Exception):
    """A list holds a value that is to be made late."""


class _Probe(Reading):
    """Reads a column unless it holds such a value."""

    def restore(self, code: int, payload: bytes | memoryview) -> Any:
        if code in (EXT_NAMED, EXT_TABLE, EXT_COLUMN):
            raise _Rich
        return super().restore(code, payload)

    @property
    def inner(self) -> Reading:
        return _PROBES[super().inner.depth]


_PROBES = [_Probe(depth, opens=True) for depth in range(MOST_NESTED)]
_OPENING = [Reading(depth, opens=True) for depth in range(MOST_NESTED)]


def read_late(body: bytes | memoryview, depth: int, path: str) -> Any:
    """A column's values; raises whatever its damage leads to.

    Args:
        depth: of extensions around it.
        path: to the column, in errors.
    """
    n_head, size = _HEADS.get(body[0], (0, 0)) if body else (0, 0)
    size = size or int.from_bytes(body[1 : max(n_head - 1, 1)])
    if n_head and body[n_head - 1 : n_head] == _COLUMN and len(body) == n_head + size:
        check_version(EXT_COLUMN, memoryview(body)[n_head:])
        form = bytes(body[n_head + 1 : n_head + 2])
        if form in _FORMS:
            return _FORMS[form](memoryview(body)[n_head:], depth, path)
        return _OPENING[depth].restore(EXT_COLUMN, memoryview(body)[n_head:])
    try:
        return _PROBES[depth].read(body)
    except _Rich:
        return _list_items(body, depth, path)


def _late_bodies(payload: memoryview, depth: int, path: str) -> Late:
    name, make, bodies = list_bodies(payload, _OPENING[depth])
    return Late(
        lambda row: None if (body := bodies[row]) is None else make(body),
        range(len(bodies)),
        path,
        lambda _, err: (path, f"{name} ({_say(err)})"),
    )


def _late_fields(payload: memoryview, depth: int, path: str) -> Sequence[Any]:
    """At once where nothing but this engine's code makes the values."""
    name, version, presence, columns = split_fields(
        payload, lambda field, body: read_late(body, _OPENING[depth].inner.depth, f"{path}.{field}")
    )
    make = choose_setter(name, version)
    if is_current(name, version) and not any(isinstance(column, Late) for column in columns.values()):
        return join_fields(presence, columns, make)
    places = [at - 1 for at in accumulate(map(bool, presence))]

    def make_row(row: int) -> Any:
        return make({field: held[places[row]] for field, held in columns.items()}) if presence[row] else None

    return Late(make_row, range(len(presence)), path, lambda _, err: (path, f"{name} ({_say(err)})"))


def _list_items(body: bytes | memoryview, depth: int, path: str) -> Any:
    """A list's items, each to be unpacked; what is no list is unpacked at once, and refused by who asked."""
    walker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    walker.feed(body)
    try:
        n_items = walker.read_array_header()
    except ValueError:
        return None
    ends = [walker.tell()]
    for _ in range(n_items):
        walker.skip()
        ends.append(walker.tell())
    if ends[-1] != len(body):
        raise ValueError("a list that is not as long as it says")
    items = [memoryview(body)[first:end] for first, end in pairwise(ends)]
    read = _OPENING[depth].read

    def find(row: int, err: Exception) -> tuple[str, str]:
        return find_culprit(_open, unpack(items[row]), path, err)

    return Late(lambda row: read(items[row]), range(n_items), path, find)


def _open(value: Any) -> bytes:
    """Make a value out of what is stored; raises Unencodable, as `find_culprit` expects it."""
    try:
        body = pack(value)
        _OPENING[0].read(body)
    except Exception as err:  # a user's reader, or C++
        raise Unencodable("", f"{getattr(value, 'name', '') or type(value).__name__} ({_say(err)})") from err
    return body


def _say(err: BaseException) -> str:
    return f"{type(err).__name__}: {err}"


_FORMS: dict[bytes, Callable[[memoryview, int, str], Any]] = {b"b": _late_bodies, b"f": _late_fields}
