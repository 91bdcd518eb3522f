"""From one leg of a run to the next: which legs were reached, and where what was exchanged lies.

A leg behind an exchange lies under a digest of what is done in the one before: whoever comes again finds it,
and where a record has been done since, it is another. Owns that way. Imports the ledger and `fates`. When it
is wrong, a run exchanges anew what it has, or goes on with groups that lack rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aliquot.fates import digest_done
from aliquot.keys import name_leg
from aliquot.ledger import Ledger
from aliquot.roster import Roster
from aliquot.stages import Leg

SettledLeg = tuple[Leg, Ledger, Roster]


def settle_legs(ledger: Ledger, legs: Sequence[Leg], epoch: int) -> Iterator[SettledLeg]:
    """The legs that were reached, each with its roster of this epoch; raises UnreadableOutcome."""
    for leg in legs:
        roster = ledger.settle(leg.last.name, epoch)
        yield leg, ledger, roster
        if leg is legs[-1]:
            return
        ledger = enter_next(ledger, leg, roster)
        if not ledger.is_sealed:
            return


def find_reached(ledger: Ledger, legs: Sequence[Leg]) -> tuple[Leg, Ledger]:
    """The leg that the open epoch is at, as far as was noted."""
    entered = ledger.list_entered() if len(legs) > 1 else []
    number = max((each for each in entered if each < len(legs)), default=0)
    return legs[number], ledger.enter_leg(ledger.epoch, number) if number else ledger


def enter_next(ledger: Ledger, leg: Leg, roster: Roster) -> Ledger:
    """The ledger of the leg behind a settled one; raises UnreadableOutcome."""
    return ledger.enter(name_leg(leg.number + 1, digest_done(ledger, roster)))
