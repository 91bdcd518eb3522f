"""A part of a text as if the whole of it were read: same records, same reasons, same line numbers.

A part begins and ends between two lines. What the text's beginning decides (a header, whether the wanted
columns are there) it takes from the text's head. Tables need care: a row may span lines, so a part of one may
begin only where a reading from the beginning holds no row (`Batch.end`), or where no quote of the whole text
is left open at the end of a line (`PartReading.has_open_quote` of every part before). A part of FASTA begins
with a record's header, one of SDF behind a record's end.

Owns how a reading begins anew inside a text. Imports its neighbours and the standard library. When it is
wrong, a record on the edge of two parts is lost, counted twice, or read as another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aliquot.readers.batch import Batch, Limits, Place, cut_batch
from aliquot.readers.blocks import Block, read_blocks, skip_mark
from aliquot.readers.columns import Wanted
from aliquot.readers.fasta import RECORD_START, lay_out_fasta
from aliquot.readers.heads import Head
from aliquot.readers.jsonl import check_jsonl
from aliquot.readers.lines import find_line_header
from aliquot.readers.read import read_text
from aliquot.readers.sdf import END, check_sdf
from aliquot.readers.sources import Source
from aliquot.readers.streams import HEAD_BYTES, Opener, buffer_windows, open_stream
from aliquot.readers.table import DELIMITERS, find_table_header, has_open_quote

_HEAD_WINDOW_BYTES = 256 << 10
_END_LINE_BYTES = 256  # a line that ends a record of SDF is shorter: it may be the one before `byte`


class PartReading:
    """The batches of a part of a text; read once.

    Args:
        source: a text, whose format is known.
        head: the text's beginning.
        begin: where the part begins: the text's beginning, or behind its head. Its line may be counted from
            anywhere: lines are numbered from it.
        end: byte at which the part ends, before a line or at the text's end; None for the rest of it.
        is_watched: look for quotes that stay open at the end of a line.
    """

    def __init__(
        self,
        source: Source,
        wanted: Wanted,
        head: Head,
        begin: Place,
        end: int | None,
        opener: Opener,
        limits: Limits,
        *,
        is_watched: bool = False,
    ) -> None:
        self._source, self._wanted, self._opener, self._limits = source, wanted, opener, limits
        self._head, self._begin, self._end = head, begin, end
        self._is_watched = is_watched and source.format in DELIMITERS
        self.end = begin  # of what has been read so far
        self.has_open_quote = False

    def __iter__(self) -> Iterator[Batch]:
        """The batches; raises DatasetError."""
        with open_stream(self._source, None, self._opener, self._begin.byte, self._end) as stream:
            blocks = self._watch(read_blocks(stream, self._limits, self._begin))
            head = self._head if self._begin.byte >= self._head.end.byte else None
            path, text_format = self._source.path, self._source.format
            for batch in read_text(blocks, path, text_format, self._wanted, self._limits, head):
                yield from cut_batch(batch, self._limits.records)

    def _watch(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            self.end = block.end
            if self._is_watched and not self.has_open_quote:
                self.has_open_quote = has_open_quote(block, self._source.format)
            yield block


def find_head(source: Source, wanted: Wanted, opener: Opener, limits: Limits) -> Head:
    """The beginning of a text; a table without a header has no records, and ends with its head.

    Raises:
        DatasetError: what a reading of the whole would raise for its beginning.
    """
    path, text_format = source.path, source.format
    with open_stream(source, None, opener, window_bytes=_HEAD_WINDOW_BYTES) as stream:
        begin = skip_mark(stream)
        seen: list[tuple[Place, Block]] = []
        blocks = _remember(read_blocks(stream, limits, begin), begin, seen)
        if text_format == "jsonl":
            check_jsonl(blocks, path, wanted)
            return Head(None, begin)
        if text_format == "fasta":
            lay_out_fasta(path, wanted)
            return Head(None, begin)
        if text_format == "sdf":
            check_sdf(blocks, path, wanted, limits)
            return Head(None, begin)
        if text_format in DELIMITERS:
            found = find_table_header(blocks, path, text_format, wanted, limits)
        else:
            found = find_line_header(blocks, path, text_format, wanted)
    if found is not None:
        header, line = found
        return Head(header, _find_line(seen, line))
    is_blank_table = text_format in DELIMITERS and bool(seen)
    return Head(None, seen[-1][1].end if is_blank_table else begin)


def find_part_start(source: Source, byte: int, opener: Opener) -> int:
    """The first byte from `byte` on at which a part may begin; the end of the text where none may.

    That is where a line begins, in FASTA one with a header, in SDF the one behind a record's end.
    """
    if source.format == "sdf":
        return _find_entry_start(source, byte, opener)
    if byte <= 0:
        return 0
    mark = RECORD_START if source.format == "fasta" else b"\n"
    held = b""
    with opener(source) as file:
        at = file.seek(byte - 1)
        while piece := file.read(HEAD_BYTES):
            found = (held + piece).find(mark)
            if found >= 0:
                return at - len(held) + found + 1
            at += len(piece)
            held = piece[-1:] if len(mark) > 1 else b""
    return at


def _find_entry_start(source: Source, byte: int, opener: Opener) -> int:
    if byte <= 0:
        return 0
    with opener(source) as file:
        lines = buffer_windows(file, HEAD_BYTES)
        at = lines.seek(max(0, byte - _END_LINE_BYTES))
        at += len(lines.readline()) if at else 0  # in the middle of a line, or at the beginning of one
        for line in lines:
            at += len(line)
            if at >= byte and line.startswith(END.encode()):
                return at
    return at


def _remember(blocks: Iterable[Block], begin: Place, seen: list[tuple[Place, Block]]) -> Iterator[Block]:
    """The same blocks, each put down with where it begins."""
    for block in blocks:
        seen.append((begin, block))
        begin = block.end
        yield block


def _find_line(seen: list[tuple[Place, Block]], line: int) -> Place:
    """Where the line begins; the end of what was seen if it is the line behind that."""
    begin, block = next((begin, block) for begin, block in reversed(seen) if begin.line < line)
    if line >= block.end.line:
        return block.end
    at = 0
    for _ in range(line - begin.line):
        at = block.text.index("\n", at) + 1
    return Place(begin.byte + len(block.text[:at].encode("utf-8", "surrogateescape")), line)
