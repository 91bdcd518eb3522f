"""Queries are read from any of the formats, and refused by file and line where one does not parse."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from aliquot.errors import BadReference
from aliquot_chem.query_file import read_queries

WANTED = [("q1", "CCO"), ("q 2", "c1ccccc1")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.smi", "CCO q1\n\nc1ccccc1 q 2\n"),
        ("a.smi", "smiles name\nCCO\tq1\nc1ccccc1\tq 2"),
        ("a.smi.gz", "CCO |$a;b;c$| q1\r\nc1ccccc1 q 2\r\n"),
        ("a.csv", 'name,SMILES\nq1,CCO\n"q 2",c1ccccc1\n'),
        ("a.tsv", "smiles\tquery_id\nCCO\tq1\nc1ccccc1\tq 2\n"),
        ("a.jsonl", '{"smiles": "CCO", "id": "q1"}\n{"smiles": "c1ccccc1", "id": "q 2"}\n'),
    ],
)
def test_formats_are_told_by_content(tmp_path: Path, name: str, text: str) -> None:
    body = text.encode()
    path = tmp_path / "queries"
    path.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
    assert [(q.id, Chem.MolToSmiles(q.mol)) for q in read_queries(path)] == WANTED


def test_parquet_and_sdf_hold_queries(tmp_path: Path) -> None:
    pq.write_table(pa.table({"smiles": ["CCO", "c1ccccc1"], "id": ["q1", "q 2"]}), tmp_path / "queries")
    assert [(q.id, q.text) for q in read_queries(tmp_path / "queries")] == WANTED
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) for _, smiles in WANTED]
    entries = [f"{name}{block}> <x>\n1\n\n$$$$\n" for (name, _), block in zip(WANTED, blocks, strict=True)]
    (tmp_path / "queries").write_text("".join(entries))
    assert [(q.id, Chem.MolToSmiles(q.mol)) for q in read_queries(tmp_path / "queries")] == WANTED


def test_a_query_without_id_is_called_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\nCC two\nC\n")
    assert [q.id for q in read_queries(tmp_path / "a.smi")] == ["1", "two", "3"]


def test_bad_queries_are_refused_by_file_and_line(tmp_path: Path) -> None:
    """All of them: a screening against some of the queries is not the one that was asked for."""
    (tmp_path / "a.smi").write_text("CCO a\n\nnonsense b\nC(C)(C)(C)(C)C c\nCC d\n")
    with pytest.raises(BadReference) as raised:
        read_queries(tmp_path / "a.smi")
    assert (raised.value.path, raised.value.n_bad) == (str(tmp_path / "a.smi"), 2)
    assert raised.value.rows[0] == (3, "not SMILES")
    assert raised.value.rows[1][0] == 4
    assert "valence" in raised.value.rows[1][1]
    assert "line 3: not SMILES" in str(raised.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "holds no queries"),
        (b"\n \n", "holds no queries"),
        (b"caf\xe9 x\n", "not UTF-8"),
        (b"smiles,id\n,a\n", "no molecule"),
        (b"smiles,id\n", "no rows"),
        (b"\x1f\x8bbroken", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_what_holds_no_queries_is_refused(tmp_path: Path, body: bytes | None, said: str) -> None:
    if body is not None:
        (tmp_path / "queries").write_bytes(body)
    with pytest.raises(BadReference, match=said):
        read_queries(tmp_path / "queries")
