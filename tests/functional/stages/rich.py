"""A toy job whose rows hold what tables do not: molecules, arrays, tables, dataclasses; stages check them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rdkit import Chem

from aliquot.job import Group, Job, Stage


@dataclass
class Box:
    """A dataclass that the rows' type names, which registers it."""

    size: float
    tags: set[str]


class Row(NamedTuple):
    """What goes from stage to stage, and into the result."""

    name: str
    mol: Chem.Mol
    box: Box
    vector: Any
    table: Any


@dataclass(frozen=True)
class Options:
    """None."""


def build(record: dict[str, Any]) -> list[Row]:
    """A molecule with a conformer and properties."""
    name = record["name"]
    mol = Chem.MolFromSmiles(record["smiles"])
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer().SetProp("seen", "built")
    mol.GetAtomWithIdx(0).SetIntProp("n", len(name))
    if name == "bad":
        mol.conformer = object()
    return [Row(name, mol, Box(1.5, {name}), np.arange(3.0), pa.table({"n": [1, 2]}))]


def mark(row: Row) -> list[Row]:
    """The row, if it came as it was, with a note on its molecule."""
    assert type(row.mol) is Chem.Mol, row
    assert row.box == Box(1.5, {row.name}), row
    assert row.vector.tolist() == [0, 1, 2], row
    assert row.table.equals(pa.table({"n": [1, 2]})), row
    assert row.mol.GetAtomWithIdx(0).GetIntProp("n") == len(row.name), row
    row.mol.GetConformer().SetProp("seen", row.mol.GetConformer().GetProp("seen") + " marked")
    return [row]


def collect(group: Group) -> list[Row]:
    """The rows of a group, marked again."""
    return [marked for row in group.rows for marked in mark(row)]


def _each(work: Callable[[Any], list[Row]]) -> Any:
    def open_stage(_: Options, __: Path) -> Callable[[Iterable[Any]], Iterator[list[Row]]]:
        return lambda units: map(work, units)

    return open_stage


job = Job(
    "rich",
    version=1,
    options=Options,
    writes=Row,
    stages=(
        Stage("build", _each(build), writes=Row),
        Stage("mark", _each(mark), writes=Row),
        Stage("collect", _each(collect), exchange="name"),
    ),
)
