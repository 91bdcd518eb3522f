"""Groups as columns of a chunk: what an exchange writes, and what the stage behind it reads.

A group is a unit of its chunk, as a record is of a chunk of the dataset: `key` and `records` hold a value and
a list for each, and every column of the rows a list under `rows:NAME`. So tasks, coverage and rosters know no
difference.

Owns this form, and which record a row behind an exchange counts to. Imports `chunk` and `job`. When it is
wrong, rows change their group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import Any

from aliquot.chunk import Chunk, ChunkReader
from aliquot.errors import JobError, Undecodable
from aliquot.job import Group, Key
from aliquot.rows import Block
from aliquot.stages import StageNote

KEY, RECORDS, ROWS = "key", "records", "rows:"


@dataclass
class Groups:
    """Groups that grow row by row, until they are a chunk.

    Args:
        names: the rows' columns.
    """

    names: Sequence[str]
    keys: list[Key] = field(default_factory=list)
    records: list[list[int]] = field(default_factory=list)
    columns: list[list[list[Any]]] = field(init=False)
    n_rows: int = 0

    def __post_init__(self) -> None:
        self.columns = [[] for _ in self.names]

    def begin(self, key: Key) -> None:
        """Begin a group."""
        self.keys.append(key)
        self.records.append([])
        for column in self.columns:
            column.append([])

    def add(self, record: int, row: Sequence[Any]) -> None:
        """Add a row to the group that was begun last."""
        self.records[-1].append(record)
        for column, value in zip(self.columns, row, strict=True):
            column[-1].append(value)
        self.n_rows += 1

    def to_chunk(self) -> Chunk:
        """The groups as a chunk."""
        columns: dict[str, Sequence[Any]] = {KEY: self.keys, RECORDS: self.records}
        columns |= {f"{ROWS}{name}": column for name, column in zip(self.names, self.columns, strict=True)}
        return Chunk(0, len(self.keys), columns)


def list_row_columns(reader: ChunkReader) -> list[str]:
    """The columns of the rows in a chunk's groups."""
    return [name.removeprefix(ROWS) for name in reader.column_names if name.startswith(ROWS)]


def read_groups(
    reader: ChunkReader,
    first: int,
    end: int,
    names: Sequence[str],
    make: Callable[[Iterable[Any]], Iterator[Any]],
) -> Iterator[Group]:
    """The groups first..end of a chunk; raises Undecodable.

    Args:
        names: of the rows' columns.
        make: turns tuples of values, in the order of these, into rows.
    """
    columns = [reader.column(f"{ROWS}{name}") for name in names]
    keys, records = reader.column(KEY), reader.column(RECORDS)
    for index in range(first, end):
        held = [column[index] for column in columns]
        if any(type(values) is not list or len(values) != len(records[index]) for values in held):
            raise Undecodable(reader.chunk.key, f"its group {index} has columns of several lengths")
        yield Group(keys[index], list(make(zip(*held, strict=True))), records[index])


def list_records(reader: ChunkReader, index: int) -> list[int]:
    """The records of the dataset that a group's rows came from, each once, in order."""
    return sorted(set(reader.column(RECORDS)[index]))


def trace_dataset(reader: ChunkReader, block: Block, _stage: StageNote) -> Iterator[int]:
    """Of each row of a block the record of the dataset that it came from."""
    first = reader.first + block.first
    for nth in compress(range(len(block.counts)), block.counts):  # of a chunk taken whole one has all rows
        yield from repeat(first + nth, block.counts[nth])


def trace_groups(reader: ChunkReader, block: Block, stage: StageNote) -> Iterator[int]:
    """As `trace_dataset`, of rows that groups gave: their origin, or the group's first record.

    Raises JobError where a row says that it came from a record that is not of its group.
    """
    at = 0
    for unit, count in enumerate(block.counts, block.first):
        if count:
            records = list_records(reader, unit)
            yield from _trace_group(records, block, slice(at, at + count), stage)
        at += count


def _trace_group(records: Sequence[int], block: Block, rows: slice, stage: StageNote) -> Iterable[int]:
    if not stage.origin:
        return repeat(records[0], rows.stop - rows.start)
    named = block.columns[stage.origin][rows]
    odd = set(named) - set(records)
    if odd:
        said = f"stage {stage.name!r} says in {stage.origin!r} that a row came from record {min(odd)}"
        raise JobError(stage.name, f"{said}, which has none in its group: give one of group.records")
    return named
