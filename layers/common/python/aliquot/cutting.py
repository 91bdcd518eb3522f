"""Batches of records cut into chunks: where one ends and the next begins.

A pure function of the records, whatever batches they come in, so that the same input gives the same chunks
every time. Where a stack cuts a dataset, each part of it begins a chunk (`counting`).

Owns the size of chunks. Imports the readers' `Batch` and `chunk`. When it is wrong, a resumed run works on
other records than before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil
from typing import Any

from aliquot.chunk import BadRow, Chunk
from aliquot.codec import pack
from aliquot.columnar import is_arrow, join_arrays
from aliquot.errors import Unencodable
from aliquot.keys import ChunkId
from aliquot.readers import Batch

CHUNK_BYTES = 1 << 20  # of text, before compression: ~5,000 reactions, some seconds of work
CHUNK_RECORDS = 1 << 16
# Of large records a chunk of 1 MiB holds few, and costs as much as one of many: to put 3,000 arrays of 100 kB
# takes 0.39 s of CPU and 2.3 s of waiting for the disk in 273 chunks, 0.1 and 0.5 s in 36.
FEW_RECORDS, MOST_BYTES = 64, 8 << 20
TABLE_BYTES, TABLE_RECORDS = 8 << 20, 1 << 18
CHUNK_CELLS = 1 << 22  # records times columns: JSON objects without common keys are mostly None side by side


@dataclass(frozen=True)
class Cut:
    """A chunk ready to be put, and how far through the input it reaches (None where nobody knows)."""

    id: ChunkId
    chunk: Chunk
    n_bytes: int
    fraction: float | None


def cut_chunks(batches: Iterable[Batch], seq: int = 0, first: int = 0) -> Iterator[Cut]:
    """Group consecutive records into chunks of about CHUNK_BYTES, each of one source's columns.

    Where these would be fewer than FEW_RECORDS, so many, up to MOST_BYTES. Every chunk but the last of its
    source's columns ends with the record that fills it. A record lacks no column that another of its chunk
    has: it holds None there.

    Args:
        seq, first: place of the first chunk and number of the first record, where a part of a dataset is cut.
    """
    waiting = _Waiting(seq, first)
    for batch in batches:
        if waiting.parts and not waiting.can_take(batch):
            yield waiting.join()
            waiting = waiting.next()
        for part in _part(batch, waiting):
            waiting.add(part)
            if waiting.is_full:
                yield waiting.join()
                waiting = waiting.next()
    if waiting.parts:
        yield waiting.join()


def encode_chunk(chunk: Chunk) -> bytes:
    """The chunk's object; records that cannot be stored become bad rows, with the reason."""
    try:
        return chunk.to_bytes()
    except Unencodable:
        return _drop_unencodable(chunk).to_bytes()


class _Waiting:
    """The parts of batches that make the next chunk."""

    def __init__(self, seq: int, first: int) -> None:
        self._seq, self._first = seq, first
        self.parts: list[Batch] = []
        self.n_records = self.n_bytes = 0
        self._names: dict[str, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether the next record begins another chunk."""
        return limit_chunk(self.parts[0]).is_reached(self.n_bytes, self.n_records)

    def can_take(self, batch: Batch) -> bool:
        """Whether the batch's columns go with those that wait: of JSON objects they may differ."""
        if self._names.keys() == batch.columns.keys():
            return True
        n_cells = (self.n_records + batch.n_records) * len(self._names.keys() | batch.columns.keys())
        return self.parts[0].source == batch.source and n_cells <= CHUNK_CELLS

    def add(self, part: Batch) -> None:
        """Take a part."""
        self.parts.append(part)
        self.n_records += part.n_records
        self.n_bytes += sum(part.sizes)
        self._names |= dict.fromkeys(part.columns)

    def next(self) -> _Waiting:
        """The chunk after this one, empty."""
        return _Waiting(self._seq + 1, self._first + self.n_records)

    def join(self) -> Cut:
        """The chunk."""
        are_arrays = has_arrays(self.parts[0])
        columns: dict[str, Any] = {name: [] for name in self._names}
        if are_arrays:  # of which each part has all columns
            columns = {name: join_arrays([part.columns[name] for part in self.parts]) for name in columns}
        kept: dict[str, list[Any]] = {name: [] for name in self.parts[0].kept}
        bad: dict[int, BadRow] = {}
        provenance: list[tuple[int, int, int]] = []
        at = 0
        for part in self.parts:
            for name, values in columns.items() if not are_arrays else ():
                values.extend(part.columns.get(name) or [None] * part.n_records)
            for name, values in part.kept.items():
                kept[name].extend(values)
            bad |= {at + index: BadRow(reason, text) for index, (reason, text) in part.bad.items()}
            _extend_provenance(provenance, at, part)
            at += part.n_records
        chunk = Chunk(self._first, at, columns, kept, tuple(provenance), bad)
        return Cut(ChunkId(self._seq, at), chunk, self.n_bytes, self.parts[-1].fraction)


@dataclass(frozen=True)
class ChunkLimit:
    """When a chunk is full: at `n_bytes` if it has `few` records by then, at `most_bytes`, at `n_records`."""

    n_bytes: int
    n_records: int
    few: int
    most_bytes: int

    def is_reached(self, n_bytes: int, n_records: int) -> bool:
        """Whether the next record begins another chunk."""
        is_long = n_bytes >= self.n_bytes and n_records >= self.few
        return is_long or n_bytes >= self.most_bytes or n_records >= self.n_records

    def count_left(self, totals: Sequence[int], at: int, n_bytes: int, n_records: int) -> int:
        """How many records, from `at` on, a chunk that holds so much takes until it is full.

        Args:
            totals: the sizes of records, added up from the first.
        """
        before = totals[at - 1] - n_bytes if at else -n_bytes
        long = bisect_left(totals, before + self.n_bytes, at) + 1 - at
        most = bisect_left(totals, before + self.most_bytes, at) + 1 - at
        return min(max(long, self.few - n_records), most, self.n_records - n_records)


def limit_chunk(batch: Batch) -> ChunkLimit:
    """The limit of a chunk that begins with a batch."""
    if has_arrays(batch):
        return ChunkLimit(TABLE_BYTES, TABLE_RECORDS, 0, TABLE_BYTES)
    return ChunkLimit(CHUNK_BYTES, CHUNK_RECORDS, FEW_RECORDS, MOST_BYTES)


def estimate_chunks(n_records: int, n_bytes: int) -> int:
    """About how many chunks so many records make, of so many bytes together."""
    by_bytes = max(CHUNK_BYTES, min(MOST_BYTES, FEW_RECORDS * n_bytes // max(1, n_records)))
    return ceil(max(n_bytes / by_bytes, n_records / CHUNK_RECORDS))


def has_arrays(batch: Batch) -> bool:
    """Whether a batch's columns are Arrow arrays."""
    return bool(batch.columns) and all(map(is_arrow, batch.columns.values()))


def _part(batch: Batch, waiting: _Waiting) -> Iterator[Batch]:
    """The batch, cut behind each record that fills a chunk, when `waiting` is what comes before it."""
    totals = list(accumulate(batch.sizes))
    limit = limit_chunk(batch)
    held, first = (waiting.n_bytes, waiting.n_records), 0
    while first < batch.n_records:
        end = min(first + limit.count_left(totals, first, *held), batch.n_records)
        yield _slice(batch, first, end)
        held, first = (0, 0), end


def _slice(batch: Batch, first: int, end: int) -> Batch:
    if (first, end) == (0, batch.n_records):
        return batch
    return Batch(
        batch.source,
        {name: values[first:end] for name, values in batch.columns.items()},
        {name: values[first:end] for name, values in batch.kept.items()},
        batch.lines[first:end],
        {index - first: why for index, why in batch.bad.items() if first <= index < end},
        batch.sizes[first:end],
        batch.fraction,
    )


def _extend_provenance(runs: list[tuple[int, int, int]], at: int, batch: Batch) -> None:
    """Add the batch's lines as runs that count up by one."""
    lines = batch.lines
    is_one_run = lines[-1] - lines[0] == len(lines) - 1
    starts = [0] if is_one_run else [0, *(i for i in range(1, len(lines)) if lines[i] != lines[i - 1] + 1)]
    for start in starts:
        index, line = at + start, lines[start]
        if runs and runs[-1][1] == batch.source and line - runs[-1][2] == index - runs[-1][0]:
            continue
        runs.append((index, batch.source, line))


def _drop_unencodable(chunk: Chunk) -> Chunk:
    columns = {name: list(values) for name, values in chunk.columns.items()}
    kept = {name: list(values) for name, values in chunk.kept.items()}
    bad: dict[int, BadRow] = dict(chunk.bad)
    for index in range(chunk.n_records):
        reason = _find_unencodable(index, columns) or _find_unencodable(index, kept)
        if reason:
            bad[index] = BadRow(reason, "")
            for values in (*columns.values(), *kept.values()):
                values[index] = None
    return replace(chunk, columns=columns, kept=kept, bad=bad)


def _find_unencodable(index: int, columns: Mapping[str, Sequence[Any]]) -> str:
    for name, values in columns.items():
        try:
            pack(values[index], name)
        except Unencodable as err:
            return str(err)
    return ""
