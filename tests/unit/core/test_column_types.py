"""One type a column for the whole dataset, whatever chunk a record is in."""

import pyarrow as pa
import pytest

from aliquot.column_types import find_schema, parse_types, type_batches
from aliquot.errors import BadOption
from aliquot.readers.batch import Batch


def make_batches(*parts, source=0):
    """A batch of each list of texts, of a column `x`."""
    batches = []
    for part in parts:
        lines = list(range(1, len(part) + 1))
        batches.append(Batch(source, {"x": part}, {}, lines, {}, [1] * len(part), None))
    return batches


def find_type(*parts, told="", text_format="csv"):
    return find_schema(make_batches(*parts), parse_types("--types", told), [text_format]).field("x").type


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((["1", "2"], ["-3", ""]), pa.int64()),
        ((["1", "2"], ["+3", "0x4"]), pa.string()),
        ((["1", "2"], ["2.5"]), pa.float64()),
        ((["1", "2"], ["1e9", None]), pa.float64()),
        ((["1", "2"], ["n/a"]), pa.string()),
        ((["1.5"], ["7"]), pa.float64()),
        ((["1.5"], ["7"], ["nan"]), pa.string()),
        ((["1"], ["9223372036854775808"]), pa.float64()),
        (([""], [None]), pa.string()),
        (([""], ["4"]), pa.int64()),
    ],
)
def test_the_last_row_decides_as_much_as_the_first(parts, expected):
    assert find_type(*parts) == expected


def test_values_with_types_of_their_own_keep_them():
    """JSON says which 5 is a number: a text is none, and an empty one is not missing."""
    assert find_type(["5", "6"], text_format="jsonl") == pa.string()
    assert find_type([1, 2], [2.5], text_format="jsonl") == pa.float64()
    assert find_type([1], ["a"], text_format="jsonl") == pa.string()
    assert find_type([[1, 2]], [None], text_format="jsonl") == pa.list_(pa.int64())
    assert find_type(pa.array([1, 2], pa.int16()), text_format="parquet") == pa.int16()
    coded = pa.array(["a", "b"]).dictionary_encode()
    assert find_type(coded, text_format="parquet") == pa.string()


def test_told_types_win_and_what_is_none_of_them_is_at_fault():
    told = "x=decimal(6,2)"
    batches = make_batches(["1.25", "", "abc"], ["2"])
    schema = find_schema(batches, parse_types("--types", told), ["csv"])
    assert schema.field("x").type == pa.decimal128(6, 2)
    first, second = type_batches(batches, schema, ["csv"])
    assert [str(value) for value in first.columns["x"]] == ["1.25", "None", "None"]
    assert first.bad == {2: ("x: 'abc' is no decimal(6, 2)", "x=abc")}
    assert second.bad == {}
    assert second.columns["x"].type == schema.field("x").type


def test_types_told_are_read_whole_or_refused():
    assert parse_types("--types", "a b = date , *=Text,d=decimal(38, 0)") == {
        "a b": pa.date32(),
        "*": pa.string(),
        "d": pa.decimal128(38, 0),
    }
    for said in ("a", "a=int", "a=decimal(39,0)", "a=decimal(2,3)", "=text", "a=text;b=text"):
        with pytest.raises(BadOption, match="COLUMN=TYPE"):
            parse_types("--types", said)
