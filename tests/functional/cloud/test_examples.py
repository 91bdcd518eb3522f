"""The README's example of own code, here and on a stack."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("cloud")


@pytest.mark.long
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


@pytest.mark.long
def test_an_index_is_screened_on_a_stack_as_here(desk, project_root):
    """Its file goes there as a reference, its parts as records."""
    for name in ("crossref/molecules.smi", "screen/queries.smi"):
        desk.write(name.rpartition("/")[2], (project_root / "examples" / name).read_text())
    made = desk.aliquot("index", "fingerprints", "molecules.smi", "--out", "lib", "--quiet")
    assert made.code == 0, made.err
    words = ["run", "screen", "lib", "--queries", "queries.smi", "--top", "4", "--catalog", "pains"]
    assert desk.aliquot(*words, "--out", "here").code == 0
    said = desk.aliquot(*words, "--out", "there", "--on", "aws:rehearsal")
    assert said.code == 0, said.err
    assert desk.table("there").equals(desk.table("here"))
    assert desk.table("there")["rank"].to_pylist() == [1, 2, 3, 4] * 3
