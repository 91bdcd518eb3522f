"""Derives from a template by what its outcomes differ from the product.

Owns the rules by which keys and cuts follow from a template; why they hold is said in `keys` and `cuts`.
Imports the standard library alone to run. What cannot be derived is left out, which costs time; what is
derived wrongly loses hits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aliquot_chem.keys import Key, add_hashes, encode_atom
from aliquot_chem.queries import BondAsk, RayAsk, read_class
from aliquot_chem.sketches import Sketch, SketchAtom


@dataclass(frozen=True)
class Cut:
    """The one bond by whose breaking a template parts the product in two.

    Args:
        ask: the bond's query.
        is_low_first: whether the first reactant takes the query's lower atom.
        delta: what the first reactant has more than its side of the cut product, as in `Key`.
        fine: the hash of it by element, degree and hydrogens, as in `Key`.
    """

    ask: BondAsk
    is_low_first: bool
    delta: tuple[tuple[int, int], ...]
    fine: int | None


@dataclass(frozen=True)
class PlacedCut:
    """A cut, and where in the template it is.

    Args:
        ends: the atoms of the pattern that the bond joins, the first reactant's and the second's.
        rays: of each end the bonds to its other neighbours in the pattern: what bond and neighbour ask.
        added: how many atoms the template adds to each reactant.
        own: the atoms of the pattern that go to the first reactant.
    """

    cut: Cut
    ends: tuple[int, int]
    rays: tuple[tuple[RayAsk, ...], tuple[RayAsk, ...]]
    added: tuple[int, int]
    own: tuple[int, ...]


def derive_key(product: Sketch, reactants: Sequence[Sketch], fine: Sequence[int | None]) -> Key | None:
    """The difference that the template makes, None where it does not follow from its text.

    `fine` is that of each reactant, see `fine.derive_fine`.

    It follows by degree where every atom whose element, degree or presence changes tells its element and
    degree; by element where elements alone are told.
    """
    after = _MappedAtoms(reactants)
    if after.has_repeats or not all(molecule.is_connected for molecule in reactants):
        return None
    if not all(_is_kept_or_whole(atom, after) for atom in product.atoms):
        return None
    may_deviate = len(reactants) > 1 or _forms_bond(product, reactants)
    for is_by_element in (False, True):
        delta = _count_delta(product.atoms, after, is_by_element)
        if delta is not None:
            summed = None if is_by_element else _sum_hashes(fine)
            return Key(delta, len(reactants), is_by_element, may_deviate, summed)
    return None


def _sum_hashes(hashes: Sequence[int | None]) -> int | None:
    total: int | None = 0
    for own in hashes:
        total = None if total is None or own is None else add_hashes(total, own)
    return total


def derive_cut(product: Sketch, reactants: Sequence[Sketch], fine: Sequence[int | None]) -> PlacedCut | None:
    """The template's cut, for a template with a key by degree; None where it does not part the product so.

    It does where the product side is in one piece, all of its atoms stay, and one bond of it joins what goes
    to the first reactant with what goes to the second.
    """
    if len(reactants) != 2 or not product.is_connected:
        return None
    first, second = ({atom.number for atom in molecule.atoms} - {0} for molecule in reactants)
    if not all(atom.number in first or atom.number in second for atom in product.atoms):
        return None
    is_first = [atom.number in first for atom in product.atoms]
    crossing = [bond for bond in product.bonds if is_first[bond[0]] != is_first[bond[1]]]
    if len(crossing) != 1 or _forms_bond(product, reactants):
        return None
    mine = [atom for atom, is_mine in zip(product.atoms, is_first, strict=True) if is_mine]
    delta = _count_delta(mine, _MappedAtoms(reactants[:1]), is_by_element=False)
    if delta is None:
        return None
    low, high = sorted(crossing[0][:2], key=lambda index: product.atoms[index].ask)
    ask = product.atoms[low].ask, crossing[0][2], product.atoms[high].ask
    cut = Cut(ask, is_first[low], delta, fine[0])
    ends = (low, high) if is_first[low] else (high, low)
    own = tuple(index for index, is_mine in enumerate(is_first) if is_mine)
    added = len(reactants[0].atoms) - len(own), len(reactants[1].atoms) - len(product.atoms) + len(own)
    return PlacedCut(cut, ends, (_list_rays(product, *ends), _list_rays(product, *ends[::-1])), added, own)


def _list_rays(product: Sketch, end: int, other_end: int) -> tuple[RayAsk, ...]:
    far = [(begin + close - end, ask) for begin, close, ask in product.bonds if end in (begin, close)]
    return tuple((ask, product.atoms[other].ask) for other, ask in far if other != other_end)


class _MappedAtoms:
    """The atoms of a template's reactant side, by map number."""

    def __init__(self, molecules: Sequence[Sketch]) -> None:
        self.all = [atom for molecule in molecules for atom in molecule.atoms]
        mapped = [atom for atom in self.all if atom.number]
        self.by_map = {atom.number: atom for atom in mapped}
        self.has_repeats = len(self.by_map) != len(mapped)


def _is_kept_or_whole(atom: SketchAtom, after: _MappedAtoms) -> bool:
    """Whether an atom of the product side stays, or goes without taking unseen neighbours along."""
    return atom.number in after.by_map or read_class(atom.ask)[1] == atom.degree


def _forms_bond(product: Sketch, reactants: Sequence[Sketch]) -> bool:
    """Whether the template binds two mapped atoms that its product side leaves unbound."""
    known = {atom.number for atom in product.atoms}
    given = {pair for molecule in reactants for pair in molecule.list_bound_numbers()}
    among_known = {pair for pair in given if pair[0] in known and pair[1] in known}
    return not among_known <= product.list_bound_numbers()


def _count_delta(
    before: Sequence[SketchAtom], after: _MappedAtoms, is_by_element: bool
) -> tuple[tuple[int, int], ...] | None:
    delta: Counter[int] = Counter()
    for atom in before:
        change = _find_change(atom, after.by_map.get(atom.number) if atom.number else None, is_by_element)
        if change is None:
            return None
        for code, sign in change:
            delta[code] += sign
    product_maps = {atom.number for atom in before} - {0}
    for atom in after.all:
        if atom.number not in product_maps:
            delta[encode_atom(atom.atomic_number, 0 if is_by_element else atom.degree)] += 1
    return tuple(sorted((code, count) for code, count in delta.items() if count))


def _find_change(
    before: SketchAtom, after: SketchAtom | None, is_by_element: bool
) -> list[tuple[int, int]] | None:
    """What one atom of the product side contributes: (code, +1 or -1) pairs, None where that is not told."""
    element, degree = read_class(before.ask)
    # A reactant side that names no element (`*`, or a choice of elements) takes over the product's.
    element_after = element if after is None else after.atomic_number or element
    growth = 0 if after is None or is_by_element else after.degree - before.degree
    if after is not None and growth == 0 and element == element_after:
        return []
    if element is None or element_after is None or (degree is None and not is_by_element):
        return None
    degree = 0 if is_by_element or degree is None else degree
    change = [(encode_atom(element, degree), -1)]
    if after is not None:
        change.append((encode_atom(element_after, degree + growth), 1))
    return change
