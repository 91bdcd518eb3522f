"""An index is a dataset of its parts, known by its first bytes, whatever it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, find_sources, read_batches
from aliquot.readers.sources import INDEX_MAGIC

FIELDS = {"text": Column(("text",), "line"), "number": Column((), "part")}


def write_index(path: Path, header: Any) -> Path:
    body, text = b"whatever it holds", json.dumps(header).encode()
    at = len(INDEX_MAGIC) + 16 + len(body)
    places = at.to_bytes(8, "little") + len(text).to_bytes(8, "little")
    path.write_bytes(INDEX_MAGIC + places + body + text)
    return path


@pytest.mark.parametrize("name", ["lib", "lib.index", "lib.csv", "lib.gz"])
def test_a_record_is_a_part_of_the_index(tmp_path: Path, name: str) -> None:
    sources = find_sources([write_index(tmp_path / name, {"parts": 5})])
    assert [(source.format, source.is_gzip) for source in sources] == [("index", False)]
    batches = list(read_batches(sources, FIELDS, optional=["number"], limits=Limits(records=2)))
    assert [batch.columns["number"] for batch in batches] == [[0, 1], [2, 3], [4]]
    assert [batch.columns["text"] for batch in batches] == [[None] * 2, [None] * 2, [None]]
    assert [list(batch.columns) for batch in batches] == [list(FIELDS)] * 3
    assert [batch.lines for batch in batches] == [[1, 2], [3, 4], [5]]
    assert not any(batch.bad for batch in batches)
    assert batches[-1].fraction == 1.0


def test_an_index_without_parts_has_no_records(tmp_path: Path) -> None:
    assert list(read_batches(find_sources([write_index(tmp_path / "lib", {"parts": 0})]), FIELDS)) == []


@pytest.mark.parametrize("fields", [None, {"text": Column(("text",), "line")}])
def test_a_job_that_reads_no_index_says_so(tmp_path: Path, fields: Any) -> None:
    sources = find_sources([write_index(tmp_path / "lib", {"parts": 5})])
    with pytest.raises(DatasetError, match=r"is an index, and this job reads none"):
        list(read_batches(sources, fields))


def test_no_column_of_an_index_is_kept(tmp_path: Path) -> None:
    sources = find_sources([write_index(tmp_path / "lib", {"parts": 5})])
    with pytest.raises(DatasetError, match="columns of it cannot be kept"):
        list(read_batches(sources, FIELDS, ["text"]))


@pytest.mark.parametrize("header", [{}, {"parts": "5"}, {"parts": -1}, [5], None])
def test_a_damaged_index_is_refused(tmp_path: Path, header: Any) -> None:
    path = write_index(tmp_path / "lib", header)
    if header is None:
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DatasetError, match="is an index that"):
        list(read_batches(find_sources([path]), FIELDS))


@pytest.mark.parametrize(
    ("at", "n_bytes", "text"),
    [(32, 1 << 40, b"{}"), (32, 1 << 63, b"{}"), (1 << 63, 2, b"{}"), (32, 200_000, b"[" * 200_000)],
)
def test_an_index_that_says_too_much_of_its_header_is_refused(
    tmp_path: Path, at: int, n_bytes: int, text: bytes
) -> None:
    """What it says decides how much memory is taken, and how deep JSON goes."""
    path = tmp_path / "lib"
    path.write_bytes(INDEX_MAGIC + at.to_bytes(8, "little") + n_bytes.to_bytes(8, "little") + text)
    with pytest.raises(DatasetError, match="is an index that cannot be read"):
        list(read_batches(find_sources([path]), FIELDS))
