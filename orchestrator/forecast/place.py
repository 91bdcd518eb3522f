"""Where a run may go, as the model sees it: how many tasks at a time, how soon, and what each costs besides.

Owns these figures. Imports the quotas and the core's spending. When it is wrong, a plan is for another stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from aliquot.prices import HELD_SHARE, RUNG_MB, SUPERVISOR_MB
from aliquot.spending import Tariff
from aliquot.surroundings import SLICE_S
from orchestrator.quotas import STANDARD, Ramp


@dataclass(frozen=True)
class Overheads:
    """Seconds that a stack takes besides records; measured in the rehearsal and SAM's containers, with room.

    Args:
        init_s: of a cold environment, before the job is opened.
        call_s: of an invocation: fetching, putting, sending.
        slice_s: how long a worker works before it hands back.
        tally_s: of a tick.
        merge_s, merge_outcome_s, publish_s: of a group of outcomes, of each of these, of publishing.
    """

    init_s: float = 2.0
    call_s: float = 0.4
    slice_s: float = SLICE_S
    tally_s: float = 0.5
    merge_s: float = 5.0
    merge_outcome_s: float = 0.1
    publish_s: float = 5.0


@dataclass(frozen=True)
class Place:
    """A stack as a run finds it.

    Args:
        window: tasks at a time.
        may_wait: whether more may be sent, since the stack bounds what runs and there is no budget.
        ramp: of its pollers.
    """

    tariff: Tariff
    window: int
    may_wait: bool = True
    ramp: Ramp = STANDARD
    overheads: Overheads = Overheads()

    @property
    def is_provisioned(self) -> bool:
        """Whether its pollers are."""
        return self.ramp != STANDARD


def find_rung(need_mib: int) -> str:
    """The lowest rung on which one host may hold so much; empty where there is none."""
    held = {rung: HELD_SHARE * (memory_mb - SUPERVISOR_MB) for rung, memory_mb in RUNG_MB.items()}
    return next((rung for rung, most_mib in held.items() if need_mib <= most_mib), "")


@dataclass(frozen=True)
class Load:
    """What is submitted.

    Args:
        submit_s: until the last chunk is there.
        open_s: to open the job in a cold environment, its references loaded.
    """

    n_records: int
    n_chunks: int
    submit_s: float = 0.0
    open_s: float = 0.0
