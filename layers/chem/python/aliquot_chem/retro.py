"""Finds the retro templates that explain a reaction exactly.

Owns the funnel: difference key -> bucket, cut, bitset of bond queries, one match per distinct product
pattern, and RunReactants for what is left. Imports RDKit and NumPy. Every step before the last only drops
templates that cannot explain the reaction; when one drops more, hits are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

import numpy as np

from aliquot_chem.candidates import Case, find_candidates
from aliquot_chem.cuts import CutTable, ProductCuts
from aliquot_chem.keytable import Candidates, KeyTable
from aliquot_chem.outcomes import Expected, RunnableTemplate
from aliquot_chem.patterns import Matches, PatternTable
from aliquot_chem.prepared import Prepared
from aliquot_chem.sharing import EditTable, Verdicts

TEMPLATES_KEPT = 3_500  # about 35 kB each


class RetroMatcher:
    """The retro templates, indexed; their reactions are parsed on first use and kept for a while."""

    def __init__(self, prepared: Prepared, is_isomeric: bool) -> None:
        """Index `prepared`; `is_isomeric` tells whether stereochemistry has to agree."""
        self._patterns = PatternTable(prepared)
        self._pattern_of_row = prepared.pattern_of_row[:, 1].astype(np.intp)
        self._keys = KeyTable(prepared.keys, prepared.key_of_row)
        self._cuts = CutTable(prepared, self._patterns.offers)
        self._edits = EditTable(prepared)
        self._is_isomeric = is_isomeric
        self._all = Candidates(np.empty(0, np.intp), np.arange(len(prepared.ids)))
        smarts = prepared.smarts

        def parse(row: int) -> RunnableTemplate:
            return RunnableTemplate(smarts[row])

        self._template = lru_cache(TEMPLATES_KEPT)(parse)

    def find(self, case: Case) -> list[int]:
        """Template rows that explain the case, ascending."""
        product = case.product.mol
        classified = self._patterns.offers.classify(case.product)
        case.product.codes = self._patterns.offers.list_codes(classified)
        found = find_candidates(self._keys, case) or self._all
        cuts = ProductCuts(self._cuts, case.product, classified, case.pool)
        regular, loose = cuts.keep_regular(found.regular), cuts.keep_loose(found.loose)
        rows = np.concatenate([regular, loose])
        patterns = self._pattern_of_row[rows]
        is_held = self._patterns.find_held(product, classified, patterns)[patterns]
        matches = self._patterns.match_all(product, patterns[is_held].tolist())
        places = np.flatnonzero(is_held).tolist()
        held = zip(places, rows[is_held].tolist(), patterns[is_held].tolist(), strict=True)
        likely = []
        for place, row, pattern in held:
            is_loose = place >= len(regular)
            allowed = cuts.list_allowed(row, matches[pattern], is_loose)
            if allowed or allowed is None:
                likely.append((row, None if is_loose or cuts.may_break_rings(row) else allowed))
        return self._verify(case, sorted(likely, key=itemgetter(0))) if likely else []

    def _verify(self, case: Case, likely: Sequence[tuple[int, Matches | None]]) -> list[int]:
        """Those rows that explain the case, given with the matches by which they can, None for any."""
        expected = Expected(case.pool, case.is_subset, self._is_isomeric)
        verdicts = Verdicts(self._edits, case.product)
        explaining = []
        for row, matches in likely:
            places = verdicts.locate(row, matches)
            is_explained = verdicts.recall(places)
            if is_explained is None:
                outcome = expected.find_agreeing(self._template(row), case.product.mol)
                verdicts.learn(row, places, outcome)
                is_explained = outcome is not None
            if is_explained:
                explaining.append(row)
        return explaining
