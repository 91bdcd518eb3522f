"""`aliquot run screen`: the command and its result, the same for a library and its index."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pyarrow.dataset
import pyarrow.parquet
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdMolDescriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

COLUMNS = ["query_id", "rank", "score", "id", "record"]


@pytest.fixture
def library(desk, project_root):
    """The sample's molecules, with one that does not parse, and two queries."""
    shutil.copy(project_root / "examples/screen/queries.smi", desk.folder / "queries.smi")
    text = (project_root / "examples/crossref/molecules.smi").read_text()
    desk.write("library.smi", f"nonsense n\n{text}")
    return desk


def screen(desk, *words, out):
    said = desk.aliquot("run", "screen", *words, "--out", out, "--quiet")
    assert said.code == 0, said.err
    files = sorted(str(path) for path in (desk.folder / out / "result").iterdir())
    table = pyarrow.dataset.dataset(files).to_table()
    assert table.column_names == COLUMNS
    return table.to_pylist(), json.loads((desk.folder / out / "summary.json").read_text())


@pytest.mark.long
def test_a_library_and_its_index_give_the_same_rows(library):
    assert library.aliquot("index", "fingerprints", "library.smi", "--out", "lib", "--quiet").code == 0
    asked = ("--queries", "queries.smi", "--top", "5")
    rows, said = screen(library, "library.smi", *asked, out="one")
    by_index, said_by_index = screen(library, "lib", *asked, out="two")
    assert by_index == rows
    assert [(row["query_id"], row["rank"]) for row in rows[:6]] == [
        *(("aspirin", rank) for rank in range(1, 6)),
        ("caffeine", 1),
    ]
    assert all(row["id"] for row in rows)
    assert said["failures"] == {"parse": 1}
    assert (said_by_index["rejected"], said_by_index["rejected_because"]) == (1, {"not SMILES": 1})
    assert (library.folder / "two/rejected.parquet").is_file()
    filtered = ("--catalog", "pains,brenk", "--property", "lipinski,veber,qed>=0.5")
    assert (
        screen(library, "lib", *filtered, out="four")[0]
        == screen(library, "library.smi", *filtered, out="three")[0]
    )
    assert (
        screen(library, "lib", *asked, *filtered, "--substructure", out="six")[0]
        == (screen(library, "library.smi", *asked, *filtered, "--substructure", out="five")[0])
    )


def test_what_each_filter_removed_is_told_by_its_name(library, project_root):
    """By a window, a pattern and a catalog: what the first of them that a molecule does not pass is."""
    library.write("f.smarts", "!C(=O)[OH] acid\n")
    assert library.aliquot("index", "fingerprints", "library.smi", "--out", "lib", "--quiet").code == 0
    asked = ("--smarts", "f.smarts", "--catalog", "brenk", "--property", "lipinski,mass>=60")
    rows, by_index = screen(library, "lib", *asked, out="one")
    said = library.aliquot("run", "screen", "library.smi", *asked, "--out", "two")
    own = json.loads((library.folder / "two/summary.json").read_text())

    expected = Counter[str]()
    with rdBase.BlockLogs():
        brenk = FilterCatalog(FilterCatalogParams(FilterCatalogParams.FilterCatalogs.BRENK))
        acid = Chem.MolFromSmarts("C(=O)[OH]")
        for line in (project_root / "examples/crossref/molecules.smi").read_text().splitlines():
            mol = Chem.MolFromSmiles(line.split()[0])
            if Descriptors.MolWt(mol) < 60:
                expected["mass>=60"] += 1
            elif not is_within_lipinski(mol):
                expected["lipinski"] += 1
            elif mol.HasSubstructMatch(acid):
                expected["acid"] += 1
            elif brenk.HasMatch(mol):
                expected["brenk"] += 1
            else:
                expected["kept"] += 1
    assert len(rows) == expected.pop("kept")
    assert len(expected) == 4
    assert by_index["removed_by"] == own["removed_by"] == dict(expected)
    assert own["removed"] == expected.total()
    assert f"filters removed {expected.total():,} molecules: brenk {expected['brenk']:,}, " in said.err
    table = pyarrow.parquet.read_table(library.folder / "two/removed.parquet").to_pydict()
    assert dict(zip(table["filter"], table["molecules"], strict=True)) == expected


def is_within_lipinski(mol: Chem.Mol) -> bool:
    shape = rdMolDescriptors.CalcNumHBD(mol) <= 5 and rdMolDescriptors.CalcNumHBA(mol) <= 10
    return shape and Descriptors.MolWt(mol) <= 500 and Descriptors.MolLogP(mol) <= 5


def test_bad_queries_are_refused_by_file_and_line(library):
    library.write("queries.smi", "CCO a\n\nnonsense b\n")
    said = library.aliquot("run", "screen", "library.smi", "--queries", "queries.smi", "--out", "o")
    assert said.code == 2
    assert "queries.smi: 1 of the queries do not parse" in said.err
    assert "line 3: not SMILES" in said.err


def test_an_index_stands_alone(library):
    assert library.aliquot("index", "fingerprints", "library.smi", "--out", "lib", "--quiet").code == 0
    said = library.aliquot("run", "screen", "lib", "library.smi", "--queries", "queries.smi", "--out", "o")
    assert (said.code, "is an index, and a dataset by itself" in said.err) == (2, True)
    said = library.aliquot("run", "jobs:one", "lib", "--out", "o")
    assert (said.code, "is an index, and this job reads none" in said.err) == (2, True)


def test_nothing_asked_is_nothing_done(library):
    said = library.aliquot("run", "screen", "library.smi", "--out", "o")
    assert (said.code, "--queries: is missing, and so is any filter" in said.err) == (2, True)
    assert not (library.folder / "o").exists()
