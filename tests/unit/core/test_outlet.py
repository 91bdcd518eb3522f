"""What of a stage's rows goes on to the next one."""

from __future__ import annotations

import math
import random
from typing import Any

import pyarrow as pa
import pytest

from aliquot.job import RECORD, Best, Stage
from aliquot.outlet import Keeper, Outlet
from aliquot.rows import NotRows, make_block


def _stage(**changes: Any) -> Stage:
    return Stage("s", lambda *_: iter, **changes)


def _not_known(_unit: int) -> None:
    return None


def _block(*answers: list[dict[str, Any]]) -> Any:
    return make_block(0, answers, [None] * len(answers), ())


@pytest.mark.parametrize("value", [1.5, None, (1, 2), ["a"]])
def test_a_key_that_cannot_be_sorted_fails_its_record(value):
    with pytest.raises(NotRows, match="an exchange takes text, whole numbers and bytes"):
        Outlet(_stage(), "key").check(_block([{"key": value}]), _not_known)


def test_a_row_without_the_key_fails_its_record():
    with pytest.raises(NotRows, match="a row has no column 'key'"):
        Outlet(_stage(), "key").check(_block([{"other": 1}]), _not_known)
    Outlet(_stage(), "key").check(_block([], []), _not_known)
    Outlet(_stage(), RECORD).check(_block([{"other": 1}]), _not_known)


def test_a_table_that_would_go_on_is_refused():
    """The next stage would be given Arrow's scalars for values."""
    block = make_block(0, [pa.table({"key": [1, 2]})], [None], ())
    Outlet(_stage(), "").check(block, _not_known)
    for outlet in (Outlet(_stage(), "", goes_on=True), Outlet(_stage(origin="key"), "")):
        with pytest.raises(NotRows, match="give its rows"):
            outlet.check(block, _not_known)


def test_scores_and_origins_are_numbers():
    with pytest.raises(NotRows, match="a score is a number"):
        Outlet(_stage(best=Best(1, "q", "s")), "q").check(_block([{"q": "a", "s": "high"}]), _not_known)
    with pytest.raises(NotRows, match="an origin is the number of a record"):
        Outlet(_stage(origin="of"), "").check(_block([{"of": "r1"}]), _not_known)


@pytest.mark.parametrize("named", [[7], [3, 9]])
def test_a_row_comes_from_a_record_of_its_group(named):
    """Found out in the host, the group fails alone; found out where rows are merged, the run would end."""
    outlet = Outlet(_stage(origin="of"), "")
    records = {4: {1, 2}, 5: {3, 9}}
    block = make_block(4, [[{"of": 1}, {"of": 2}], [{"of": each} for each in named]], [None] * 2, ())
    if named == [7]:
        with pytest.raises(NotRows, match=r"'of' says .* record 7, which has none in its group"):
            outlet.check(block, records.get)
    else:
        outlet.check(block, records.get)


def test_a_keeper_never_leaves_out_one_of_the_best_whatever_the_order():
    draw = random.Random(3)
    for _ in range(200):
        rows = [(draw.choice("ab"), draw.choice([0, 1, 2, None, math.nan]), (at,)) for at in range(20)]
        n = draw.randrange(1, 5)
        keeper = Keeper(Best(n, "q", "s"))
        shuffled = draw.sample(rows, len(rows))
        kept = {row[2] for row in shuffled if keeper.keeps(*row)}
        for query in "ab":
            own = [row for row in rows if row[0] == query]
            own.sort(
                key=lambda row: (
                    (-math.inf if not row[1] and row[1] != 0 else row[1]) if row[1] == row[1] else -math.inf
                ),
                reverse=True,
            )
            best = {row[2] for row in own[:n]}
            assert best <= kept
            assert {row[2] for row in own if keeper.holds(*row)} == best


def test_a_block_keeps_its_records_with_the_rows_that_go_on():
    outlet = Outlet(_stage(best=Best(1, "q", "s")), "q")
    block = outlet.keep(_block([{"q": "a", "s": 1}, {"q": "b", "s": 5}], [], [{"q": "a", "s": 2}]), 0)
    assert list(block.counts) == [2, 0, 1]
    later = outlet.keep(_block([{"q": "b", "s": 4}], [{"q": "a", "s": 3}]), 1)
    assert list(later.counts) == [0, 1]
    assert later.columns == {"q": ["a"], "s": [3]}
