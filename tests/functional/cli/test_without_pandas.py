"""Commands leave pandas alone, which takes longer to import than a small run, until a job asks for it."""

from __future__ import annotations

import pytest

pytest.importorskip("pandas")

DATA = "id,n\nr1,1\nr2,2\n"
JOBS = """
import pyarrow as pa

def double(record):
    return {"n": 2 * int(record["n"])}

def frame(record):
    rows = pa.array([record["n"], None]).to_pandas()
    return {"is_null": [bool(each) for each in rows.isna()]}
"""
LATER = """
import sys
from orchestrator.without_pandas import leave_pandas_out
leave_pandas_out()
import pyarrow as pa
table = pa.table({"n": pa.array([1.5, None])})
assert "pandas" not in sys.modules
frame = table.to_pandas()
assert frame["n"].isna().tolist() == [False, True]
assert pa.Table.from_pandas(frame).equals(table)
print("all is there")
"""


def test_run_of_rows_imports_no_pandas(desk):
    desk.write("data.csv", DATA)
    desk.write("mine.py", JOBS)
    words = ["-X", "importtime", "-m", "orchestrator.cli", "run", "mine:double", "data.csv", "--out", "out"]
    said = desk.script_with(*words, "--quiet")
    assert said.code == 0, said
    imported = {line.rpartition("|")[2].strip() for line in said.err.splitlines()}
    assert "pyarrow" in imported
    assert not {name for name in imported if name.startswith("pandas.")}  # the attempt itself is listed
    assert [row["n"] for row in desk.rows()] == [2, 4]


def test_job_has_pandas_where_it_asks(desk):
    desk.write("data.csv", DATA)
    desk.write("mine.py", JOBS)
    said = desk.aliquot("run", "mine:frame", "data.csv", "--out", "out")
    assert said.code == 0, said
    assert [row["is_null"] for row in desk.rows()] == [[False, True]] * 2


def test_what_asks_for_pandas_by_name_gets_it(desk):
    said = desk.python(LATER)
    assert said.out == "all is there\n", said
