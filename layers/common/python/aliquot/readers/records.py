"""Records of a Python iterable: dicts, NamedTuples, or bare text where a field takes a line.

Owns which Python objects are records. Imports its neighbours and the standard library. When it is wrong, an
element of another type ends a run.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aliquot.job import Column
from aliquot.readers.batch import RAW_CHARS, Batch, Limits, make_batch, show_raw
from aliquot.readers.columns import Wanted
from aliquot.readers.keys import Record, cut_records, refuse_absent, take_columns, take_kept

NAME = "records"  # what an error calls them, having no path
BATCH_BYTES = 1 << 20
DEFAULT_LIMITS = Limits()

_EIGHT_BYTES = frozenset((int, float, bool, type(None)))

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = RAW_CHARS


def read_records(
    records: Iterable[Any],
    fields: Mapping[str, Column] | None,
    keep: Sequence[str] = (),
    *,
    chosen: Mapping[str, str] | None = None,
    optional: Collection[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Batch]:
    """The records of a Python iterable in batches, read as they are asked for.

    Arguments as of `read_batches`. Elements are dicts, NamedTuples, or text for the field of kind "line"; one
    of another type is at fault. `lines` counts elements from 1; `fraction` is None.

    Raises:
        DatasetError: a required or kept column is in none of the first batch's records.
        Exception: whatever the iterable raises.
    """
    wanted = Wanted(fields, tuple(keep), dict(chosen or {}), frozenset(optional))
    first = 1
    is_checked = False
    for taken in _gather(records, wanted, limits):
        parts = cut_records(taken.records, wanted)
        if not all(isinstance(key, str) for _, keys in parts for key in keys):
            taken.refuse_odd_keys()
            parts = cut_records(taken.records, wanted)
        if not is_checked and (good := taken.list_good()):
            refuse_absent(NAME, good, wanted)
            is_checked = True
        for part, keys in parts:
            yield _make_batch(taken.cut(part), keys, first + part.start, wanted)
        first += len(taken.records)


@dataclass(slots=True)
class _Taken:
    """Elements as records; one that is no record is empty here and stands in `odd` with the reason.

    Args:
        sizes: about how many bytes each takes.
        odd: (element, reason) by index.
    """

    records: list[Record] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    odd: dict[int, tuple[Any, str]] = field(default_factory=dict)

    def list_good(self) -> list[Record]:
        """The elements that are records."""
        return [record for index, record in enumerate(self.records) if index not in self.odd]

    def cut(self, part: slice) -> _Taken:
        """Those of a part."""
        if part.start == 0 and len(self.records) <= part.stop:
            return self
        odd = {index - part.start: why for index, why in self.odd.items() if part.start <= index < part.stop}
        return _Taken(self.records[part], self.sizes[part], odd)

    def refuse_odd_keys(self) -> None:
        """Put records with keys that are no text at fault."""
        for index, record in enumerate(self.records):
            keys: Iterable[Any] = record
            key = next((key for key in keys if not isinstance(key, str)), None)
            if key is not None:
                self.odd[index] = (record, f"a record's keys are text, not {type(key).__name__}")
                self.records[index], self.sizes[index] = {}, 0


def _gather(elements: Iterable[Any], wanted: Wanted, limits: Limits) -> Iterator[_Taken]:
    """Elements, taken until they are as many or as large as a batch may be."""
    taken, held_bytes = _Taken(), 0
    for element in elements:
        if type(element) is dict:
            record = element.copy()  # who gives it may fill the same one again
        else:
            record, reason = _take_other(element, wanted)
            if reason:
                taken.odd[len(taken.records)] = (element, reason)
        size = 0
        for value in record.values():
            kind = type(value)
            size += 8 if kind in _EIGHT_BYTES else len(value) if kind is str else estimate_bytes(value)
        taken.records.append(record)
        taken.sizes.append(size)
        held_bytes += size
        if len(taken.records) >= limits.records or held_bytes >= BATCH_BYTES:
            yield taken
            taken, held_bytes = _Taken(), 0
    if taken.records:
        yield taken


def _take_other(element: Any, wanted: Wanted) -> tuple[Record, str]:
    """What is no plain dict as a record; else an empty one, and why."""
    if isinstance(element, str) and wanted.line_field is not None:
        return {wanted.get_names(wanted.line_field)[0]: element}, ""
    if isinstance(element, tuple) and hasattr(element, "_asdict"):
        return element._asdict(), ""
    if isinstance(element, Mapping):
        return dict(element), ""
    return {}, f"a record is a dict or a NamedTuple, not {type(element).__name__}"


def _make_batch(taken: _Taken, keys: list[str], first: int, wanted: Wanted) -> Batch:
    columns, reasons = take_columns(taken.records, keys, wanted)
    reasons |= {index: reason for index, (_, reason) in taken.odd.items()}

    def get_raw(index: int) -> str:
        return _repr.repr(taken.odd[index][0] if index in taken.odd else taken.records[index])

    return make_batch(
        columns,
        take_kept(taken.records, wanted),
        lines=list(range(first, first + len(taken.records))),
        sizes=taken.sizes,
        bad={index: (why, show_raw(get_raw(index))) for index, why in reasons.items()},
        fraction=None,
        line_field=wanted.line_field,
        get_raw=get_raw,
    )


def estimate_bytes(value: Any) -> int:
    """About the bytes that a value takes once written; never fails."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, list | tuple | set | frozenset):
        return 1 + sum(map(estimate_bytes, value))
    if isinstance(value, dict):
        return 1 + sum(map(estimate_bytes, chain.from_iterable(value.items())))
    n_bytes = getattr(value, "nbytes", 8)
    return n_bytes if isinstance(n_bytes, int) else 8
