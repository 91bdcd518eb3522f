"""Drops the templates that would part a product into pieces of the wrong make.

Owns the test of cuts: breaking a bond that is in no ring leaves two sides, each atom on one of them, and the
first reactant is its side plus what the template says that it adds, atoms and hydrogens. Breaking a ring
gives an outcome that deviates from its template (see `keys`), which counts if and only if the key does not
equal the difference. Then each reactant takes along all that hangs together with its matched atoms, other
matched atoms left aside, so its size is known before it is made. Imports NumPy. When a side is weighed
wrongly, hits are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property

import numpy as np

from aliquot_chem.bitset import OfferTable
from aliquot_chem.classes import WEIGHTS
from aliquot_chem.keys import hash_delta, split_weight, subtract_hashes
from aliquot_chem.molecules import Molecule
from aliquot_chem.prepared import Prepared
from aliquot_chem.rowsets import iterate_bits

Root = tuple[int, int]
"""A bond to be cut: the first reactant's end, and the second's."""


class CutTable:
    """The distinct cuts of the templates; sets of cuts are integers with a bit for each."""

    def __init__(self, prepared: Prepared, offers: OfferTable) -> None:
        """Index the cuts of `prepared`; their queries are among those of `offers`."""
        cuts = prepared.cuts
        self._offers = offers
        self.cut_of_row: list[int] = prepared.cut_of_row.tolist()
        self.ends_of_row: list[Root] = [(first, second) for first, second in prepared.cut_ends.tolist()]
        self._sides, self._starts = prepared.cut_sides, prepared.cut_sides_ends
        position = {ask: i for i, ask in enumerate(offers.queries)}
        self._query = np.array([position[cut.ask] for cut in cuts], np.intp)
        self._is_low_first = np.array([cut.is_low_first for cut in cuts], np.bool_)
        self._by_delta: dict[tuple[int, int | None], int] = {}
        for index, cut in enumerate(cuts):
            key = hash_delta(cut.delta), cut.fine
            self._by_delta[key] = self._by_delta.get(key, 0) | 1 << index
        self.match = cache(self._match)  # bounded by chemistry, as the classes of atoms are
        self._fine = {fine for _, fine in self._by_delta}

    def _match(self, bond: tuple[int, int, int]) -> int:
        """The cuts whose query a bond may match: (class of the first reactant's end, type, other class)."""
        forth, back = self._offers.match_directed(*bond)
        is_met = np.where(self._is_low_first, forth[self._query], back[self._query])
        return int.from_bytes(np.packbits(is_met, bitorder="little").tobytes(), "little")

    def find_making(self, side: int, reactant: Molecule, is_told: bool) -> int:
        """The cuts that make the reactant out of a side of that weight; `is_told`: its fine hash holds."""
        own, own_fine = split_weight(side)
        delta, fine = subtract_hashes(reactant.hash, own), reactant.fine_hash
        fitting = self._by_delta.get((delta, None), 0)
        if is_told and fine is not None:
            return fitting | self._by_delta.get((delta, subtract_hashes(fine, own_fine)), 0)
        for known in self._fine:
            fitting |= self._by_delta.get((delta, known), 0)
        return fitting

    def list_sides(self, row: int) -> tuple[int, int, list[int]]:
        """Of a template with a cut how many atoms it adds to each reactant, and which atoms the first has."""
        first, second, *own = self._sides[self._starts[row] : self._starts[row + 1]].tolist()
        return first, second, own


class ProductCuts:
    """The bonds of one product, and what cutting each of them would give."""

    def __init__(self, table: CutTable, product: Molecule) -> None:
        """Know the bonds of a product that is in one piece; weigh what lies to their sides on demand."""
        self._table, self._product = table, product
        self._sides: dict[Root, int] = {}

    @cached_property
    def _bonds(self) -> list[tuple[int, int, int]]:
        """Every bond from either end, as (first, second, the cuts that it may be)."""
        classes, match, bonds = self._product.classes, self._table.match, []
        for begin, kind, end in self._product.graph.bonds:
            begin_class, end_class = classes[begin], classes[end]
            bonds.append((begin, end, match((begin_class, kind, end_class))))
            bonds.append((end, begin, match((end_class, kind, begin_class))))
        return bonds

    @cached_property
    def _in_rings(self) -> set[Root]:
        """The bonds in rings, from either end: each is in one of RDKit's, as these generate all others."""
        found = set[Root]()
        for ring in self._product.mol.GetRingInfo().AtomRings():
            following = ring[1:] + ring[:1]
            found.update(zip(ring, following, strict=True))
            found.update(zip(following, ring, strict=True))
        return found

    def find_parting(self, cuts: int, reactants: Sequence[Molecule]) -> dict[int, set[Root]]:
        """Those of `cuts` that may cut a bond in no ring and part the product rightly: of each, the bonds."""
        found: dict[int, set[Root]] = {}
        is_told = self._product.fine_hash is not None
        for first, second, all_matching in self._bonds:
            matching = all_matching & cuts
            if matching and (first, second) not in self._in_rings:
                side = self._weigh_side(first, second)
                fitting = 0
                for reactant in reactants:
                    fitting |= self._table.find_making(side, reactant, is_told)
                for cut in iterate_bits(matching & fitting):
                    found.setdefault(cut, set()).add((first, second))
        return found

    def find_in_rings(self, cuts: int) -> dict[int, set[Root]]:
        """Those of `cuts` that may cut a bond in a ring: of each, the bonds."""
        found: dict[int, set[Root]] = {}
        for first, second, all_matching in self._bonds:
            matching = all_matching & cuts
            if matching and (first, second) in self._in_rings:
                for cut in iterate_bits(matching):
                    found.setdefault(cut, set()).add((first, second))
        return found

    def count_atoms(self, row: int, match: Sequence[int]) -> tuple[int, int]:
        """How many atoms the two reactants of a template with a cut have, at this match of its pattern."""
        first_added, second_added, own = self._table.list_sides(row)
        first = {match[index] for index in own}
        second = set(match) - first
        return (
            first_added + len(self._reach(first, second)),
            second_added + len(self._reach(second, first)),
        )

    def _reach(self, start: set[int], barred: set[int]) -> set[int]:
        """The atoms that hang together with those of `start`, those `barred` left aside."""
        reached, order, around = set(start), list(start), self._product.graph.around
        for atom in order:  # grows while it is walked
            for other, _ in around[atom]:
                if other not in reached and other not in barred:
                    reached.add(other)
                    order.append(other)
        return reached

    def _weigh_side(self, first: int, second: int) -> int:
        """The weight of the first reactant's side of a bond in no ring."""
        weight = self._sides.get((first, second))
        if weight is None:
            classes = self._product.classes
            weight = sum([WEIGHTS[classes[atom]] for atom in self._reach({first}, {second})])
            self._sides[first, second] = weight
            self._sides[second, first] = self._product.weight - weight
        return weight


def iterate_fitting(
    matches: Sequence[Sequence[int]], ends: Root, roots: set[Root]
) -> Iterator[Sequence[int]]:
    """Those matches of a pattern that have its cut, between the atoms `ends` of it, at one of the bonds."""
    first, second = ends
    return (match for match in matches if (match[first], match[second]) in roots)
