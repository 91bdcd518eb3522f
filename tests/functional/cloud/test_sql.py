"""SQL on a stack: workers out of an image that holds DuckDB, the same rows as here."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

QUERY = "SELECT name, count(*) n, sum(x)::DECIMAL(18,2) s FROM chunk LEFT JOIN t USING (g) GROUP BY name"
MERGE = "SELECT name, sum(n) n, sum(s) s FROM partial GROUP BY name ORDER BY name"


@pytest.mark.long
def test_a_rehearsal_gives_the_rows_of_the_laptop(desk):
    lines = "".join(f"{'abc'[i % 3]},{i / 4}\n" for i in range(300))
    desk.write("data.csv", f"g,x\n{lines}a,b,c\n")
    pq.write_table(pa.table({"g": ["a", "b"], "name": ["one", "two"]}), desk.folder / "t.parquet")
    words = ("run", "sql", "data.csv", "--query", QUERY, "--merge", MERGE, "--table", "t=t.parquet")
    here = desk.aliquot(*words, "--out", "here")
    there = desk.aliquot(*words, "--out", "there", "--on", "rehearsal")
    assert (here.code, there.code) == (0, 0), here.err + there.err
    assert desk.table("here").num_rows == 3
    assert desk.table("there").equals(desk.table("here"))
    assert desk.read("failures", "there").equals(desk.read("failures", "here"))
