"""A pipe: its format shows in its first line, and it is read as it arrives."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aliquot.errors import DatasetError
from aliquot.readers import find_sources, read_batches
from aliquot.readers.sniff import is_smiles_like, sniff_format


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a": 1}', "jsonl"),
        (">sp|P1|ONE a protein", "fasta"),
        (">>CCO", "rsmi"),
        ("id,class,reactants>reagents>production", "csv"),
        ("Reaction Id,Smiles", "csv"),
        ('"a","b"', "csv"),
        ("a\tb", "tsv"),
        ("ReactionSmiles\tPatentNumber", "tsv"),
        ("C.C>>O\tUS1", "rsmi"),
        ("C>O>N |f:0.1,2.3| name", "rsmi"),
        ("CCO\tethanol", "smi"),
        ("CC(=O)O acetic acid, glacial", "smi"),
        ("c1ccccc1", "smi"),
        ("smiles name", "smi"),
        ("", "smi"),
    ],
)
def test_the_first_line_tells_the_format(line: str, expected: str) -> None:
    assert sniff_format(f"\ufeff\n{line}\nnext".encode()) == expected


@pytest.mark.parametrize("word", ["id", "pos", "name", "ID", "Year", "ReactionSmiles", "", "x1"])
def test_a_columns_name_is_no_molecule(word: str) -> None:
    assert not is_smiles_like(word)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_stdin_reads_like_a_file(pack: type[bytes], fixtures: Path, join: Any) -> None:
    for name in ("notes.csv", "records.jsonl", "library.smi"):
        path = fixtures / name
        piped = io.BytesIO(pack(path.read_bytes()))
        batches = list(read_batches(find_sources(["-"]), None, stdin=piped))
        assert join(batches) == join(list(read_batches(find_sources([path]), None)))
        assert {batch.fraction for batch in batches} == {None}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_parquet_is_read_from_stdin_too(pack: type[bytes], tmp_path: Path, join: Any) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [f"r{i}" for i in range(5000)], "n": range(5000)}), path)
    batches = list(read_batches(find_sources(["-"]), None, stdin=io.BytesIO(pack(path.read_bytes()))))
    assert join(batches) == join(list(read_batches(find_sources([path]), None)))
    assert {batch.fraction for batch in batches} == {None}


def test_damaged_parquet_from_stdin_says_so() -> None:
    with pytest.raises(DatasetError, match="-: cannot be read as Parquet"):
        list(read_batches(find_sources(["-"]), None, stdin=io.BytesIO(b"PAR1\x15\x04")))


def test_records_come_before_the_pipe_is_closed() -> None:
    """A producer that writes a line a minute must not have to fill a block first."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as producer:
        producer.write(b"C methane\n")
        batches = read_batches(find_sources(["-"]), None, stdin=stdin)
        assert next(batches).columns == {"smiles": ["C"], "id": ["methane"]}
        producer.write(b"O water\nN amm")
        assert next(batches).columns["id"] == ["water"]


def test_one_byte_and_no_byte_are_read(join: Any) -> None:
    for content, n_records in ((b"C", 1), (b"", 0), (b"\n", 0)):
        assert (
            len(join(list(read_batches(find_sources(["-"]), None, stdin=io.BytesIO(content)))).lines)
            == n_records
        )
