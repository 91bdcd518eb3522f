"""A batch: some consecutive records of one source, column by column.

Owns the shape that every reader yields, and the rule that a record at fault holds None in every column.
Imports the standard library alone. When it is wrong, columns and line numbers come apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

RAW_CHARS = 10_000  # as much of a record at fault as failures.parquet quotes
ESCAPED_BYTE = re.compile(
    "[\udc80-\udcff]"
)  # what errors="surrogateescape" leaves of a byte that is not UTF-8
NOT_UTF8 = "not UTF-8"

Bad = dict[int, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held at a time.

    Args:
        block_bytes: text is read, decompressed, in blocks of this size; a batch holds about one.
        line_bytes: a longer line is a record at fault.
        quoted_bytes: a quote still open after so many more is taken for a stray one, at fault with its line;
            so much text is held before the rows after it are read.
        records: the most records in a batch.
    """

    block_bytes: int = 64 << 10  # measured: a quarter quicker than 256 KiB, which leaves the cache
    line_bytes: int = 64 << 20
    quoted_bytes: int = 4 << 20
    records: int = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two lines of a text: the bytes before it (unpacked), the 1-based line behind it."""

    byte: int
    line: int


START = Place(0, 1)


@dataclass(slots=True)
class Batch:
    """Consecutive records of one source.

    Args:
        source: index of the source.
        columns: values by field (or by the file's own column names), each of length `n_records`; Arrow arrays
            where they are asked for.
        kept: values of the columns that are carried along, by their own names.
        lines: 1-based line on which each record begins, headers and blank lines counted; for Parquet and
            for Python records the 1-based row.
        bad: of each record that does not parse, by its index in the batch: (reason, its text, cut at
            `RAW_CHARS`). Its columns hold None.
        sizes: about how many bytes each record takes, shape (n_records,).
        fraction: how far the reading is through the bytes of all sources, 0 to 1; None where stdin is one.
        end: where another reading of the text may begin with what follows this batch; None where the reader
            holds a row that is not whole, and where the source is no text.
    """

    source: int
    columns: dict[str, Any]
    kept: dict[str, list[Any]]
    lines: Sequence[int]
    bad: Bad
    sizes: list[int]
    fraction: float | None
    end: Place | None = None

    @property
    def n_records(self) -> int:
        """How many records the batch holds, those at fault included."""
        return len(self.lines)


def make_batch(
    columns: dict[str, list[Any]],
    kept: dict[str, list[Any]],
    *,
    lines: list[int],
    sizes: list[int],
    bad: Bad,
    fraction: float | None,
    line_field: str | None,
    get_raw: Callable[[int], str],
    end: Place | None = None,
) -> Batch:
    """A batch in which records without text in `line_field` are at fault too, and those at fault hold None.

    `get_raw` is the text of the record at an index of the batch; the others are as of `Batch`.
    """
    if line_field is not None:
        for index, reason in _find_textless(columns[line_field], line_field):
            if index not in bad:
                bad[index] = (reason, show_raw(get_raw(index)))
    for values in (*columns.values(), *kept.values()):
        for index in bad:
            values[index] = None
    return Batch(0, columns, kept, lines, bad, sizes, fraction, end)


def _find_textless(values: list[Any], field: str) -> Iterator[tuple[int, str]]:
    if all(values) and set(map(type, values)) <= {str}:
        return
    for index, value in enumerate(values):
        if value is None or value == "":
            yield index, f"no {field}"
        elif not isinstance(value, str):
            yield index, f"{field} is not text but {type(value).__name__}"


def cut_batch(batch: Batch, limit: int) -> Iterator[Batch]:
    """The same records in batches of at most `limit`."""
    if batch.n_records <= limit:
        yield batch
        return
    for first in range(0, batch.n_records, limit):
        part = slice(first, first + limit)
        yield Batch(
            batch.source,
            {name: values[part] for name, values in batch.columns.items()},
            {name: values[part] for name, values in batch.kept.items()},
            batch.lines[part],
            {i - first: why for i, why in batch.bad.items() if first <= i < first + limit},
            batch.sizes[part],
            batch.fraction,
            batch.end if part.stop >= batch.n_records else None,
        )


def show_raw(text: str) -> str:
    """`text` as it can be stored: cut at `RAW_CHARS`, bytes that are not UTF-8 as U+FFFD."""
    shown = text[:RAW_CHARS]
    if not shown.isascii():
        shown = shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return shown


def list_unclean(lines: list[str]) -> Bad:
    """The lines, by index, that hold bytes which are not UTF-8."""
    return {i: (NOT_UTF8, show_raw(line)) for i, line in enumerate(lines) if ESCAPED_BYTE.search(line)}
