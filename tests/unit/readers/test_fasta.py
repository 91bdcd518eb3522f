"""FASTA: what is a record's id, description and sequence, wherever lines and blocks end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, find_sources, read_batches

PROTEIN = {"sequence": Column(("sequence",), "line"), "id": Column(("id",), "id")}
TWO = """\

>sp|P1|ONE_HUMAN  a first protein
MKVL
AAGI

>two
mkv LLA *
"""


def test_a_record_is_a_header_and_the_lines_after_it(read: Any) -> None:
    reading = read("a.fasta", TWO)
    assert reading.rows == [
        {"sequence": "MKVLAAGI", "id": "sp|P1|ONE_HUMAN", "description": "a first protein"},
        {"sequence": "mkvLLA*", "id": "two", "description": None},
    ]
    assert reading.lines == [2, 6]


@pytest.mark.parametrize("name", ["a.fa", "a.faa.gz", "A.FASTA", "a.fna"])
def test_every_ending_and_line_end_reads_the_same(read: Any, name: str) -> None:
    reading = read(name, TWO.replace("\n", "\r\n"), PROTEIN, ["description"])
    assert reading.rows == [
        {"sequence": "MKVLAAGI", "id": "sp|P1|ONE_HUMAN"},
        {"sequence": "mkvLLA*", "id": "two"},
    ]
    assert [row["description"] for row in reading.kept] == ["a first protein", None]


def test_a_record_at_fault_costs_itself_alone(read: Any) -> None:
    text = b"what is\nthis\n>a\nMK\n>b\n>c\nM>K\n>d\xff\nMK\n>e\rMK\r>f\n>\nMKV\n>g\nMK\n"
    reading = read("a.fasta", text, PROTEIN)
    assert reading.reasons == {
        0: 'text before the first header (a line that begins with ">")',
        2: "no sequence",
        3: 'a ">" inside the sequence',
        4: "not UTF-8",
        5: "a carriage return inside the line (lines end at LF or CR LF)",
    }
    assert reading.bad[0][1] == "what is\nthis"
    assert [row["sequence"] for row in reading.rows if row["sequence"]] == ["MK", "MKV", "MK"]
    assert [row["id"] for row in reading.rows if row["sequence"]] == ["a", None, "g"]
    assert reading.lines == [1, 3, 5, 6, 8, 10, 11, 13]


def test_a_record_over_the_limit_is_at_fault_and_not_held(read: Any) -> None:
    """A chromosome among proteins must not take its length in memory."""
    text = ">long\n" + "MKVLAAGI\n" * 100_000 + ">short\nMK\n>line\n" + "M" * 5000 + "\n>last\nMKV\n"
    reading = read("a.fasta", text, PROTEIN, limits=Limits(block_bytes=1000, line_bytes=4000))
    assert reading.reasons == {
        0: "a record of 900,006 characters, over the limit",
        2: "a line of 5,000 bytes, over the limit",
    }
    assert all(len(text) <= 10_000 for _, text in reading.bad.values())
    assert [row["sequence"] for row in reading.rows] == [None, "MK", None, "MKV"]


def test_a_column_that_fasta_has_not_is_refused_with_the_way_out(read: Any) -> None:
    fields = {"sequence": PROTEIN["sequence"], "organism": Column(("organism", "ox"))}
    with pytest.raises(
        DatasetError, match=r"organism, ox.*sequence, id, description.*--column organism=NAME"
    ):
        read("a.fasta", TWO, fields)


@settings(deadline=None)  # they write files, on machines that are busy
@given(
    lines=st.lists(
        st.sampled_from(["", ">a", ">b one", "MK", "é", "", " ", "V V", ">", "x" * 30]), max_size=20
    ),
    size=st.integers(1, 40),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_cut_anywhere_give_the_same_records(
    tmp_path_factory: Any, join: Any, lines: list[str], size: int, end: str
) -> None:
    path = tmp_path_factory.mktemp("fasta") / "a.fasta"
    path.write_bytes(end.join(lines).encode())
    whole, cut = (
        join(read_batches(find_sources([path]), None, limits=Limits(block_bytes=n, line_bytes=60, records=7)))
        for n in (1 << 20, size)
    )
    assert cut == whole
