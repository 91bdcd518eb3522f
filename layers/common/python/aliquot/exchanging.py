"""An exchange on a stack, step by step: tallies begin and end its steps, children of the machine do them.

    tally: a leg is settled --begin--> parts of its roster, a list of items
    children: --take--> runs of each part
    tally: --plan--> partitions, a list of items
    children: --take--> chunks of each partition
    tally: --end--> the leg behind is sealed

Every step may be repeated. Owns these lists and what an item holds. Imports `exchange` and `crossing`. When
it is wrong, a leg is begun before its groups are whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aliquot.crossing import enter_next
from aliquot.envelope import is_count
from aliquot.exchange import (
    Passage,
    compact,
    gather,
    plan,
    read_index,
    seal,
    split_work,
)
from aliquot.ledger import Ledger
from aliquot.notes import check_event, is_epoch
from aliquot.roster import Roster
from aliquot.stages import Leg

PART, PARTITION = "part", "partition"
STACK_RUN_BYTES = 64 << 20  # every run is read once for each partition, and `reduce` has the memory


class Exchanging:
    """The exchanges of one run.

    Args:
        ledger: of its first leg.
    """

    def __init__(self, run: str, ledger: Ledger, legs: Sequence[Leg]) -> None:
        self._run, self._ledger, self._legs = run, ledger, legs

    def begin(self, epoch: int, leg: int, roster: Roster) -> str:
        """Enter the leg behind a settled one; the key of a list of items, "" where it is exchanged already.

        Raises:
            UnreadableOutcome: an outcome is damaged.
        """
        before = self._ledger.enter_leg(epoch, leg)
        behind = enter_next(before, self._legs[leg], roster)
        self._ledger.note_leg(epoch, leg + 1, behind.prefix)
        if behind.is_sealed:
            return ""
        parts = split_work(roster)
        for number, part in enumerate(parts):
            behind.leg.put(_name_roster(number), part.to_json())
        return self._list_items(behind, epoch, leg, PART, len(parts))

    def plan(self, epoch: int, leg: int) -> str:
        """Plan the partitions, once all parts are compacted; the key of a list of items."""
        passage = self._find_passage(epoch, leg)
        n_parts = len(passage.behind.leg.list_keys("exchange/rosters/"))
        index = plan(passage, n_parts)
        return self._list_items(passage.behind, epoch, leg, PARTITION, index.n_partitions)

    def end(self, epoch: int, leg: int) -> None:
        """Seal the leg behind, once all partitions are gathered."""
        passage = self._find_passage(epoch, leg)
        seal(passage, read_index(passage.behind).n_partitions)

    def take(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do one item; nothing where its epoch has ended.

        Raises:
            UnreadableOutcome, StoreError, Undecodable: something that it reads is damaged, or gone.
        """
        kind = PART if PART in event else PARTITION
        check_event(event, epoch=is_epoch, leg=self._is_crossed, **{kind: is_count})
        epoch, leg, number = event["epoch"], event["leg"], event[kind]
        if self._ledger.is_stopped(epoch):
            return {"done": False}
        passage = self._find_passage(epoch, leg)
        if kind == PART:
            roster = Roster.from_json(passage.behind.leg.get(_name_roster(number)))
            compact(passage, number, roster, run_bytes=STACK_RUN_BYTES)
        else:
            gather(passage, read_index(passage.behind), number)
        return {"done": True}

    def _find_passage(self, epoch: int, leg: int) -> Passage:
        before, behind = (self._ledger.enter_leg(epoch, number) for number in (leg, leg + 1))
        ends = self._legs[leg].last, self._legs[leg + 1].first
        return Passage(before, behind, *ends, is_grouped=leg > 0)

    def _list_items(self, behind: Ledger, epoch: int, leg: int, kind: str, n_items: int) -> str:
        items = [{"run": self._run, "epoch": epoch, "leg": leg, kind: number} for number in range(n_items)]
        key = f"exchange/{kind}s.json"
        behind.leg.put(key, json.dumps(items).encode())
        return behind.prefix + key

    @property
    def _is_crossed(self) -> Callable[[Any], bool]:
        return lambda value: is_count(value) and value < len(self._legs) - 1


def _name_roster(part: int) -> str:
    return f"exchange/rosters/{part:05d}.json"
