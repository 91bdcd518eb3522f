"""The types of a dataset's columns: one for each, whatever chunk a record is in.

    batches --find_schema--> the type of each column, for the whole dataset
    batches, schema --type_batches--> the same records as Arrow arrays; one with a value of none is at fault

A column of texts (of CSV, TSV and the line formats) is of whole numbers where each of its values is one, else
of doubles, else text; an empty value is none. Values that come with a type of their own keep it.

Owns these rules. pyarrow is imported as they are used. When it is wrong, a column has one type in one chunk
and another in the next, or a number is taken for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aliquot.columnar import is_arrow
from aliquot.errors import BadOption
from aliquot.readers.batch import Batch, show_raw

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = r"^[+-]?[0-9]{1,19}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_TYPE = re.compile(r"\s*([^=,]+?)\s*=\s*([a-z0-9_]+(?:\s*\([^)]*\))?)\s*(?:,|$)", re.IGNORECASE)
_DECIMAL = re.compile(r"decimal\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_MOST_DIGITS = 38  # of a decimal
ANY = "*"  # stands for every column that is not named
TYPES = "integer, double, text, boolean, date, timestamp, decimal(DIGITS,PLACES)"


def parse_types(flag: str, said: str) -> dict[str, pa.DataType]:
    """Types by column of `a=integer,b=decimal(10,2)`; raises BadOption."""
    found: dict[str, pa.DataType] = {}
    at = 0
    while at < len(said):
        match = _TYPE.match(said, at)
        kind = None if match is None else _read_type(match[2])
        if match is None or kind is None:
            raise BadOption(flag, f"{said[at:]!r} is no COLUMN=TYPE; a type is one of {TYPES}")
        found[match[1]] = kind
        at = match.end()
    return found


def find_schema(
    batches: Iterable[Batch], told: Mapping[str, pa.DataType], formats: Sequence[str]
) -> pa.Schema:
    """The columns of all batches, in order of appearance, each with one type.

    Args:
        told: types by column, ANY for those that are not named.
        formats: of the sources.
    """
    columns: dict[str, _Observed] = {}
    for batch in batches:
        for name, values in batch.columns.items():
            seen = columns.setdefault(name, _Observed(told.get(name, told.get(ANY))))
            seen.observe(values, is_untyped=has_texts(formats[batch.source]))
    return make_schema({name: seen.type for name, seen in columns.items()})


def has_texts(text_format: str) -> bool:
    """Whether a format's values are texts that may stand for numbers."""
    return text_format not in ("jsonl", "parquet")


def make_schema(types: Mapping[str, pa.DataType]) -> pa.Schema:
    """A schema of types by name."""
    import pyarrow as pa

    return pa.schema(list(types.items()))


def type_batches(batches: Iterable[Batch], schema: pa.Schema, formats: Sequence[str]) -> Iterator[Batch]:
    """The same records as Arrow arrays of a schema's types; a record with a value of none is at fault."""
    for batch in batches:
        odd: dict[int, str] = {}
        is_untyped = has_texts(formats[batch.source])
        columns = {
            field.name: _type_column(_get(batch, field.name, is_untyped=is_untyped), field, batch, odd)
            for field in schema
        }
        raw = _show_records(batch, odd)
        bad = {**{index: (why, raw[index]) for index, why in odd.items()}, **batch.bad}
        yield replace(batch, columns=columns, bad=bad)


class _Observed:
    """One column's type as far as it was read."""

    def __init__(self, told: pa.DataType | None) -> None:
        self._told = told
        self._class = ""  # of texts: "", then integer, double, text
        self._own: pa.DataType | None = None  # that values came with

    def observe(self, values: Sequence[Any], *, is_untyped: bool) -> None:
        """Take note of some values; of those that are `is_untyped`, of what the texts may stand for."""
        import pyarrow as pa

        if self._told is not None:
            return
        if is_arrow(values):
            kind = _plain_type(values.type)  # type: ignore[attr-defined]
        elif is_untyped:
            if self._own is None and self._class != "text":
                self._class = _widen_class(self._class, _as_texts(values))
            return
        else:
            kind = _infer(values)
        self._own = kind if self._own is None else _unify(self._own, kind)
        if self._class:
            self._own = pa.string()

    @property
    def type(self) -> pa.DataType:
        """The type of all that was seen."""
        import pyarrow as pa

        by_class: dict[str, pa.DataType] = {"integer": pa.int64(), "double": pa.float64()}
        return self._told or self._own or by_class.get(self._class, pa.string())


def _widen_class(seen: str, texts: pa.Array[Any]) -> str:
    """The narrowest class that holds what was seen and these texts."""
    import pyarrow.compute as pc

    if seen in ("", "integer"):
        if texts.null_count == len(texts):
            return seen
        if pc.all(pc.match_substring_regex(texts, _WHOLE)).as_py() and _fits(texts):
            return "integer"
    return "double" if pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py() is not False else "text"


def _fits(texts: pa.Array[Any]) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.cast(_without_plus(texts), pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _as_texts(values: Any) -> pa.Array[Any]:
    """A column as Arrow text; an empty value is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(values, pa.string())
    is_empty = pc.equal(texts, pa.scalar(""))
    return pc.if_else(is_empty, pa.scalar(None, pa.string()), texts)  # type: ignore[no-any-return]


def _without_plus(texts: pa.Array[Any]) -> pa.Array[Any]:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(texts, r"^\+", "")


def _infer(values: Sequence[Any]) -> pa.DataType:
    """The type of Python values; text where they agree on none."""
    import pyarrow as pa

    try:
        inferred: pa.DataType = pa.array(values).type
    except (pa.ArrowException, OverflowError):
        return pa.string()
    return inferred


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """A type without its dictionary, which differs from chunk to chunk, and without what a library adds."""
    import pyarrow as pa

    plain: pa.DataType = kind
    if isinstance(kind, pa.DictionaryType):
        plain = kind.value_type
    elif isinstance(kind, pa.BaseExtensionType):
        plain = kind.storage_type
    return plain


def _unify(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    schemas = [pa.schema([("", kind)]) for kind in (left, right)]
    try:
        unified: pa.DataType = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        return unified
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string()


def _read_type(said: str) -> pa.DataType | None:
    import pyarrow as pa

    if match := _DECIMAL.fullmatch(said):
        digits, places = int(match[1]), int(match[2] or 0)
        return pa.decimal128(digits, places) if 0 < digits <= _MOST_DIGITS and places <= digits else None
    simple: dict[str, pa.DataType] = {
        "integer": pa.int64(),
        "double": pa.float64(),
        "text": pa.string(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }
    return simple.get(said.lower())


def _get(batch: Batch, name: str, *, is_untyped: bool) -> Any:
    """A batch's column; where its texts may stand for other values, an empty one is none."""
    values = batch.columns.get(name)
    return _as_texts(values) if is_untyped and values is not None else values


def _type_column(values: Any, field: pa.Field[Any], batch: Batch, odd: dict[int, str]) -> pa.Array[Any]:
    """A column as its type; the records whose value is none of it are put in `odd`, with the reason."""
    import pyarrow as pa

    if values is None:
        return pa.nulls(batch.n_records, field.type)  # type: ignore[no-any-return]
    if is_arrow(values):
        return _cast(values, field, odd)
    try:
        return pa.array(values, field.type)  # type: ignore[no-any-return]
    except (pa.ArrowException, TypeError, OverflowError, ValueError):
        return _type_one_by_one(values, field, odd)


def _cast(values: pa.Array[Any], field: pa.Field[Any], odd: dict[int, str]) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.type == field.type:
        return values
    if pa.types.is_string(values.type) and pa.types.is_primitive(field.type):
        values = _without_plus(values)
    try:
        return pc.cast(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _type_one_by_one(values, field, odd)


def _type_one_by_one(values: Any, field: pa.Field[Any], odd: dict[int, str]) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    typed: list[Any] = []
    for index, value in enumerate(values):
        scalar = value if isinstance(value, pa.Scalar) else None
        try:
            if scalar is None:
                scalar = pa.scalar(str(value) if _must_spell(value, field.type) else value)
            typed.append(pc.cast(scalar, field.type).as_py())
        except (pa.ArrowException, TypeError, OverflowError, ValueError):
            shown = show_raw(repr(value.as_py() if isinstance(value, pa.Scalar) else value))[:100]
            odd.setdefault(index, f"{field.name}: {shown} is no {_spell(field.type)}")
            typed.append(None)
    return pa.array(typed, field.type)  # type: ignore[no-any-return]


def _spell(kind: pa.DataType) -> str:
    """A type as `--types` has it."""
    return {"int64": "integer", "string": "text", "bool": "boolean", "date32[day]": "date"}.get(
        str(kind), str(kind).replace("128", "")
    )


def _must_spell(value: Any, wanted: pa.DataType) -> bool:
    """Whether a column whose values agree on no type takes this one as text."""
    import pyarrow as pa

    return value is not None and pa.types.is_string(wanted) and not isinstance(value, str)


def _show_records(batch: Batch, odd: Iterable[int]) -> dict[int, str]:
    """What the records were read as, by index."""
    return {
        index: show_raw(", ".join(f"{name}={values[index]}" for name, values in batch.columns.items()))
        for index in odd
    }
