"""Records of CSV and TSV: a header, then rows in which a quoted field may hold newlines.

Owns how rows are put together across blocks and held against the header. Imports its neighbours, the
standard library and `aliquot.errors`. When it is wrong, a row on a block's edge is lost.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from aliquot.errors import DatasetError
from aliquot.readers.batch import ESCAPED_BYTE, NOT_UTF8, Bad, Batch, Limits, Place, make_batch, show_raw
from aliquot.readers.blocks import Block
from aliquot.readers.columns import Layout, Wanted, lay_out
from aliquot.readers.heads import Header
from aliquot.readers.rows import Rows, spans_lines, split_rows

DELIMITERS = {"csv": ",", "tsv": "\t"}
QUOTED_LINES = 1 << 16  # as `Limits.quoted_bytes`: a short line takes ten times its bytes in memory


@dataclass(slots=True)
class _Piece:
    """Rows of some lines, of which the first is line `first_line` of the file.

    `end` is the place behind them where nothing waits for more lines.
    """

    first_line: int
    lines: list[str]
    rows: Rows
    is_clean: bool
    fraction: float | None
    end: Place | None = None

    def get_raw(self, index: int) -> str:
        """A row's text; of a row at fault its first line."""
        return "".join(self.lines[self.rows.starts[index] : self.rows.ends[index]]).rstrip("\r\n")

    def drop_first(self) -> list[str]:
        """Take the first row out: its fields."""
        del self.rows.starts[0], self.rows.ends[0]
        self.rows.bad = {index - 1: reason for index, reason in self.rows.bad.items()}
        return self.rows.fields.pop(0)


def read_table(
    blocks: Iterable[Block],
    path: str,
    table_format: str,
    wanted: Wanted,
    limits: Limits,
    header: Header | None = None,
) -> Iterator[Batch]:
    """The records of a CSV or TSV text, about a batch per block; an empty value is None.

    Args:
        header: the text's, where the blocks begin behind it.

    Raises:
        DatasetError: a header that cannot be read, or without a wanted column.
    """
    layout = lay_out(path, header.names, wanted) if header else None
    width = len(header.names) if header else 0
    for piece in _cut_pieces(blocks, DELIMITERS[table_format], limits):
        if layout is None and piece.rows.starts:
            header = _read_header(piece, path)
            layout, width = lay_out(path, header.names, wanted), len(header.names)
        if layout is not None and piece.rows.starts:
            batch = _make_batch(piece, layout, width)
            if batch.n_records:
                yield batch


def find_table_header(
    blocks: Iterable[Block], path: str, table_format: str, wanted: Wanted, limits: Limits
) -> tuple[Header, int] | None:
    """The header, and the number of the line behind it; None where the text is empty. Raises DatasetError."""
    for piece in _cut_pieces(blocks, DELIMITERS[table_format], limits):
        if piece.rows.starts:
            line = piece.first_line + piece.rows.ends[0]
            header = _read_header(piece, path)
            lay_out(path, header.names, wanted)
            return header, line
    return None


def has_open_quote(block: Block, table_format: str) -> bool:
    """Whether a quote is not closed on the line that opens it, if the block begins with a row."""
    if '"' not in block.text or block.too_long_bytes:
        return False
    lines = io.StringIO(block.text, newline="\n").readlines()
    return spans_lines(lines, DELIMITERS[table_format])


def _cut_pieces(blocks: Iterable[Block], delimiter: str, limits: Limits) -> Iterator[_Piece]:
    open_piece: _Open | None = None
    for block in blocks:
        if open_piece is None and not block.too_long_bytes and '"' not in block.text:
            plain = _split_plain(block, delimiter)
            if plain is not None:
                yield plain
                continue
        if block.too_long_bytes:
            if open_piece is not None:
                yield open_piece.cut(delimiter, is_last=True)
                open_piece = None
            rows = Rows([0], [1], [[]], {0: block.too_long_reason}, 1)
            yield _Piece(block.first_line, [block.text], rows, True, block.fraction, block.end)
            continue
        open_piece = open_piece or _Open(block.first_line)
        open_piece.add(block)
        if open_piece.is_due(limits.quoted_bytes):
            piece = open_piece.cut(delimiter, is_full=open_piece.is_full(limits.quoted_bytes))
            if not open_piece.lines:
                open_piece, piece.end = None, block.end
            yield piece
    if open_piece is not None:
        yield open_piece.cut(delimiter, is_last=True)


def _split_plain(block: Block, delimiter: str) -> _Piece | None:
    """Rows of text without quotes; None if it holds a carriage return that ends no line."""
    lines = block.split()
    if "\r" in block.text and any("\r" in line for line in lines):
        return None
    starts = list(range(len(lines))) if all(lines) else [i for i, line in enumerate(lines) if line]
    fields = [lines[start].split(delimiter) for start in starts]
    rows = Rows(starts, [start + 1 for start in starts], fields, {}, len(lines))
    return _Piece(block.first_line, lines, rows, block.is_clean, block.fraction, block.end)


class _Open:
    """Lines from which rows are still to be cut: the last of them may be in the middle of a row."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.lines: list[str] = []
        self.n_chars = 0
        self._n_tried = 0
        self._is_clean = True
        self._fraction: float | None = None

    def add(self, block: Block) -> None:
        """Append a block's lines."""
        self.lines += io.StringIO(block.text, newline="\n").readlines()
        self.n_chars += len(block.text)
        self._is_clean &= block.is_clean
        self._fraction = block.fraction

    def is_full(self, limit: int) -> bool:
        """Whether a row that is still open has taken as much as one may."""
        return self.n_chars > limit or len(self.lines) > QUOTED_LINES

    def is_due(self, limit: int) -> bool:
        """Whether to try: an open row is read from its beginning again, so only when it has doubled."""
        return self.n_chars >= 2 * self._n_tried or self.is_full(limit)

    def cut(self, delimiter: str, is_last: bool = False, is_full: bool = False) -> _Piece:
        """Take out all rows that are whole."""
        rows = split_rows(self.lines, delimiter, is_last, is_full)
        piece = _Piece(self.first_line, self.lines, rows, self._is_clean, self._fraction)
        self.first_line += rows.rest
        self.lines = self.lines[rows.rest :]
        self.n_chars = self._n_tried = sum(map(len, self.lines))
        self._is_clean |= not self.lines
        return piece


def _read_header(piece: _Piece, path: str) -> Header:
    line = piece.first_line + piece.rows.starts[0]
    reason = piece.rows.bad.get(0)
    if reason is None and not piece.is_clean and ESCAPED_BYTE.search(piece.get_raw(0)):
        reason = NOT_UTF8
    if reason is not None:
        raise DatasetError(path, f"its header (line {line}) cannot be read: {reason}")
    return Header(tuple(name.strip() for name in piece.drop_first()))


def _make_batch(piece: _Piece, layout: Layout, width: int) -> Batch:
    _drop_blank(piece, width)
    rows = piece.rows
    bad = _list_bad(piece, width)
    columns: dict[str, list[Any]] = {}
    for name, index in layout.fields.items():
        columns[name] = [None] * len(rows.fields) if index is None else _take(rows.fields, index)
    return make_batch(
        columns,
        {name: _take(rows.fields, index) for name, index in layout.keep.items()},
        lines=[piece.first_line + start for start in rows.starts],
        sizes=_measure(piece),
        bad=bad,
        fraction=piece.fraction,
        line_field=layout.line_field,
        get_raw=piece.get_raw,
        end=piece.end,
    )


def _take(rows: list[list[str]], index: int) -> list[str | None]:
    return [row[index] or None for row in rows]


def _drop_blank(piece: _Piece, width: int) -> None:
    """Take out lines of spaces; under a header of one column they are values."""
    rows = piece.rows
    if width == 1 or min(map(len, rows.fields), default=width) > 1:
        return
    blank = {i for i, row in enumerate(rows.fields) if len(row) == 1 and (not row[0] or row[0].isspace())}
    if blank:
        stay = [i for i in range(len(rows.fields)) if i not in blank]
        rows.bad = {new: rows.bad[old] for new, old in enumerate(stay) if old in rows.bad}
        rows.starts = [rows.starts[i] for i in stay]
        rows.ends = [rows.ends[i] for i in stay]
        rows.fields = [rows.fields[i] for i in stay]


def _list_bad(piece: _Piece, width: int) -> Bad:
    """The rows at fault; an empty row stands in for each."""
    rows = piece.rows
    reasons = dict(rows.bad)
    if set(map(len, rows.fields)) - {width}:
        for index, row in enumerate(rows.fields):
            if len(row) != width:
                reasons.setdefault(index, f"{len(row)} fields where the header has {width}")
                rows.fields[index] = [""] * width
    if not piece.is_clean:
        for index in range(len(rows.fields)):
            if ESCAPED_BYTE.search(piece.get_raw(index)):
                reasons.setdefault(index, NOT_UTF8)
    return {index: (reason, show_raw(piece.get_raw(index))) for index, reason in reasons.items()}


def _measure(piece: _Piece) -> list[int]:
    rows = piece.rows
    if len(rows.starts) == len(piece.lines):
        return list(map(len, piece.lines))
    chars = list(accumulate(map(len, piece.lines), initial=0))
    return [chars[end] - chars[start] for start, end in zip(rows.starts, rows.ends, strict=True)]
