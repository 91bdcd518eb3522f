"""Decides which of the likely templates explain a case, by as few runs of RunReactants as are sound.

Owns the order of the ways: what was seen at the same place of this product (`sharing`), what is known of the
same change in other reactions (`changes`), and else a run. Imports RDKit. When it is wrong, answers are.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

from aliquot_chem.candidates import Case
from aliquot_chem.changes import Change, KnownChanges, Place, read_change
from aliquot_chem.outcomes import Expected, RunnableTemplate
from aliquot_chem.patterns import Matches
from aliquot_chem.prepared import Prepared
from aliquot_chem.sharing import EditTable, Verdicts

TEMPLATES_KEPT = 2_500  # about 30 kB each

Likely = dict[int, Matches | None]
"""Template rows that may explain a case, with the matches by which they can; None where it may be any."""


class Verifier:
    """The templates' reactions, parsed on first use and kept for a while; what their edits make."""

    def __init__(self, prepared: Prepared, is_isomeric: bool) -> None:
        """Know the templates of `prepared`; `is_isomeric` tells whether stereochemistry has to agree."""
        self._edits, self._known = EditTable(prepared), KnownChanges()
        self._is_isomeric = is_isomeric
        smarts = prepared.smarts

        def parse(row: int) -> RunnableTemplate:
            return RunnableTemplate(smarts[row])

        self._template = lru_cache(TEMPLATES_KEPT)(parse)

    def find_explaining(self, case: Case, likely: Likely) -> list[int]:
        """Those rows that explain the case, ascending."""
        trial = _Trial(case, self._edits, self._is_isomeric)
        return [row for row in sorted(likely) if self._explains(row, likely[row], trial)]

    def _explains(self, row: int, matches: Matches | None, trial: _Trial) -> bool:
        places = trial.verdicts.locate(row, matches)
        verdict = trial.verdicts.recall(places)
        if verdict is not None:
            return verdict
        if places and self._makes_change(row, places, trial):
            return True
        outcome = trial.expected.find_agreeing(self._template(row), trial.case.product.mol)
        trial.verdicts.learn(row, places, outcome)
        return outcome is not None

    def _makes_change(self, row: int, places: set[Place], trial: _Trial) -> bool:
        """Whether the template is seen to make the reaction's change; where not, it may yet explain it."""
        change = trial.change
        if change is None or (change.is_chiral and self._edits.asks_chirality[row]):
            return False
        notes = {place: note for place in places if (note := change.describe(place)) is not None}
        if not notes or not change.keeps_centres:
            return False
        for place, note in notes.items():
            if note in self._known or self._is_shown(row, place, trial.case, change):
                self._known.add(note)
                trial.verdicts.settle(place)
                return True
        return False

    def _is_shown(self, row: int, place: Place, case: Case, change: Change) -> bool:
        """Whether the template's outcome at the place is the left side."""
        outcomes = self._template(row).run((case.product.mol,))
        own = (outcome for outcome in outcomes if self._edits.locate_outcome(row, outcome) == place)
        return any(map(change.is_made_by, own))


class _Trial:
    """What is needed for and known of one case."""

    def __init__(self, case: Case, edits: EditTable, is_isomeric: bool) -> None:
        self.case = case
        self.expected = Expected(case.pool, case.is_subset, is_isomeric)
        self.verdicts = Verdicts(edits, case.product)

    @cached_property
    def change(self) -> Change | None:
        """The reaction's change by its maps."""
        return None if self.case.sides is None else read_change(self.case.sides)
