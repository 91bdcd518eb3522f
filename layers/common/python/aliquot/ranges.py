"""How a dataset of objects is cut by many at once: into stretches to count, then into parts to cut.

    plan_stretches   what one count looks at: a range of bytes of a text, a stream, a Parquet file's footer
    plan_rows        a Parquet file's parts, from its row groups
    number_parts     each part's first record, first line and first chunk, once all are counted
    group_items      which stretches or parts one invocation takes

A range of a text holds the lines that begin in it, of FASTA the records. A stream is read from its beginning:
text within gzip, a table with newlines in quotes (where only a reading from the beginning knows what is in
quotes), and texts that make one range. It is counted by one invocation after another; its parts are cut side
by side.

Owns these plans; touches nothing. Imports the readers' `Source` and `RowGroup`, `errors`. When it is wrong,
records get each other's numbers, or chunks each other's names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Any, Literal

from aliquot.envelope import is_count
from aliquot.errors import DatasetError
from aliquot.readers import Source
from aliquot.readers.parquet import RowGroup

PART_BYTES = 64 << 20
PART_ROWS = 1 << 21
MOST_CHUNKS = 10**8  # a chunk's place has eight digits
_STREAM_PARTS = (
    8  # a part of gzip is unpacked from its beginning: not many more than so, times how dense it is
)
_MOST_SPLIT = 16  # parts of one row group: each decodes it from its beginning
_CHUNKS_PER_MIB = 64  # reserved for each MiB of Parquet: it is not known before how long its text is
_ITEM_PARTS = 500  # the most that one invocation takes

Kind = Literal["range", "stream", "rows"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is counted at once: bytes `begin` to `end` of a source as it lies there."""

    source: int
    kind: Kind
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """What is cut at once.

    Args:
        source: its index.
        begin, end: bytes of the text, unpacked; rows of a Parquet file.
        line: lines (of a Parquet file rows) before it: in its stretch, once it is numbered in its source.
        n_records: exact.
        n_chunks: exact for text, for Parquet the most that there can be.
        first, seq: number of its first record, place of its first chunk.
    """

    source: int
    begin: int
    end: int
    line: int
    n_records: int
    n_chunks: int
    first: int = 0
    seq: int = 0

    @classmethod
    def of(cls, values: Sequence[int]) -> Part:
        """The part of plain values in order; raises TypeError, ValueError."""
        if not all(map(is_count, values)):
            raise ValueError("a part is whole numbers")
        return cls(*values)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a stretch holds: its parts, its lines, and whether a quote stays open at the end of a line."""

    parts: tuple[Part, ...]
    n_lines: int = 0
    has_open_quote: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Counted:
        """What plain values say; raises LookupError, TypeError, ValueError where they say something else."""
        parts = tuple(Part.of([part[each.name] for each in fields(Part)]) for part in plain["parts"])
        if not is_count(plain["n_lines"]):
            raise ValueError("lines are a whole number")
        return cls(parts, plain["n_lines"], bool(plain["has_open_quote"]))


def plan_stretches(
    sources: Sequence[Source], part_bytes: int = PART_BYTES, streamed: Collection[int] = ()
) -> tuple[Stretch, ...]:
    """What is to be counted, in the dataset's order.

    Args:
        streamed: indices of tables that were found to have newlines in quotes.
    """
    return tuple(
        stretch
        for index, source in enumerate(sources)
        for stretch in _plan_source(index, source, part_bytes, is_streamed=index in streamed)
    )


def _plan_source(index: int, source: Source, part_bytes: int, *, is_streamed: bool) -> Iterator[Stretch]:
    size = source.size_bytes or 0
    if source.format == "parquet":
        yield Stretch(index, "rows", 0, size)
    elif source.is_gzip or is_streamed or size <= part_bytes:
        yield Stretch(index, "stream", 0, size)
    else:
        for begin in range(0, size, part_bytes):
            yield Stretch(index, "range", begin, min(size, begin + part_bytes))


def choose_part_bytes(source: Source, part_bytes: int = PART_BYTES) -> int:
    """How much text of a stream makes a part."""
    return max(part_bytes, (source.size_bytes or 0) // _STREAM_PARTS) if source.is_gzip else part_bytes


def plan_rows(source: int, groups: Sequence[RowGroup], part_bytes: int = PART_BYTES) -> tuple[Part, ...]:
    """A Parquet file's parts: row groups together, or a large one split evenly."""
    parts: list[Part] = []
    begin = n_rows = n_bytes = 0
    for group in groups:
        if n_rows and (n_bytes + group.n_bytes > part_bytes or n_rows + group.n_rows > PART_ROWS):
            parts += _split_rows(source, begin, n_rows, n_bytes, part_bytes)
            begin, n_rows, n_bytes = begin + n_rows, 0, 0
        n_rows, n_bytes = n_rows + group.n_rows, n_bytes + group.n_bytes
    if n_rows:
        parts += _split_rows(source, begin, n_rows, n_bytes, part_bytes)
    return tuple(parts)


def _split_rows(source: int, begin: int, n_rows: int, n_bytes: int, part_bytes: int) -> Iterator[Part]:
    n_parts = max(-(-n_bytes // part_bytes), -(-n_rows // PART_ROWS))
    n_parts = max(1, min(n_parts, _MOST_SPLIT, n_rows))
    edges = [begin + n_rows * i // n_parts for i in range(n_parts + 1)]
    for first, end in pairwise(edges):
        n_here = end - first
        reserved = 16 + (n_here >> 15) + _CHUNKS_PER_MIB * (1 + (n_bytes // n_parts >> 20))
        yield Part(source, first, end, first, n_here, min(n_here, reserved))


def number_parts(stretches: Sequence[Stretch], counted: Sequence[Counted]) -> tuple[Part, ...]:
    """All parts, numbered through the dataset.

    Raises:
        DatasetError: more chunks than can be named.
    """
    numbered: list[Part] = []
    first = seq = line = 0
    source = -1
    for stretch, count in zip(stretches, counted, strict=True):
        if stretch.source != source:
            source, line = stretch.source, 0
        for part in count.parts:
            numbered.append(replace(part, line=line + part.line, first=first, seq=seq))
            first, seq = first + part.n_records, seq + part.n_chunks
        line += count.n_lines
    if seq > MOST_CHUNKS:
        raise DatasetError(
            "dataset", f"makes up to {seq:,} chunks and a run has at most {MOST_CHUNKS:,}: split it"
        )
    return tuple(numbered)


def list_streamed(stretches: Sequence[Stretch], counted: Sequence[Counted]) -> set[int]:
    """Sources of which ranges were counted and have to be read from the beginning."""
    return {
        stretch.source
        for stretch, count in zip(stretches, counted, strict=True)
        if stretch.kind == "range" and count.has_open_quote
    }


def group_items(sizes: Sequence[int], limit: int = PART_BYTES) -> list[tuple[int, int]]:
    """Half-open ranges of neighbours, none larger than `limit` together unless it is one alone."""
    edges = [0]
    sums = [0, *accumulate(sizes)]
    for index in range(len(sizes)):
        is_over = sums[index + 1] - sums[edges[-1]] > limit or index - edges[-1] >= _ITEM_PARTS
        if is_over and index > edges[-1]:
            edges.append(index)
    return list(zip(edges, [*edges[1:], len(sizes)], strict=True)) if sizes else []
