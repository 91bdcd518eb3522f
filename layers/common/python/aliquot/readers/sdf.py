"""Records of an SDF: blocks of text that end at a line of `$$$$`, with named values behind each.

    title                        the record's id; where it is blank, a value may be
      ...                        what stands before the first value is the record's text, `molblock`
    >  <NAME> ...                a value: the lines up to a blank one
    $$$$

What the text says is not looked into. Owns where a record begins and ends, and its values. Imports its
neighbours and the standard library. When it is wrong, a molecule carries the values of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from aliquot.job import Column
from aliquot.readers.batch import ESCAPED_BYTE, NOT_UTF8, Batch, Limits, Place, make_batch, show_raw
from aliquot.readers.blocks import Block
from aliquot.readers.columns import Wanted
from aliquot.readers.keys import Record, cut_records, refuse_absent, take_columns, take_kept

END = "$$$$"
TEXT, TITLE = "molblock", "id"
_NAME = re.compile(r"<([^>]*)>")
_LAST, _HEADER_LINES = "M  END", 4  # of the text; a title may begin with ">"
_VERSION = re.compile(r"V[23]000\s*$")


@dataclass(slots=True)
class _Entry:
    """The text of a record without its end, the line on which it begins, and what is wrong with it."""

    line: int
    text: str
    fault: str = ""


def is_sdf(lines: list[str]) -> bool:
    """Whether a text that begins with these lines is an SDF: its fourth line names a version."""
    return len(lines) > 3 and _VERSION.search(lines[3]) is not None


def read_sdf(
    blocks: Iterable[Block], path: str, wanted: Wanted, limits: Limits, is_checked: bool = False
) -> Iterator[Batch]:
    """The records of an SDF, a batch of those that end in a block.

    The field of kind "line" is filled by the text, the one of kind "id" by the title or else by a value, any
    other by a value of its name; so are all columns where all are taken.

    Args:
        is_checked: the text's beginning was found to have the wanted columns; the blocks begin behind it.

    Raises:
        DatasetError: a required, chosen or kept column is in none of the first block's records.
    """
    named = _name_fields(wanted)
    for entries, end, fraction in _gather(blocks, limits):
        records = [_read_values(entry) for entry in entries]
        is_checked = is_checked or _check(path, entries, records, named)
        for part, keys in cut_records(records, named):
            batch = _make_batch(entries[part], records[part], keys, named, fraction)
            batch.end = end if part.stop >= len(records) else None
            yield batch


def check_sdf(blocks: Iterable[Block], path: str, wanted: Wanted, limits: Limits) -> None:
    """Raise DatasetError where `read_sdf` would for the text's beginning."""
    named = _name_fields(wanted)
    any(
        _check(path, entries, [_read_values(entry) for entry in entries], named)
        for entries, _, _ in _gather(blocks, limits)
    )


def _name_fields(wanted: Wanted) -> Wanted:
    """What is wanted, by the names that records have here."""
    fields = dict(wanted.fields or {})
    for name, column in fields.items():
        if column.kind == "line":
            fields[name] = Column((TEXT,), "line")
        elif column.kind == "id":
            fields[name] = Column((TITLE, *column.names), "id")
    return wanted if wanted.fields is None else replace(wanted, fields=fields)


def _check(path: str, entries: list[_Entry], records: list[Record], wanted: Wanted) -> bool:
    good = [record for record, entry in zip(records, entries, strict=True) if not entry.fault]
    if good:
        refuse_absent(path, good, wanted)
    return bool(good)


def _make_batch(
    entries: list[_Entry], records: list[Record], keys: list[str], wanted: Wanted, fraction: float | None
) -> Batch:
    columns, lacking = take_columns(records, keys, wanted)
    faults = {index: entry.fault for index, entry in enumerate(entries) if entry.fault}
    return make_batch(
        columns,
        take_kept(records, wanted),
        lines=[entry.line for entry in entries],
        sizes=[len(entry.text) for entry in entries],
        bad={index: (why, show_raw(entries[index].text)) for index, why in (lacking | faults).items()},
        fraction=fraction,
        line_field=wanted.line_field,
        get_raw=lambda index: entries[index].text,
    )


def _read_values(entry: _Entry) -> Record:
    """A record's text, title and values; the first of two values of one name stays."""
    if entry.fault:
        return {}
    lines = entry.text.split("\n")
    begin = next((at for at, line in enumerate(lines) if line.startswith(_LAST)), _HEADER_LINES - 1) + 1
    begin = next((at for at in range(begin, len(lines)) if lines[at].startswith(">")), len(lines))
    text = "\n".join(lines[:begin])
    title = lines[0].strip()
    values = dict(reversed(list(_list_values(lines[begin:]))))
    return {TEXT: text if text.strip() else None, **({TITLE: title} if title else {}), **values}


def _list_values(lines: list[str]) -> Iterator[tuple[str, str | None]]:
    at = 0
    while at < len(lines):
        name = _NAME.search(lines[at]) if lines[at].startswith(">") else None
        end = next((end for end in range(at, len(lines)) if not lines[end].strip()), len(lines))
        if name is not None:
            yield name[1], "\n".join(lines[at + 1 : end]) or None
        at = end + 1


Gathered = tuple[list[_Entry], Place | None, float | None]


def _gather(blocks: Iterable[Block], limits: Limits) -> Iterator[Gathered]:
    """The entries that end in each block, the place behind the last of them, and how far the reading is."""
    opened = _Opened(limits.line_bytes)
    fraction: float | None = None
    for block in blocks:
        fraction = block.fraction
        entries, end = opened.add(block)
        if entries:
            yield entries, end, fraction
    if rest := opened.close():
        yield [rest], None, fraction


class _Opened:
    """The entry that has begun and not ended; of one that is too long only the beginning is kept."""

    def __init__(self, limit_chars: int) -> None:
        self._limit_chars = limit_chars
        self._line, self._n_chars, self._fault = 0, 0, ""
        self._lines: list[str] = []

    def add(self, block: Block) -> tuple[list[_Entry], Place | None]:
        """The entries that end in a block, and the place behind the last."""
        lines = [block.text] if block.too_long_bytes else block.text.split("\n")
        is_whole = bool(block.too_long_bytes) or not lines[-1]
        texts = lines if block.too_long_bytes or not is_whole else lines[:-1]
        entries: list[_Entry] = []
        n_after = 0  # lines behind the last end
        for number, line in enumerate(texts, block.first_line):
            n_after += 1
            self._line = self._line or number
            if line.startswith(END):
                entries.append(self._end())
                n_after = 0
                self._begin(number + 1)
            else:
                self._take(line, block.too_long_reason if block.too_long_bytes else "")
        return entries, _place_before(block, texts[len(texts) - n_after :], is_whole) if entries else None

    def close(self) -> _Entry | None:
        """The last entry, where the text ends without an end to it."""
        return self._end() if any(map(str.strip, self._lines)) else None

    def _begin(self, line: int) -> None:
        self._line, self._n_chars, self._fault = line, 0, ""
        self._lines = []

    def _take(self, line: str, fault: str) -> None:
        self._n_chars += len(line) + 1
        self._fault = self._fault or fault
        if self._n_chars <= self._limit_chars:
            self._lines.append(line)
        elif not self._fault:
            self._fault = f"more than {self._limit_chars:,} characters without a line of {END}"

    def _end(self) -> _Entry:
        text = "\n".join(line.rstrip("\r") for line in self._lines)
        if not self._fault and not text.isascii() and ESCAPED_BYTE.search(text):
            self._fault = NOT_UTF8
        return _Entry(self._line, text, self._fault)


def _place_before(block: Block, lines: list[str], is_whole: bool) -> Place:
    """The place before the last lines of a block."""
    text = "".join(f"{line}\n" for line in lines)
    text = text if is_whole else text[:-1]
    n_bytes = len(text.encode("utf-8", "surrogateescape"))
    return Place(block.end.byte - n_bytes, block.end.line - text.count("\n"))
