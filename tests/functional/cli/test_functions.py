"""Plain functions over every kind of dataset: what they are given, and what becomes of what they return."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ECHO = """
def echo(record):
    return {"seen": repr(record)}
"""


def test_function_returns_none_a_row_or_several(desk):
    """The three shapes of an answer, and a generator of rows, keep the order (record, row)."""
    desk.write(
        "mine.py",
        """
def f(record):
    n = int(record["n"])
    if n == 0:
        return None
    if n == 1:
        return {"which": "one"}
    if n == 2:
        return [{"which": "a"}, {"which": "b", "more": 1.5}]
    return ({"which": str(k)} for k in range(n))
""",
    )
    desk.write("data.csv", "n\n0\n1\n2\n3\n0\n")
    said = desk.aliquot("run", "mine:f", "data.csv", "--out", "out")
    assert said.code == 0, said.err
    table = desk.table()
    assert table.schema.field("record").type == pa.int64()
    found = [(row["record"], row["which"], row["more"]) for row in table.to_pylist()]
    assert found == [
        (1, "one", None),
        (2, "a", None),
        (2, "b", 1.5),
        (3, "0", None),
        (3, "1", None),
        (3, "2", None),
    ]
    summary = desk.summary()
    expected = {"records": 5, "done": 5, "failed": 0, "not_tried": 0, "rows": 6}
    assert {name: summary[name] for name in expected} == expected
    assert summary["elapsed_s"] > 0
    assert summary["cpu_s"] > 0


def test_tables_give_strings_and_empty_is_none(desk):
    desk.write("mine.py", ECHO)
    desk.write("a.csv", 'id,smiles,n\nx,"C,C",7\ny,,\n')
    desk.write("b.tsv", "id\tsmiles\tn\nz\tN\t0.5\n")
    said = desk.aliquot("run", "mine:echo", "a.csv", "b.tsv", "--out", "out")
    assert said.code == 0, said.err
    assert [eval(row["seen"]) for row in desk.rows()] == [  # noqa: S307 - what `repr` wrote
        {"id": "x", "smiles": "C,C", "n": "7"},
        {"id": "y", "smiles": None, "n": None},
        {"id": "z", "smiles": "N", "n": "0.5"},
    ]


def test_line_formats_give_smiles_or_reaction_and_id(desk):
    desk.write("mine.py", ECHO)
    desk.write("m.smi", "CCO ethanol\n\nCC\tethane\nC\n")
    desk.write("r.rsmi", "C.O>>CO methanol\n")
    said = desk.aliquot("run", "mine.py:echo", "m.smi", "r.rsmi", "--out", "out")
    assert said.code == 0, said.err
    seen = [eval(row["seen"]) for row in desk.rows()]  # noqa: S307 - what `repr` wrote
    assert seen == [
        {"smiles": "CCO", "id": "ethanol"},
        {"smiles": "CC", "id": "ethane"},
        {"smiles": "C", "id": None},
        {"reaction": "C.O>>CO", "id": "methanol"},
    ]


def test_records_count_over_all_inputs_in_the_order_given(desk):
    """Folders and globs by path, headers and blank lines left out, gzip as plain."""
    desk.write("mine.py", "def f(record):\n    return {'id': record['id']}\n")
    desk.write("set/b.csv", "id\nb0\nb1\n\n")
    (desk.folder / "set" / "a.csv.gz").write_bytes(gzip.compress(b"id\na0\n"))
    desk.write("set/notes.txt", "not data")
    desk.write("z1.jsonl", '{"id": "z1"}\n')
    desk.write("z0.jsonl", '{"id": "z0"}\n')
    pyarrow.parquet.write_table(pa.table({"id": ["p0"]}), desk.folder / "p.parquet")
    said = desk.aliquot("run", "mine:f", "z*.jsonl", "set", "p.parquet", "--out", "out")
    assert said.code == 0, said.err
    found = [(row["record"], row["id"]) for row in desk.rows()]
    assert found == list(enumerate(["z0", "z1", "a0", "b0", "b1", "p0"]))


def test_pipe_is_read_as_what_its_first_line_is(desk):
    desk.write("mine.py", "def f(record):\n    return record\n")
    said = desk.aliquot("run", "mine:f", "-", "--out", "out", stdin=b'{"a": 1}\n{"a": 2}\n')
    assert said.code == 0, said.err
    assert desk.rows() == [{"record": 0, "a": 1}, {"record": 1, "a": 2}]


def test_arrays_become_fixed_size_lists_with_their_shape(desk):
    desk.write(
        "mine.py",
        "import numpy\ndef f(record):\n    return {'x': numpy.full((2, 3), int(record['n']), 'f4')}\n",
    )
    desk.write("data.csv", "n\n1\n2\n")
    said = desk.aliquot("run", "mine:f", "data.csv", "--out", "out")
    assert said.code == 0, said.err
    column = desk.table().column("x")
    assert column.type == pa.fixed_shape_tensor(pa.float32(), (2, 3))
    assert column.combine_chunks().to_numpy_ndarray().tolist() == [[[1.0] * 3] * 2, [[2.0] * 3] * 2]


def test_csv_and_kept_columns(desk):
    """`--format csv` says the same; a kept column whose name the rows take too gets another."""
    desk.write("mine.py", "def f(record):\n    return [{'id': 'x' + record['id'], 'record': 7}] * 2\n")
    desk.write("data.csv", "id,batch\na,1\nb,\n")
    words = ("run", "mine:f", "data.csv", "--keep", "batch", "--keep", "id")
    assert desk.aliquot(*words, "--out", "out").code == 0
    assert desk.aliquot(*words, "--out", "csv", "--format", "csv").code == 0
    rows = desk.rows()
    assert rows[0] == {"record": 0, "id": "xa", "record_": 7, "batch": "1", "id_": "a"}
    assert [row["id_"] for row in rows] == ["a", "a", "b", "b"]
    files = sorted(path.name for path in (desk.folder / "csv").glob("*"))
    assert files == ["failures.csv", "ledger", "report.html", "result", "summary.json"]
    read = pyarrow.csv.read_csv(desk.folder / "csv" / "result" / "part-00000.csv")
    assert read.column_names == list(rows[0])
    assert read.column("id_").to_pylist() == ["a", "a", "b", "b"]


def test_failures_say_which_record_where_and_why(desk):
    desk.write("a.csv", "id,smiles\nr1,C\nr3,N\n")
    desk.write("b.jsonl", '{"id": "r6", "smiles": "O"}\nnot json\n{"id": "r7", "smiles": "O"}\n')
    said = desk.aliquot("run", "jobs:every_third", "a.csv", "b.jsonl", "--out", "out", "--max-failed", "3")
    assert said.code == 0, said.err
    assert [line for line in said.err.splitlines() if "3 failed (2 exception, 1 parse)" in line]
    assert desk.rows() == [{"record": 0, "number": 1}, {"record": 4, "number": 7}]
    failures = pyarrow.parquet.read_table(desk.folder / "out" / "failures.parquet")
    names = ["record", "id", "source", "line", "stage", "kind", "message", "traceback", "input"]
    assert failures.column_names == names
    assert failures.schema.field("record").type == pa.int64()
    first, second, third = failures.to_pylist()
    assert (first["record"], first["id"], first["source"], first["line"]) == (1, "r3", "a.csv", 3)
    assert (first["stage"], first["kind"], first["message"]) == ("call", "exception", "ValueError: no 3")
    assert first["traceback"].rstrip().endswith("ValueError: no 3")
    assert json.loads(first["input"]) == {"id": "r3", "smiles": "N"}
    assert (second["record"], second["source"], second["line"]) == (2, "b.jsonl", 1)
    assert (third["record"], third["kind"], third["source"], third["line"]) == (3, "parse", "b.jsonl", 2)
    assert third["input"] == "not json"


def test_each_way_to_fail_has_its_kind_and_costs_one_record(desk):
    desk.write(
        "mine.py",
        """
import os, signal, time
def f(record):
    how = record["how"]
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(3)
    if how == "hang":
        time.sleep(1000)
    if how == "memory":
        held = bytearray(400 << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1000)
    if how == "error":
        raise MemoryError
    return {"how": how}
""",
    )
    ways = ["fine", "crash", "fine", "exit", "hang", "fine", "memory", "error", "fine"]
    desk.write("data.csv", "how\n" + "\n".join(ways) + "\n")
    limits = ("--record-timeout", "2", "--memory", "200", "--max-failed", "100%")
    said = desk.aliquot("run", "mine:f", "data.csv", "--out", "out", *limits)
    assert said.code == 0, said.err
    assert [row["record"] for row in desk.rows()] == [0, 2, 5, 8]
    kinds = {row["record"]: row["kind"] for row in desk.read("failures")}
    assert kinds == {1: "crash", 3: "crash", 4: "deadline", 6: "memory", 7: "memory"}
    assert desk.summary()["failures"] == {"crash": 2, "memory": 2, "deadline": 1}


def test_rows_and_failures_are_the_same_whatever_the_workers(desk):
    """300 records of uneven work over 1, 2 and 3 hosts."""
    data = desk.write_records(300)
    tables = []
    for workers in ("1", "2", "3"):
        said = desk.aliquot(
            "run", "jobs:every_third", data, "--out", workers, "--workers", workers, "--max-failed", "50%"
        )
        assert said.code == 0, said.err
        result = (desk.folder / workers / "result" / "part-00000.parquet").read_bytes()
        tables.append((result, desk.read("failures", workers)))
    assert tables[0] == tables[1] == tables[2]
    records = [row["record"] for row in desk.rows("1")]
    assert records == [number for number in range(300) if number % 3]


def test_column_names_a_field_of_a_declared_job(desk, project_root):
    """A table whose column has a name of its own: refused with the way out, and the way out works."""
    lines = (project_root / "examples" / "crossref" / "reactions.rsmi").read_text().splitlines()[:3]
    desk.write(
        "mine.tsv", "key\tequation\n" + "".join(f"k{i}\t{line.split()[0]}\n" for i, line in enumerate(lines))
    )
    templates = str(project_root / "examples" / "crossref" / "templates.csv")
    words = ("run", "crossref", "mine.tsv", "--templates", templates, "--out", "out")
    refused = desk.aliquot(*words)
    assert refused.code == 2
    assert "its columns are key, equation: tell which it is with --column reaction=NAME" in refused.err
    accepted = desk.aliquot(*words, "--column", "reaction=equation", "--column", "id=key", "--keep", "key")
    assert accepted.code == 0, accepted.err
    assert all(row["reaction_id"] == row["key"] == f"k{row['record']}" for row in desk.rows())


def test_hosts_keep_small_blocks_at_hand_and_what_the_user_tunes(desk):
    """glibc's allocator takes up to a tenth of a job with many small objects; the user has the last word."""
    desk.write("mine.py", 'import os\n\ndef f(record):\n    return {"said": os.environ["GLIBC_TUNABLES"]}\n')
    desk.write("data.csv", "n\n1\n")
    for own, expected in [("", ""), ("glibc.malloc.arena_max=1", ":glibc.malloc.arena_max=1")]:
        said = desk.aliquot("run", "mine:f", "data.csv", "--out", f"out{own}", GLIBC_TUNABLES=own)
        assert said.code == 0, said.err
        (tuned,) = desk.table(f"out{own}")["said"].to_pylist()
        assert tuned.startswith("glibc.malloc.tcache_count=2000:glibc.malloc.mmap_threshold=")
        assert tuned.endswith(expected)
