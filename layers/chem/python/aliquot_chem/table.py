"""Reads a table of templates or molecules: CSV, TSV, JSON Lines (each also gzipped) or Parquet.

Owns which columns are looked for and how rows become (line, id, text). Imports the standard library and, for
Parquet alone, pyarrow on demand. Knows no chemistry. When it is wrong, templates are lost or carry the wrong
id.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from aliquot.errors import BadReference

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_SEPARATORS = "\t,;"


@dataclass(frozen=True)
class Kind:
    """A table of what is looked for, and under which names of columns.

    Args:
        name: as errors call it: "the template table".
        notation: of the text: "SMARTS".
        text_columns, id_columns: names in small letters, tried in this order.
    """

    name: str
    notation: str
    text_columns: tuple[str, ...]
    id_columns: tuple[str, ...]

    def is_header(self, line: str) -> bool:
        """Whether a line of text names a column of what is looked for."""
        return any(any(map(self.is_text_column, line.strip().split(mark))) for mark in _SEPARATORS)

    def is_text_column(self, name: str) -> bool:
        """Whether a column's name, quoted or not, is one of `text_columns`."""
        return name.strip().strip('"').casefold() in self.text_columns


TEMPLATES = Kind(
    "the template table", "SMARTS", ("smarts", "retro_template", "reaction_smarts"), ("id", "template_id")
)


@dataclass(frozen=True)
class Row:
    """One row of a table: its 1-based line, its id ("" where none is given) and its text as written.

    `fault` says why the row could not be read, and is "" where it could.
    """

    line: int
    id: str
    text: str
    fault: str = ""


def read_rows(path: Path, kind: Kind) -> list[Row]:
    """Every row of the table that is not blank, in order.

    The format is told by content: Parquet by its magic bytes, gzip likewise, JSON Lines by a leading "{",
    else text whose header names the separator (tab, comma or semicolon). `line` is the row's last line in a
    text file and its row number in Parquet. A row that is not UTF-8 or not a JSON object has a fault.

    Raises:
        BadReference: unreadable, empty, or without a column of what is looked for.
    """
    with explained(path, kind):
        if is_parquet(path):
            rows = _read_parquet(path, kind)
        else:
            with open_text(path) as text:
                rows = _read_text(path, text, kind)
    if not rows:
        raise BadReference(str(path), f"{kind.name} has no rows below its header")
    return rows


@contextmanager
def explained(path: Path, kind: Kind) -> Iterator[None]:
    """What reading a file raises, as BadReference."""
    try:
        yield
    except (OSError, EOFError, csv.Error, zlib.error) as err:
        raise BadReference(str(path), f"{kind.name} cannot be read: {err}") from err


def is_parquet(path: Path) -> bool:
    """Whether the file is Parquet."""
    return _read_magic(path) == _PARQUET_MAGIC


def open_text(path: Path) -> IO[str]:
    """The file's text, gzipped or not; bytes that are not UTF-8 stand in it as lone surrogates."""
    if _read_magic(path).startswith(_GZIP_MAGIC):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def derive_template_id(smarts: str) -> str:
    """The id of a template without one: the first 12 hex digits of the SHA-256 of its text."""
    return hashlib.sha256(smarts.encode()).hexdigest()[:12]


def _read_text(path: Path, text: IO[str], kind: Kind) -> list[Row]:
    first = text.readline()
    if not is_utf8(first):
        raise BadReference(str(path), f"{kind.name} cannot be read: its first line is not UTF-8")
    if not first.strip():
        raise BadReference(str(path), f"{kind.name} is empty or begins with a blank line")
    if first.lstrip().startswith("{"):
        return list(_iterate_json_lines(path, chain([first], text), kind))
    reader = csv.reader(chain([first], text), delimiter=_find_separator(first, kind))
    text_at, id_at = _find_columns(path, next(reader), kind)
    return [
        make_row(reader.line_num, _cell(cells, id_at), _cell(cells, text_at))
        for cells in reader
        if any(cell.strip() for cell in cells)
    ]


def _find_separator(header: str, kind: Kind) -> str:
    """The separator under which the header names a column of texts, else the first that occurs.

    Not the one that occurs most: where the header is missing, SMARTS have more semicolons than tabs.
    """
    naming = (mark for mark in _SEPARATORS if any(map(kind.is_text_column, header.strip().split(mark))))
    occurring = (mark for mark in _SEPARATORS if mark in header)
    return next(chain(naming, occurring), _SEPARATORS[0])


def _iterate_json_lines(path: Path, lines: Iterable[str], kind: Kind) -> Iterator[Row]:
    names: list[str] = []
    columns: tuple[int, int | None] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _parse_json_object(line)
        if isinstance(record, str):
            yield Row(number, "", "", record)
            continue
        if columns is None:
            names = list(record)
            columns = _find_columns(path, names, kind)
        text_at, id_at = columns
        id_text = "" if id_at is None else _text(record.get(names[id_at]))
        yield make_row(number, id_text, _text(record.get(names[text_at])))


def _parse_json_object(line: str) -> dict[str, Any] | str:
    """The line's object, or why it has none."""
    try:
        record = json.loads(line)
    except ValueError as err:
        return f"not JSON: {err}"
    return record if isinstance(record, dict) else "not a JSON object"


def make_row(line: int, own_id: str, text: str) -> Row:
    """A row, at fault where it is not UTF-8."""
    if is_utf8(own_id) and is_utf8(text):
        return Row(line, own_id, text)
    return Row(line, "", "", "not UTF-8")


def is_utf8(text: str) -> bool:
    """Whether the bytes that `text` was decoded from are UTF-8: what is not became lone surrogates."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _read_parquet(path: Path, kind: Kind) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = list(file.schema_arrow.names)
        text_at, id_at = _find_columns(path, names, kind)
        wanted = [names[text_at]] + ([] if id_at is None else [names[id_at]])
        table = file.read(columns=wanted)
    except pa.ArrowException as err:
        raise BadReference(str(path), f"{kind.name} cannot be read: {err}") from err
    texts = table.column(names[text_at]).to_pylist()
    ids = [""] * len(texts) if id_at is None else table.column(names[id_at]).to_pylist()
    return [Row(row, _text(i), _text(t)) for row, (i, t) in enumerate(zip(ids, texts, strict=True), 1)]


def _find_columns(path: Path, names: list[str], kind: Kind) -> tuple[int, int | None]:
    """Where the text and, if there is one, the id stand; case and outer blanks do not count."""
    plain = [name.strip().lower() for name in names]
    text_at = next((plain.index(name) for name in kind.text_columns if name in plain), None)
    id_at = next((plain.index(name) for name in kind.id_columns if name in plain), None)
    if text_at is None:
        found = ", ".join(name.strip() or "(unnamed)" for name in names)
        looked_for = ", ".join(kind.text_columns)
        raise BadReference(str(path), f"no {kind.notation} column: found {found}; looked for {looked_for}")
    return text_at, id_at


def _cell(cells: list[str], at: int | None) -> str:
    return "" if at is None or at >= len(cells) else cells[at].strip()


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
