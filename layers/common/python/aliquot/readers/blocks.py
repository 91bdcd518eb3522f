"""Whole lines, some hundred kilobytes of them at a time, with the number of the first.

Owns what a line is (it ends at LF; a CR before it belongs to the end), byte order marks, and lines that are
too long. Imports the standard library, `aliquot.errors` and its neighbours. When it is wrong, line numbers
are, or a line that falls on a block's edge is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aliquot.errors import DatasetError
from aliquot.readers.batch import RAW_CHARS, START, Limits, Place
from aliquot.readers.streams import Stream

BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines with their ends; only the last line of a file may lack one.

    Args:
        first_line: 1-based number of the first line.
        text: the lines. Bytes that are not UTF-8 stand in it as lone surrogates ("surrogateescape").
        is_clean: there are no such bytes.
        too_long_bytes: 0; else the block is one line of that length, and `text` its beginning.
        fraction: how far through the file the reading is.
        end: the place behind the last line.
    """

    first_line: int
    text: str
    is_clean: bool = True
    too_long_bytes: int = 0
    fraction: float | None = None
    end: Place = START

    @property
    def too_long_reason(self) -> str:
        """Why a line that is too long is at fault."""
        return f"a line of {self.too_long_bytes:,} bytes, over the limit"

    def split(self) -> list[str]:
        """The lines without their ends (LF, CR LF)."""
        lines = self.text.split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.rstrip("\r") for line in lines] if "\r" in self.text else lines

    def number_records(self) -> tuple[list[int], list[str]]:
        """The lines that are not blank, without their ends: their numbers, and they."""
        lines = [self.text] if self.too_long_bytes else self.split()
        if all(lines) and not any(map(str.isspace, lines)):
            return list(range(self.first_line, self.first_line + len(lines))), lines
        stay = [index for index, line in enumerate(lines) if line and not line.isspace()]
        return [self.first_line + index for index in stay], [lines[index] for index in stay]


def read_blocks(stream: Stream, limits: Limits, begin: Place = START) -> Iterator[Block]:
    """All of the stream's lines, in order.

    Blocks end where they would end in a reading of the whole text, wherever the stream begins in it: what a
    reader makes of a row that spans blocks is then the same too.

    Args:
        begin: where in its text the stream begins; a byte order mark stands at the text's beginning alone.

    Raises:
        DatasetError: UTF-16, or a stream that cannot be read to its end; says after how many lines.
    """
    at = skip_mark(stream) if begin == START else begin
    for whole, too_long_bytes in _cut_whole(stream, limits, at.byte):
        for body, over_bytes in _part_long(whole, too_long_bytes, limits.line_bytes):
            n_ends = body.endswith(b"\n") if over_bytes else body.count(b"\n")
            end = Place(at.byte + (over_bytes + n_ends if over_bytes else len(body)), at.line + n_ends)
            yield _decode(at.line, body, over_bytes, stream.fraction, end)
            at = end


def skip_mark(stream: Stream) -> Place:
    """Read over a byte order mark at a text's beginning; gives where its first line begins.

    Raises:
        DatasetError: it is the mark of UTF-16.
    """
    if stream.head.startswith(UTF16_BOMS):
        raise DatasetError(stream.path, "is UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
    if not stream.head.startswith(BOM):
        return START
    stream.read(len(BOM))
    return Place(len(BOM), 1)


def _cut_whole(stream: Stream, limits: Limits, first_byte: int) -> Iterator[tuple[bytes, int]]:
    """Bytes up to a line's end, with 0; or the beginning of a line too long to hold, with its length."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in _read_pieces(stream, limits.block_bytes, first_byte):
        end = piece.rfind(b"\n") + 1
        if end:
            first_end = piece.find(b"\n") + 1
            if held_bytes + first_end - 1 > limits.line_bytes:
                yield b"".join(held) + piece[:first_end], held_bytes + first_end - 1
                yield piece[first_end:end], 0
            else:
                yield b"".join([*held, piece[:end]]), 0
            held, held_bytes = [], 0
        rest = piece[end:]
        held_bytes += len(rest)
        if held_bytes <= limits.line_bytes:
            held.append(rest)
        else:  # only its beginning is quoted: forget the rest
            held = [b"".join([*held, rest])[:RAW_CHARS]]
    if held_bytes:
        yield b"".join(held), held_bytes if held_bytes > limits.line_bytes else 0


def _read_pieces(stream: Stream, size: int, at: int) -> Iterator[bytes]:
    """Pieces that end at multiples of `size` bytes of the text, at whose byte `at` the stream is."""
    n_lines = 0
    while True:
        try:
            piece = stream.read(size - at % size)
        except DatasetError as err:
            raise DatasetError(err.source, f"after {n_lines:,} lines {err.reason}") from err
        if not piece:
            return
        n_lines += piece.count(b"\n")
        at += len(piece)
        yield piece


def _part_long(body: bytes, too_long_bytes: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """`body`, with each line over the limit by itself; the whole of it where there can be none."""
    if too_long_bytes or len(body) <= limit:
        if body:
            yield body, too_long_bytes
        return
    good: list[bytes] = []
    for line in _split_lf(body):
        n_bytes = len(line) - line.endswith(b"\n")
        if n_bytes <= limit:
            good.append(line)
            continue
        if good:
            yield b"".join(good), 0
        good = []
        yield line, n_bytes
    if good:
        yield b"".join(good), 0


def _split_lf(body: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in body.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _decode(first_line: int, body: bytes, too_long_bytes: int, fraction: float | None, end: Place) -> Block:
    if too_long_bytes:
        text = body[:RAW_CHARS].decode("utf-8", "surrogateescape").rstrip("\n")
        return Block(first_line, text, True, too_long_bytes, fraction, end)
    try:
        return Block(first_line, body.decode("utf-8"), True, 0, fraction, end)
    except UnicodeDecodeError:
        return Block(first_line, body.decode("utf-8", "surrogateescape"), False, 0, fraction, end)
