"""The examples do what their READMEs say, with the figures that others get."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow.csv
import pytest

N_LINES = 5


def test_examples_are_short(project_root):
    """They are to be read: each job is under 100 lines."""
    for job in ("align/align.py", "conformers/conformers.py", "descriptors/descriptors.py"):
        assert len((project_root / "examples" / job).read_text().splitlines()) < 100, job


def test_conformers_do_as_their_readme_says(lay_out):
    pytest.importorskip("rdkit")
    example = lay_out("conformers")
    ends = dict(example.follow())
    assert len(ends) == 1
    assert all(said.code == 0 for said in ends.values()), ends
    table = example.table("runs/conformers")
    assert table["id"].to_pylist() == [f"M{i:03}" for i in range(1, N_LINES + 1)]
    # the same molecule, whoever works on it: another worker, another neighbour
    example.write("two.smi", "".join((example.folder / "library.smi").read_text().splitlines(True)[:2]))
    assert example.type("run conformers:embed two.smi --out again --workers 1").code == 0
    assert example.table("again").drop(["record"]).equals(table.drop(["record"]).slice(0, 2))


def test_conformers_say_what_they_cannot_do(lay_out):
    """An energy without parameters would be a number that means nothing."""
    pytest.importorskip("rdkit")
    example = lay_out("conformers")
    example.write("odd.smi", "CCO a\nC[Se]C b\nnonsense c\n")
    assert example.type("run conformers:embed odd.smi --out odd --max-failed 2").code == 0
    assert example.table("odd")["id"].to_pylist() == ["a"]
    said = example.aliquot("show", "odd")
    assert "MMFF94 has no parameters" in said.out


def test_descriptors_are_those_of_rdkit(lay_out):
    chem = pytest.importorskip("rdkit.Chem")
    from rdkit.Chem import Descriptors, Lipinski, rdFingerprintGenerator

    example = lay_out("descriptors")
    ends = dict(example.follow())
    assert len(ends) == 2
    assert all(said.code == 0 for said in ends.values()), ends
    table = example.table("runs/descriptors")
    rows = table.to_pylist()
    assert len(rows) == N_LINES
    mols = [chem.MolFromSmiles(row["smiles"]) for row in rows]
    assert [row["mass"] for row in rows] == [Descriptors.MolWt(mol) for mol in mols]
    assert [row["donors"] for row in rows] == [Lipinski.NumHDonors(mol) for mol in mols]
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    on = [list(morgan.GetFingerprint(mol).GetOnBits()) for mol in mols]
    assert [list(np.flatnonzero(np.unpackbits(np.asarray(row["morgan"], np.uint8)))) for row in rows] == on
    [written] = sorted((example.folder / "runs/csv/result").glob("*.csv"))
    assert pyarrow.csv.read_csv(written).num_rows == N_LINES


def test_the_proteins_are_made_the_same_every_time(lay_out):
    example = lay_out("align")
    names = ("library.fasta", "queries.fasta")
    before = [(example.folder / name).read_text() for name in names]
    subprocess.run([sys.executable, "make_sample.py"], cwd=example.folder, check=True)
    assert [(example.folder / name).read_text() for name in names] == before
