"""Stretches counted and parts cut, with the very readers and the cutting of a local run.

A count reads what will be cut and cuts it, but for putting it: so every part's records and chunks are known
exactly before any has a number. Owns nothing but that sameness. Imports `ranges`, `cutting` and the readers;
what opens a source is an argument. When it is wrong, the seams between parts show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from aliquot.cutting import Cut, cut_chunks
from aliquot.errors import DatasetError
from aliquot.ranges import Counted, Part, Stretch, choose_part_bytes, plan_rows
from aliquot.readers import Batch, Limits, Source
from aliquot.readers.batch import START, Place, cut_batch
from aliquot.readers.columns import Wanted
from aliquot.readers.heads import Head
from aliquot.readers.parquet import list_row_groups, read_parquet
from aliquot.readers.parts import PartReading, find_head, find_part_start
from aliquot.readers.streams import Opener


class SourceCutter:
    """Counts and cuts one source.

    Args:
        index: of the source in the dataset.
        opener: gives its bytes.
        part_bytes: about how much text, unpacked, makes a part.
    """

    def __init__(
        self, index: int, source: Source, wanted: Wanted, opener: Opener, limits: Limits, part_bytes: int
    ) -> None:
        self._index, self._source, self._wanted = index, source, wanted
        self._opener, self._limits, self._part_bytes = opener, limits, part_bytes
        self._head: Head | None = None

    def count(
        self, stretch: Stretch, so_far: Counted | None = None, must_stop: Callable[[], bool] = lambda: False
    ) -> tuple[Counted, bool]:
        """What a stretch holds, and whether that is all of it.

        Args:
            so_far: of a stream, what was counted before.
            must_stop: asked after each part of a stream.
        Raises:
            DatasetError: the source cannot be read, or lacks a wanted column.
        """
        if stretch.kind == "rows":
            groups = list_row_groups(self._source, self._wanted, self._opener)
            return Counted(plan_rows(self._index, groups, self._part_bytes)), True
        if stretch.kind == "range":
            return self._count_range(stretch), True
        return self._count_stream(so_far or Counted(()), must_stop)

    def cut(self, part: Part) -> Iterator[Cut]:
        """The chunks of a part, in order; raises DatasetError."""
        return cut_chunks(self._tag(self._read(part)), part.seq, part.first)

    def _read(self, part: Part) -> Iterable[Batch]:
        if self._source.format == "parquet":
            rows = (part.begin, part.end)
            batches = read_parquet(self._source, self._wanted, self._limits, self._opener, rows)
            return (piece for batch in batches for piece in cut_batch(batch, self._limits.records))
        return self._read_text(Place(part.begin, part.line + 1), part.end)

    def _read_text(self, begin: Place, end: int | None, *, is_watched: bool = False) -> PartReading:
        return PartReading(
            self._source,
            self._wanted,
            self._find_head(),
            begin,
            end,
            self._opener,
            self._limits,
            is_watched=is_watched,
        )

    def _count_range(self, stretch: Stretch) -> Counted:
        """The lines that begin in a range, those of the head left out."""
        head = self._find_head()
        if stretch.end <= head.end.byte:
            return Counted(())
        is_first = stretch.begin <= head.end.byte
        begin = head.end.byte if is_first else find_part_start(self._source, stretch.begin, self._opener)
        end = find_part_start(self._source, stretch.end, self._opener)
        n_before = head.end.line - 1 if is_first else 0
        reading = self._read_text(Place(begin, 1), end, is_watched=True)
        n_records, n_chunks = _measure(self._tag(reading))
        part = Part(self._index, begin, end, n_before, n_records, n_chunks)
        parts = (part,) if n_records else ()
        return Counted(parts, n_before + reading.end.line - 1, reading.has_open_quote)

    def _count_stream(self, so_far: Counted, must_stop: Callable[[], bool]) -> tuple[Counted, bool]:
        counted = so_far
        begin = Place(so_far.parts[-1].end, so_far.n_lines + 1) if so_far.parts else START
        reading = self._read_text(begin, None)
        limit = choose_part_bytes(self._source, self._part_bytes)
        batches = self._tag(reading)
        while True:
            group = _Group(batches, begin.byte + limit)
            n_records, n_chunks = _measure(group)
            end = group.end or reading.end
            if n_records:
                part = Part(self._index, begin.byte, end.byte, begin.line - 1, n_records, n_chunks)
                counted = replace(counted, parts=(*counted.parts, part), n_lines=end.line - 1)
            if group.end is None:
                return counted, True
            if must_stop():
                return counted, False
            begin = end

    def _find_head(self) -> Head:
        if self._head is None:
            self._head = find_head(self._source, self._wanted, self._opener, self._limits)
        return self._head

    def _tag(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            batch.source = self._index
            yield batch


class _Group:
    """Batches up to the first place, from byte `until` on, at which another reading may begin."""

    def __init__(self, batches: Iterator[Batch], until: int) -> None:
        self._batches, self._until = batches, until
        self.end: Place | None = None

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            yield batch
            if batch.end is not None and batch.end.byte >= self._until:
                self.end = batch.end
                return


def _measure(batches: Iterable[Batch]) -> tuple[int, int]:
    """How many records, and how many chunks they make."""
    n_records = n_chunks = 0
    for cut in cut_chunks(batches):
        n_records, n_chunks = n_records + cut.id.n_records, n_chunks + 1
    return n_records, n_chunks


def refuse_other_count(source: Source, part: Part, n_records: int, n_chunks: int) -> None:
    """Raise DatasetError where a part's chunks are others than were counted."""
    if n_records != part.n_records or n_chunks > part.n_chunks:
        raise DatasetError(
            source.path,
            f"holds {n_records:,} records in {n_chunks:,} chunks where {part.n_records:,} in at most "
            f"{part.n_chunks:,} were counted: it has changed, or is packed denser than 64 to 1; split it",
        )
