"""CSV and TSV: rows come back as written, on their lines, and a faulty one costs itself alone."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aliquot.errors import BadOption, DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, find_sources, read_batches
from aliquot.readers.rows import RESCAN_LINES, split_rows

CELLS = st.text(st.sampled_from('ab,"\n\r\t é\0'), max_size=6) | st.sampled_from(["\r\n", '"', '""\n', " "])


@settings(deadline=None)  # they write files, on machines that are busy
@given(
    rows=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width))),
    size=st.integers(1, 30),
    end=st.sampled_from(["\n", "\r\n"]),
    table_format=st.sampled_from(["csv", "tsv"]),
)
@example(rows=[["a", "b"], ["1", '"\n']], size=1, end="\n", table_format="csv")
def test_rows_come_back_as_written_with_their_lines(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    size: int,
    end: str,
    table_format: str,
    join: Any,
) -> None:
    width = len(rows[0]) if rows else 1
    text = io.StringIO(newline="")
    # Python 3.11's writer leaves a lone CR bare unless lines end with one
    quoting = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL
    delimiter = "," if table_format == "csv" else "\t"
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(f"column {i}" for i in range(width))
    lines = []
    for row in rows:
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    path = tmp_path_factory.mktemp("table") / f"a.{table_format}"
    path.write_bytes(text.getvalue().encode())
    reading = join(list(read_batches(find_sources([path]), None, limits=Limits(size, records=3))))
    assert [list(row.values()) for row in reading.rows] == [[cell or None for cell in row] for row in rows]
    assert reading.lines == lines
    assert reading.bad == {}


def test_values_are_text_and_empty_ones_none(fixtures: Path, join: Any) -> None:
    reading = join(list(read_batches(find_sources([fixtures / "notes.csv"]), None)))
    assert reading.rows == [
        {"id": "1", "note": "two\r\nlines, quoted", "smiles": "CCO"},
        {"id": "2", "note": None, "smiles": "CCN"},
        {"id": "3", "note": 'says "hello"', "smiles": "CCC"},
    ]
    assert reading.lines == [2, 4, 6]


@pytest.mark.parametrize("block_bytes", [5, 64 << 10])
def test_rows_of_another_width_are_at_fault(read: Any, block_bytes: int) -> None:
    text = "a,b\n1,2\n1\n1,2,3\n   \n5,6\n"
    reading = read("a.csv", text, limits=Limits(block_bytes))
    assert reading.bad == {
        1: ("1 fields where the header has 2", "1"),
        2: ("3 fields where the header has 2", "1,2,3"),
    }
    assert reading.lines == [2, 3, 4, 6]


@pytest.mark.parametrize("block_bytes", [5, 64 << 10])
def test_a_quote_never_closed_costs_its_own_line(read: Any, block_bytes: int) -> None:
    reading = read("a.csv", 'a,b\n1,2\n"3,4\n5,6\n7,8', limits=Limits(block_bytes))
    assert reading.bad == {1: ("a quote that is never closed", '"3,4')}
    assert [row["a"] for row in reading.rows] == ["1", None, "5", "7"]
    assert reading.lines == [2, 3, 4, 5]


def test_a_stray_quote_does_not_swallow_the_rows_after_it(read: Any) -> None:
    reading = read("a.csv", 'a,b\n1,"x\n2,"y"\n3,"two\nlines"\n')
    assert list(reading.reasons) == [0]
    assert [row["b"] for row in reading.rows] == [None, "y", "two\nlines"]
    assert reading.lines == [2, 3, 4]


@pytest.mark.parametrize("block_bytes", [1000, 64 << 10])
def test_a_record_may_not_grow_without_limit(read: Any, block_bytes: int) -> None:
    """One stray quote at the top of a large file must not bring all of it into memory."""
    text = 'a,b\n"1,2\n' + "3,4\n" * 5000
    reading = read("a.csv", text, limits=Limits(block_bytes, quoted_bytes=10_000))
    assert len(reading.lines) == 5001
    assert list(reading.reasons) == [0]
    assert reading.lines == list(range(2, 5003))


def test_a_record_of_many_lines_costs_no_square_of_time() -> None:
    """Each of these lines opens a quote that none of the others closes."""
    lines = ['a","b\n'] * (200 * RESCAN_LINES)
    begun = time.process_time()
    rows = split_rows(lines, ",")
    assert time.process_time() - begun < 5  # the square takes minutes, this a tenth of a second
    assert rows.starts == list(range(len(lines)))
    assert set(rows.bad.values()) == {"a quote that is never closed"}


def test_a_carriage_return_outside_quotes_is_at_fault(read: Any) -> None:
    reading = read("a.csv", "a,b\n1,x\ry\n3,4\r\n")
    assert list(reading.reasons) == [0]
    assert reading.rows[1] == {"a": "3", "b": "4"}


def test_a_field_longer_than_pythons_limit_is_read(read: Any) -> None:
    reading = read("a.csv", f'a,b\n1,"{"x" * 200_000}"\n')
    assert len(reading.rows[0]["b"]) == 200_000


def test_fields_are_found_by_name_exactly_then_in_any_case(read: Any, reaction: Any) -> None:
    text = "REACTION,Rxn_Smiles,rxn_smiles,ID\nwrong,wrong,C>>O,7\n"
    assert read("a.csv", text, reaction).rows == [{"reaction": "C>>O", "id": "7"}]
    assert read("a.csv", "Note,REACTION\nx,C>>O\n", reaction).rows == [{"reaction": "C>>O", "id": None}]


def test_a_column_may_be_chosen(read: Any, reaction: Any) -> None:
    reading = read("a.csv", "r,id\nC>>O,7\n", reaction, chosen={"reaction": "r"}, keep=["id", "r"])
    assert reading.rows == [{"reaction": "C>>O", "id": "7"}]
    assert reading.kept == [{"id": "7", "r": "C>>O"}]


def test_an_optional_field_may_lack_a_column(read: Any) -> None:
    fields = {"smiles": Column(("smiles",), "line"), "dose": Column(("dose",))}
    assert read("a.csv", "smiles\nC\n", fields, optional={"dose"}).rows == [{"smiles": "C", "dose": None}]


@pytest.mark.parametrize(
    ("header", "others", "said"),
    [
        ("a,b", {}, r"reaction \(looked for reaction, .*its columns are a, b.*--column reaction=NAME"),
        ("a,reaction", {"keep": ["c"]}, r"no column 'c' to keep; its columns are a, reaction"),
        ("a,b", {"chosen": {"reaction": "c"}}, r"--column reaction=c; its columns are a, b"),
        ("reaction,a,a", {}, r"2 columns are called 'a'"),
        ("reaction,,", {}, r"2 columns have no name"),
        ('reaction,"b', {}, r"header \(line 1\) cannot be read: a quote"),
        ("reaction\rid", {}, r"header \(line 1\) cannot be read: not CSV"),
    ],
)
def test_a_header_that_does_not_serve_is_refused(
    read: Any, header: str, others: dict[str, object], said: str, reaction: Any
) -> None:
    with pytest.raises(DatasetError, match=said):
        read("a.csv", f"{header}\n1,2\n", reaction, **others)


def test_choosing_for_an_unknown_field_is_refused(read: Any, reaction: Any) -> None:
    with pytest.raises(BadOption, match="no field 'rection'; its fields are reaction, id"):
        read("a.csv", "a\n", reaction, chosen={"rection": "a"})


def test_a_row_without_text_in_the_main_column_is_at_fault(read: Any, reaction: Any) -> None:
    reading = read("a.csv", "id,reaction\n1,\n2,C>>O\n", reaction)
    assert reading.bad == {0: ("no reaction", "1,")}


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b", "\ufeffa,b\r\n"])
def test_no_rows_give_no_batch(read: Any, text: str) -> None:
    assert read("a.csv", text).lines == []


@settings(deadline=None)  # they write files, on machines that are busy
@given(text=st.text(st.sampled_from('ab,"\n\r é '), max_size=60), size=st.integers(1, 20))
def test_damaged_text_reads_the_same_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, join: Any, text: str, size: int
) -> None:
    """Where a block ends is chance; what is at fault must not depend on it. No line is read twice."""
    path = tmp_path_factory.mktemp("table") / "a.csv"
    path.write_bytes(b"x,y\n" + text.encode())
    whole = join(read_batches(find_sources([path]), None))
    parts = join(read_batches(find_sources([path]), None, limits=Limits(size)))
    assert (parts.rows, parts.lines, parts.bad) == (whole.rows, whole.lines, whole.bad)
    assert whole.lines == sorted(set(whole.lines))
