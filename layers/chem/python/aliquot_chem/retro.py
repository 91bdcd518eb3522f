"""Finds the retro templates that explain a reaction exactly.

Owns the funnel: difference key -> bucket, cut, bitset of bond queries, one match per distinct product
pattern, and RunReactants for what is left. Imports RDKit and NumPy. Every step before the last only drops
templates that cannot explain the reaction; when one drops more, hits are lost.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from aliquot_chem.candidates import Case, find_candidates
from aliquot_chem.cuts import CutTable, ProductCuts
from aliquot_chem.keys import Candidates, KeyTable
from aliquot_chem.outcomes import Expected, RunnableTemplate
from aliquot_chem.patterns import PatternTable
from aliquot_chem.prepared import Prepared

TEMPLATES_KEPT = 3_500  # about 35 kB each


class RetroMatcher:
    """The retro templates, indexed; their reactions are parsed on first use and kept for a while."""

    def __init__(self, prepared: Prepared, is_isomeric: bool) -> None:
        """Index `prepared`; `is_isomeric` tells whether stereochemistry has to agree."""
        self._patterns = PatternTable(prepared)
        self._pattern_of_row = prepared.pattern_of_row[:, 1].astype(np.intp)
        self._keys = KeyTable(prepared.keys, prepared.key_of_row)
        self._cuts = CutTable(prepared, self._patterns.offers)
        self._is_isomeric = is_isomeric
        self._all = Candidates(np.empty(0, np.intp), np.arange(len(prepared.ids)))
        smarts = prepared.smarts

        def parse(row: int) -> RunnableTemplate:
            return RunnableTemplate(smarts[row])

        self._template = lru_cache(TEMPLATES_KEPT)(parse)

    def find(self, case: Case) -> list[int]:
        """Template rows that explain the case, ascending."""
        product = case.product.mol
        classified = self._patterns.offers.classify(product)
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
        likely = [row for i, row, pattern in held if cuts.allow(row, matches[pattern], i >= len(regular))]
        if not likely:
            return []
        expected = Expected(case.pool, case.is_subset, self._is_isomeric)
        return [row for row in sorted(likely) if expected.explains(self._template(row), product)]
