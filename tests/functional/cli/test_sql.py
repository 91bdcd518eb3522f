"""`aliquot run sql` as a user types it, and what a stage that takes chunks whole does when it fails."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COUNT = "SELECT g, count(*) n, sum(x) s FROM chunk GROUP BY g"
MERGE = "SELECT g, sum(n)::BIGINT n, sum(s) s FROM partial GROUP BY g ORDER BY g"
WHOLE = """
import os, signal
from dataclasses import dataclass
from typing import Annotated
from aliquot.job import Column, Job, Stage

@dataclass(frozen=True)
class Options:
    schema: Annotated[str, Column(("schema",), "schema")] = ""

def open_whole(options, prepared):
    def answer(table):
        names = table.column("name").to_pylist()
        if "crash" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in names:
            raise ValueError("not this chunk")
        return table.select(["name"]).slice(0, 2)
    return answer

job = Job("whole", version=1, options=Options, stages=(Stage("all", open_whole, whole=True),))
"""


def write_csv(desk, lines, name="data.csv"):
    desk.write(name, "g,x\n" + "".join(f"{line}\n" for line in lines))
    return name


def test_query_and_merge_over_text_and_a_table(desk):
    """The last row makes `x` a double in all chunks; one that does not parse fails as ever."""
    lines = [f"{'ab'[i % 2]},{i}" for i in range(400)] + ["a,1,2,3", "c,0.5", "d,"]
    pq.write_table(
        pa.table({"g": ["a", "b", "c"], "name": ["one", "two", "three"]}), desk.folder / "t.parquet"
    )
    query = "SELECT name, count(*) n, sum(x) s FROM chunk LEFT JOIN t USING (g) GROUP BY name"
    merge = "SELECT name, sum(n)::BIGINT n, sum(s) s FROM partial GROUP BY name ORDER BY name NULLS LAST"
    said = desk.aliquot(
        "run", "sql", write_csv(desk, lines), "--query", query, "--merge", merge, "--table", "t=t.parquet",
        "--out", "out",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert desk.table().schema == pa.schema([("name", pa.string()), ("n", pa.int64()), ("s", pa.float64())])
    assert desk.rows() == [
        {"name": "one", "n": 200, "s": sum(range(0, 400, 2))},
        {"name": "three", "n": 1, "s": 0.5},
        {"name": "two", "n": 200, "s": sum(range(1, 400, 2))},
        {"name": None, "n": 1, "s": None},
    ]
    (failure,) = desk.read("failures")
    assert (failure["kind"], failure["line"], failure["input"]) == ("parse", 402, "a,1,2,3")
    assert f"merge={merge}, query={query}, table={{'t': '" in desk.aliquot("show", "out").out  # no schema


def test_without_merge_rows_come_in_order_of_chunks(desk):
    """More than one chunk, on two hosts; types that only Arrow has stay as one DuckDB gives them."""
    n = 300_000
    table = pa.table(
        {"i": pa.array(range(n), pa.int32()), "d": pa.array([1.5] * n).cast(pa.decimal128(6, 2))}
    )
    pq.write_table(table, desk.folder / "big.parquet")
    query = "SELECT i, d, {'half': i // 2} AS s FROM chunk WHERE i % 30000 = 7"
    said = desk.aliquot("run", "sql", "big.parquet", "--query", query, "--workers", "2", "--out", "out")
    assert said.code == 0, said.err
    connection = duckdb.connect()
    connection.register("chunk", table)
    assert desk.table().equals(connection.sql(query).to_arrow_table())
    assert len(list((desk.folder / "out/ledger/chunks").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--query", "SELECT y FROM chunk"), 'option --query: Binder Error: Referenced column "y" not found'),
        (("--query", COUNT, "--types", "y=text"), "has no column 'y' for --types; its columns are g, x"),
        (("--query", COUNT, "--table", "t.parquet"), "option --table: 't.parquet' is not NAME=PATH"),
        (("--query", COUNT, "--keep", "g"), "option --keep: job 'sql' takes chunks whole"),
        (("--query", COUNT, "--rate", "5/s"), "option --rate: job 'sql' takes chunks whole"),
    ],
)
def test_what_is_wrong_is_told_before_the_run(desk, words, said):
    found = desk.aliquot("run", "sql", write_csv(desk, ["a,1"]), *words, "--out", "out")
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err


def test_a_pipe_is_refused_with_the_way_out(desk):
    found = desk.aliquot("run", "sql", "-", "--query", COUNT, "--out", "out", stdin=b"g,x\na,1\n")
    assert found.code == 2
    assert "needs the types of all columns before it begins: give it files" in found.err


def test_a_query_that_fails_says_what_duckdb_says(desk):
    """A merge that fails has failed all records, not those alone beside which their chunks' rows stand."""
    data, merge = write_csv(desk, ["a,1", "b,2"]), "SELECT CAST(max(g) AS INT) i FROM partial"
    found = desk.aliquot("run", "sql", data, "--query", COUNT, "--merge", merge, "--out", "out")
    assert found.code == 3
    failures = desk.read("failures")
    assert [(failure["record"], failure["stage"]) for failure in failures] == [(0, "merge"), (1, "merge")]
    assert "--merge: Conversion Error: Could not convert string 'b' to INT32" in failures[0]["message"]


@pytest.mark.parametrize(
    ("word", "kind"), [("crash", "crash"), pytest.param("raise", "exception", marks=pytest.mark.long)]
)
def test_a_chunk_stands_or_falls_together(desk, word, kind):
    """What ends a host costs the chunk that it was at, each record of it, and no other."""
    desk.write("whole.py", WHOLE)
    text = "x" * 30_000
    desk.write("data.csv", "name,text\n" + "".join(f"{word if i == 100 else i},{text}\n" for i in range(300)))
    said = desk.aliquot("run", "whole:job", "data.csv", "--out", "out", "--max-failed", "100%")
    assert said.code == 0, said.err
    failures = desk.read("failures")
    n_failed = len(failures)
    assert [failure["record"] for failure in failures] == list(range(n_failed))
    assert {failure["kind"] for failure in failures} == {kind}
    assert 100 < n_failed < 300
    assert [row["name"] for row in desk.rows()] == [str(n_failed), str(n_failed + 1)]


def test_a_plan_says_what_it_takes(desk):
    said = desk.aliquot("plan", "sql", write_csv(desk, ["a,1"] * 500), "--query", COUNT, "--merge", MERGE)
    assert said.code == 0, said.err
    assert "500 records in 1 chunk" in said.out
    assert "from a probe of 500 records" in said.out
