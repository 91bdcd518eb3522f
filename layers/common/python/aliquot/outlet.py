"""What of a stage's rows goes on: those whose key can be sorted, and of these the best where a stage asks.

A row is left out as soon as `n` rows of its `by` are known that come before it: in its host, in each run of
an exchange, and at last in the group itself. The order is total (score, then place in the dataset), so that
what is left out early is what would be left out late, whoever has seen which rows.

Owns this order and these checks. Imports `rows` and `job`. When it is wrong, the best are not the best.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

from aliquot.job import RECORD, Best, Key, Stage
from aliquot.rows import Block, NotRows

ListOrigins = Callable[[int], Collection[int] | None]
_OF_TABLES = "an Arrow table is an answer of a job's last stage, where rows name no origin"
_WORST = float("-inf")
_KINDS = {int: 0, str: 1, bytes: 2}


class Keeper:
    """Chooses the best rows of those that it has seen."""

    def __init__(self, best: Best) -> None:
        self._best = best
        self._held: dict[Any, list[tuple[float, tuple[int, ...]]]] = {}

    def keeps(self, by: Any, score: Any, place: tuple[int, ...]) -> bool:
        """Whether a row may be among the best, by all rows so far.

        Args:
            place: of the row in the dataset, comparable with those of the others.
        """
        ranked = _rank(score, place)
        held = self._held.setdefault(by, [])
        if len(held) < self._best.n:
            heapq.heappush(held, ranked)
            return True
        if ranked < held[0]:
            return False
        heapq.heapreplace(held, ranked)
        return True

    def holds(self, by: Any, score: Any, place: tuple[int, ...]) -> bool:
        """Whether a row that was seen is among the best of all that were."""
        return _rank(score, place) in self._held[by]

    def keep(self, block: Block, seq: int) -> Block:
        """The block without the rows that cannot be among the best.

        Args:
            seq: of its chunk.
        """
        bys, scores = block.columns[self._best.by], block.columns[self._best.score]
        places = list(_place_rows(block, seq))
        kept = [at for at, each in enumerate(zip(bys, scores, places, strict=True)) if self.keeps(*each)]
        counts = [0] * len(block.counts)
        for at in kept:
            counts[places[at][1] - block.first] += 1
        columns = {name: [values[at] for at in kept] for name, values in block.columns.items()}
        return Block(block.first, counts, columns, block.notes)


class Outlet:
    """What a host does with the rows of its stage before they are packed.

    Args:
        stage: whose rows they are.
        to: the column by which the next stage groups them, empty where it does not.
        goes_on: whether there is a next stage.
    """

    def __init__(self, stage: Stage, to: str, *, goes_on: bool = False) -> None:
        self._to = "" if to == RECORD else to
        self._origin = stage.origin
        self._best = stage.best
        self._takes_tables = not (goes_on or stage.origin)
        self._keeper = Keeper(stage.best) if stage.best is not None else None

    def check(self, block: Block, list_origins: ListOrigins) -> None:
        """Raise NotRows where a row cannot be sorted by what it is to be exchanged by, or is of no record.

        Args:
            list_origins: the records that a unit's rows may have come from, by its number in the chunk.
        """
        if not self._takes_tables and block.is_table:
            raise NotRows(f"{_OF_TABLES}: give its rows, as `table.to_pylist()` does")
        if self._to:
            _check_column(block, self._to, tuple(_KINDS), "an exchange takes text, whole numbers and bytes")
        if self._origin:
            _check_column(block, self._origin, (int,), "an origin is the number of a record")
            _check_origins(block, self._origin, list_origins)
        if self._best is not None:
            _check_column(block, self._best.score, (int, float, type(None)), "a score is a number")

    def keep(self, block: Block, seq: int) -> Block:
        """The rows that go on."""
        return block if self._keeper is None or not block.n_rows else self._keeper.keep(block, seq)


def rank_key(key: Key) -> tuple[int, Any]:
    """What keys are sorted by: numbers, then text, then bytes."""
    return _KINDS[type(key)], key


def _rank(score: Any, place: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
    """What rows are compared by: the higher of two goes before the other."""
    is_ranked = score is not None and not math.isnan(score)
    return score if is_ranked else _WORST, tuple(-each for each in place)


def _check_column(block: Block, name: str, kinds: tuple[type, ...], said: str) -> None:
    if not block.n_rows:
        return
    if name not in block.columns:
        raise NotRows(f"a row has no column {name!r}, by which it goes on")
    odd = set(map(type, block.columns[name])) - set(kinds)
    if odd:
        raise NotRows(f"column {name!r} holds a value of type {min(each.__name__ for each in odd)}: {said}")


def _check_origins(block: Block, name: str, list_origins: ListOrigins) -> None:
    at = 0
    for unit, count in enumerate(block.counts, block.first):
        known = list_origins(unit) if count else None
        odd = set(block.columns[name][at : at + count]).difference(known) if known is not None else None
        if odd:
            said = f"column {name!r} says that a row came from record {min(odd)}, which has none in its group"
            raise NotRows(f"{said}: give one of group.records")
        at += count


def _place_rows(block: Block, seq: int) -> Iterator[tuple[int, int, int]]:
    """Of each row: its chunk, its record's place in that, its own in the record's rows."""
    for nth, count in enumerate(block.counts):
        yield from ((seq, block.first + nth, ordinal) for ordinal in range(count))
