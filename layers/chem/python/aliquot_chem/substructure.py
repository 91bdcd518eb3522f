"""Finds the templates whose product side a reaction's product holds.

Owns the step from patterns to rows. Imports NumPy. Of a forward template with several products one is enough.
"""

from __future__ import annotations

import numpy as np

from aliquot_chem.candidates import Case
from aliquot_chem.patterns import PatternTable
from aliquot_chem.prepared import Prepared


class SubstructureMatcher:
    """The distinct patterns of the templates' product sides, and the rows that they stand for."""

    def __init__(self, prepared: Prepared) -> None:
        """Index `prepared`."""
        self._patterns = PatternTable(prepared)
        self._row, self._pattern = prepared.pattern_of_row[:, 0], prepared.pattern_of_row[:, 1]

    def find(self, case: Case) -> list[int]:
        """Template rows whose product side is in the product, ascending."""
        is_held = self._patterns.find_held(case.product)
        rows: list[int] = np.unique(self._row[is_held[self._pattern]]).tolist()
        return rows
