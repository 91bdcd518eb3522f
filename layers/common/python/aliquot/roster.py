"""The roster: which outcome answers for which records, decided once when a stage settles.

Per record: an outcome in which it is done before one in which it failed, tombstones last, then the lowest
key. The decision is a pure function of keys and of the failed indices of those outcomes that overlap, so
that any two processes that settle the same epoch decide the same. Merges read the roster, never a listing:
an outcome that arrives late cannot add or change a row.

Owns the decision and its JSON. Imports `keys` and `spans`. When it is wrong, rows are doubled or lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aliquot.errors import Undecodable
from aliquot.keys import TOMBSTONE, ChunkId, OutcomeKey
from aliquot.spans import SpanSet

FORMAT = "aliquot/roster/1"
ReadFailed = Callable[[OutcomeKey], SpanSet]


@dataclass(frozen=True, slots=True)
class Share:
    """The records of a chunk for which one outcome answers."""

    spans: SpanSet
    outcome: OutcomeKey


@dataclass(frozen=True)
class Roster:
    """Per chunk, in dataset order, the outcomes that count and what they answer for.

    Args:
        shares: by chunk; the shares of one chunk are disjoint, sorted by their first record.
        not_tried: by chunk, the records that no outcome answers for (a run that was stopped).
    """

    shares: Mapping[ChunkId, tuple[Share, ...]]
    not_tried: Mapping[ChunkId, SpanSet]

    def to_json(self) -> bytes:
        """The roster's object."""
        chunks = [
            [
                str(chunk),
                [[str(share.spans), str(share.outcome)] for share in shares],
                str(self.not_tried.get(chunk, "")),
            ]
            for chunk, shares in self.shares.items()
        ]
        return json.dumps({"format": FORMAT, "chunks": chunks}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Roster:
        """Read a roster's object; raises Undecodable."""
        try:
            read = json.loads(body)
            if read["format"] != FORMAT:
                raise ValueError(f"format {read['format']!r}, expected {FORMAT!r}")  # noqa: TRY301 - read as damage
            rows = [
                (ChunkId.parse(chunk), shares, SpanSet.parse(gap)) for chunk, shares, gap in read["chunks"]
            ]
            given = {
                c: tuple(Share(SpanSet.parse(s), OutcomeKey.parse(o)) for s, o in shares)
                for c, shares, _ in rows
            }
            for chunk, _, gap in rows:
                _check_shares(chunk, given[chunk], gap)
            return cls(given, {c: gap for c, _, gap in rows if gap})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            raise Undecodable("roster", str(err)) from err


def _check_shares(chunk: ChunkId, shares: tuple[Share, ...], gap: SpanSet) -> None:
    """Raise ValueError where a record of a chunk would be twice in a result, or one that it has not."""
    held = [span for spans in (gap, *(share.spans for share in shares)) for span in spans.spans]
    joined = SpanSet.of(held)
    if sum(end - first for first, end in held) != len(joined) or joined - chunk.all_records:
        raise ValueError(f"records of chunk {chunk} stand twice in it, or are none of its own")


def split_roster(roster: Roster, n_outcomes: int) -> list[Roster]:
    """The roster in consecutive groups of chunks, each with about `n_outcomes` outcomes, one chunk at least.

    A function of the roster alone, so that whoever asks again gets the same groups. Never empty.
    """
    groups: list[dict[ChunkId, tuple[Share, ...]]] = [{}]
    n_held = 0
    for chunk, shares in roster.shares.items():
        if groups[-1] and n_held + len(shares) > n_outcomes:
            groups.append({})
            n_held = 0
        groups[-1][chunk] = shares
        n_held += max(1, len(shares))
    gaps = roster.not_tried
    return [Roster(held, {chunk: gaps[chunk] for chunk in held if chunk in gaps}) for held in groups]


def decide_roster(
    chunks: Iterable[ChunkId],
    outcomes: Iterable[OutcomeKey],
    read_failed: ReadFailed,
    voids: Iterable[OutcomeKey] = (),
) -> Roster:
    """Choose the outcome that answers for each record.

    Args:
        chunks: all chunks of the run.
        outcomes: keys of all outcomes of the stage, any order.
        read_failed: gives the failed records of an outcome; asked only where outcomes overlap.
        voids: outcomes that turned out unreadable.
    """
    voided = set(voids)
    by_chunk: dict[ChunkId, list[OutcomeKey]] = {chunk: [] for chunk in sorted(chunks)}
    for outcome in outcomes:
        if outcome.chunk in by_chunk and outcome not in voided:
            by_chunk[outcome.chunk].append(outcome)
    shares = {chunk: _share_out(found, read_failed) for chunk, found in by_chunk.items()}
    gaps = {
        chunk: chunk.all_records - SpanSet.of(span for share in given for span in share.spans.spans)
        for chunk, given in shares.items()
    }
    return Roster(shares, {chunk: gap for chunk, gap in gaps.items() if gap})


def _share_out(outcomes: list[OutcomeKey], read_failed: ReadFailed) -> tuple[Share, ...]:
    ranked = sorted(outcomes, key=str)
    if sum(len(outcome.spans) for outcome in ranked) == len(_union(ranked)):
        return _in_order(Share(outcome.spans, outcome) for outcome in ranked)
    failed = {outcome: read_failed(outcome) if outcome.n_failed else SpanSet() for outcome in ranked}
    done_first = [(outcome.spans - failed[outcome], outcome) for outcome in ranked]
    tombstones_last = sorted(ranked, key=lambda outcome: outcome.rung == TOMBSTONE)
    then_failed = [(failed[outcome], outcome) for outcome in tombstones_last]
    taken = SpanSet()
    given: dict[OutcomeKey, SpanSet] = {}
    for spans, outcome in done_first + then_failed:
        fresh = spans - taken
        taken |= fresh
        given[outcome] = given.get(outcome, SpanSet()) | fresh
    return _in_order(Share(spans, outcome) for outcome, spans in given.items() if spans)


def _union(outcomes: Iterable[OutcomeKey]) -> SpanSet:
    return SpanSet.of(span for outcome in outcomes for span in outcome.spans.spans)


def _in_order(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted((share for share in shares if share.spans), key=lambda share: share.spans.spans))
