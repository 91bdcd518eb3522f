"""Sets of record indices as sorted half-open spans: the algebra under coverage, slices and rosters.

Owns `SpanSet` and its text form, which stands in the keys of outcomes. Imports the standard library alone.
When it is wrong, records are lost or done twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SPAN = "[0-9]{1,15}-[0-9]{1,15}"  # no index is longer, and `len` counts no further than 2^63
_TEXT = re.compile(rf"{_SPAN}(?:\+{_SPAN})*")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpanSet:
    """A set of indices >= 0, held as sorted, disjoint, non-touching, non-empty half-open spans."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> SpanSet:
        """The set that any spans cover, in any order, overlapping or empty."""
        merged: list[Span] = []
        for first, end in sorted(span for span in spans if span[0] < span[1]):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((first, end))
        return cls(tuple(merged))

    @classmethod
    def range(cls, first: int, end: int) -> SpanSet:
        """The indices from `first` up to, not including, `end`."""
        return cls(((first, end),)) if first < end else cls()

    @classmethod
    def of_indices(cls, indices: Iterable[int]) -> SpanSet:
        """The set of single indices."""
        return cls.of((index, index + 1) for index in indices)

    @classmethod
    def parse(cls, text: str) -> SpanSet:
        """Read the text form, `0-57+58-100`; raises ValueError where it is not canonical."""
        if text == "":
            return cls()
        if not _TEXT.fullmatch(text):
            raise ValueError(f"not a span set: {text[:80]!r}")
        pairs = [part.split("-") for part in text.split("+")]
        parsed = cls.of((int(first), int(end)) for first, end in pairs)
        if str(parsed) != text:
            raise ValueError(f"not a canonical span set: {text[:80]!r}")
        return parsed

    def __str__(self) -> str:
        return "+".join(f"{first}-{end}" for first, end in self.spans)

    def __len__(self) -> int:
        return sum(end - first for first, end in self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[int]:
        for first, end in self.spans:
            yield from range(first, end)

    def __contains__(self, index: int) -> bool:
        return any(first <= index < end for first, end in self.spans)

    def __or__(self, other: SpanSet) -> SpanSet:
        return SpanSet.of(self.spans + other.spans)

    def __and__(self, other: SpanSet) -> SpanSet:
        shared: list[Span] = []
        mine, theirs = 0, 0
        while mine < len(self.spans) and theirs < len(other.spans):
            (a, b), (c, d) = self.spans[mine], other.spans[theirs]
            if max(a, c) < min(b, d):
                shared.append((max(a, c), min(b, d)))
            mine, theirs = (mine + 1, theirs) if b <= d else (mine, theirs + 1)
        return SpanSet(tuple(shared))

    def __sub__(self, other: SpanSet) -> SpanSet:
        if not self.spans:
            return self
        first, end = self.spans[0][0], self.spans[-1][1]
        return self & other.complement(first, end)

    def complement(self, first: int, end: int) -> SpanSet:
        """The indices of first..end that are not in the set."""
        gaps: list[Span] = []
        at = first
        for a, b in self.spans:
            if b <= first or a >= end:
                continue
            gaps.append((at, a))
            at = b
        gaps.append((at, end))
        return SpanSet.of(gaps)

    def take(self, count: int) -> tuple[SpanSet, SpanSet]:
        """The `count` lowest indices, and the others."""
        head: list[Span] = []
        for position, (first, end) in enumerate(self.spans):
            if count <= end - first:
                cut = first + count
                head.append((first, cut))
                return SpanSet.of(head), SpanSet.of([(cut, end), *self.spans[position + 1 :]])
            head.append((first, end))
            count -= end - first
        return self, SpanSet()
