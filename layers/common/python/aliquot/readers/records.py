"""Records of a Python iterable: dicts, NamedTuples, or bare text where a field takes a line.

Owns which Python objects are records. Imports its neighbours and the standard library. When it is wrong, an
element of another type ends a run.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from aliquot.job import Column
from aliquot.readers.batch import RAW_CHARS, Batch, Limits, make_batch, show_raw
from aliquot.readers.columns import Wanted
from aliquot.readers.keys import Record, cut_records, refuse_absent, take_columns, take_kept

NAME = "records"  # what an error calls them, having no path
BATCH_BYTES = 1 << 20
DEFAULT_LIMITS = Limits()

Taken = list[tuple[Record, str, int]]  # record, reason if it is none, about its bytes

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
    for taken in _gather((_take_one(element, wanted) for element in records), limits):
        if not is_checked and (good := [record for record, reason, _ in taken if not reason]):
            refuse_absent(NAME, good, wanted)
            is_checked = True
        for part in cut_records([{} if reason else record for record, reason, _ in taken], wanted):
            yield _make_batch(taken[part], first + part.start, wanted)
        first += len(taken)


def _gather(taken: Iterator[tuple[Record, str, int]], limits: Limits) -> Iterator[Taken]:
    held: Taken = []
    held_bytes = 0
    for one in taken:
        held.append(one)
        held_bytes += one[2]
        if len(held) >= limits.records or held_bytes >= BATCH_BYTES:
            yield held
            held, held_bytes = [], 0
    if held:
        yield held


def _take_one(element: Any, wanted: Wanted) -> tuple[Record, str, int]:
    if isinstance(element, str) and wanted.line_field is not None:
        return {wanted.get_names(wanted.line_field)[0]: element}, "", len(element)
    if isinstance(element, tuple) and hasattr(element, "_asdict"):
        element = element._asdict()
    if not isinstance(element, Mapping):
        return {"": element}, f"a record is a dict or a NamedTuple, not {type(element).__name__}", 0
    record = dict(element)
    odd = next((key for key in record if not isinstance(key, str)), None)
    if odd is not None:
        return {"": element}, f"a record's keys are text, not {type(odd).__name__}", 0
    return record, "", sum(map(estimate_bytes, record.values()))


def _make_batch(taken: Taken, first: int, wanted: Wanted) -> Batch:
    records = [{} if reason else record for record, reason, _ in taken]
    columns, reasons = take_columns(records, wanted)
    reasons |= {index: reason for index, (_, reason, _) in enumerate(taken) if reason}

    def get_raw(index: int) -> str:
        record, reason, _ = taken[index]
        return _repr.repr(record[""] if reason else record)

    return make_batch(
        columns,
        take_kept(records, wanted),
        lines=list(range(first, first + len(taken))),
        sizes=[size for _, _, size in taken],
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
