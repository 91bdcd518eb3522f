"""Reads a file of query molecules: `.smi`, SDF, or a table with a column of SMILES.

Owns which molecules of it are used: all, or none where one does not parse. Imports RDKit, the core's `errors`
and how tables are read. When it is wrong, a query is another molecule or carries another's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from rdkit import Chem

from aliquot.errors import BadReference, ParseFailure
from aliquot_chem.molecule_text import read_molecule
from aliquot_chem.table import Kind, Row, explained, is_parquet, make_row, open_text, read_rows

QUERIES = Kind(
    "the file of queries",
    "SMILES",
    ("smiles", "canonical_smiles", "isomeric_smiles", "cxsmiles", "smi", "structure", "molecule"),
    ("id", "query_id", "name", "compound_id"),
)
_SHOWN_ROWS = 5
_VERSIONS = ("V2000", "V3000")
_END = "$$$$"


@dataclass(frozen=True)
class Query:
    """A molecule to look for: its id, its text, and what RDKit made of it."""

    id: str
    text: str
    mol: Chem.Mol


def read_queries(path: Path, most: int | None = None) -> list[Query]:
    """The molecules of the file at `path`, in order; one without an id is called by its number, from 1.

    Only the first `most` are read, where that is said. The format is told by content: SDF by its fourth line,
    a table by a header that names a column of SMILES, else SMILES and an id on each line.

    Raises:
        BadReference: it cannot be read, is empty, or some do not parse; carries those with their lines.
    """
    queries: list[Query] = []
    bad: list[tuple[int, str]] = []
    for number, row in enumerate(islice(_list_rows(path), most), 1):
        try:
            queries.append(Query(row.id or str(number), row.text, _read_row(row)))
        except ParseFailure as err:
            bad.append((row.line, str(err)))
    if bad:
        reason = f"{len(bad)} of the queries do not parse: mend them or take them out"
        raise BadReference(str(path), reason, tuple(bad[:_SHOWN_ROWS]), len(bad))
    if not queries:
        raise BadReference(str(path), "holds no queries")
    return queries


def _read_row(row: Row) -> Chem.Mol:
    if row.fault or not row.text.strip():
        raise ParseFailure(row.fault or "no molecule")
    return read_molecule(row.text)


def _list_rows(path: Path) -> list[Row]:
    with explained(path, QUERIES):
        if is_parquet(path):
            return read_rows(path, QUERIES)
        with open_text(path) as text:
            head = list(islice(text, 4))
        if len(head) == 4 and head[3].rstrip().endswith(_VERSIONS):
            return _read_entries(path)
        first = head[0] if head else ""
        return (
            read_rows(path, QUERIES)
            if first.startswith("{") or QUERIES.is_header(first)
            else _read_lines(path)
        )


def _read_lines(path: Path) -> list[Row]:
    """SMILES and an id on each line; a header between spaces is passed over."""
    rows: list[Row] = []
    with open_text(path) as text:
        for number, line in enumerate(text, 1):
            smiles, _, own_id = line.strip().replace("\t", " ", 1).partition(" ")
            tail, _, rest = own_id.removeprefix("|").partition("|")
            if own_id.startswith("|"):  # CXSMILES
                smiles, own_id = f"{smiles} |{tail}|", rest
            if smiles and not (number == 1 and QUERIES.is_text_column(smiles)):
                rows.append(make_row(number, own_id.strip(), smiles))
    return rows


def _read_entries(path: Path) -> list[Row]:
    """The mol blocks of an SDF, by their titles."""
    rows: list[Row] = []
    with open_text(path) as text:
        lines: list[str] = []
        first = 1
        for number, line in enumerate(chain(text, [_END]), 1):
            if not line.startswith(_END):
                lines.append(line.rstrip("\r\n"))
                continue
            if any(map(str.strip, lines)):
                rows.append(make_row(first, lines[0].strip(), "\n".join(lines)))
            lines, first = [], number + 1
    return rows
