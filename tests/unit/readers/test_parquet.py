"""Parquet: only what is wanted, as Python values, a damaged file in one clear sentence."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aliquot.errors import DatasetError
from aliquot.readers import Limits, find_sources, read_batches


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


def test_rows_come_back_as_python_values(path: Path, join: Any, reaction: Any) -> None:
    rows = [{"id": i, "reaction": f"C>>{i}", "x": [1.0, None], "s": {"t": "u"}} for i in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    sources = find_sources([path])
    batches = list(read_batches(sources, None, limits=Limits(records=3)))
    assert join(batches).rows == rows
    assert join(batches).lines == list(range(1, 11))
    assert batches[-1].fraction == 1.0
    reading = join(list(read_batches(sources, reaction, ["s", "id"])))
    assert reading.rows[3] == {"reaction": "C>>3", "id": 3}
    assert reading.kept[3] == {"s": {"t": "u"}, "id": 3}


def test_a_row_without_a_reaction_is_at_fault(path: Path, join: Any, reaction: Any) -> None:
    pq.write_table(pa.table({"reaction": ["C>>O", None]}), path)
    reading = join(list(read_batches(find_sources([path]), reaction)))
    assert reading.reasons == {1: "no reaction"}
    assert reading.rows[0] == {"reaction": "C>>O", "id": None}


def test_nanoseconds_are_cut_and_dates_past_pythons_are_at_fault(path: Path, join: Any) -> None:
    nanoseconds = pa.array([1_000_001, 0], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"t": nanoseconds, "d": pa.array([0, 10_000_000], pa.date32())}), path)
    reading = join(list(read_batches(find_sources([path]), None)))
    assert reading.rows[0]["t"].astimezone(UTC) == datetime(1970, 1, 1, 0, 0, 0, 1000, UTC)
    assert "cannot hold" in reading.reasons[1]


def test_rows_of_a_megabyte_come_one_by_one(path: Path) -> None:
    pq.write_table(pa.table({"x": [bytes([i]) * (1 << 20) for i in range(4)]}), path, compression="none")
    batches = list(read_batches(find_sources([path]), None))
    assert [batch.n_records for batch in batches] == [1, 1, 1, 1]
    assert batches[0].sizes == [1 << 20]


def test_what_is_not_parquet_is_refused(path: Path) -> None:
    path.write_bytes(b"id,reaction\n" * 100)
    with pytest.raises(DatasetError, match="cannot be read as Parquet after 0 rows"):
        list(read_batches(find_sources([path]), None))


def test_a_missing_column_tells_the_way_out(path: Path, reaction: Any) -> None:
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(
        DatasetError, match=r"its columns are a: tell which it is with --column reaction=NAME"
    ):
        list(read_batches(find_sources([path]), reaction))


def test_no_rows_give_no_batch(path: Path, reaction: Any) -> None:
    pq.write_table(pa.table({"reaction": pa.array([], pa.string())}), path)
    assert list(read_batches(find_sources([path]), reaction)) == []


def test_readers_are_imported_without_pyarrow() -> None:
    """The command line answers at once; pyarrow alone takes longer to import than the rest."""
    code = "import sys, aliquot.readers; print('pyarrow' in sys.modules)"
    paths = ":".join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_file_within_gzip_reads_the_same(path: Path, join: Any) -> None:
    rows = [{"id": i, "reaction": f"C>>{i}"} for i in range(50)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    packed = path.with_name("a.parquet.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plain = join(list(read_batches(find_sources([path]), None))).rows
    assert join(list(read_batches(find_sources([packed]), None))).rows == plain
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="cannot be read as Parquet"):
        list(read_batches(find_sources([packed]), None))
