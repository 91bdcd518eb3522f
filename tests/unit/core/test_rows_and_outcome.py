"""Rows on their way from a host into an outcome, and out of it again, in any pieces."""

from __future__ import annotations

import datetime as dt
import enum
from array import array
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aliquot.codec import pack
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable
from aliquot.outcome import Failure, Outcome, OutcomeReader
from aliquot.rows import Block, NotRows, as_rows, make_block, name_kinds
from benchmarks.fuzz.forge import forge_block


class Hit(NamedTuple):
    reaction: str
    score: int


Rows = list[list[dict[str, Any]]]
_ANSWERS = st.lists(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), max_size=3), max_size=3),
    max_size=8,
)


def _rows_of(block: Block) -> Rows:
    """A block's rows by record, holes left out; columns that a block lacks are holes."""
    made: Rows = []
    at = 0
    for count in block.counts:
        made.append(
            [
                {name: values[row] for name, values in block.columns.items() if values[row] is not None}
                for row in range(at, at + count)
            ]
        )
        at += count
    return made


def _make(first: int, answers: Rows) -> Block:
    return make_block(first, answers, [f"note {n}" if n % 2 else None for n in range(len(answers))], ())


@given(st.integers(0, 99), _ANSWERS)
def test_rows_read_back_by_record(first: int, answers: Rows) -> None:
    read = Block.unpack(_make(first, answers).pack())
    assert read.first == first
    assert _rows_of(read) == answers
    assert read.n_rows == sum(map(len, answers))


@given(_ANSWERS, st.integers(0, 20), st.integers(0, 20))
def test_a_slice_is_the_block_of_those_records(answers: Rows, first: int, end: int) -> None:
    block = _make(5, answers)
    cut = block.slice(first, end)
    a = min(max(first - 5, 0), len(answers))
    b = max(min(end - 5, len(answers)), a)
    assert _rows_of(cut) == answers[a:b]
    assert list(cut.notes) == list(block.notes)[a:b]
    if len(cut.counts):
        assert cut.first == max(first, 5)


@given(_ANSWERS, st.integers(0, 20), st.integers(0, 20))
def test_slices_side_by_side_are_the_slice_over_both(answers: Rows, a: int, b: int) -> None:
    block = _make(3, answers)
    first, middle, end = sorted((a, b, 14))
    assert _rows_of(block.slice(first, middle)) + _rows_of(block.slice(middle, end)) == _rows_of(
        block.slice(first, end)
    )


@given(
    st.lists(
        st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9)).map(lambda row: Hit(*row)), max_size=3)
    )
)
def test_declared_columns_are_there_even_without_rows(answers: list[list[Hit]]) -> None:
    block = Block.unpack(make_block(0, answers, [None] * len(answers), Hit._fields).pack())
    assert list(block.columns) == ["reaction", "score"]
    assert list(zip(block.columns["reaction"], block.columns["score"], strict=True)) == [
        tuple(row) for rows in answers for row in rows
    ]
    assert len(block.notes) == 0


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (None, []),
        ({"a": 1}, [{"a": 1}]),
        (OrderedDict(a=1), [{"a": 1}]),
        ([], []),
        ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
        (({"a": n} for n in range(2)), [{"a": 0}, {"a": 1}]),
        ({1: {"a": 1}}.values(), [{"a": 1}]),
    ],
)
def test_none_a_row_or_several_rows_are_an_answer(answer: Any, rows: list[dict[str, int]]) -> None:
    assert list(as_rows(answer, ())) == rows


def test_rows_that_make_up_what_they_lack_have_holes() -> None:
    rows = [defaultdict(int, a=1), defaultdict(int, b=2)]
    assert make_block(0, [rows], [None], ()).columns == {"a": [1, None], "b": [None, 2]}
    assert rows[0] == {"a": 1}


@given(st.lists(st.one_of(*(st.integers(-(1 << bits), 1 << bits) for bits in (3, 53, 63, 70)))))
@example([1, 1 << 60, 1 << 66])
def test_kinds_of_integers_are_those_of_each(values: list[int]) -> None:
    assert name_kinds(values) == {kind for value in values for kind in name_kinds([value])}


def test_one_declared_row_is_an_answer() -> None:
    assert list(as_rows(Hit("r", 1), Hit._fields)) == [Hit("r", 1)]


@pytest.mark.parametrize("answer", ["text", b"bytes", 5, 1.5, True, np.zeros(3), object()])
def test_other_things_are_no_answer(answer: Any) -> None:
    with pytest.raises(NotRows):
        as_rows(answer, ())


@pytest.mark.parametrize("rows", [[5], ["ab"], [None], [["a", 1]], [("a", 1)], [{1: "a"}], [{None: 2}]])
def test_rows_that_are_no_dicts_of_named_values_are_refused(rows: list[Any]) -> None:
    with pytest.raises(NotRows):
        make_block(0, [rows], [None], ())


@pytest.mark.parametrize(
    "rows", [[5], ["ab"], [None], [{"reaction": 1, "score": 2}], [("a",)], [("a", 1, 2)], [["a", 1]]]
)
def test_rows_that_are_no_tuples_of_the_declared_width_are_refused(rows: list[Any]) -> None:
    """Text of two letters has the width of a row of two columns, and is none."""
    with pytest.raises(NotRows):
        make_block(0, [rows], [None], Hit._fields)


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([], set()),
        ([None, 1, 2.5, True, "x", b"y"], {"none", "int", "float", "bool", "str", "bytes"}),
        ([1 << 53, -(1 << 53)], {"int"}),
        ([(1 << 53) + 1], {"wide"}),
        ([1 << 63], {"bigint"}),
        ([np.int64(5), np.float32(1), np.bool_(0), np.str_("x")], {"int", "float", "bool", "str"}),
        ([np.uint64((1 << 64) - 1)], {"bigint"}),
        ([[1, 2], (3.5,), []], {"list int", "list float", "list "}),
        ([[1, None, 2.5]], {"list float,int,none"}),
        ([[[1]], {"a": 1}], {"json"}),
        ([np.zeros((2, 3), "f4"), np.zeros(2, "<i8")], {"array <f4 2,3", "array <i8 2"}),
        ([dt.datetime(2020, 1, 1)], {"datetime"}),  # noqa: DTZ001 - without a zone on purpose
        ([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], {"datetime utc"}),
        ([dt.date(2020, 1, 1), dt.time(1), dt.timedelta(1)], {"date", "time", "timedelta"}),
        ([Colour.RED], {"str"}),
    ],
)
def test_kinds_name_what_a_column_holds(values: list[Any], kinds: set[str]) -> None:
    """A merge settles the types of a result from these alone, before it has read a row."""
    assert name_kinds(values) == kinds


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"first": 0, "counts": b"123", "columns": {}, "notes": []},
        {"first": 0, "counts": b"", "columns": {"a": pack([1])}, "notes": []},
        {"first": 0, "counts": array("I", [1]).tobytes(), "columns": {"a": pack(5)}, "notes": []},
        {"first": 0, "counts": array("I", [1]).tobytes(), "columns": {"a": pack([1])}, "notes": ["x", "y"]},
        {"first": 0, "counts": array("I", [1]).tobytes(), "columns": {"a": pack([1])}, "notes": 3},
        {"first": 0, "counts": array("I", [1]).tobytes(), "columns": {"a": 7}, "notes": []},
        {"first": 0, "counts": array("I", [1]).tobytes(), "columns": 7, "notes": []},
    ],
)
def test_blocks_of_another_form_are_damage(body: Any) -> None:
    with pytest.raises(Undecodable):
        Block.unpack(Part.of(forge_block(body)))


@given(st.lists(_ANSWERS.filter(bool), min_size=1, max_size=4), st.sets(st.integers(0, 3)), st.data())
def test_an_outcome_gives_back_its_blocks_cut_to_any_span(
    pieces: list[Rows], failing: set[int], data: st.DataObject
) -> None:
    """Blocks lie apart: between them stand records that the supervisor filed, which have none."""
    blocks, wanted, at = {}, {}, 0
    for answers in pieces:
        blocks[at] = _make(at, answers).pack()
        wanted |= {at + place: rows for place, rows in enumerate(answers)}
        at += len(answers) + 1
    failures = [Failure(index, "exception", f"ValueError: {index}", "Traceback") for index in sorted(failing)]
    read = OutcomeReader(Outcome(blocks, {"b": {"int"}, "a": {"str", "int"}}, 9, failures, 5, 6).to_bytes())
    assert read.failures() == failures
    assert set(read.failed) == failing
    assert (read.kinds, read.n_rows, read.cpu_ms, read.peak_mib) == (
        {"b": ["int"], "a": ["int", "str"]},
        9,
        5,
        6,
    )
    assert list(read.kinds) == ["b", "a"], "columns keep the order in which they appeared"
    first = data.draw(st.integers(0, at))
    end = data.draw(st.integers(first, at))
    got = [
        (block.first + place, rows)
        for block in read.blocks(first, end)
        for place, rows in enumerate(_rows_of(block))
    ]
    assert got == [(index, rows) for index, rows in sorted(wanted.items()) if first <= index < end]


@pytest.mark.parametrize("lacking", ["kinds", "rows", "failed", "cpu_ms", "peak_mib"])
def test_an_outcome_whose_header_lacks_a_field_is_damage(lacking: str) -> None:
    header = dict(Envelope.from_bytes(Outcome({}, {}, 0).to_bytes(), "outcome").header)
    del header[lacking], header["parts"]
    with pytest.raises(Undecodable, match=lacking):
        OutcomeReader(Envelope(header, {}).to_bytes())
