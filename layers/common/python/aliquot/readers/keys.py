"""Columns out of records that are dicts, each with keys of its own.

Owns the lookup of fields record by record, for JSON Lines and for Python records. Imports its neighbours
and the standard library. When it is wrong, a field is filled from another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from aliquot.errors import DatasetError
from aliquot.readers.columns import Wanted, list_columns, refuse_missing

MAX_CELLS = 1 << 20  # of a batch of records without common keys: most of them would be None

Record = dict[str, Any]


def list_keys(records: Iterable[Record]) -> list[str]:
    """Every key of any record, in order of appearance."""
    shapes = dict.fromkeys(map(tuple, records))  # mostly one
    return list(dict.fromkeys(chain.from_iterable(shapes)))


def refuse_absent(path: str, records: Sequence[Record], wanted: Wanted) -> None:
    """Raise `DatasetError` where a required or kept column is a key of none of the first records."""
    keys = list_keys(records)
    if wanted.fields is not None:
        refuse_missing(path, keys, wanted, {name: wanted.find(name, keys) for name in wanted.fields})
    for name in wanted.keep:
        if name not in keys:
            raise DatasetError(
                path, f"has no column {name!r} to keep in its first records; {list_columns(keys)}"
            )


def cut_records(records: Sequence[Record], wanted: Wanted) -> list[tuple[slice, list[str]]]:
    """Parts of the records, with their keys, such that the columns of each stay small.

    Where keys differ, columns are mostly None.
    """
    keys = list_keys(records)
    step = max(1, MAX_CELLS // max(1, len(keys) if wanted.fields is None else 1))
    if len(records) <= step:
        return [(slice(0, len(records)), keys)] if records else []
    parts = [slice(first, first + step) for first in range(0, len(records), step)]
    return [(part, list_keys(records[part])) for part in parts]


def take_columns(
    records: Sequence[Record], keys: Sequence[str], wanted: Wanted
) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """The values by field (by key for all columns); by index the records that lack a required one, and why.

    A field that a record lacks is None. `keys` are those of any record, in order of appearance.
    """
    if wanted.fields is None:
        return {key: [record.get(key) for record in records] for key in keys}, {}
    columns: dict[str, list[Any]] = {}
    lacking: dict[int, str] = {}
    for name in wanted.fields:
        ranked = rank_keys(name, keys, wanted)
        columns[name] = _take(records, ranked)
        if wanted.is_required(name) and None in columns[name]:
            without = (index for index, record in enumerate(records) if record.keys().isdisjoint(ranked))
            lacking |= dict.fromkeys(without, f"no {name}")
    return columns, lacking


def take_kept(records: Sequence[Record], wanted: Wanted) -> dict[str, list[Any]]:
    """The values of the columns that are carried along."""
    return {name: [record.get(name) for record in records] for name in wanted.keep}


def rank_keys(name: str, keys: Sequence[str], wanted: Wanted) -> list[str]:
    """The keys that may fill the field, best first: by the order of its names, exact case before other.

    Does not depend on the order of `keys`, so that a record's neighbours have no say.
    """
    names = wanted.get_names(name)
    exact = [wish for wish in names if wish in keys]
    places = {wish.casefold(): place for place, wish in reversed(list(enumerate(names)))}
    others = [key for key in keys if key not in exact and key.casefold() in places]
    return exact + sorted(others, key=lambda key: (places[key.casefold()], key))


def _take(records: Sequence[Record], ranked: list[str]) -> list[Any]:
    if len(ranked) == 1:
        key = ranked[0]
        return [record.get(key) for record in records]
    return [next((record[key] for key in ranked if key in record), None) for record in records]
