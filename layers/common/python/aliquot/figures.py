"""What a part of a result says of itself, so that parts become one: its columns, and its figures.

    a part, a group, a whole roster -> Columns, Figures --merge, in dataset order--> those of all

Both are plain values between the functions of a stack, held to what can be as they are read. Owns how they
merge, and the names that a result's columns have. Imports `tables` for types. When it is wrong, groups of one
run have other columns, or its summary counts records twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aliquot.envelope import is_count, is_texts
from aliquot.job import RECORD
from aliquot.tables import IS_JSON, Schema, make_schema

Gap = tuple[int, int, int]  # first record, last record, source


@dataclass(frozen=True)
class Columns:
    """The result's columns, in order: kinds of value in those of rows and those kept from the input.

    Args:
        is_numbered: the column `record` is the engine's; else the rows have one of their own.
    """

    rows: Mapping[str, set[str]]
    kept: Mapping[str, set[str]]
    is_numbered: bool = True

    def merge(self, later: Columns) -> Columns:
        """These, and those of later records."""
        rows, kept = _merge_kinds(self.rows, later.rows), _merge_kinds(self.kept, later.kept)
        return Columns(rows, kept, self.is_numbered and later.is_numbered)

    @property
    def names(self) -> tuple[dict[str, str], dict[str, str]]:
        """The result's names of the rows' columns and of those kept; with `_` where one is taken."""
        taken = {RECORD} if self.is_numbered else set()

        def choose(name: str) -> str:
            while name in taken:
                name += "_"
            taken.add(name)
            return name

        return {name: choose(name) for name in self.rows}, {name: choose(name) for name in self.kept}

    @property
    def schema(self) -> Schema:
        """The result's columns and types."""
        rows, kept = self.names
        shown = {rows[name]: found for name, found in self.rows.items()}
        number = {RECORD: {"int"}} if self.is_numbered else {}
        return make_schema({**number, **shown, **{kept[n]: found for n, found in self.kept.items()}})

    @property
    def text_columns(self) -> list[str]:
        """The columns of which the kinds do not agree: JSON text."""
        return [each.name for each in self.schema if each.metadata == IS_JSON]

    def to_plain(self) -> dict[str, Any]:
        """Plain values, columns in order."""
        kinds = {
            role: [[name, sorted(found)] for name, found in kinds.items()]
            for role, kinds in (("rows", self.rows), ("kept", self.kept))
        }
        return {**kinds, "is_numbered": self.is_numbered}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Columns:
        """The columns of plain values; raises LookupError, TypeError, ValueError where they say others."""
        kinds = [{name: set(found) for name, found in plain[role]} for role in ("rows", "kept")]
        if not all(is_texts([name, *found]) for each in kinds for name, found in each.items()):
            raise ValueError("names and kinds of columns are texts")
        rows, kept = kinds
        return cls(rows, kept, bool(plain["is_numbered"]))


@dataclass
class Figures:
    """What was delivered of some records: counts, failures by kind, and the ranges that nobody tried."""

    rows: int = 0
    done: int = 0
    failed: int = 0
    cpu_ms: int = 0
    retries: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    not_tried: list[Gap] = field(default_factory=list)

    def merge(self, later: Figures) -> None:
        """Add those of later records."""
        self.rows += later.rows
        self.done += later.done
        self.failed += later.failed
        self.cpu_ms += later.cpu_ms
        self.retries += later.retries
        self.kinds.update(later.kinds)
        for gap in later.not_tried:
            self.add_gap(gap)

    def add_gap(self, gap: Gap) -> None:
        """Note a range that nobody tried, joined to the last where it goes on from there."""
        first, last, source = gap
        if self.not_tried and self.not_tried[-1][1:] == (first - 1, source):
            first = self.not_tried.pop()[0]
        self.not_tried.append((first, last, source))

    @property
    def n_not_tried(self) -> int:
        """Records that nobody tried."""
        return sum(last - first + 1 for first, last, _ in self.not_tried)

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "kinds": list(self.kinds.items()), "not_tried": list(map(list, self.not_tried))}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Figures:
        """The figures of plain values; raises LookupError, TypeError, ValueError where they say others."""
        gaps = [(first, last, source) for first, last, source in plain["not_tried"]]
        kinds = Counter(dict(plain["kinds"]))
        counts = {name: plain[name] for name in ("rows", "done", "failed", "cpu_ms", "retries")}
        if not all(map(is_count, (*counts.values(), *kinds.values(), *chain.from_iterable(gaps)))):
            raise ValueError("figures are whole numbers")
        return cls(**counts, kinds=kinds, not_tried=gaps)


def _merge_kinds(earlier: Mapping[str, set[str]], later: Mapping[str, set[str]]) -> dict[str, set[str]]:
    names = dict.fromkeys([*earlier, *later])
    return {name: earlier.get(name, set()) | later.get(name, set()) for name in names}
