"""Rows of CSV text, each with the line on which it begins.

Owns quoting: newlines in quotes, and what happens after a quote that is never closed. Imports the standard
library alone. When it is wrong, one stray quote swallows the rest of a file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

FIELD_CHARS = 2**31 - 1  # Python stops at 131,072 by default; lines are bounded before they get here

# A faulty row that spans more lines than this does not have all of them read again as rows of several lines:
# text made for it could cost the square of its length.
RESCAN_LINES = 100

UNCLOSED = "a quote that is never closed"


@dataclass(slots=True)
class Rows:
    """Rows of some lines.

    Args:
        starts: index of the line on which each row begins.
        ends: index of the line after it.
        fields: each row's fields; none where the row is at fault.
        bad: reason by index of the row. Only the first line of a faulty row is lost to it: the lines after
            it are read as rows of their own.
        rest: index of the line where a row begins that the lines do not end; their number if there is none.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    fields: list[list[str]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    rest: int = 0


def split_rows(lines: list[str], delimiter: str, is_last: bool = True, is_full: bool = False) -> Rows:
    """The rows of `lines`, blank lines left out.

    Args:
        lines: with their ends.
        delimiter: what stands between fields.
        is_last: no more lines follow, so that a quote still open is one that is never closed.
        is_full: the same for a row that begins on the first line and has grown as long as one may.
    """
    csv.field_size_limit(FIELD_CHARS)
    rows = Rows()
    at = 0
    while at < len(lines):
        reached, begin, reason = _read_on(rows, lines, at, delimiter)
        if reason == UNCLOSED and not is_last and not (is_full and begin == 0):
            rows.rest = begin
            return rows
        if reason:
            _add_bad(rows, begin, reason)
            reached = _step_over(rows, lines, begin, reached, delimiter)
        at = reached
    rows.rest = len(lines)
    return rows


def spans_lines(lines: list[str], delimiter: str) -> bool:
    """Whether a quote that one of the lines opens is not closed on it: by another, or never."""
    csv.field_size_limit(FIELD_CHARS)
    at = 0
    while at < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(at, len(lines))), delimiter=delimiter, strict=True)
        n_rows = 0
        try:
            for _ in reader:  # blank lines too
                n_rows += 1
        except csv.Error:  # a row at fault on its own line, or one that this line does not end
            if reader.line_num > n_rows + 1 or _is_open(lines[at + n_rows], delimiter):
                return True
        else:
            return reader.line_num > n_rows
        at += reader.line_num
    return False


def _is_open(line: str, delimiter: str) -> bool:
    return _read_on(Rows(), [line], 0, delimiter)[2] == UNCLOSED


def _read_on(rows: Rows, lines: list[str], at: int, delimiter: str) -> tuple[int, int, str]:
    """Add the rows from line `at` on; where that ended, where the last row began, and its fault if any."""
    has_ended: list[bool] = []
    ahead = map(lines.__getitem__, range(at, len(lines)))  # no copy: there may be many faults
    reader = csv.reader(chain(ahead, _note_end(has_ended)), delimiter=delimiter, strict=True)
    begin = at
    try:
        for row in reader:
            end = at + reader.line_num
            if row:
                rows.starts.append(begin)
                rows.ends.append(end)
                rows.fields.append(row)
            begin = end
    except csv.Error as err:
        return at + reader.line_num, begin, UNCLOSED if has_ended else f"not CSV: {err}"
    return len(lines), len(lines), ""


def _note_end(has_ended: list[bool]) -> Iterator[str]:
    has_ended.append(True)
    yield from ()


def _add_bad(rows: Rows, line: int, reason: str) -> None:
    rows.bad[len(rows.starts)] = reason
    rows.starts.append(line)
    rows.ends.append(line + 1)
    rows.fields.append([])


def _step_over(rows: Rows, lines: list[str], begin: int, reached: int, delimiter: str) -> int:
    """Where to go on after a faulty row that began at `begin` and had been read up to `reached`."""
    if reached - begin <= RESCAN_LINES:
        return begin + 1
    for line in range(begin + 1, reached):
        alone = split_rows([lines[line]], delimiter)
        rows.bad.update({len(rows.starts) + i: why for i, why in alone.bad.items()})
        rows.starts += [line] * len(alone.starts)
        rows.ends += [line + 1] * len(alone.starts)
        rows.fields += alone.fields
    return reached
