"""SDF: what RDKit's own reader makes records of, with the lines on which they begin."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem

from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, find_sources, read_batches
from aliquot.readers.sniff import sniff_format

Read = Callable[..., Any]
MOLECULE = {
    "molecule": Column(("smiles", "molecule"), "line"),
    "id": Column(("id", "name"), "id"),
    "ic50": Column(("ic50",)),
}
METHANE = "\n  RDKit\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 C   0  0\nM  END\n"


def entry(title: str, values: str = "", block: str = METHANE) -> str:
    return f"{title}{block}{values}$$$$\n"


def test_records_hold_text_title_and_values(read: Read) -> None:
    text = entry("m1", ">  <IC50>  (1)\n3.5\n\n> <note>\ntwo\nlines\n\n") + entry(" ", "> <name>\nn2\n\n")
    reading = read("a.sdf", text, MOLECULE, optional=["ic50"])
    assert reading.rows == [
        {"molecule": f"m1{METHANE}".rstrip("\n"), "id": "m1", "ic50": "3.5"},
        {"molecule": f" {METHANE}".rstrip("\n"), "id": "n2", "ic50": None},
    ]
    assert reading.lines == [1, 15]
    assert reading.bad == {}


def test_all_columns_are_text_id_and_values(read: Read) -> None:
    reading = read("a.sdf", entry("m1", "> <note>\ntwo\nlines\n\n> <empty>\n\n"), None, ["note"])
    assert reading.rows == [
        {"molblock": f"m1{METHANE}".rstrip("\n"), "id": "m1", "note": "two\nlines", "empty": None}
    ]
    assert reading.kept == [{"note": "two\nlines"}]


@pytest.mark.parametrize("name", ["a.sdf", "a.sdf.gz", "A.SDF"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_gzip_do_not_matter(read: Read, name: str, end: str) -> None:
    text = entry("m1") + entry("m2").removesuffix("$$$$\n")  # the last end may be left out
    reading = read(name, text.replace("\n", end), MOLECULE, optional=["ic50"])
    assert [row["id"] for row in reading.rows] == ["m1", "m2"]
    assert all("\r" not in row["molecule"] for row in reading.rows)


def test_a_record_without_text_is_at_fault_alone(read: Read) -> None:
    reading = read("a.sdf", "$$$$\n" + entry("m1") + "$$$$\n\n\n", MOLECULE, optional=["ic50"])
    assert reading.reasons == {0: "no molecule", 2: "no molecule"}
    assert reading.lines == [1, 2, 9]


def test_bytes_that_are_not_utf8_are_one_records_fault(read: Read) -> None:
    body = entry("m1").encode() + entry("caf?").encode().replace(b"?", b"\xe9") + entry("m3").encode()
    reading = read("a.sdf", body, MOLECULE, optional=["ic50"])
    assert reading.reasons == {1: "not UTF-8"}


def test_a_record_without_end_is_bounded(read: Read) -> None:
    text = entry("m1") + "x\n" * 500 + "$$$$\n" + entry("m3")
    reading = read("a.sdf", text, MOLECULE, optional=["ic50"], limits=Limits(line_bytes=200, block_bytes=64))
    assert reading.reasons == {1: "more than 200 characters without a line of $$$$"}
    assert [row["id"] for row in reading.rows] == ["m1", None, "m3"]


def test_a_title_or_a_value_may_begin_like_a_value(read: Read) -> None:
    reading = read("a.sdf", entry("> <ic50>", "> <note>\n> <ic50>\n\n"), None)
    assert reading.rows[0]["id"] == "> <ic50>"
    assert reading.rows[0]["note"] == "> <ic50>"
    assert "ic50" not in reading.rows[0]


def test_a_missing_value_is_refused_by_name(read: Read) -> None:
    with pytest.raises(DatasetError, match=r"no column for ic50.*its columns are molblock, id, other"):
        read("a.sdf", entry("m1", "> <other>\n1\n\n"), MOLECULE)


def test_records_are_those_of_rdkit(tmp_path: Path) -> None:
    path = tmp_path / "a.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for at, smiles in enumerate(["CCO", "c1ccccc1C(=O)O", "C[C@H](N)O", "[Na+].[Cl-]"] * 30):
            mol = Chem.MolFromSmiles(smiles)
            mol.SetProp("_Name", f"m{at}")
            mol.SetProp("value", f"{at}\nof it")
            writer.write(mol)
    theirs = list(Chem.SDMolSupplier(str(path)))
    limits = Limits(block_bytes=777)
    batches = read_batches(find_sources([path]), None, limits=limits)
    ours = [row for batch in batches for row in zip(*batch.columns.values(), strict=True)]
    assert len(ours) == len(theirs) == 120
    for (block, title, value), mol in zip(ours, theirs, strict=True):
        assert Chem.MolToSmiles(Chem.MolFromMolBlock(block)) == Chem.MolToSmiles(mol)
        assert (title, value) == (mol.GetProp("_Name"), mol.GetProp("value"))


def test_a_pipe_is_known_by_its_fourth_line() -> None:
    assert sniff_format(entry("m1").encode()) == "sdf"
    reading = read_batches(find_sources(["-"]), None, stdin=io.BytesIO(entry("CCO").encode()))
    assert [batch.columns["id"] for batch in reading] == [["CCO"]]
