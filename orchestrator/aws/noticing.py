"""What a watcher of a run on a stack is told besides how far it is: what it has cost, which kinds failed.

    keys of outcomes, notes of what was paid --> dollars so far
    outcomes with failures, a few at each look --> failures by kind

The dollars are without the tallies of the epoch that is open, some 1% of a run: their count is the state
machine's own. Owns the second sum; the first is the core's `ticks`. When it is wrong, people cancel a run
that was cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aliquot.errors import StoreError, Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import Ledger
from aliquot.spans import SpanSet
from aliquot.tally import TickState
from aliquot.ticks import measure_so_far

_MOST_READ = 8  # outcomes at a look: what failed is told within seconds, and no look takes longer for it


class Noticing:
    """Sums over one run, of the last look.

    Args:
        manifest: of the run, whose settings say its prices and its budget.
    """

    def __init__(self, ledger: Ledger, manifest: Mapping[str, Any]) -> None:
        self._ledger, self._manifest = ledger, manifest
        self._leg = 0
        self._seen: set[OutcomeKey] = set()
        self._failed: dict[ChunkId, SpanSet] = {}
        self._kinds: Counter[str] = Counter()
        self.spent_usd = 0.0

    @property
    def budget_usd(self) -> float | None:
        """What the run may cost; None for no limit."""
        budget: float | None = self._manifest["settings"].get("budget_usd")
        return budget

    @property
    def kinds(self) -> dict[str, int]:
        """Failures by kind, of the outcomes that were read so far."""
        return self._kinds.copy()

    def look(self, leg: int, held: Ledger, outcomes: Sequence[OutcomeKey], epoch: int) -> None:
        """Sum up anew.

        Args:
            leg: that the run has reached; what failed is counted of its last stage.
            held: that leg's ledger, and `outcomes` those of its last stage.
            epoch: the one that is open.
        """
        if leg != self._leg:
            self._leg, self._seen, self._failed, self._kinds = leg, set(), {}, Counter()
        spent, _ = measure_so_far(self._ledger, self._manifest, TickState(epoch=epoch, leg=leg))
        self.spent_usd = spent.total
        fresh = (key for key in outcomes if key.n_failed and key not in self._seen)
        for _, key in zip(range(_MOST_READ), fresh, strict=False):
            self._seen.add(key)
            self._count_failures(held, key)

    def _count_failures(self, held: Ledger, key: OutcomeKey) -> None:
        """Count what was not counted of another outcome; one that is damaged is a tally's to find."""
        try:
            failures = held.read_outcome(key).failures()
        except (Undecodable, StoreError):
            return
        known = self._failed.get(key.chunk, SpanSet())
        fresh = SpanSet.of_indices(each.index for each in failures) - known
        indices = {index for first, end in fresh.spans for index in range(first, end)}
        self._kinds.update(each.kind for each in failures if each.index in indices)
        self._failed[key.chunk] = known | fresh
