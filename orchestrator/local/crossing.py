"""An exchange on this machine: all its steps, one after the other, in the orchestrator.

Owns their order here. Imports the core's `exchange` and `crossing`. When it is wrong, a leg is begun before
its groups are whole.
"""

from __future__ import annotations

from collections.abc import Callable

from aliquot.crossing import enter_next
from aliquot.exchange import Passage, compact, gather, plan, seal, split_work
from aliquot.ledger import Ledger
from aliquot.stages import Leg


def cross(before: Ledger, leg: Leg, behind: Leg, epoch: int, check: Callable[[], None]) -> Ledger:
    """The ledger of the leg behind, exchanged now unless it was.

    Args:
        check: called between pieces of work; raises where the user has interrupted.
    Raises:
        UnreadableOutcome: an outcome of the leg before is damaged.
    """
    roster = before.settle(leg.last.name, epoch)
    ledger = enter_next(before, leg, roster)
    if ledger.is_sealed:
        return ledger
    passage = Passage(before, ledger, leg.last, behind.first, is_grouped=leg.number > 0)
    parts = split_work(roster)
    for number, part in enumerate(parts):
        compact(passage, number, part, check)
    index = plan(passage, len(parts))
    for partition in range(index.n_partitions):
        gather(passage, index, partition, check)
    seal(passage, index.n_partitions)
    return ledger
