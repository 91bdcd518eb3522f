"""Whole lines, some hundred kilobytes of them at a time, with the number of the first.

Owns what a line is (it ends at LF; a CR before it belongs to the end), byte order marks, and lines that are
too long. Imports the standard library, `aliquot.errors` and its neighbours. When it is wrong, line numbers
are, or a line that falls on a block's edge is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aliquot.errors import DatasetError
from aliquot.readers.batch import RAW_CHARS, Limits
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
    """

    first_line: int
    text: str
    is_clean: bool = True
    too_long_bytes: int = 0
    fraction: float | None = None

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


def read_blocks(stream: Stream, limits: Limits) -> Iterator[Block]:
    """All of the stream's lines, in order.

    Raises:
        DatasetError: UTF-16, or a stream that cannot be read to its end; says after how many lines.
    """
    if stream.head.startswith(UTF16_BOMS):
        raise DatasetError(stream.path, "is UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
    line = 1
    for whole, too_long_bytes in _cut_whole(stream, limits):
        for body, over_bytes in _part_long(whole, too_long_bytes, limits.line_bytes):
            block = _decode(line, body, over_bytes, stream.fraction)
            line += 1 if over_bytes else body.count(b"\n")
            yield block


def _cut_whole(stream: Stream, limits: Limits) -> Iterator[tuple[bytes, int]]:
    """Bytes up to a line's end, with 0; or the beginning of a line too long to hold, with its length."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in _read_pieces(stream, limits.block_bytes):
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


def _read_pieces(stream: Stream, size: int) -> Iterator[bytes]:
    if stream.head.startswith(BOM):
        stream.read(len(BOM))
    n_lines = 0
    while True:
        try:
            piece = stream.read(size)
        except DatasetError as err:
            raise DatasetError(err.source, f"after {n_lines:,} lines {err.reason}") from err
        if not piece:
            return
        n_lines += piece.count(b"\n")
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


def _decode(first_line: int, body: bytes, too_long_bytes: int, fraction: float | None) -> Block:
    if too_long_bytes:
        text = body[:RAW_CHARS].decode("utf-8", "surrogateescape").rstrip("\n")
        return Block(first_line, text, True, too_long_bytes, fraction)
    try:
        return Block(first_line, body.decode("utf-8"), True, 0, fraction)
    except UnicodeDecodeError:
        return Block(first_line, body.decode("utf-8", "surrogateescape"), False, 0, fraction)
