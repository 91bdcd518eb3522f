"""Finds the retro templates that explain a reaction exactly.

Owns the funnel: difference key -> row set; for templates with a cut, the bonds of the product that it may be
and the surroundings of these; a bitset of bond queries; one match per distinct product pattern; and a verdict
for what is left. Imports RDKit and NumPy. Every step before the last only drops templates that
cannot explain the reaction; when one drops more, hits are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from aliquot_chem.candidates import Case, Lookup, find_candidates
from aliquot_chem.cuts import CutTable, ProductCuts, Root, iterate_fitting
from aliquot_chem.keytable import Candidates, KeyTable
from aliquot_chem.molecules import Molecule
from aliquot_chem.patterns import Matches, PatternTable, Screen
from aliquot_chem.prepared import Prepared
from aliquot_chem.rowsets import Rows, RowSet, group_rows
from aliquot_chem.stars import StarTable
from aliquot_chem.verifying import Likely, Verifier


class RetroMatcher:
    """The retro templates, indexed; their reactions are parsed on first use and kept for a while."""

    def __init__(self, prepared: Prepared, is_isomeric: bool) -> None:
        """Index `prepared`; `is_isomeric` tells whether stereochemistry has to agree."""
        self._patterns = PatternTable(prepared)
        self._pattern_of_row = prepared.pattern_of_row[:, 1].astype(np.intp)
        self._keys = KeyTable(prepared.keys, prepared.key_of_row, prepared.cut_of_row)
        self._cuts = CutTable(prepared, self._patterns.offers)
        self._stars = StarTable(prepared.ray_bits, prepared.ray_required)
        self._verifier = Verifier(prepared, is_isomeric)
        self._all = Candidates((), [group_rows(np.arange(len(prepared.ids)), prepared.cut_of_row)])

    def find(self, case: Case) -> list[int]:
        """Template rows that explain the case, ascending."""
        lookups = find_candidates(self._keys, case) or [Lookup(self._all, case.pool)]
        search = _Search(case, self._patterns, self._pattern_of_row, self._cuts, self._stars)
        search.add(lookups)
        return self._verifier.find_explaining(case, search.likely) if search.likely else []


class _Search:
    """The templates that may explain one case, found lookup by lookup."""

    def __init__(
        self, case: Case, patterns: PatternTable, pattern_of_row: Rows, cuts: CutTable, stars: StarTable
    ) -> None:
        self._case, self._patterns, self._pattern_of_row = case, patterns, pattern_of_row
        self._cut_table, self._stars = cuts, stars
        self._matches: dict[int, Matches | None] = {}
        self.likely: Likely = {}

    def add(self, lookups: Sequence[Lookup]) -> None:
        """Add the likely rows of the lookups."""
        product, anywhere, in_rings = self._case.product, list[RowSet](), list[RowSet]()
        for candidates, reactants in lookups:
            has_salts = _has_salts(product, reactants)
            for rows in candidates.regular:
                self._add_anywhere(rows.uncut, is_loose=False)
                if has_salts:
                    self._add_anywhere(rows.list_cut(), is_loose=True)
                else:
                    self._add_parting(rows, reactants)
            (anywhere if has_salts else in_rings).extend(candidates.loose)
        loose = [rows.rows for rows in anywhere] + [rows.uncut for rows in in_rings if len(rows.uncut)]
        if loose:
            self._add_anywhere(np.unique(np.concatenate(loose)), is_loose=True)
        self._add_breaking_rings(in_rings)

    def _add_anywhere(self, rows: Rows, is_loose: bool) -> None:
        """Those of the rows whose pattern the product holds anywhere."""
        if not len(rows):
            return
        patterns = self._pattern_of_row[rows]
        is_passing = self._screen.pass_all(patterns)
        for row, pattern in zip(rows[is_passing].tolist(), patterns[is_passing].tolist(), strict=True):
            matches = self._list_matches(pattern)
            if matches or matches is None:
                self._add(row, None if is_loose else matches)

    def _add_parting(self, rows: RowSet, reactants: Sequence[Molecule]) -> None:
        """Those of the rows whose cut parts the product rightly."""
        if rows.cuts:
            for cut, roots in self._cuts.find_parting(rows.cuts, reactants).items():
                for row, matches in self._iterate_rooted(rows.by_cut[cut], roots):
                    self._add(row, matches)

    def _add_breaking_rings(self, row_sets: Sequence[RowSet]) -> None:
        """Those of the rows whose cut opens a ring, such that the reactants have the right sizes."""
        cuts = 0
        for rows in row_sets:
            cuts |= rows.cuts
        if not cuts:
            return
        sizes = sorted(molecule.n_atoms for molecule in self._case.pool)
        for cut, roots in self._cuts.find_in_rings(cuts).items():
            own = np.unique(np.concatenate([rows.by_cut[cut] for rows in row_sets if cut in rows.by_cut]))
            for row, matches in self._iterate_rooted(own, roots):
                counts = [sorted(self._cuts.count_atoms(row, match)) for match in matches or ()]
                is_fitting = any(_fit(count, sizes, self._case.is_subset) for count in counts)
                if matches is None or is_fitting:
                    self._add(row, None)

    def _iterate_rooted(self, rows: Rows, roots: set[Root]) -> Iterable[tuple[int, Matches | None]]:
        """The rows that match with their cut at one of the bonds, each with these matches, None for any."""
        rows = self._stars.keep_rooted(rows, self._case.product, roots)
        patterns = self._pattern_of_row[rows]
        is_passing = self._screen.pass_all(patterns)
        for row, pattern in zip(rows[is_passing].tolist(), patterns[is_passing].tolist(), strict=True):
            matches = self._list_matches(pattern)
            if matches is None:
                yield row, None
            elif matches:
                fitting = list(iterate_fitting(matches, self._cut_table.ends_of_row[row], roots))
                if fitting:
                    yield row, fitting

    @cached_property
    def _cuts(self) -> ProductCuts:
        return ProductCuts(self._cut_table, self._case.product)

    @cached_property
    def _screen(self) -> Screen:
        return self._patterns.open_screen(self._case.product)

    def _list_matches(self, pattern: int) -> Matches | None:
        if pattern not in self._matches:
            self._matches[pattern] = self._patterns.list_matches(self._case.product, pattern)
        return self._matches[pattern]

    def _add(self, row: int, matches: Matches | None) -> None:
        """Note a row; found in two ways, it may match in either."""
        before = self.likely.get(row, ())
        self.likely[row] = None if before is None or matches is None else [*before, *matches]


def _has_salts(product: Molecule, reactants: Sequence[Molecule]) -> bool:
    return any(len(molecule.fragment_sizes) > 1 for molecule in (product, *reactants))


def _fit(counts: list[int], sizes: list[int], is_subset: bool) -> bool:
    """Whether two reactants of these numbers of atoms are all of the pool's, or two of them."""
    if not is_subset:
        return counts == sizes
    return all(counts.count(count) <= sizes.count(count) for count in counts)
