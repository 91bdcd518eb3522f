"""The line formats: what belongs to the molecule or reaction, what to its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, find_sources, read_batches
from aliquot.readers.lines import cut_line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CCO", ("CCO", None)),
        ("CCO ethanol", ("CCO", "ethanol")),
        ("  CCO   absolute ethanol  ", ("CCO", "absolute ethanol")),
        ("CCO |$a;b;c$| ethanol", ("CCO |$a;b;c$|", "ethanol")),
        ("C>>O |f:0.1,2.3|", ("C>>O |f:0.1,2.3|", None)),
        ("CCO |no tail", ("CCO", "|no tail")),
        ("CCO\tethanol", ("CCO", "ethanol")),
        ("CCO |f:0.1|\tabsolute ethanol\tmore", ("CCO |f:0.1|", "absolute ethanol")),
        ("CCO\t\tmore", ("CCO", None)),
        ("\tethanol", (None, "ethanol")),
    ],
)
def test_a_line_is_a_structure_with_its_tail_and_an_id(
    line: str, expected: tuple[str | None, str | None]
) -> None:
    assert cut_line(line) == expected


@given(st.lists(st.text("CO|\t ,:f1é", min_size=1).filter(lambda text: not text.isspace()), min_size=1))
def test_a_line_reads_the_same_whatever_stands_beside_it(lines: list[str]) -> None:
    """Blocks without tabs and tails take a quicker path; it must not show."""
    from aliquot.readers.lines import _cut_words

    assert list(zip(*_cut_words(lines), strict=True)) == [cut_line(line) for line in lines]


def test_smi_gives_smiles_and_id(fixtures: Path, join: Any) -> None:
    reading = join(list(read_batches(find_sources([fixtures / "library.smi"]), None)))
    assert reading.rows == [
        {"smiles": "CC(=O)Oc1ccccc1C(=O)O", "id": "aspirin"},
        {"smiles": "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "id": "caffeine monohydrate"},
        {"smiles": "CC(=O)Nc1ccc(O)cc1", "id": "paracetamol"},
        {"smiles": "[Na+].[Cl-] |f:0.1|", "id": "table salt"},
        {"smiles": "C1CCCCC1", "id": None},
    ]
    assert reading.lines == [1, 2, 4, 5, 6]


def test_rsmi_with_a_header_gives_its_columns_by_name(fixtures: Path, join: Any, reaction: Any) -> None:
    sources = find_sources([fixtures / "lowe.rsmi"])
    reading = join(list(read_batches(sources, reaction, ["Year", "PatentNumber"])))
    assert reading.lines == [2, 3, 4, 5, 6]
    assert reading.rows[0] == {"reaction": "CC(=O)Cl.CCN>ClCCl>CCNC(C)=O |f:0.1|", "id": "US03930836"}
    assert reading.kept[4] == {"Year": "1978", "PatentNumber": "US03930840A1"}
    all_columns = join(list(read_batches(sources, None))).rows[1]
    assert list(all_columns) == [
        *("reaction", "id", "ParagraphNum", "Year", "TextMinedYield", "CalculatedYield"),
    ]
    assert all_columns["CalculatedYield"] == "80.6%"


def test_rsmi_without_a_header_loses_no_record(read: Any, reaction: Any) -> None:
    """A first line that is no reaction but a molecule is a record at fault for its job, no header."""
    reading = read("a.rsmi", "CCO\tx\nC>>O\ty\n", reaction)
    assert [row["reaction"] for row in reading.rows] == ["CCO", "C>>O"]
    assert reading.lines == [1, 2]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.smi", "smiles name"),
        ("a.smi", "SMILES"),
        ("a.smi", "smiles\tzinc id"),
        ("a.rsmi", "rxn id"),
        ("a.rsmi", "reactants>reagents>production\tid"),
    ],
)
def test_a_header_is_no_record(read: Any, name: str, header: str) -> None:
    reading = read(name, f"\n{header}\nC>>O\tx\n")
    assert reading.lines == [3]
    assert list(reading.rows[0].values()) == ["C>>O", "x"]


def test_columns_stand_anywhere_under_a_header(read: Any, reaction: Any) -> None:
    reading = read("a.rsmi", "ID\tSource\trxn_smiles\n7\tlab\tC>>O\n", reaction, keep=["Source"])
    assert reading.rows == [{"reaction": "C>>O", "id": "7"}]
    assert reading.kept == [{"Source": "lab"}]


def test_rows_under_a_header_may_end_early_but_not_late(read: Any, reaction: Any) -> None:
    reading = read(
        "a.rsmi", "ReactionSmiles\tid\tyear\nC>>O\nC>>N\ta\t1\t2\nC>>S\tb\t\n", reaction, keep=["year"]
    )
    assert reading.rows[0] == {"reaction": "C>>O", "id": None}
    assert reading.reasons == {1: "4 fields where the header has 3"}
    assert reading.rows[2] == {"reaction": "C>>S", "id": "b"}


def test_a_line_without_a_structure_is_a_record_at_fault(read: Any) -> None:
    reading = read("a.smi", "\tx\nC\ty\n", {"smiles": Column(("smiles",), "line")})
    assert reading.bad == {0: ("no smiles", "\tx")}


def test_a_carriage_return_inside_a_line_is_at_fault(read: Any) -> None:
    """A file with a classic Mac's line ends would otherwise be one record with a very long id."""
    reading = read("a.smi", "C a\rO b\rN c\nS d\r\nF e\r")
    assert list(reading.reasons) == [0]
    assert reading.rows[1:] == [{"smiles": "S", "id": "d"}, {"smiles": "F", "id": "e"}]


def test_a_missing_field_tells_the_way_out(read: Any) -> None:
    fields = {"smiles": Column(("smiles",), "line"), "dose": Column(("dose", "mg"))}
    with pytest.raises(DatasetError, match=r"dose, mg.*smiles, id.*--column dose=NAME"):
        read("a.smi", "C a\n", fields)


@settings(deadline=None)  # they write files, on machines that are busy
@given(
    pairs=st.lists(st.tuples(st.text("CNO()=1", min_size=1), st.text("ab 1é", max_size=5)), max_size=20),
    size=st.integers(1, 40),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_cut_anywhere_give_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], size: int, end: str, join: Any
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.smi"
    path.write_bytes("".join(f"{smiles} {name}{end}" for smiles, name in pairs).encode())
    reading = join(list(read_batches(find_sources([path]), None, limits=Limits(size, records=3))))
    assert reading.rows == [{"smiles": smiles, "id": name.strip() or None} for smiles, name in pairs]
    assert reading.lines == list(range(1, len(pairs) + 1))
