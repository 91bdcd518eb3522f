"""Records of FASTA: a line that begins with ">" (id, then description), and the lines of a sequence after it.

A record has three columns: `sequence`, without the white space in it, `id`, the header's first word, and
`description`, the rest of it. A record is whole when the next one begins, so the last of a block waits for
the next block. What stands before the first header is a record at fault.

Owns where a record begins and ends. Imports its neighbours and the standard library. When it is wrong, a
sequence loses the lines behind a block's edge, or two become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from aliquot.readers.batch import (
    ESCAPED_BYTE,
    NOT_UTF8,
    RAW_CHARS,
    Batch,
    Limits,
    Place,
    make_batch,
    show_raw,
)
from aliquot.readers.blocks import Block
from aliquot.readers.columns import Layout, Wanted, lay_out_line

RECORD_START = b"\n>"  # in bytes: where a reading may begin inside a text, past the line's end
_COLUMNS = ("sequence", "id", "description")
_HEADERS = re.compile("^>", re.MULTILINE)
_HEADLESS = 'text before the first header (a line that begins with ">")'


@dataclass(slots=True)
class _Record:
    """Lines of one record so far; `begin` is its place where another reading may begin with it."""

    line: int
    begin: Place | None
    pieces: list[str] = field(default_factory=list)
    n_chars: int = 0
    reason: str = ""

    def add(self, text: str, limits: Limits, reason: str = "") -> None:
        """Append text; of a record at fault only the beginning is held."""
        self.n_chars += len(text)
        self.reason = self.reason or reason
        self.pieces.append(text)
        if self.reason or self.n_chars > limits.line_bytes:
            self.pieces = ["".join(self.pieces)[:RAW_CHARS]]

    @property
    def text(self) -> str:
        """The record's text, or of one at fault its beginning."""
        return "".join(self.pieces)

    def find_fault(self, limits: Limits) -> str:
        """Why the record does not parse; empty where it does."""
        text = self.text
        if self.reason:
            return self.reason
        if self.n_chars > limits.line_bytes:
            return f"a record of {self.n_chars:,} characters, over the limit"
        if not text.isascii() and ESCAPED_BYTE.search(text):
            return NOT_UTF8
        header, _, body = text.partition("\n")
        if "\r" in header.rstrip("\r"):
            return "a carriage return inside the line (lines end at LF or CR LF)"
        return 'a ">" inside the sequence' if ">" in body else ""

    def parse(self) -> tuple[str | None, str | None, str | None]:
        """Sequence, id and description; None where there is none."""
        header, _, body = self.text.partition("\n")
        words = header[1:].split(None, 1)
        return (
            "".join(body.split()) or None,
            words[0] if words else None,
            words[1].rstrip() if len(words) > 1 else None,
        )


def read_fasta(blocks: Iterable[Block], path: str, wanted: Wanted, limits: Limits) -> Iterator[Batch]:
    """The records of a FASTA text, about a batch per block; raises DatasetError where a column is missing."""
    layout = lay_out_fasta(path, wanted)
    waiting: _Record | None = None
    last: Block | None = None
    for block in blocks:
        records = _cut_records(block, waiting, last.end if last else None, limits)
        if records:
            waiting = records.pop()
        if records and waiting:
            yield _make_batch(records, layout, limits, block, waiting.begin)
        last = block
    if waiting and last:
        yield _make_batch([waiting], layout, limits, last, last.end)


def lay_out_fasta(path: str, wanted: Wanted) -> Layout:
    """Where the wanted values stand; raises DatasetError for a column that FASTA has not."""
    return lay_out_line(path, _COLUMNS, wanted, _COLUMNS[0])


def _cut_records(block: Block, waiting: _Record | None, begin: Place | None, limits: Limits) -> list[_Record]:
    """The records that the block at `begin` ends or begins; the last of them is not whole yet."""
    text, line = block.text, block.first_line
    reason = block.too_long_reason if block.too_long_bytes else ""
    starts = [found.start() for found in _HEADERS.finditer(text)]
    before = text[: starts[0]] if starts else text
    records = [waiting] if waiting else []
    if waiting is None and before and not before.isspace():
        n_blank = len(before) - len(before.lstrip())
        records = [_Record(line + before.count("\n", 0, n_blank), begin, reason=_HEADLESS)]
        before = before[n_blank:]
    for record in records:
        record.add(before, limits, reason)
    line += text.count("\n", 0, starts[0] if starts else len(text))
    for start, end in pairwise([*starts, len(text)]):
        records.append(_Record(line, begin))
        records[-1].add(text[start:end], limits, reason)
        line += text.count("\n", start, end)
    if starts and not reason:
        rest = text[starts[-1] :].encode("utf-8", "surrogateescape")
        records[-1].begin = Place(block.end.byte - len(rest), records[-1].line)
    return records


def _make_batch(
    records: list[_Record], layout: Layout, limits: Limits, block: Block, end: Place | None
) -> Batch:
    faults = {index: record.find_fault(limits) for index, record in enumerate(records)}
    rows = [(None, None, None) if faults[i] else record.parse() for i, record in enumerate(records)]
    values = [list(column) for column in zip(*rows, strict=True)]
    return make_batch(
        {
            name: [None] * len(rows) if index is None else list(values[index])
            for name, index in layout.fields.items()
        },
        {name: list(values[index]) for name, index in layout.keep.items()},
        lines=[record.line for record in records],
        sizes=[record.n_chars for record in records],
        bad={index: (why, show_raw(records[index].text.rstrip())) for index, why in faults.items() if why},
        fraction=block.fraction,
        line_field=layout.line_field,
        get_raw=lambda index: records[index].text.rstrip(),
        end=end,
    )
