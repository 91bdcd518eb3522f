"""Drops the templates that would part a product into pieces of the wrong make.

Owns the test of cuts: breaking a bond that is in no ring leaves two sides, each atom on one of them, and the
first reactant is its side plus what the template says that it adds. Breaking a ring gives an outcome that
deviates from its template (see `keys`), which counts if and only if the key does not equal the difference.
Imports NumPy. When a side is counted wrongly, hits are lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aliquot_chem.bitset import Classified, OfferTable
from aliquot_chem.keys import add_hashes, hash_delta, subtract_hashes, weigh
from aliquot_chem.keytable import Rows
from aliquot_chem.molecules import Molecule
from aliquot_chem.patterns import Matches
from aliquot_chem.prepared import Prepared


class CutTable:
    """The distinct cuts of the templates; sets of cuts are integers with a bit for each."""

    def __init__(self, prepared: Prepared, offers: OfferTable) -> None:
        """Index the cuts of `prepared`; their queries are among those of `offers`."""
        cuts = prepared.cuts
        self.n_cuts, self.cut_of_row, self._offers = len(cuts), prepared.cut_of_row, offers
        self.ends_of_row: list[tuple[int, int]] = [
            (first, second) for first, second in prepared.cut_ends.tolist()
        ]
        self.deltas = [hash_delta(cut.delta) for cut in cuts]
        position = {ask: i for i, ask in enumerate(offers.queries)}
        self._query = np.array([position[cut.ask] for cut in cuts], np.intp)
        self._is_low_first = np.array([cut.is_low_first for cut in cuts], np.bool_)
        self.by_delta: dict[int, int] = {}
        for index, delta in enumerate(self.deltas):
            self.by_delta[delta] = self.by_delta.get(delta, 0) | 1 << index
        self._by_bond: dict[tuple[int, int, int], int] = {}

    def match(self, first: int, kind: int, second: int) -> int:
        """The cuts whose query a bond may match, its atom of class `first` going to the first reactant."""
        matching = self._by_bond.get((first, kind, second))
        if matching is None:
            forth, back = self._offers.match_directed(first, kind, second)
            is_met = np.where(self._is_low_first, forth[self._query], back[self._query])
            matching = int.from_bytes(np.packbits(is_met, bitorder="little").tobytes(), "little")
            self._by_bond[first, kind, second] = matching
        return matching


class ProductCuts:
    """The bonds of one product, and what cutting each of them would give.

    A regular candidate has to cut a bond in no ring that parts the product rightly. A loose one that has a
    cut may instead break a ring, as its outcome has to deviate (it may be regular for some other difference).
    """

    def __init__(
        self, table: CutTable, product: Molecule, classified: Classified, reactants: Sequence[Molecule]
    ) -> None:
        """Weigh the sides of the product's bonds against `reactants`; salts are let pass."""
        self._table, self._classified = table, classified
        self._wanted = {molecule.hash for molecule in reactants}
        molecules = (product, *reactants)
        self._is_idle = not table.n_cuts or any(len(molecule.fragment_sizes) > 1 for molecule in molecules)
        self._sides = {} if self._is_idle else sum_sides(product, classified)
        self._parting = self._collect_parting()

    def keep_regular(self, rows: Rows) -> Rows:
        """Those of the regular `rows` whose cut may be a bond that parts the product rightly."""
        return self._keep(rows, self._parting)

    def keep_loose(self, rows: Rows) -> Rows:
        """Those of the loose `rows` whose cut may be such a bond, or one in a ring."""
        if self._is_idle or not len(rows):
            return rows
        possible, atoms = self._parting, self._classified.atoms
        in_rings = [bond for bond in self._classified.bonds if (bond[0], bond[2]) not in self._sides]
        for begin, kind, end in {(atoms[b], kind, atoms[e]) for b, kind, e in in_rings}:
            possible |= self._table.match(begin, kind, end) | self._table.match(end, kind, begin)
        return self._keep(rows, possible)

    def may_break_rings(self, row: int) -> bool:
        """Whether `list_allowed` lets matches of a regular template pass that break a ring."""
        return self._is_idle and bool(self._table.cut_of_row[row] >= 0)

    def list_allowed(self, row: int, matches: Matches | None, is_loose: bool) -> Matches | None:
        """Those matches of the template's pattern that have its cut at such a bond; None is all of them."""
        cut = int(self._table.cut_of_row[row])
        if self._is_idle or cut < 0 or matches is None:
            return matches
        first, second = self._table.ends_of_row[row]
        delta = self._table.deltas[cut]
        allowed = {}
        for bond in {(match[first], match[second]) for match in matches}:
            side = self._sides.get(bond)
            allowed[bond] = is_loose if side is None else add_hashes(side[1], delta) in self._wanted
        return [match for match in matches if allowed[match[first], match[second]]]

    def _collect_parting(self) -> int:
        """The cuts that some bond in no ring allows."""
        possible, atoms = 0, self._classified.atoms
        for (first, second), (kind, side) in self._sides.items():
            fitting = self._find_deltas(side)
            if fitting:
                possible |= fitting & self._table.match(atoms[first], kind, atoms[second])
        return possible

    def _keep(self, rows: Rows, possible: int) -> Rows:
        if self._is_idle or not len(rows):
            return rows
        packed = np.frombuffer(possible.to_bytes(self._table.n_cuts // 8 + 1, "little"), np.uint8)
        is_possible = np.unpackbits(packed, bitorder="little").astype(np.bool_)
        is_possible[-1] = True  # what -1, no cut, refers to: there is always a bit to spare
        return rows[is_possible[self._table.cut_of_row[rows]]]

    def _find_deltas(self, side: int) -> int:
        """The cuts that make a wanted reactant out of a side of that hash."""
        fitting = 0
        for reactant in self._wanted:
            fitting |= self._table.by_delta.get(subtract_hashes(reactant, side), 0)
        return fitting


def sum_sides(product: Molecule, classified: Classified) -> dict[tuple[int, int], tuple[int, int]]:
    """For each bond in no ring, as (near, far) both ways: its type, and the hash of the near side.

    The product is in one piece.
    """
    neighbours: list[list[int]] = [[] for _ in classified.atoms]
    for begin, _, end in classified.bonds:
        neighbours[begin].append(end)
        neighbours[end].append(begin)
    parents = _grow_tree(neighbours)
    in_ring = _find_ring_atoms(neighbours, parents)
    sums = [weigh(code) for code in product.codes]
    for atom in reversed(list(parents)[1:]):
        sums[parents[atom]] += sums[atom]
    sides = {}
    for begin, kind, end in classified.bonds:
        child, parent = (begin, end) if parents[begin] == end else (end, begin)
        if parents[child] == parent and child not in in_ring:
            sides[child, parent] = kind, sums[child]
            sides[parent, child] = kind, sums[0] - sums[child]  # taken modulo 2**64 where it is used
    return sides


def _grow_tree(neighbours: list[list[int]]) -> dict[int, int]:
    """From each atom to its parent, -1 for the first; parents stand before their children."""
    parents, order = {0: -1}, [0]
    for atom in order:  # grows while it is walked
        for other in neighbours[atom]:
            if other not in parents:
                parents[other] = atom
                order.append(other)
    return parents


def _find_ring_atoms(neighbours: list[list[int]], parents: dict[int, int]) -> set[int]:
    """The atoms whose bond to their parent is in a ring."""
    place = {atom: i for i, atom in enumerate(parents)}
    found = set[int]()
    for atom, parent in parents.items():
        for other in neighbours[atom]:
            if place[other] < place[atom] and other != parent:
                low, high = atom, other  # up from both ends until they meet: that is a ring
                while low != high:
                    if place[low] < place[high]:
                        low, high = high, low
                    found.add(low)
                    low = parents[low]
    return found
