"""What a host's steps read: records of the dataset, groups of an exchange, or rows of the stage before.

    chunk of the dataset   -> a record each, as the job reads them; or, taken whole, one table
    chunk of an exchange   -> a Group each (see `grouped` for its columns)
    outcome of a stage     -> per record all rows that it gave, one by one into the job: `answer_rows`

Each form gives the units first..end of a chunk in order, and names those that failed already. Owns how these
come out of objects. Imports `chunk`, `outcome`, `grouped` and `job`. When it is wrong, stages read other rows
than were written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Protocol

from aliquot.attempt import WrongCount
from aliquot.chunk import ChunkReader
from aliquot.columnar import to_table
from aliquot.grouped import list_records, list_row_columns, read_groups
from aliquot.job import Answer, Call
from aliquot.outcome import Failure, OutcomeReader
from aliquot.rows import Block, as_rows

Make = Callable[[Sequence[str]], Callable[[Iterable[Any]], Any]]


class Feed(Protocol):
    """The units of a chunk."""

    bad: dict[int, Failure]

    def records(self, first: int, end: int) -> Iterator[Any]:
        """The units first..end, in order; none of them is bad."""

    def list_origins(self, unit: int) -> Collection[int] | None:
        """The records that rows of a unit that was read may have come from; None where it is not known."""


class RecordFeed:
    """The records of a chunk of the dataset.

    Args:
        reads: NamedTuple of a record; None for dicts.
    """

    def __init__(self, reader: ChunkReader, reads: type | None) -> None:
        self._make = make_rows(reads, reader.column_names)
        self._columns = [reader.column(name) for name in reader.column_names]
        self.bad = {index: Failure(index, "parse", row.reason) for index, row in reader.bad().items()}

    def records(self, first: int, end: int) -> Iterator[Any]:
        """The records first..end."""
        return self._make(zip(*(column[first:end] for column in self._columns), strict=True))

    def list_origins(self, unit: int) -> None:  # as every feed is asked
        """A record's rows are its own."""


class TableFeed:
    """The records of a chunk together, as a table."""

    def __init__(self, reader: ChunkReader) -> None:
        self._table = reader.table()
        self.bad = {index: Failure(index, "parse", row.reason) for index, row in reader.bad().items()}

    def records(self, first: int, end: int) -> Iterator[Any]:
        """One table of those of the records first..end that are not bad."""
        piece = self._table.slice(first, end - first)
        if odd := {index - first for index in self.bad if first <= index < end}:
            piece = piece.take([index for index in range(end - first) if index not in odd])
        yield to_table(piece)

    def list_origins(self, unit: int) -> None:  # as every feed is asked
        """The rows are of all records together."""


class GroupFeed:
    """The groups of a chunk of an exchange.

    Args:
        row: NamedTuple of the rows in them; None for dicts.
    """

    def __init__(self, reader: ChunkReader, row: type | None) -> None:
        self._reader = reader
        self._names = row._fields if row is not None else list_row_columns(reader)  # type: ignore[attr-defined]
        self._make = make_rows(row, self._names)
        self.bad: dict[int, Failure] = {}

    def records(self, first: int, end: int) -> Iterator[Any]:
        """The groups first..end."""
        return read_groups(self._reader, first, end, self._names, self._make)

    def list_origins(self, unit: int) -> Collection[int]:
        """The group's records."""
        return list_records(self._reader, unit)


class RowFeed:
    """Per record the rows that the stage before gave it.

    Args:
        row: NamedTuple of the rows; None for dicts.
        stage: that wrote them.
        origin: the column in which these say which record they came from, empty where they do not.
    """

    def __init__(self, reader: OutcomeReader, row: type | None, stage: str, origin: str = "") -> None:
        self._reader, self._row, self._origin = reader, row, origin
        self._origins: dict[int, set[int]] = {}
        self.bad = {
            f.index: Failure(f.index, f.kind, f.message, f.traceback, f.stage or stage)
            for f in reader.failures()
        }

    def records(self, first: int, end: int) -> Iterator[list[Any]]:
        """A list of rows for each of the records first..end."""
        for block in self._reader.blocks(first, end):
            rows = make_rows(self._row, list(block.columns))(_zip_rows(block))
            named = iter(block.columns.get(self._origin, ()))
            for unit, count in enumerate(block.counts, block.first):
                self._origins[unit] = set(islice(named, count))
                yield [next(rows) for _ in range(count)]

    def list_origins(self, unit: int) -> Collection[int] | None:
        """The records that the rows say that they came from."""
        return self._origins[unit] if self._origin else None


def make_rows(row: type | None, names: Sequence[str]) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """What turns tuples of values into rows: NamedTuples, or dicts by these names."""
    if row is None:
        return lambda values: map(dict, map(zip, repeat(names), values))
    make = row._make  # type: ignore[attr-defined]
    return lambda values: map(make, values)


def answer_rows(call: Call, columns: tuple[str, ...]) -> Call:
    """A stage's function of rows as one of lists of rows: an answer is all that they gave, in order."""

    def answer(lists: Iterable[list[Any]]) -> Iterator[Any]:
        for rows in lists:
            yield _join(list(call(iter(rows))), len(rows), columns) if rows else ()

    return answer


def _join(answers: list[Any], n_rows: int, columns: tuple[str, ...]) -> Answer | list[Any]:
    if len(answers) != n_rows:
        raise WrongCount(f"the job gave {len(answers)} answers to the {n_rows} rows of a record")
    joined: list[Any] = []
    notes: list[str] = []
    for each in answers:
        answer = each
        if type(answer) is Answer:
            answer, note = answer
            notes += [note] if note else []
        joined.extend(as_rows(answer, columns))
    return Answer(joined, "; ".join(dict.fromkeys(notes))) if notes else joined


def _zip_rows(block: Block) -> Iterator[tuple[Any, ...]]:
    return zip(*block.columns.values(), strict=True)
