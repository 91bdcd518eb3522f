"""Reads a table of templates: CSV, TSV, JSON Lines (each also gzipped) or Parquet.

Owns which columns are looked for and how rows become (line, id, SMARTS). Imports the standard library and,
for Parquet alone, pyarrow on demand. Knows no chemistry. When it is wrong, templates are lost or carry the
wrong id.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from aliquot.errors import BadReference

SMARTS_COLUMNS = ("smarts", "retro_template", "reaction_smarts")
ID_COLUMNS = ("id", "template_id")
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_SEPARATORS = "\t,;"


@dataclass(frozen=True)
class TemplateRow:
    """One row of the table: its 1-based line, its id ("" where none is given) and its SMARTS as written.

    `fault` says why the row could not be read, and is "" where it could.
    """

    line: int
    id: str
    smarts: str
    fault: str = ""


def read_template_rows(path: Path) -> list[TemplateRow]:
    """Every row of the table that is not blank, in order.

    The format is told by content: Parquet by its magic bytes, gzip likewise, JSON Lines by a leading "{",
    else text whose header names the separator (tab, comma or semicolon). `line` is the row's last line in a
    text file and its row number in Parquet. A row that is not UTF-8 or not a JSON object has a fault.

    Raises:
        BadReference: unreadable, empty, or without a column of SMARTS.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == _PARQUET_MAGIC:
            rows = _read_parquet(path)
        else:
            with _open_text(path, magic) as text:
                rows = _read_text(path, text)
    except (OSError, EOFError, csv.Error, zlib.error) as err:
        raise BadReference(str(path), f"the template table cannot be read: {err}") from err
    if not rows:
        raise BadReference(str(path), "the template table has no rows below its header")
    return rows


def derive_template_id(smarts: str) -> str:
    """The id of a template without one: the first 12 hex digits of the SHA-256 of its text."""
    return hashlib.sha256(smarts.encode()).hexdigest()[:12]


def _open_text(path: Path, magic: bytes) -> IO[str]:
    if magic.startswith(_GZIP_MAGIC):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_text(path: Path, text: IO[str]) -> list[TemplateRow]:
    first = text.readline()
    if not _is_utf8(first):
        raise BadReference(str(path), "the template table cannot be read: its first line is not UTF-8")
    if not first.strip():
        raise BadReference(str(path), "the template table is empty or begins with a blank line")
    if first.lstrip().startswith("{"):
        return _read_json_lines(path, chain([first], text))
    reader = csv.reader(chain([first], text), delimiter=_find_separator(first))
    smarts_at, id_at = _find_columns(path, next(reader))
    return [
        _make_row(reader.line_num, _cell(cells, id_at), _cell(cells, smarts_at))
        for cells in reader
        if any(cell.strip() for cell in cells)
    ]


def _find_separator(header: str) -> str:
    """The separator under which the header names a column of SMARTS, else the first that occurs.

    Not the one that occurs most: where the header is missing, SMARTS have more semicolons than tabs.
    """
    naming = (mark for mark in _SEPARATORS if any(map(_is_smarts_column, header.strip().split(mark))))
    occurring = (mark for mark in _SEPARATORS if mark in header)
    return next(chain(naming, occurring), _SEPARATORS[0])


def _is_smarts_column(name: str) -> bool:
    return name.strip().strip('"').casefold() in SMARTS_COLUMNS


def _read_json_lines(path: Path, lines: Iterable[str]) -> list[TemplateRow]:
    return list(_iterate_json_lines(path, lines))


def _iterate_json_lines(path: Path, lines: Iterable[str]) -> Iterator[TemplateRow]:
    names: list[str] = []
    columns: tuple[int, int | None] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _parse_json_object(line)
        if isinstance(record, str):
            yield TemplateRow(number, "", "", record)
            continue
        if columns is None:
            names = list(record)
            columns = _find_columns(path, names)
        smarts_at, id_at = columns
        id_text = "" if id_at is None else _text(record.get(names[id_at]))
        yield _make_row(number, id_text, _text(record.get(names[smarts_at])))


def _parse_json_object(line: str) -> dict[str, Any] | str:
    """The line's object, or why it has none."""
    try:
        record = json.loads(line)
    except ValueError as err:
        return f"not JSON: {err}"
    return record if isinstance(record, dict) else "not a JSON object"


def _make_row(line: int, template_id: str, smarts: str) -> TemplateRow:
    if _is_utf8(template_id) and _is_utf8(smarts):
        return TemplateRow(line, template_id, smarts)
    return TemplateRow(line, "", "", "not UTF-8")


def _is_utf8(text: str) -> bool:
    """Whether the bytes that `text` was decoded from are UTF-8: what is not became lone surrogates."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _read_parquet(path: Path) -> list[TemplateRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = list(file.schema_arrow.names)
        smarts_at, id_at = _find_columns(path, names)
        wanted = [names[smarts_at]] + ([] if id_at is None else [names[id_at]])
        table = file.read(columns=wanted)
    except pa.ArrowException as err:
        raise BadReference(str(path), f"the template table cannot be read: {err}") from err
    smarts = table.column(names[smarts_at]).to_pylist()
    ids = [""] * len(smarts) if id_at is None else table.column(names[id_at]).to_pylist()
    return [
        TemplateRow(row, _text(i), _text(s)) for row, (i, s) in enumerate(zip(ids, smarts, strict=True), 1)
    ]


def _find_columns(path: Path, names: list[str]) -> tuple[int, int | None]:
    """Where the SMARTS and, if there is one, the id stand; case and outer blanks do not count."""
    plain = [name.strip().lower() for name in names]
    smarts_at = next((plain.index(name) for name in SMARTS_COLUMNS if name in plain), None)
    id_at = next((plain.index(name) for name in ID_COLUMNS if name in plain), None)
    if smarts_at is None:
        found = ", ".join(name.strip() or "(unnamed)" for name in names)
        looked_for = ", ".join(SMARTS_COLUMNS)
        raise BadReference(str(path), f"no SMARTS column: found {found}; looked for {looked_for}")
    return smarts_at, id_at


def _cell(cells: list[str], at: int | None) -> str:
    return "" if at is None or at >= len(cells) else cells[at].strip()


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
