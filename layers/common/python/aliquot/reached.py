"""The legs that an epoch has come to: their outcomes and chunks, what was exchanged, and what that cost.

Owns what is counted over several legs. Imports the ledger, `exchange` and `spending`. When it is wrong, a
chain is billed for one of its legs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aliquot.envelope import is_count
from aliquot.exchange import SAID, tell_exchanges
from aliquot.keys import OutcomeKey
from aliquot.ledger import Ledger
from aliquot.notes import check_fields, read_note
from aliquot.roster import Roster
from aliquot.spending import Spend, Tariff, measure_settling
from aliquot.stages import Leg


@dataclass(frozen=True)
class Reached:
    """Legs, the first ones of a chain, and where each lies."""

    legs: Sequence[Leg]
    ledgers: Sequence[Ledger]

    @classmethod
    def up_to(cls, ledger: Ledger, legs: Sequence[Leg], epoch: int, last: int) -> Reached:
        """The legs up to one, as they were noted in an epoch; raises Undecodable, StoreError."""
        reached = legs[: last + 1]
        return cls(reached, [ledger.enter_leg(epoch, leg.number) for leg in reached])

    def list_outcomes(self) -> dict[str, list[OutcomeKey]]:
        """All outcomes, by stage: what workers are paid for."""
        pairs = zip(self.legs, self.ledgers, strict=True)
        return {stage.name: ledger.list_outcomes(stage.name) for leg, ledger in pairs for stage in leg.stages}

    def count_chunks(self) -> int:
        """Chunks of all of them."""
        return sum(len(ledger.list_chunks()) for ledger in self.ledgers)

    def settle(self, epoch: int) -> dict[str, Roster]:
        """The rosters of an epoch, each by the last stage of its leg; raises UnreadableOutcome."""
        pairs = zip(self.legs, self.ledgers, strict=True)
        return {leg.last.name: ledger.settle(leg.last.name, epoch) for leg, ledger in pairs}

    def measure_exchanges(self, tariff: Tariff) -> Spend:
        """What the exchanges between them have cost."""
        spent = Spend()
        for ledger in self.ledgers[1:]:
            said = read_note(SAID, ledger.leg.get(SAID))
            check_fields(SAID, said, **dict.fromkeys(("wall_ms", "outcomes", "steps"), is_count))
            spent += measure_settling(tariff, said["wall_ms"], said["outcomes"], said["steps"])
        return spent

    def tell_exchanges(self) -> list[dict[str, Any]]:
        """What `summary.json` says of them; see `exchange.tell_exchanges`."""
        return tell_exchanges(self.ledgers[1:])
