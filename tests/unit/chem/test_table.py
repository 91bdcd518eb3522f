"""Template tables: every format gives the same rows, and what cannot be read says what was found."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aliquot.errors import BadReference
from aliquot_chem.table import TEMPLATES, Row, derive_template_id, read_rows

A, B = "[C:1][OH:2]>>[C:1]=[O:2]", "[C:1],[N:2]>>[C:1]"


def read(path: Path, content: str) -> list[tuple[str, str]]:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return [(row.id, row.text) for row in read_rows(path, TEMPLATES)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f'id,smarts\nx,{A}\ny,"{B}"\n'),
        ("a.tsv", f"id\tsmarts\nx\t{A}\ny\t{B}\n"),
        ("a.csv", f"\ufeffID;Retro_Template\r\nx;{A}\r\n\r\ny;{B}\r\n"),
        ("a.csv.gz", f"\ttemplate_id\tretro_template\n0\tx\t{A}\n1\ty\t{B}\n"),
        ("a.jsonl", f'{{"id": "x", "smarts": "{A}"}}\n\n{{"smarts": "{B}", "id": "y"}}\n'),
        ("a.jsonl.gz", f'{{"id": "x", "reaction_smarts": "{A}"}}\n{{"reaction_smarts": "{B}", "id": "y"}}\n'),
    ],
)
def test_every_text_format_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path / name, content) == [("x", A), ("y", B)]


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [7, None], "retro_template": [A, B]}), tmp_path / "a.parquet")
    assert read_rows(tmp_path / "a.parquet", TEMPLATES) == [Row(1, "7", A), Row(2, "", B)]


def test_aizynthfinders_layout_gives_its_templates_with_derived_ids() -> None:
    """Tabs in a .csv, an index without a name, and no id: `template_code` and `template_hash` are none."""
    rows = read_rows(Path(__file__).parents[2] / "fixtures" / "aizynth_templates.csv", TEMPLATES)
    assert [(row.line, row.id) for row in rows] == [(line, "") for line in range(2, 7)]
    assert rows[0].text == "[C;X3:1](=[O:2])-[N;X3:3]>>[C:1](=[O:2])-Cl.[N:3]"


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'smarts,note\n{A},"two\nlines"\n\n{B}\n')
    assert [row.line for row in read_rows(tmp_path / "a.csv", TEMPLATES)] == [3, 5]


def test_an_id_is_derived_from_the_text() -> None:
    assert derive_template_id("") == "e3b0c44298fc"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("smarts\n", "no rows"),
        (",name,template\n0,a,b\n", r"found \(unnamed\), name, template; looked for smarts, retro_template"),
        ('{"name": 1}\n', "found name; looked for"),
    ],
)
def test_what_is_no_template_table_says_what_was_found(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(BadReference, match=reason):
        read(tmp_path / "a.csv", content)


@pytest.mark.parametrize("content", [None, b"\x1f\x8bbroken", b"PAR1broken", b"smarts\xff\xfe\nC\n"])
def test_what_cannot_be_read_is_a_bad_reference(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadReference, match="cannot be read"):
        read_rows(tmp_path / "a", TEMPLATES)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"smarts": "C"}\n{"smarts": \n{"smarts": "N"}\n', "not JSON: Expecting value"),
        (b'{"smarts": "C"}\n[1]\n{"smarts": "N"}\n', "not a JSON object"),
        (b'{"smarts": "C"}\n{"smarts": "\xff"}\n{"smarts": "N"}\n', "not UTF-8"),
        (b"smarts\nC\n\xff\xfe\nN\n", "not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_read_has_a_fault_and_the_others_none(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    before, bad, after = read_rows(tmp_path / "a", TEMPLATES)
    assert (before.text, before.fault, after.text, after.fault) == ("C", "", "N", "")
    assert bad.line == before.line + 1
    assert bad.fault.startswith(fault)


def test_a_column_that_is_not_asked_for_may_hold_what_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"smarts,note\nC,caf\xe9\n")
    assert read_rows(tmp_path / "a.csv", TEMPLATES) == [Row(2, "", "C")]


def test_json_lines_may_leave_a_field_out(tmp_path: Path) -> None:
    rows = [{"id": "x", "smarts": A}, {"smarts": None}]
    assert read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))) == [("x", A), ("", "")]


def test_table_without_a_header_is_split_at_its_tabs(tmp_path: Path) -> None:
    """SMARTS hold more semicolons than the line has tabs; the message must show the columns as they are."""
    path = tmp_path / "templates.tsv"
    path.write_text(f"a\t[C,N;X3:1]=[O;H0;D1:2]>>[C;X4:1]-[O;H1:2]\nb\t{A}\n")
    with pytest.raises(BadReference, match=r"found a, \[C,N;X3:1\]"):
        read_rows(path, TEMPLATES)
