"""The README's example of own code, here and on a stack."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("cloud")


def test_conformers_are_the_same_on_a_stack(desk, project_root):
    example = project_root / "examples" / "conformers"
    desk.write("conformers.py", (example / "conformers.py").read_text())
    lines = (example / "library.smi").read_text().splitlines(keepends=True)[:5]
    desk.write("library.smi", "".join([*lines, "not-a-molecule M999\n"]))
    words = ["run", "conformers:embed", "library.smi", "--max-failed", "2"]
    assert desk.aliquot(*words, "--out", "here").code == 0
    said = desk.aliquot(*words, "--out", "there", "--on", "aws:rehearsal", "--code", ".")
    assert said.code == 0, said.err
    assert desk.table("there").equals(desk.table("here"))
    table = desk.table("there")
    assert table.num_rows == 5
    assert table["conformers"].to_pylist() == [10] * 5
    assert all(block.rstrip().endswith("M  END") for block in table["molblock"].to_pylist())
    assert desk.read("failures", "there")["kind"].to_pylist() == ["parse"]
