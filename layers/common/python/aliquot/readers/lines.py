"""Records of the line formats: `.smi` (molecules) and `.rsmi` (reactions), one record a line.

A line with a tab is cut at tabs: the first field is the molecule or reaction, the second its id. Without
one, the first word is, the rest of the line its id. A CXSMILES tail (`|f:0.1,2.3|`, after a space) belongs
to the molecule or reaction either way. A header line makes the columns available by name.

Owns how such a line is taken apart. Imports its neighbours and the standard library. When it is wrong, ids
or CXSMILES tails are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aliquot.readers.batch import ESCAPED_BYTE, Bad, Batch, list_unclean, make_batch, show_raw
from aliquot.readers.blocks import Block
from aliquot.readers.columns import Layout, Wanted, lay_out_line
from aliquot.readers.heads import Head, Header
from aliquot.readers.sniff import is_header

LINE_NAMES = {"smi": "smiles", "rsmi": "reaction"}


def read_lines(
    blocks: Iterable[Block], path: str, line_format: str, wanted: Wanted, head: Head | None = None
) -> Iterator[Batch]:
    """The records of a `.smi` or `.rsmi` text, a batch per block.

    Args:
        head: the text's beginning, where the blocks begin behind it.

    Raises:
        DatasetError: a wanted column is missing.
    """
    header = head.header if head else None
    layout = _lay_out(path, header, line_format, wanted) if head else None
    for block in blocks:
        numbers, lines = block.number_records()
        if layout is None and lines:
            header = _find_header(block, lines[0], line_format)
            if header:
                numbers, lines = numbers[1:], lines[1:]
            layout = _lay_out(path, header, line_format, wanted)
        if layout is not None and lines:
            width = len(header.names) if header and header.is_tabbed else 0
            yield _make_batch(block, numbers, lines, layout, width)


def find_line_header(
    blocks: Iterable[Block], path: str, line_format: str, wanted: Wanted
) -> tuple[Header, int] | None:
    """The header, and the number of the line behind it; None where the text has none. Raises DatasetError."""
    for block in blocks:
        numbers, lines = block.number_records()
        if lines:
            header = _find_header(block, lines[0], line_format)
            _lay_out(path, header, line_format, wanted)
            return (header, numbers[0] + 1) if header else None
    return None


def _lay_out(path: str, header: Header | None, line_format: str, wanted: Wanted) -> Layout:
    name = LINE_NAMES[line_format]
    return lay_out_line(path, header.names if header else (name, "id"), wanted, name)


def _find_header(block: Block, line: str, line_format: str) -> Header | None:
    """The names in the first line that is not blank, if it is a header."""
    is_whole = not block.too_long_bytes and (block.is_clean or not ESCAPED_BYTE.search(line))
    if not is_whole or not is_header(line, line_format):
        return None
    if "\t" in line:
        return Header(tuple(name.strip() for name in line.split("\t")), is_tabbed=True)
    words = line.split(None, 1)
    return Header((words[0], words[1].strip() if len(words) > 1 else "id"))


def _make_batch(block: Block, numbers: list[int], lines: list[str], layout: Layout, width: int) -> Batch:
    rows = [line.split("\t") for line in lines] if width else []
    bad = _list_bad(block, lines) | _list_long(lines, rows, width)
    words = [] if width else _cut_words(lines)

    def take(index: int | None) -> list[Any]:
        if index is None:
            return [None] * len(lines)
        return _take(rows, index) if width else list(words[index])

    columns = {name: take(index) for name, index in layout.fields.items()}
    kept = {name: take(index) for name, index in layout.keep.items()}
    return make_batch(
        columns,
        kept,
        lines=numbers,
        sizes=list(map(len, lines)),
        bad=bad,
        fraction=block.fraction,
        line_field=layout.line_field,
        get_raw=lines.__getitem__,
        end=block.end,
    )


def _list_bad(block: Block, lines: list[str]) -> Bad:
    if block.too_long_bytes:
        return {0: (block.too_long_reason, show_raw(block.text))}
    bad = {} if block.is_clean else list_unclean(lines)
    if "\r" in block.text:
        inside = "a carriage return inside the line (lines end at LF or CR LF)"
        bad |= {i: (inside, show_raw(line)) for i, line in enumerate(lines) if "\r" in line}
    return bad


def _list_long(lines: list[str], rows: list[list[str]], width: int) -> Bad:
    """Rows with more fields than the header. Those that lack some at their end hold None there."""
    if max(map(len, rows), default=0) <= width:
        return {}
    return {
        index: (f"{len(row)} fields where the header has {width}", show_raw(lines[index]))
        for index, row in enumerate(rows)
        if len(row) > width
    }


def _take(rows: list[list[str]], index: int) -> list[str | None]:
    try:
        return [row[index].strip() or None for row in rows]
    except IndexError:
        return [row[index].strip() or None if index < len(row) else None for row in rows]


def _cut_words(lines: list[str]) -> list[list[str | None]]:
    """Molecules or reactions, and ids, of lines without a header with tabs."""
    text = "".join(lines)
    if "\t" in text or "|" in text:
        pairs = [cut_line(line) for line in lines]
        return [[main for main, _ in pairs], [name for _, name in pairs]]
    words = [line.split(None, 1) for line in lines]
    return [
        [word[0] for word in words],
        [word[1].rstrip() if len(word) > 1 else None for word in words],
    ]


def cut_line(line: str) -> tuple[str | None, str | None]:
    """The molecule or reaction with its CXSMILES tail, and the id, of one line; None where empty."""
    if "\t" in line:
        main, rest = line.split("\t", 1)
        return main.strip() or None, rest.split("\t", 1)[0].strip() or None
    words = line.split(None, 1)
    main, rest = words[0], words[1].rstrip() if len(words) > 1 else ""
    end = rest.find("|", 1) + 1 if rest.startswith("|") else 0
    if end:
        main, rest = f"{main} {rest[:end]}", rest[end:].lstrip()
    return main, rest or None
