"""Records that are Python objects already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.readers import Limits, read_records


class Pair(NamedTuple):
    reaction: str
    id: int


def test_dicts_named_tuples_and_text_are_records(join: Any, reaction: Any) -> None:
    given = [{"rxn_smiles": "A>>B", "id": 1}, Pair("C>>D", 2), "E>>F"]
    reading = join(list(read_records(given, reaction)))
    assert [tuple(row.values()) for row in reading.rows] == [("A>>B", 1), ("C>>D", 2), ("E>>F", None)]
    assert reading.lines == [1, 2, 3]


@pytest.mark.parametrize("odd", [3, None, ["a"], (1, 2), {1: 2}, b"x"])
def test_an_element_of_another_type_costs_itself(odd: Any, join: Any) -> None:
    reading = join(list(read_records([{"a": 1}, odd, {"a": 3}], None)))
    assert reading.rows == [{"a": 1}, {"a": None}, {"a": 3}]
    assert list(reading.bad) == [1]
    assert reading.bad[1][1] == repr(odd)


def test_a_dict_that_is_filled_anew_for_each_record_gives_each_its_own(join: Any) -> None:
    def refill() -> Iterator[dict[str, int]]:
        record = {}
        for number in range(3):
            record["a"] = number
            yield record

    assert join(list(read_records(refill(), None))).rows == [{"a": 0}, {"a": 1}, {"a": 2}]


def test_text_is_a_record_only_where_a_field_takes_a_line(join: Any) -> None:
    reading = join(list(read_records(["C>>O"], None)))
    assert reading.reasons == {0: "a record is a dict or a NamedTuple, not str"}
    assert join(list(read_records(["", "C"], {"smiles": Column(("smi",), "line")}))).reasons == {
        0: "no smiles"
    }


def test_an_endless_iterable_is_read_as_it_is_asked_for() -> None:
    n_taken = 0

    def count() -> Iterator[dict[str, int]]:
        nonlocal n_taken
        while True:
            n_taken += 1
            yield {"n": n_taken}

    batches = read_records(count(), None, limits=Limits(records=10))
    assert next(batches).columns == {"n": list(range(1, 11))}
    assert next(batches).lines[0] == 11
    assert n_taken == 20


def test_large_records_make_small_batches() -> None:
    batches = list(read_records(({"x": "y" * 600_000} for _ in range(5)), None))
    assert [batch.n_records for batch in batches] == [2, 2, 1]


def test_a_missing_field_or_kept_column_is_refused(reaction: Any) -> None:
    with pytest.raises(DatasetError, match=r"records: has no column for reaction.*its columns are a"):
        list(read_records([{"a": 1}], reaction))
    with pytest.raises(DatasetError, match="no column 'b' to keep"):
        list(read_records([{"a": 1}], None, ["b"]))


def test_what_the_iterable_raises_passes() -> None:
    def fail() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        list(read_records(fail(), None))
