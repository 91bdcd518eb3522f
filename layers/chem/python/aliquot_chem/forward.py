"""Finds the forward templates that give a reaction's product from its reactants.

Owns the assignment of molecules to a template's patterns. Imports RDKit and NumPy. No keys here: a forward
template tells neither what it leaves behind nor how large its leaving groups are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product as iterate_product

import numpy as np

from aliquot_chem.bitset import Flags
from aliquot_chem.candidates import Case
from aliquot_chem.outcomes import RunnableTemplate, includes
from aliquot_chem.patterns import PatternTable
from aliquot_chem.prepared import Prepared
from aliquot_chem.rowsets import Rows
from aliquot_chem.verifying import TEMPLATES_KEPT


class ForwardMatcher:
    """The forward templates, by the patterns that their reactants must hold."""

    def __init__(self, prepared: Prepared, is_isomeric: bool) -> None:
        """Index `prepared`; `is_isomeric` tells whether stereochemistry has to agree."""
        self._patterns = PatternTable(prepared)
        self._pattern = prepared.pattern_of_row[:, 1].astype(np.intp)
        self._row_of_pair = prepared.pattern_of_row[:, 0]
        self._starts = np.searchsorted(self._row_of_pair, np.arange(len(prepared.ids) + 1))
        self._n_patterns = len(prepared.required)
        self._is_isomeric = is_isomeric
        smarts = prepared.smarts

        def parse(row: int) -> RunnableTemplate:
            return RunnableTemplate(smarts[row])

        self._template = lru_cache(TEMPLATES_KEPT)(parse)

    def find(self, case: Case) -> list[int]:
        """Template rows that give the product, ascending."""
        for molecule in case.pool:
            molecule.clear_maps()
        pool = case.pool
        is_held = np.zeros((len(pool), self._n_patterns), np.bool_)
        for i, molecule in enumerate(pool):
            is_held[i, self._patterns.screen(molecule)] = True
        is_asked = np.isin(self._row_of_pair, self._find_possible(is_held))
        for i, molecule in enumerate(pool):
            is_held[i] &= self._patterns.find_held(molecule, self._pattern[is_asked])
        return [row for row in self._find_possible(is_held).tolist() if self._explains(row, case, is_held)]

    def _find_possible(self, is_held: Flags) -> Rows:
        """Rows of which each pattern is held by some molecule."""
        is_found = np.logical_or.reduce(is_held, axis=0)[self._pattern]
        return np.flatnonzero(np.logical_and.reduceat(is_found, self._starts[:-1]))

    def _explains(self, row: int, case: Case, is_held: Flags) -> bool:
        patterns = self._pattern[self._starts[row] : self._starts[row + 1]]
        holders = [np.flatnonzero(is_held[:, pattern]).tolist() for pattern in patterns]
        return any(
            includes(outcome, case.product, self._is_isomeric)
            for chosen in _iterate_distinct(holders)
            for outcome in self._template(row).run([case.pool[i].mol for i in chosen])
        )


def _iterate_distinct(holders: list[list[int]]) -> Iterator[tuple[int, ...]]:
    """Every choice of one molecule per pattern that takes no molecule twice."""
    return (chosen for chosen in iterate_product(*holders) if len(set(chosen)) == len(chosen))
