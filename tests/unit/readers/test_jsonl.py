"""JSON Lines: values pass as they are, and a damaged line costs itself alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.errors import DatasetError
from aliquot.readers import Limits, find_sources, read_batches
from aliquot.readers.blocks import Block
from aliquot.readers.jsonl import SEPARATOR, _decode_all, _decode_singly
from aliquot.readers.keys import MAX_CELLS

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab\n\té😀"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)  # they write files, on machines that are busy
@given(
    records=st.lists(st.dictionaries(st.text("abc", max_size=2), VALUES, max_size=4)),
    size=st.integers(1, 50),
)
def test_objects_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, object]], size: int, join: Any
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    reading = join(list(read_batches(find_sources([path]), None, limits=Limits(size, records=3))))
    for record, row in zip(records, reading.rows, strict=True):
        assert {key: value for key, value in row.items() if value is not None or key in record} == record
    assert reading.lines == list(range(1, len(records) + 1))


FRAGMENTS = st.sampled_from(
    [
        '{"a":1}',
        '{"a":1},{"b":2}',
        '{"a":[{}',
        "{}]}",
        '{"a":"x',
        'y"}',
        "[1]",
        f'{{}},{SEPARATOR},{{"b":3}}',
        "}",
    ]
)


@given(st.lists(FRAGMENTS, min_size=1, max_size=6))
def test_reading_lines_together_gives_what_reading_each_does(lines: list[str]) -> None:
    """Faults that mend each other across lines must not pass for records."""
    assert _decode_all("\n".join(lines), lines) == _decode_singly(lines)


def test_columns_are_the_union_of_keys(fixtures: Path, join: Any) -> None:
    reading = join(list(read_batches(find_sources([fixtures / "records.jsonl"]), None)))
    assert reading.rows[1] == {"id": "b", "smiles": "CCN", "masses": None, "tags": {"amine": True}}
    assert reading.lines == [1, 2, 4]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a": 1', "not JSON"),
        ("[1, 2]", "not a JSON object but list"),
        ("3", "not a JSON object but int"),
        ('{"a": 1} {"a": 2}', "Extra data"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": "\\ud800"}', "surrogate"),
    ],
)
def test_a_line_that_is_no_object_is_at_fault(read: Any, line: str, said: str) -> None:
    reading = read("a.jsonl", f'{{"a": 0}}\n{line}\n\n{{"a": 2}}\n')
    assert said in reading.reasons[1]
    assert reading.bad[1][1] == line[:10_000]
    assert [row["a"] for row in reading.rows] == [0, None, 2]
    assert reading.lines == [1, 2, 4]


def test_whole_surrogate_pairs_are_text(read: Any) -> None:
    assert read("a.jsonl", '{"a": "\\ud83d\\ude00"}\n').rows == [{"a": "😀"}]


def test_fields_are_looked_up_in_each_record(read: Any, tiny: Limits, reaction: Any) -> None:
    text = (
        '{"reaction": "A>>B", "ID": 1}\n{"rxn_smiles": "C>>D"}\n{"rxn_smiles": 0, "reaction": "E>>F"}\n'
        '{"other": 1}\n{"reaction": 5}\n'
    )
    for limits in (tiny, Limits()):
        reading = read("a.jsonl", text, reaction, limits=limits)
        assert [row["reaction"] for row in reading.rows] == ["A>>B", "C>>D", "E>>F", None, None]
        assert reading.reasons == {3: "no reaction", 4: "reaction is not text but int"}
        assert reading.rows[0]["id"] == 1


def test_a_column_that_no_record_has_is_refused(read: Any, reaction: Any) -> None:
    with pytest.raises(DatasetError, match=r"its columns are a, b.*--column reaction=NAME"):
        read("a.jsonl", 'damaged\n{"a": 1}\n{"b": 2}\n', reaction)
    with pytest.raises(DatasetError, match=r"no column 'c' to keep"):
        read("a.jsonl", '{"a": 1}\n', keep=["c"])


def test_records_without_common_keys_stay_small(tmp_path: Path) -> None:
    """2,000 records of 3 own keys each would make 12 million cells, nearly all of them None."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"a{i}": 1, "b{i}": 2, "c{i}": 3}}\n' for i in range(2000)))
    batches = list(read_batches(find_sources([path]), None))
    assert sum(batch.n_records for batch in batches) == 2000
    assert max(batch.n_records * len(batch.columns) for batch in batches) <= MAX_CELLS


def test_a_block_may_hold_blank_lines_only() -> None:
    assert Block(3, "\n  \n\t\r\n").number_records() == ([], [])
