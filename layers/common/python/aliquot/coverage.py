"""Which records are answered, which are not, and what was spent: pure functions of keys.

`measure_coverage` reads keys alone, never an object. It says when a stage is complete and which gaps to
send again; it is not what merges read (that is the roster). Imports `keys` and `spans` alone. When it is
wrong, a run ends too early or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aliquot.keys import ChunkId, OutcomeKey
from aliquot.spans import SpanSet


@dataclass(frozen=True)
class Coverage:
    """How far the chunks of a stage are answered.

    Args:
        gaps: what is not answered, by chunk, in dataset order; complete chunks do not appear.
        n_answered: records that are done or failed, counted once.
        n_failed: failed records in all outcomes: more than there are, where an attempt was made twice.
        n_records: records of all chunks.
        spent_ms, n_outcomes: billed time and number of all outcomes, duplicates and voided ones included.
    """

    gaps: Mapping[ChunkId, SpanSet]
    n_answered: int
    n_failed: int
    n_records: int
    spent_ms: int
    n_outcomes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every record of every chunk is answered."""
        return not self.gaps


def measure_coverage(
    chunks: Iterable[ChunkId], outcomes: Iterable[OutcomeKey], voids: Iterable[OutcomeKey] = ()
) -> Coverage:
    """How far `outcomes` answer for `chunks`; voided ones count in spend, not in what is answered."""
    voided = set(voids)
    answered: dict[ChunkId, list[tuple[int, int]]] = {chunk: [] for chunk in sorted(chunks)}
    spent_ms = n_failed = n_outcomes = 0
    for outcome in outcomes:
        n_outcomes += 1
        spent_ms += outcome.billed_ms
        if outcome.chunk in answered and outcome not in voided:
            n_failed += outcome.n_failed
            answered[outcome.chunk].extend(outcome.spans.spans)
    gaps = {chunk: chunk.all_records - SpanSet.of(spans) for chunk, spans in answered.items()}
    n_records = sum(chunk.n_records for chunk in answered)
    n_missing = sum(len(gap) for gap in gaps.values())
    return Coverage(
        gaps={chunk: gap for chunk, gap in gaps.items() if gap},
        n_answered=n_records - n_missing,
        n_failed=n_failed,
        n_records=n_records,
        spent_ms=spent_ms,
        n_outcomes=n_outcomes,
    )
