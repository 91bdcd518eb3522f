"""A join of millions of rows with a table: `aliquot run sql` beside DuckDB alone and pandas.

    make bench-sql                              # 10 million rows, writes benchmarks/sql.md, some minutes
    .venv/bin/python -m benchmarks.sql --rows 1000000 --turns 1

Each is a process of its own, from the files to the answer, in turns; answers are held equal. The join's table
is Parquet of a tenth as many rows. What a column costs as lists and as Arrow is measured in this process.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aliquot.codec import pack, unpack
from aliquot.columnar import pack_table, unpack_table

PAGE = Path(__file__).with_suffix(".md")
WORKERS = 2
_JOIN = "SELECT grp, count(*) n, sum(x * w) s FROM {} JOIN {} USING (key) GROUP BY grp"
_MERGE = "SELECT grp, sum(n)::BIGINT n, sum(s) s FROM partial GROUP BY grp ORDER BY grp"
_DUCKDB = """
import duckdb
connection = duckdb.connect(config={{"threads": {threads}}})
connection.sql({query!r}).write_parquet({out!r})
"""
_PANDAS = """
import pandas
rows = pandas.read_parquet({data!r}).merge(pandas.read_parquet({table!r}), on="key")
rows["s"] = rows["x"] * rows["w"]
found = rows.groupby("grp").agg(n=("s", "size"), s=("s", "sum")).reset_index()
found.to_parquet({out!r})
"""


@dataclass(frozen=True)
class Took:
    """What a process took: wall and processor seconds, its children's with it."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Read the command line, measure, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write benchmarks/sql.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aliquot-bench-sql-") as folder:
        joins = measure_joins(Path(folder), asked.rows, asked.turns)
    page = write_page(asked.rows, asked.turns, joins, measure_forms())
    sys.stdout.write(page)
    if asked.write:
        PAGE.write_text(page, encoding="utf-8")


def make_data(folder: Path, n_rows: int) -> tuple[Path, Path]:
    """The rows and the table that they are joined with."""
    rng, n_keys = np.random.default_rng(1), max(1, n_rows // 10)
    data, table = folder / "data.parquet", folder / "table.parquet"
    columns = {"id": np.arange(n_rows), "key": rng.integers(0, n_keys, n_rows), "x": rng.random(n_rows)}
    pq.write_table(pa.table(columns), data)
    others = {"key": rng.permutation(n_keys), "grp": rng.integers(0, 100, n_keys), "w": rng.random(n_keys)}
    pq.write_table(pa.table(others), table)
    return data, table


def measure_joins(folder: Path, n_rows: int, n_turns: int) -> dict[str, list[Took]]:
    """What each takes for the join, all in turns; raises AssertionError where answers differ."""
    data, table = make_data(folder, n_rows)
    took: dict[str, list[Took]] = {}
    for turn in range(n_turns):
        found: list[pa.Table] = []
        for name, command in list_commands(data, table).items():
            out = folder / f"{turn}-{len(found)}"
            took.setdefault(name, []).append(run(command(out)))
            found.append(pq.read_table(out / "result" if out.is_dir() else out).sort_by("grp"))
        for other in found[1:]:
            assert other["n"].to_pylist() == found[0]["n"].to_pylist()  # noqa: S101 - a measurement of equals
            assert np.allclose(other["s"], found[0]["s"], rtol=1e-9)  # noqa: S101
    return took


def list_commands(data: Path, table: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Each way of doing the join, as a command that writes its rows to a place."""
    whole = _JOIN.format(f"'{data}'", f"'{table}'")

    def duckdb(threads: int) -> Callable[[Path], list[str]]:
        def command(out: Path) -> list[str]:
            return [sys.executable, "-c", _DUCKDB.format(threads=threads, query=whole, out=str(out))]

        return command

    def aliquot(out: Path) -> list[str]:
        words = ["run", "sql", str(data), "--table", f"names={table}", "--merge", _MERGE]
        words += ["--query", _JOIN.format("chunk", "names"), "--workers", str(WORKERS), "--out", str(out)]
        return [sys.executable, "-m", "orchestrator.cli", *words]

    def pandas(out: Path) -> list[str]:
        return [sys.executable, "-c", _PANDAS.format(data=str(data), table=str(table), out=str(out))]

    return {
        f"`aliquot run sql`, {WORKERS} workers": aliquot,
        f"DuckDB alone, {WORKERS} threads": duckdb(WORKERS),
        "DuckDB alone, 1 thread": duckdb(1),
        "pandas": pandas,
    }


def run(command: Sequence[str]) -> Took:
    """A process to its end; raises CalledProcessError."""
    before, began_s = _read_children_s(), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return Took(time.monotonic() - began_s, _read_children_s() - before)


def measure_forms() -> dict[str, tuple[float, float]]:
    """Milliseconds of CPU to store and to read a million values, as lists and as Arrow."""
    rng = np.random.default_rng(2)
    numbers, texts = rng.integers(0, 1 << 40, 1 << 20), [f"molecule-{i}" for i in range(1 << 20)]
    forms: dict[str, tuple[float, float]] = {}
    for name, column in (("whole numbers", pa.array(numbers)), ("texts", pa.array(texts))):
        values = column.to_pylist()
        stored, table = pack(values), pack_table({"x": column})
        forms[f"{name}, as lists"] = (
            _time_ms(lambda values=values: pack(values)),
            _time_ms(lambda stored=stored: pa.array(unpack(stored, "x"))),
        )
        forms[f"{name}, as Arrow"] = (
            _time_ms(lambda column=column: pack_table({"x": column})),
            _time_ms(lambda table=table: unpack_table(table, "x")),
        )
    return forms


def write_page(
    n_rows: int, n_turns: int, joins: dict[str, list[Took]], forms: dict[str, tuple[float, float]]
) -> str:
    """The page."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("duckdb", "pandas", "pyarrow"))
    least = statistics.median(each.cpu_s for each in joins[f"DuckDB alone, {WORKERS} threads"])
    lines = [
        "# SQL over chunks beside DuckDB alone and pandas",
        "",
        (
            f"Written by `make bench-sql` on {platform.machine()}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores, {versions}."
        ),
        "",
        f"{n_rows:,} rows of Parquet joined with a table of {max(1, n_rows // 10):,}, counted and summed by",
        "100 groups. Each is a process from the files to the answer, starting Python and importing included;",
        f"medians of {n_turns} turns in which all take part, lowest and highest in brackets. Answers are",
        "held equal.",
        "",
        "| | CPU s | wall s | CPU, times DuckDB's |",
        "|---|---|---|---|",
    ]
    for name, took in joins.items():
        cpu, wall = _spread([each.cpu_s for each in took]), _spread([each.wall_s for each in took])
        ratio = statistics.median(each.cpu_s for each in took) / least
        lines.append(f"| {name} | {cpu} | {wall} | {ratio:.1f} |")
    lines += [
        "",
        "On one machine one DuckDB is enough, and quicker: it reads the file once, and stores nothing.",
        "`aliquot run sql` writes every chunk to disk and reads it again, scans the table for each chunk,",
        "and starts its processes; what that buys is a run that resumes, that says of each row what became",
        "of it, and that goes to a stack as it is.",
        "",
        "## A million values stored and read",
        "",
        "| | store, ms of CPU | read as an Arrow array, ms of CPU |",
        "|---|---|---|",
        *(f"| {name} | {stored:.1f} | {read:.1f} |" for name, (stored, read) in forms.items()),
        "",
    ]
    return "\n".join(lines)


def _time_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began_s = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - began_s))
    return statistics.median(times)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _read_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
