"""Values as msgpack, with typed extensions for what msgpack lacks: arrays, tables, times, sets, users' types.

No pickles: what is read can only become one of the types below or one that is registered (`registry`), so
hostile bytes execute nothing. Each extension carries its version in its payload's first byte. What an
extension needs is imported when the first value of it is met: going out that is told by the module and name
of the value's class, coming in by the extension's code.

    pack -> msgpack.packb, and for what that does not know: Writing.extend -> a family's `write`
    unpack -> msgpack.unpackb, and for extensions: Reading.restore -> a family's `read`
    families: codec_plain, codec_arrays, codec_tables, codec_named; what they share: codec_forms;
    errors' paths: codec_paths

A list whose values are all of one such type is one extension (`EXT_COLUMN`). Whoever passes rows on without
looking into them leaves registered types and tables as they are stored (`Stored`), and needs none of them.

Owns the wire form of single values. Imports msgpack; families as they are met. When it is wrong, rows differ
from what a function returned.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

import msgpack

from aliquot.codec_forms import (
    EXT_ARRAY,
    EXT_BIGINT,
    EXT_COLUMN,
    EXT_COMPLEX,
    EXT_DECIMAL,
    EXT_NAMED,
    EXT_SET,
    EXT_TABLE,
    EXT_TIME,
    VERSION,
    as_key,
    check_version,
    find_extension,
    frame,
)
from aliquot.codec_paths import REFUSALS, find_culprit
from aliquot.errors import Undecodable, Unencodable
from aliquot.registry import NotRegistered, find, is_named_tuple

MAX_BYTES = 1 << 30  # longest text, array or list that is read: what is longer is refused, not allocated

_FAMILIES: dict[int | bytes, tuple[str, str]] = {
    EXT_ARRAY: ("aliquot.codec_arrays", "read_array"),
    EXT_TIME: ("aliquot.codec_plain", "read_time"),
    EXT_DECIMAL: ("aliquot.codec_plain", "read_decimal"),
    EXT_BIGINT: ("aliquot.codec_plain", "read_bigint"),
    EXT_COMPLEX: ("aliquot.codec_plain", "read_complex"),
    EXT_SET: ("aliquot.codec_plain", "read_set"),
    EXT_NAMED: ("aliquot.codec_named", "read_named"),
    EXT_TABLE: ("aliquot.codec_tables", "read_table"),
    # the forms of a column
    b"a": ("aliquot.codec_arrays", "read_column"),
    b"b": ("aliquot.codec_named", "read_bodies"),
    b"f": ("aliquot.codec_named", "read_fields"),
    b"t": ("aliquot.codec_plain", "read_texts"),
    b"i": ("aliquot.codec_plain", "read_instants"),
    b"s": ("aliquot.codec_plain", "read_sets"),
    b"p": ("aliquot.codec_tables", "read_column"),
}
_TABLE_PACKAGES = frozenset({"pyarrow", "pandas", "polars"})
_AS_DATETIME = 3  # msgpack's own timestamps, which nobody here writes, as a type that is known here
_VIEWED = frozenset({EXT_COLUMN, EXT_TABLE})  # read out of the bytes around them, without a copy
_SMALL_BYTES = 1 << 12  # what so few bytes can claim is no burden
MOST_NESTED = 32  # extensions in extensions: msgpack's reader takes 40 KB of stack for each
_PLAIN = frozenset({str, int, float, bool, bytes, list, dict})

Write = Callable[[Any, "Writing"], Any]


class Stored:
    """A value of a registered type, or a table, as it is stored: for whoever does not need what it is.

    Attributes:
        code, payload: of its extension.
    """

    __slots__ = ("code", "payload")

    def __init__(self, code: int, payload: bytes) -> None:
        self.code, self.payload = code, payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and (self.code, self.payload) == (other.code, other.payload)

    def __hash__(self) -> int:
        return hash((self.code, self.payload))

    def __repr__(self) -> str:
        return f"<stored {self.name}, {len(self.payload):,} B>"

    @property
    def name(self) -> str:
        """The name of its type; of a damaged value nothing."""
        try:
            name = msgpack.unpackb(self.payload[2 : 2 + self.payload[1]])[0]
        except Exception:  # noqa: BLE001 - msgpack raises a family of its own
            return ""
        return name if isinstance(name, str) else ""

    def open(self) -> Any:
        """The value; raises Undecodable."""
        return unpack(pack(self), self.name, opens=True)


class Writing:
    """Packs values, inside so many extensions."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    @property
    def inner(self) -> Writing:
        """Packs what an extension holds."""
        if self.depth + 1 >= MOST_NESTED:
            raise Unencodable("", f"a value in {MOST_NESTED} others that are stored by name or as sets")
        return _WRITINGS[self.depth + 1]

    def pack(self, value: Any) -> bytes:
        """The msgpack form; raises what is in REFUSALS."""
        if type(value) is list and value and type(value[0]) not in _PLAIN:
            column = self._pack_column(value)
            if column is not None:
                return column
        return msgpack.packb(value, default=self.extend, strict_types=True)  # type: ignore[no-any-return]

    def extend(self, value: Any) -> Any:
        """What msgpack packs in place of a value that it does not know: final, for it asks once."""
        kind = type(value)
        write = _writers.get(kind)
        if write is None:
            write = _find_writer(kind)
        extended = write(value, self)
        return msgpack.ExtType(*extended) if type(extended) is tuple else extended

    def _pack_column(self, values: list[Any]) -> bytes | None:
        """A list of values of one type, None among them; None where msgpack is to take them one by one."""
        kinds = set(map(type, values)) - {type(None)}
        if len(kinds) != 1:
            return None
        (kind,) = kinds
        if _is_table(kind):
            from aliquot.codec_tables import write_list

            return write_list(values)
        if kind.__module__ == "numpy":
            from aliquot.codec_arrays import plain_scalars, write_column

            scalars = plain_scalars(kind, values)
            if scalars is not None:
                return msgpack.packb(scalars)  # type: ignore[no-any-return]
            parts = write_column(values)
        elif (known := find(kind)) is not None:
            from aliquot.codec_named import write_column as write_named_column

            parts = write_named_column(known, values, self)
        else:
            from aliquot.codec_plain import write_column as write_plain_column

            parts = write_plain_column(kind, values)
        return None if parts is None else b"".join(frame(EXT_COLUMN, [VERSION, *parts]))


class Reading:
    """Reads values, inside so many extensions.

    Args:
        opens: values of registered types and tables are made; else they stay `Stored`.
    """

    def __init__(self, depth: int, *, opens: bool) -> None:
        self.depth, self.opens = depth, opens

    @property
    def inner(self) -> Reading:
        """Reads what an extension holds."""
        if self.depth + 1 >= MOST_NESTED:
            raise ValueError(f"more than {MOST_NESTED} extensions in each other")
        return _READINGS[self.opens][self.depth + 1]

    def read(self, body: bytes | memoryview) -> Any:
        """The value of a msgpack form; raises whatever its damage leads to."""
        if len(body) > _SMALL_BYTES:
            extension = find_extension(body)
            if extension and extension[0] in _VIEWED and extension[2] == len(body):
                return self.restore(extension[0], memoryview(body)[extension[1] :])
            _check_lengths(body)
        try:
            return self._unpack(body, None)
        except TypeError:
            return self._unpack(
                body, _make_dict
            )  # keys that were tuples; costs twice the time where maps are many

    def restore(self, code: int, payload: bytes | memoryview) -> Any:
        """The value of an extension."""
        if not self.opens and code in (EXT_NAMED, EXT_TABLE):
            return Stored(code, bytes(payload))
        if code == EXT_COLUMN:
            check_version(code, payload)
            return _find_reader(bytes(payload[1:2]))(payload, self)
        return _find_reader(code)(payload, self)

    def _unpack(
        self, body: bytes | memoryview, make_dict: Callable[[list[tuple[Any, Any]]], Any] | None
    ) -> Any:
        return msgpack.unpackb(
            body,
            ext_hook=self.restore,
            object_pairs_hook=make_dict,
            strict_map_key=False,
            timestamp=_AS_DATETIME,
            max_str_len=MAX_BYTES,
            max_bin_len=MAX_BYTES,
            max_ext_len=MAX_BYTES,
        )


_WRITINGS = [Writing(depth) for depth in range(MOST_NESTED)]
_READINGS = {opens: [Reading(depth, opens=opens) for depth in range(MOST_NESTED)] for opens in (False, True)}
_writers: dict[type, Write] = {}
_readers: dict[int | bytes, Callable[[Any, Reading], Any]] = {}


def pack(value: Any, path: str = "value") -> bytes:
    """The msgpack form of `value`; raises Unencodable with the path to what cannot be stored."""
    try:
        return _WRITINGS[0].pack(value)
    except REFUSALS as err:
        raise Unencodable(*find_culprit(_WRITINGS[0].pack, value, path, err)) from err


def unpack(body: bytes | memoryview, what: str = "value", *, opens: bool = False) -> Any:
    """The value of its msgpack form; raises Undecodable.

    Args:
        opens: values of registered types and tables are made, for a job; else they stay `Stored`.
    """
    try:
        return _READINGS[opens][0].read(body)
    except NotRegistered as err:
        raise Undecodable(what, str(err)) from err
    except Exception as err:  # msgpack raises a family of its own, and ValueError for the rest
        raise Undecodable(what, f"{type(err).__name__}: {err}") from err


def unpack_late(body: bytes | memoryview, path: str) -> Any:
    """A column for a job: a list, or where types' own readers make values, these as each is asked for.

    Args:
        path: to the column, in errors.

    Raises:
        Undecodable: it is damaged, or holds a type that is not known here. A value of it that cannot be made
            raises when it is asked for (see `codec_late`).
    """
    from aliquot.codec_late import read_late  # which whoever opens no values can do without

    try:
        return read_late(body, 0, path)
    except NotRegistered as err:
        raise Undecodable(path, str(err)) from err
    except Exception as err:  # as in `unpack`
        raise Undecodable(path, f"{type(err).__name__}: {err}") from err


def is_column(values: Any) -> bool:
    """Whether this is what a column is read as: a list, or values that are made late."""
    return isinstance(values, Sequence) and not isinstance(values, str | bytes)


def decode(stored: Any) -> Any:
    """The value, or list of values, that a table of a result holds as the codec's bytes.

    The types have to be registered: import the job's module first. RDKit's and Aliquot's own are found.

    Args:
        stored: bytes of a column whose metadata has `aliquot: codec`, or their base64, as CSV has them; or a
            column of these, with None where a row has none.

    Raises:
        Undecodable: it is none, or its type is not registered.
    """
    if stored is None:
        return None
    if isinstance(stored, str):
        try:
            stored = base64.b64decode(stored, validate=True)
        except ValueError as err:
            raise Undecodable("value", f"it is no base64: {err}") from err
    if isinstance(stored, bytes | bytearray | memoryview):
        return unpack(bytes(stored), opens=True)
    return [decode(each.as_py() if hasattr(each, "as_py") else each) for each in stored]


def name_stored(kind: type) -> str | None:
    """The name under which values of a type are stored; None of those that tables have types for."""
    if kind in (set, frozenset):
        return kind.__name__
    if _is_table(kind):
        return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    known = find(kind)
    return None if known is None else known.name


def _make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {as_key(key): value for key, value in pairs}


def _check_lengths(body: bytes | memoryview) -> None:
    """Raise what msgpack raises unless every list and map is as long as it says.

    A list is allocated at the length that it claims, and each of 1,024 nested ones may claim as many items as
    the body has bytes. Walking through first takes a tenth to a third of the time of reading.
    """
    walker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    walker.feed(body)
    walker.skip()


def _find_reader(code: int | bytes) -> Callable[[Any, Reading], Any]:
    """What reads an extension, or a column of this form; raises ValueError."""
    read = _readers.get(code)
    if read is None:
        if code not in _FAMILIES:
            raise ValueError(f"extension, or form of a column, {code!r} is unknown to this release")
        module, name = _FAMILIES[code]
        read = _readers[code] = getattr(import_module(module), name)
    return read


def _find_writer(kind: type) -> Write:
    """What writes values of a type, remembered; raises Unencodable."""
    known = find(kind)
    if known is not None:
        from aliquot.codec_named import write_named

        return write_named  # not remembered: the type may be registered anew
    write = _choose_writer(kind)
    _writers[kind] = write
    return write


def _choose_writer(kind: type) -> Write:
    if kind.__module__.partition(".")[0] == "numpy":
        from aliquot.codec_arrays import write_numpy

        return write_numpy
    if _is_table(kind):
        from aliquot.codec_tables import write_table

        return write_table
    if kind is Stored:
        return lambda value, _: (value.code, value.payload)
    if is_named_tuple(kind) or is_dataclass(kind):
        raise Unencodable("", f"{_name(kind)}, which is not registered")
    for base, write in _RELATIVES:
        if issubclass(kind, base):
            return write
    from aliquot.codec_plain import choose_writer

    return choose_writer(kind)


@cache
def _is_table(kind: type) -> bool:
    """Whether a type is of a package of tables, and none of its times."""
    if kind.__module__.partition(".")[0] not in _TABLE_PACKAGES:
        return False
    from aliquot.codec_plain import TIMES

    return not issubclass(kind, TIMES)


# What is stored as what it means: tuples, enums of text and numbers, other maps.
_RELATIVES: tuple[tuple[type, Write], ...] = (
    (tuple, lambda value, _: list(value)),
    (list, lambda value, _: list(value)),
    (str, lambda value, _: str.__str__(value)),
    (bytes, lambda value, _: bytes(value)),
    (float, lambda value, _: float(value)),
    (Mapping, lambda value, _: dict(value)),
)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
