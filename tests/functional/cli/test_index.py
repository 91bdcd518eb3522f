"""`aliquot index fingerprints`: a library once computed is an index, known by what it was made of."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from aliquot_chem.fingerprint_index import FingerprintIndex

SMILES = ["CCO", "c1ccccc1C(=O)O", "nonsense", "C[C@H](N)C(=O)O", "C(C)(C)(C)(C)C", "[Na+].[Cl-]"]
LIBRARY = "".join(f"{smiles} m{at}\n" for at, smiles in enumerate(SMILES))
ANYHOW = ("--max-failed", "50%")


def make_index(desk, *words):
    return desk.aliquot("index", "fingerprints", *words, "--workers", "1", "--quiet")


def test_an_index_holds_the_library_but_what_does_not_parse(desk):
    desk.write("lib.smi", LIBRARY)
    said = make_index(desk, "lib.smi", "--out", "lib", *ANYHOW)
    assert said.code == 0, said.err
    assert "4 fingerprints, 2 records rejected" in said.out
    assert "1 parse: not SMILES" in said.out
    index = FingerprintIndex(desk.folder / "lib")
    assert index.header["key"] in said.out
    assert [(each.record, each.id, each.kind) for each in index.read_rejected()] == [
        (2, "m2", "parse"),
        (4, "m4", "parse"),
    ]
    library = index.library
    assert sorted(library.records.tolist()) == [0, 1, 3, 5]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for place, record in enumerate(library.records):
        plain = generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(SMILES[record]))
        columns = library.columns[:2048, place // 64]
        assert (
            np.flatnonzero(columns >> np.uint64(place % 64) & np.uint64(1)) == np.flatnonzero(plain)
        ).all()
        assert (index.read_id(place), index.read_smiles(place)) == (f"m{record}", SMILES[record])
    assert sorted(path.name for path in desk.folder.iterdir() if path.name.startswith("lib")) == [
        "lib",
        "lib.smi",
    ]


def test_an_index_is_not_made_twice_nor_taken_for_another(desk):
    desk.write("lib.smi", LIBRARY)
    first = make_index(desk, "lib.smi", "--out", "lib", *ANYHOW)
    before = (desk.folder / "lib").stat()
    assert make_index(desk, "lib.smi", "--out", "lib").out == first.out
    assert (desk.folder / "lib").stat() == before
    for words in (("lib.smi", "--radius", "3"), ("lib.smi", "lib.smi")):
        said = make_index(desk, *words, "--out", "lib", *ANYHOW)
        assert (said.code, "no index of this library with these options" in said.err) == (2, True)
    desk.write("lib.smi", LIBRARY + "C m6\n")
    assert make_index(desk, "lib.smi", "--out", "lib", *ANYHOW).code == 2


@pytest.mark.long
def test_all_formats_make_the_same_index(desk):
    """By file or by table, the fingerprints are those of the molecules."""
    desk.write("a.csv", "name,SMILES\n" + "".join(f"m{i},{s}\n" for i, s in enumerate(SMILES)))
    (desk.folder / "b.smi.gz").write_bytes(gzip.compress(LIBRARY.encode()))
    pq.write_table(pa.table({"smiles": SMILES, "id": [f"m{i}" for i in range(6)]}), desk.folder / "c.parquet")
    good = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
    blocks = [f"m{i}{Chem.MolToMolBlock(mol)}" if mol else f"m{i}\n" for i, mol in enumerate(good)]
    desk.write("d.sdf", "".join(f"{block}$$$$\n" for block in blocks))
    held = []
    for name in ("a.csv", "b.smi.gz", "c.parquet", "d.sdf"):
        assert make_index(desk, name, "--out", f"{name}.index", *ANYHOW).code == 0
        index = FingerprintIndex(desk.folder / f"{name}.index")
        library = index.library
        ids = [index.read_id(place) for place in range(4)]
        held.append((library.columns.tobytes(), library.records.tolist(), ids))
    assert held[1:] == held[:1] * 3


def test_what_cannot_be_indexed_is_refused(desk):
    desk.write("lib.smi", LIBRARY)
    for words, phrase in (
        (("-",), "give files"),
        (("none.smi",), "no such file"),
        (("lib.smi", "--radius", "11"), "--radius: 11 is not within 0 to 10"),
        (("lib.smi", "--bits", "32"), "--bits: 32 is not within 64 to 16,384"),
    ):
        said = make_index(desk, *words, "--out", "lib")
        assert said.code == 2, said.err
        assert phrase in said.err
    assert not (desk.folder / "lib").exists()


def test_too_many_rejected_leave_no_index_and_the_same_command_goes_on(desk):
    desk.write("lib.smi", LIBRARY)
    said = make_index(desk, "lib.smi", "--out", "lib")
    assert said.code == 3, said.err
    assert not (desk.folder / "lib").exists()
    assert json.loads((desk.folder / "lib.building/summary.json").read_text())["failed"] == 2
    assert make_index(desk, "lib.smi", "--out", "lib", *ANYHOW).code == 0
