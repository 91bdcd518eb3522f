"""Which of a record's columns a program gets. When it is wrong, it gets others, or in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class NoField(LookupError):
    """A column that was asked for, and that the dataset has not."""


def pick_fields(record: Mapping[str, Any], fields: Sequence[str]) -> Mapping[str, Any]:
    """The record with these columns alone, in this order; with all where none are named. Raises NoField."""
    if not fields:
        return record
    try:
        return {name: record[name] for name in fields}
    except KeyError as err:
        raise NoField(f"there is no column {err}; the record has {', '.join(record)}") from err
