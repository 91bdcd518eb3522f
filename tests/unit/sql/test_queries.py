"""A query over chunks, merged, is what one DuckDB says of the same rows; it sees what it is given."""

from __future__ import annotations

import csv
import gzip
from datetime import date
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aliquot.cutting
from aliquot.chunk import ChunkReader
from aliquot.columnar import encode_schema
from aliquot.cutting import cut_chunks, encode_chunk
from aliquot.errors import BadOption, BadReference
from aliquot.feeding import TableFeed
from aliquot.job import Reference
from aliquot.readers.batch import Batch
from aliquot_sql.queries import Database, QueryFailed, join_bytes, plan, to_bytes
from aliquot_sql.sql import Options, list_stages

SCHEMA = pa.schema(
    [
        ("k", pa.int32()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("d", pa.decimal128(9, 2)),
        ("day", pa.date32()),
        ("word", pa.string()),
        ("parts", pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))),
    ]
)
PART = st.fixed_dictionaries(
    {"a": st.none() | st.integers(-5, 5), "b": st.none() | st.text("xy", max_size=2)}
)
ROW = st.fixed_dictionaries(
    {
        "k": st.none() | st.integers(0, 4),
        "n": st.none() | st.integers(-(1 << 40), 1 << 40),
        "x": st.none() | st.integers(-1000, 1000).map(lambda n: n / 8),  # whose sums are exact in any order
        "d": st.none() | st.integers(-(10**6), 10**6).map(lambda n: Decimal(n).scaleb(-2)),
        "day": st.none() | st.dates(date(1990, 1, 1), date(2030, 1, 1)),
        "word": st.none() | st.text("abcä'", max_size=3),
        "parts": st.none() | st.lists(PART, max_size=2),
    }
)
QUERIES = [
    (
        (
            "SELECT k, count(*) c, count(x) cx, sum(n) n, sum(x) x, sum(d) d, min(day) first, max(word) w "
            "FROM chunk GROUP BY k"
        ),
        (
            "SELECT k, sum(c)::BIGINT c, sum(cx)::BIGINT cx, sum(n)::HUGEINT n, sum(x) x, "
            "sum(d)::DECIMAL(38,2) d, min(first) first, max(w) w FROM partial "
            "GROUP BY k ORDER BY k NULLS FIRST"
        ),
        (
            "SELECT k, count(*) c, count(x) cx, sum(n) n, sum(x) x, sum(d) d, min(day) first, max(word) w "
            "FROM chunk GROUP BY k ORDER BY k NULLS FIRST"
        ),
    ),
    (
        "SELECT r.name, chunk.word, sum(n) n FROM chunk LEFT JOIN r USING (k) GROUP BY ALL",
        "SELECT name, word, sum(n)::HUGEINT n FROM partial GROUP BY ALL ORDER BY ALL",
        "SELECT r.name, chunk.word, sum(n) n FROM chunk LEFT JOIN r USING (k) GROUP BY ALL ORDER BY ALL",
    ),
    ("SELECT k, parts, d FROM chunk WHERE n > 0", None, "SELECT k, parts, d FROM chunk WHERE n > 0"),
    (
        "SELECT p.a, count(*) c FROM (SELECT unnest(parts) p FROM chunk) GROUP BY ALL",
        "SELECT a, sum(c)::BIGINT c FROM partial GROUP BY ALL ORDER BY ALL",
        "SELECT p.a, count(*) c FROM (SELECT unnest(parts) p FROM chunk) GROUP BY ALL ORDER BY ALL",
    ),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict[str, Reference]:
    path = tmp_path_factory.mktemp("tables") / "it's.parquet"
    pq.write_table(pa.table({"k": pa.array([0, 1, 2, 2], pa.int32()), "name": ["p", "q", "r", "s"]}), path)
    return {"r": Reference(path, "")}


def run_in_chunks(table: pa.Table, query: str, merge: str | None, tables, n_batch: int) -> pa.Table:
    """What the job does with a table, in this process: cut, stored, read, asked, merged."""
    batches = []
    for batch in table.to_batches(max_chunksize=n_batch):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        n = batch.num_rows
        batches.append(Batch(0, columns, {}, range(1, n + 1), {}, [8] * n, None))
    plan(query, merge, tables, encode_schema(table.schema))
    database, answers = Database(tables, "--query"), []
    for cut in cut_chunks(batches):
        feed = TableFeed(ChunkReader(encode_chunk(cut.chunk), cut.id))
        (chunk,) = feed.records(0, cut.id.n_records)
        answers.append(to_bytes(database.ask(query, chunk=chunk)))
    partial = join_bytes(answers)
    return partial if merge is None else Database(tables, "--merge").ask(merge, partial=partial)


def run_at_once(table: pa.Table, query: str, tables) -> pa.Table:
    connection = duckdb.connect()
    connection.register("chunk", table)
    for name, reference in tables.items():
        connection.register(name, pq.read_table(reference.path))
    return connection.sql(query).to_arrow_table()


TABLES = {
    "rows": st.lists(ROW, min_size=1, max_size=30),
    "n_chunk": st.integers(1, 12),
    "n_batch": st.integers(1, 9),
}


@settings(max_examples=8)
@given(**TABLES)
def test_chunks_merged_are_one_duckdb(rows, n_chunk, n_batch, names):
    """NULLs, decimals, dates, nested values, results without rows: values and types."""
    compare(rows, n_chunk, n_batch, names)


@pytest.mark.long
@settings(max_examples=200)
@given(**TABLES)
def test_more_chunks_merged_are_one_duckdb(rows, n_chunk, n_batch, names):
    compare(rows, n_chunk, n_batch, names)


def compare(rows, n_chunk, n_batch, names) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aliquot.cutting, "TABLE_RECORDS", n_chunk)
        for query, merge, whole in QUERIES:
            found = run_in_chunks(table, query, merge, names, n_batch)
            expected = run_at_once(table, whole, names)
            assert found.schema == expected.schema, whole
            assert found.to_pylist() == expected.to_pylist(), whole


def test_real_aggregates_are_one_duckdb(shared_data, monkeypatch):
    with gzip.open(shared_data / "uspto/uspto480k-valid.rsmi.gz", "rt") as file:
        texts = [line.split()[0] for line in file][:20_000]
    with (shared_data / "uspto/uspto50k-eval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    monkeypatch.setattr(aliquot.cutting, "TABLE_RECORDS", 700)
    count = "SELECT {} m, count(*) n, min(len(t)) a, max(len(t)) b FROM {} GROUP BY m"
    merge = "SELECT m, sum(n)::BIGINT n, min(a) a, max(b) b FROM partial GROUP BY m ORDER BY m"
    for each in (texts, [next(iter(row.values())) for row in rows]):
        table = pa.table({"t": each})
        query = count.format("len(string_split(t, '.'))", "chunk")
        found = run_in_chunks(table, query, merge, {}, 500)
        assert found.equals(run_at_once(table, f"{query} ORDER BY m", {}))
        assert sum(found["n"].to_pylist()) == len(each)


def test_a_query_sees_only_what_it_is_given(tmp_path, names):
    """On a stack it runs beside the worker's rights: no files, no settings, no variables of the program."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    variable = pa.table({"a": [1]})
    database, chunk = Database(names, "--query"), pa.table({"a": [1]})
    assert database.ask("SELECT count(*) n FROM r", chunk=chunk).to_pylist() == [{"n": 4}]
    for query in (
        f"FROM '{secret}'",
        f"FROM read_csv('{secret}')",
        f"FROM read_text('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'made.csv'}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT getenv('HOME')",
        "FROM variable",
    ):
        with pytest.raises(QueryFailed):
            database.ask(query, chunk=chunk)
    assert variable.num_rows == 1
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize(
    ("query", "merge", "said"),
    [
        ("SELEC 1", None, "--query: Parser Error: syntax error"),
        ("SELECT x FROM reactions", None, "Table with name reactions does not exist! The query sees `chunk`"),
        (
            "SELECT x FROM chunk",
            "FROM chunk",
            "Table with name chunk does not exist! The query sees `partial`",
        ),
        ("SELECT leng(word) FROM chunk", None, 'Did you mean "len"?'),
        ("SELECT y FROM chunk", None, '--query: Binder Error: Referenced column "y"'),
        ("SELECT x FROM chunk", "SELECT y FROM partial", '--merge: Binder Error: Referenced column "y"'),
        (
            "SELECT x FROM chunk; SELECT 1",
            None,
            "--query: takes one SELECT over `chunk`, found SELECT and SELECT",
        ),
        ("DELETE FROM chunk", None, "found DELETE"),
        ("", None, "found none"),
    ],
)
def test_what_cannot_be_planned_is_told_before_the_run(query, merge, said):
    with pytest.raises(BadOption) as caught:
        plan(query, merge, {}, encode_schema(SCHEMA))
    assert said in str(caught.value)


def test_tables_that_cannot_be_are_told_before_the_run(tmp_path):
    path = tmp_path / "no.parquet"
    path.write_text("no")
    with pytest.raises(BadReference, match="no Parquet file"):
        plan("SELECT 1 FROM chunk", None, {"r": Reference(path, "")}, encode_schema(SCHEMA))
    with pytest.raises(BadOption, match="choose another"):
        plan("SELECT 1 FROM chunk", None, {"Chunk": Reference(path, "")}, encode_schema(SCHEMA))


def test_the_chain_has_a_merge_where_one_is_asked_for():
    assert [stage.name for stage in list_stages(Options("SELECT 1"))] == ["query"]
    assert [(stage.name, stage.whole) for stage in list_stages(Options("SELECT 1", "SELECT 2"))] == [
        ("query", True),
        ("merge", False),
    ]
