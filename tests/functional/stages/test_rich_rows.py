"""Rows of molecules, arrays and tables go from stage to stage, to groups, and into a readable result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet

import aliquot
from aliquot.loading import JobSpec, load_job


def test_rich_values_reach_the_next_stages_and_the_result(desk: Any) -> None:
    """Those who pass them on, and write the tables, know none of their types."""
    shutil.copy(Path(__file__).with_name("rich.py"), desk.folder / "rich.py")
    desk.write("data.csv", "smiles,name\nCCO,a\nCC,bad\nC[C@H](O)F,ccc\n")
    words = ("run", "rich.py:job", "data.csv", "--workers", "1", "--max-failed", "90%", "--quiet")
    said = desk.aliquot(*words, "--out", "out")
    assert said.code == 0, said.err
    table = desk.table()
    assert table.column("name").to_pylist() == ["a", "ccc"]
    assert table.schema.field("mol").metadata == {b"aliquot": b"codec", b"aliquot.types": b"rdkit.Mol"}
    molecules = aliquot.decode(table.column("mol"))
    assert [mol.GetConformer().GetProp("seen") for mol in molecules] == ["built marked marked"] * 2
    assert [mol.GetAtomWithIdx(0).GetIntProp("n") for mol in molecules] == [1, 3]
    load_job(JobSpec(str(desk.folder / "rich.py:job")))
    assert [box.tags for box in aliquot.decode(table.column("box"))] == [{"a"}, {"ccc"}]
    assert aliquot.decode(table.column("table").to_pylist()[0]).num_rows == 2
    (failure,) = pyarrow.parquet.read_table(desk.folder / "out/failures.parquet").to_pylist()
    assert failure["message"].startswith('row["mol"].conformer cannot be stored')
