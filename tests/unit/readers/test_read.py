"""Several sources as one stream."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from aliquot.readers import Limits, find_sources, read_batches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "1.csv").write_text("id,reaction\na,C>>O\n")
    (tmp_path / "2.rsmi").write_text("N>>O b\n" * 3)
    (tmp_path / "3.jsonl").write_text('{"ID": "c", "Rxn_Smiles": "S>>O"}\n')
    return tmp_path


def test_sources_follow_each_other(folder: Path, join: Any, reaction: Any) -> None:
    batches = list(read_batches(find_sources([folder]), reaction, limits=Limits(records=2)))
    assert [(batch.source, batch.n_records) for batch in batches] == [(0, 1), (1, 2), (1, 1), (2, 1)]
    assert [row["id"] for row in join(batches).rows] == ["a", "b", "b", "b", "c"]
    assert join(batches).lines == [2, 1, 2, 3, 1]


def test_the_fraction_grows_to_one_over_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "1.smi").write_text("C x\n" * 30_000)
    (tmp_path / "2.smi").write_text("C x\n" * 10_000)
    batches = list(read_batches(find_sources([tmp_path]), None))
    fractions = [batch.fraction or 0.0 for batch in batches]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.75
    assert max(batch.fraction or 0.0 for batch in batches if batch.source == 0) == 0.75
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.jsonl", "a.csv.gz"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, name: str) -> None:
    row = '{"smiles": "CCO"}\n' if "jsonl" in name else '"CCO",12345\n'
    peaks = []
    for n_records in (15_000, 75_000):
        content = ("a,b\n" * ("csv" in name) + row * n_records).encode()
        (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        sources = find_sources([tmp_path / name])
        tracemalloc.start()
        assert sum(batch.n_records for batch in read_batches(sources, None)) == n_records
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
