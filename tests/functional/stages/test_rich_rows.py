"""Rows of molecules, arrays and tables go from stage to stage, to groups, and into a readable result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

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


@pytest.mark.parametrize(
    ("job", "path"), [("chain", 'row["{}"]'), ("ahead", 'row["{}"]'), ("groups", 'rows["{}"][0]')]
)
def test_a_value_that_cannot_be_read_back_costs_its_record_alone(desk: Any, job: str, path: str) -> None:
    """Whether its reader raises, ends the process or hangs, in the row itself or deep inside it."""
    shutil.copy(Path(__file__).with_name("brittle.py"), desk.folder / "brittle.py")
    names = [f"n{at}-x" for at in range(60)]
    names[0] = "odd-x"  # the first of its step
    names[21], names[22], names[40], names[50] = "n21-odd", "dead-x", "n40-dead", "n50-stuck"
    desk.write("data.csv", "name\n" + "".join(f"{name}\n" for name in names))
    words = ("run", f"brittle.py:{job}", "data.csv", "--workers", "1", "--max-failed", "90%", "--quiet")
    said = desk.aliquot(*words, "--record-timeout", "1", "--out", "out")
    assert said.code == 0, said.err
    assert sorted(desk.table().column("said").to_pylist()) == sorted(
        name for name in names if not any(word in name for word in ("odd", "dead", "stuck"))
    )
    failures = pyarrow.parquet.read_table(desk.folder / "out/failures.parquet").to_pylist()
    assert [(each["record"], each["kind"], each["stage"]) for each in failures] == [
        (0, "exception", "use"),
        (21, "exception", "use"),
        (22, "crash", "use"),
        (40, "crash", "use"),
        (50, "deadline", "use"),
    ]
    why = "cannot be read: test.box (KeyError: 'no such box')"
    assert failures[0]["message"] == f"{path.format('box')} {why}"
    assert failures[1]["message"] == f'{path.format("more")}["inner"][1] {why}'
    assert "in read_box" in failures[0]["traceback"]
