"""What this version wrote is read by the next: every form of value, as it was written, in `codec-1.txt`.

A form that changes gets another version and lines of its own; those that are there stay.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdChemReactions

from aliquot.codec import pack, unpack
from aliquot.registry import register


@dataclass
class Pose:
    score: float
    tags: set[str]


class Place(NamedTuple):
    x: int
    y: Any


class Phase(enum.Enum):
    SOLID = 1


class Grid:
    def __init__(self, cells: bytes) -> None:
        self.cells = cells


register(Pose, "vectors.Pose")
register(Place, "vectors.Place")
register(Phase, "vectors.Phase")
register(Grid, "vectors.Grid", to_bytes=lambda grid: grid.cells, from_bytes=Grid)


def make_molecule() -> Chem.Mol:
    mol = Chem.MolFromSmiles("C[C@H](O)C[C@H](F)Cl |o1:1,&2:4|")
    mol.SetProp("_Name", "name")
    mol.GetAtomWithIdx(0).SetIntProp("n", 7)
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetAtomPosition(1, (0.1, 0.2, 0.3))
    mol.AddConformer(conformer)
    mol.GetConformer().SetDoubleProp("energy", -1.5)
    return mol


def make_fingerprint() -> Any:
    bits = DataStructs.ExplicitBitVect(64)
    bits.SetBit(63)
    return bits


def make_count() -> Any:
    count = DataStructs.ULongSparseIntVect(1 << 40)
    count[1 << 39] = -2
    return count


FORTRAN = np.asfortranarray(np.arange(6, dtype="<i2").reshape(2, 3))
RECORDS = np.array([(1, (2.5, 3.5), "é")], [("n", "<i4"), ("x", ">f8", (2,)), ("s", "<U2")])
VALUES: dict[str, Callable[[], Any]] = {
    "plain": lambda: {"a": [1, -1, 0.5, None, True, "é", b"x"], (1, (2, "b")): 3},
    "big integer": lambda: -(1 << 70),
    "complex": lambda: 1 + 2j,
    "decimals": lambda: [decimal.Decimal("1.50"), None],
    "times": lambda: [dt.date(2020, 1, 2), dt.time(3, 4, 5), dt.timedelta(1, 2, 3)],
    "column of times": lambda: [dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), None],
    "zoned time": lambda: dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    "sets": lambda: {"s": {1, (2, 3)}, "f": frozenset({"a"})},
    "column of sets": lambda: [{"b", "a"}, None],
    "array": lambda: {"x": np.arange(4, dtype=">f4")},
    "array in Fortran order": lambda: FORTRAN,
    "structured array": lambda: RECORDS,
    "array of texts": lambda: np.array(["a", "bc"], np.dtypes.StringDType()),
    "scalar": lambda: np.datetime64("2020-01-02T03:04:05.000000006"),
    "column of arrays": lambda: [np.arange(3.0), np.arange(3.0)],
    "table": lambda: pa.table({"n": [1, None], "s": ["a", "b"]}),
    "column of tables": lambda: [pa.table({"n": [1, None], "s": ["a", "b"]}), None],
    "plain pandas frame": lambda: pd.DataFrame({"n": [1, 2], "s": ["a", None]}),
    "column of pandas frames": lambda: [None, pd.DataFrame({"x": [0.5]}, index=pd.RangeIndex(3, 4))],
    "batch": lambda: pa.record_batch([[1.5]], ["x"]),
    "pandas frame": lambda: pd.DataFrame({"n": [1, 2], "c": pd.Categorical(["u", "v"])}, index=["p", "q"]),
    "pandas series": lambda: pd.Series([1.5], name="x"),
    "polars frame": lambda: pl.DataFrame({"n": [1, None], "s": ["a", "b"]}),
    "polars series": lambda: pl.Series("x", [1.5]),
    "dataclass": lambda: {"p": Pose(1.5, {"a"})},
    "column of dataclasses": lambda: [Pose(1.5, {"a"}), None],
    "named tuple and enum": lambda: {"p": Place(1, Phase.SOLID)},
    "registered": lambda: {"g": Grid(b"cells")},
    "column of registered": lambda: [Grid(b"cells" * 400), None, Grid(b"")],
    "molecule": lambda: {"m": make_molecule()},
    "column of molecules": lambda: [make_molecule(), None, make_molecule()],
    "query": lambda: Chem.MolFromSmarts("[C;R2;$(C=O)]~[N:3]"),
    "changeable molecule": lambda: Chem.RWMol(Chem.MolFromSmiles("CCO")),
    "reaction": lambda: rdChemReactions.ReactionFromSmarts("[C:1]O.[N:2]>>[C:1][N:2]"),
    "fingerprint": lambda: {"f": make_fingerprint()},
    "count": lambda: [make_count()],
}
FILE = Path(__file__).parents[2] / "fixtures" / "codec-1.txt"


def spell(value: Any) -> Any:  # noqa: PLR0911 - one for each family
    """A value as one that can be compared, with its types."""
    if isinstance(value, list | tuple):
        return type(value), [spell(each) for each in value]
    if isinstance(value, dict):
        return {key: spell(each) for key, each in value.items()}
    if isinstance(value, Grid):
        return Grid, value.cells
    if isinstance(value, np.ndarray | np.generic):
        return type(value), value.dtype, value.shape, repr(value.tolist()), value.flags.f_contiguous
    if isinstance(value, pa.Table | pa.RecordBatch | pl.DataFrame):
        return (
            type(value),
            value.schema,
            value.to_pydict() if hasattr(value, "to_pydict") else value.to_dicts(),
        )
    if isinstance(value, pd.DataFrame | pd.Series | pl.Series):
        return (
            type(value),
            str(getattr(value, "dtypes", "")),
            value.to_dict() if hasattr(value, "to_dict") else [*value],
        )
    if isinstance(value, Chem.Mol):
        said = [[a.GetPropsAsDict(False, False), a.DescribeQuery()] for a in value.GetAtoms()]
        places = [(c.GetPositions().tolist(), c.GetPropsAsDict()) for c in value.GetConformers()]
        return type(value), Chem.MolToCXSmiles(value), value.GetPropsAsDict(True, False), said, places
    if isinstance(value, rdChemReactions.ChemicalReaction):
        return rdChemReactions.ReactionToSmarts(value)
    if hasattr(value, "ToBinary"):
        return type(value), value.ToBinary()
    return type(value), value


def read_file() -> dict[str, bytes]:
    lines = [line.rpartition(" ") for line in FILE.read_text().splitlines()]
    return {name: bytes.fromhex(written) for name, _, written in lines}


@pytest.mark.parametrize("name", VALUES)
def test_what_was_written_is_read(name: str) -> None:
    read = unpack(read_file()[name], opens=True)
    assert spell(read) == spell(VALUES[name]())


def test_every_form_has_its_line() -> None:
    assert read_file().keys() == VALUES.keys()


if __name__ == "__main__":  # adds the lines that are not there yet
    written = read_file() if FILE.exists() else {}
    added = {name: pack(make()) for name, make in VALUES.items() if name not in written}
    FILE.write_text("".join(f"{name} {body.hex()}\n" for name, body in (written | added).items()))
