"""Columns whose values are made one by one, when a job's step comes to them.

What makes a value out of bytes may be a user's code, or C++ that trusts them: it raises, hangs, or ends the
process. So whoever takes records reads a column of such values as `Late`: each is made while its record is
the one at hand, and costs that record alone. Columns of anything else are read at once, as ever.

    b   the types' own bytes      sliced when the column is read, each made when it is asked for
    f   fields                    at once where no field is late, else row by row
    p   tables                    their batches found when the column is read
    a list that holds such        found where each item begins; each is unpacked when it is asked for

Owns when values are made, and the path in an error of reading. Imports `codec` and `codec_named`. When it is
wrong, one record's value costs others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, overload

import msgpack

from aliquot.codec import MOST_NESTED, Reading, pack, unpack
from aliquot.codec_forms import EXT_COLUMN, EXT_NAMED, EXT_TABLE, check_version, find_extension
from aliquot.codec_named import choose_setter, join_fields, list_bodies, split_fields
from aliquot.codec_paths import find_culprit
from aliquot.errors import Undecodable, Unencodable, Unopened
from aliquot.registry import NotRegistered, is_current

_LATE = frozenset({EXT_NAMED, EXT_TABLE, EXT_COLUMN})  # extensions that may hold what others' code makes
_NONE = 0xC0
_LONG_LISTS = {0xDC: 3, 0xDD: 5}  # by msgpack's first byte: where the items begin


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
        if code in _LATE:
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
    extension = find_extension(body)
    if extension and extension[0] == EXT_COLUMN and extension[2] == len(body):
        payload = memoryview(body)[extension[1] :]
        check_version(EXT_COLUMN, payload)
        form = bytes(payload[1:2])
        return (
            _FORMS[form](payload, depth, path)
            if form in _FORMS
            else _OPENING[depth].restore(EXT_COLUMN, payload)
        )
    if items := _slice_extensions(memoryview(body)):
        return _make_late(items, depth, path)
    try:
        return _PROBES[depth].read(body)
    except _Rich:
        return _make_late(_slice_items(body), depth, path)


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
        return join_fields(name, version, presence, columns)
    places = [at - 1 for at in accumulate(map(bool, presence))]

    def make_row(row: int) -> Any:
        return make({field: held[places[row]] for field, held in columns.items()}) if presence[row] else None

    return Late(make_row, range(len(presence)), path, lambda _, err: (path, f"{name} ({_say(err)})"))


def _late_tables(payload: memoryview, _: int, path: str) -> Late:
    from aliquot.codec_tables import list_tables

    name, make, n_rows = list_tables(payload)
    return Late(make, range(n_rows), path, lambda _, err: (path, f"{name} ({_say(err)})"))


def _slice_extensions(body: memoryview) -> list[memoryview]:
    """The items of a list of late extensions, None behind the first, not copied; empty of any other."""
    at = _LONG_LISTS.get(body[0], 1 if 0x90 <= body[0] <= 0x9F else 0) if body else 0
    if not at:
        return []
    n_items = int.from_bytes(body[1:at]) if at > 1 else body[0] & 0x0F
    items: list[memoryview] = []
    while at < len(body) and len(items) < n_items:
        extension = find_extension(body, at)
        is_late = extension is not None and extension[0] in _LATE
        if not (is_late or (items and body[at] == _NONE)):
            return []
        end = extension[2] if extension else at + 1
        items.append(body[at:end])
        at = end
    return items if at == len(body) and len(items) == n_items else []


def _slice_items(body: bytes | memoryview) -> list[memoryview]:
    """The items of any list; raises ValueError of what is none."""
    walker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    walker.feed(body)
    n_items = walker.read_array_header()
    ends = [walker.tell()]
    for _ in range(n_items):
        walker.skip()
        ends.append(walker.tell())
    if ends[-1] != len(body):
        raise ValueError("a list that is not as long as it says")
    return [memoryview(body)[first:end] for first, end in pairwise(ends)]


def _make_late(items: list[memoryview], depth: int, path: str) -> Late:
    read = _OPENING[depth].read

    def find(row: int, err: Exception) -> tuple[str, str]:
        return find_culprit(_open, unpack(items[row]), path, err)

    return Late(lambda row: read(items[row]), range(len(items)), path, find)


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


_FORMS: dict[bytes, Callable[[memoryview, int, str], Any]] = {
    b"b": _late_bodies,
    b"f": _late_fields,
    b"p": _late_tables,
}
