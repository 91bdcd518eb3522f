"""Reading a settled stage in dataset order, from its roster alone.

Pieces come out in record order, each with the rows of consecutive records of one chunk and the failures
among them. Memory is that of a chunk and of the outcomes that answer for it, whatever the run's length.

Owns the order of results. Imports the ledger's readers; pyarrow is met later, in `tables`. When it is
wrong, two runs of the same data differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from aliquot.chunk import ChunkReader
from aliquot.errors import StoreError, Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import Ledger, UnreadableOutcome
from aliquot.outcome import Failure, OutcomeReader
from aliquot.roster import Roster, Share
from aliquot.rows import Block, Kinds
from aliquot.spans import SpanSet

__all__ = ["Effort", "Piece", "UnreadableOutcome", "gather_kinds", "merge_pieces"]


@dataclass(frozen=True)
class Piece:
    """Consecutive records of a chunk: their rows, and which of them failed, in which stage."""

    chunk: ChunkReader
    block: Block
    failures: tuple[Failure, ...]

    @property
    def first_record(self) -> int:
        """Number in the dataset of the piece's first record."""
        return self.chunk.first + self.block.first


@dataclass(frozen=True)
class Effort:
    """What outcomes took: processor milliseconds of hosts, and how often records were tried again."""

    cpu_ms: int = 0
    retries: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.cpu_ms + other.cpu_ms, self.retries + other.retries)


def gather_kinds(ledger: Ledger, roster: Roster) -> tuple[Kinds, Effort]:
    """Kinds of value by column over the whole result, columns in order of appearance; and what that took.

    Reads headers only. Raises UnreadableOutcome.
    """
    kinds: Kinds = {}
    effort = Effort()
    for shares in roster.shares.values():
        readers = [_read_outcome(ledger, key) for key in dict.fromkeys(share.outcome for share in shares)]
        for reader in readers:
            effort += Effort(reader.cpu_ms, reader.n_retries)
        placed = sorted((place, name) for reader in readers for name, place in reader.places.items())
        for _, name in placed:
            kinds.setdefault(name, set())
        for reader in readers:
            for name, found in reader.kinds.items():
                kinds.setdefault(name, set()).update(found)
    return kinds, effort


def count_effort(ledger: Ledger, roster: Roster) -> Effort:
    """What the outcomes that count took, of all stages of a leg; raises UnreadableOutcome."""
    return gather_kinds(ledger, roster)[1]


def merge_pieces(ledger: Ledger, roster: Roster) -> Iterator[Piece]:
    """All pieces of the stage in record order; raises UnreadableOutcome."""
    for chunk, shares in roster.shares.items():
        if shares:
            yield from _merge_chunk(ledger, chunk, shares)


def _merge_chunk(ledger: Ledger, chunk: ChunkId, shares: tuple[Share, ...]) -> Iterator[Piece]:
    reader = ledger.read_chunk(chunk)
    outcomes = {share.outcome: _read_outcome(ledger, share.outcome) for share in shares}
    spans = sorted(
        ((first, end, share.outcome) for share in shares for first, end in share.spans.spans),
        key=lambda span: span[:2],
    )
    for first, end, key in spans:
        try:
            yield from _read_span(reader, outcomes[key], first, end, key.stage)
        except Undecodable as err:
            raise UnreadableOutcome(key, str(err), ledger.prefix) from err


def _read_span(
    chunk: ChunkReader, outcome: OutcomeReader, first: int, end: int, stage: str
) -> Iterator[Piece]:
    """The pieces of a span; records that the supervisor filed have no block, and give empty pieces."""
    failures = list_failures(outcome, SpanSet.range(first, end), stage)
    at = first
    for block in outcome.blocks(first, end):
        if block.first > at:
            yield _make_piece(chunk, _empty_block(at, block.first), failures)
        yield _make_piece(chunk, block, failures)
        at = block.first + len(block.counts)
    if at < end:
        yield _make_piece(chunk, _empty_block(at, end), failures)


def list_failures(outcome: OutcomeReader, spans: SpanSet, stage: str) -> list[Failure]:
    """The failures of an outcome among some records, each with the stage that it failed in.

    Args:
        stage: the outcome's.
    """
    found = (failure for failure in outcome.failures() if failure.index in spans)
    return [failure if failure.stage else replace(failure, stage=stage) for failure in found]


def read_failures(ledger: Ledger, shares: Sequence[Share]) -> list[Failure]:
    """The failures of a chunk's records by the outcomes that count; raises UnreadableOutcome."""
    found: list[Failure] = []
    for share in shares:
        if share.outcome.n_failed:
            found += list_failures(_read_outcome(ledger, share.outcome), share.spans, share.outcome.stage)
    return sorted(found, key=lambda failure: failure.index)


def _make_piece(chunk: ChunkReader, block: Block, failures: list[Failure]) -> Piece:
    end = block.first + len(block.counts)
    return Piece(chunk, block, tuple(failure for failure in failures if block.first <= failure.index < end))


def _empty_block(first: int, end: int) -> Block:
    return Block(first, [0] * (end - first), {})


def _read_outcome(ledger: Ledger, key: OutcomeKey) -> OutcomeReader:
    try:
        return ledger.read_outcome(key)
    except (Undecodable, StoreError) as err:
        raise UnreadableOutcome(key, str(err), ledger.prefix) from err
