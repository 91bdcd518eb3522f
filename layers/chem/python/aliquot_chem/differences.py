"""Derives from a template's SMARTS by what its outcomes differ from the product.

Owns the rules by which keys and cuts follow from a template; why they hold is said in `keys` and `cuts`.
Imports RDKit. What cannot be derived is left out, which costs time; what is derived wrongly loses hits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rdkit import Chem

from aliquot_chem.keys import Key, encode_atom
from aliquot_chem.queries import (
    BondAsk,
    Tree,
    describe_atom,
    describe_bond,
    find_element,
    find_value,
    parse_query,
)


@dataclass(frozen=True)
class Cut:
    """The one bond by whose breaking a template parts the product in two.

    Args:
        ask: the bond's query.
        is_low_first: whether the first reactant takes the query's lower atom.
        delta: what the first reactant has more than its side of the cut product, as in `Key`.
    """

    ask: BondAsk
    is_low_first: bool
    delta: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class PlacedCut:
    """A cut, and where in the pattern it is: the first reactant's end of the bond, and the second's."""

    cut: Cut
    ends: tuple[int, int]


def derive_key(product: Chem.Mol, reactants: list[Chem.Mol]) -> Key | None:
    """The difference that the template makes, None where it does not follow from its text.

    It follows by degree where every atom whose element, degree or presence changes tells its element and
    degree; by element where elements alone are told.
    """
    after = _MappedAtoms(reactants)
    if after.has_repeats or any(len(Chem.GetMolFrags(molecule)) != 1 for molecule in reactants):
        return None
    before = list(product.GetAtoms())
    if not all(_is_kept_or_whole(atom, after) for atom in before):
        return None
    may_deviate = len(reactants) > 1 or _forms_bond(product, after)
    for is_by_element in (False, True):
        delta = _count_delta(before, after, is_by_element)
        if delta is not None:
            return Key(delta, len(reactants), is_by_element, may_deviate)
    return None


def derive_cut(product: Chem.Mol, reactants: list[Chem.Mol]) -> PlacedCut | None:
    """The template's cut, for a template with a key by degree; None where it does not part the product so.

    It does where the product side is in one piece, all of its atoms stay, and one bond of it joins what goes
    to the first reactant with what goes to the second.
    """
    if len(reactants) != 2 or len(Chem.GetMolFrags(product)) != 1:
        return None
    first, second = (_MappedAtoms([molecule]) for molecule in reactants)
    numbers = [atom.GetAtomMapNum() for atom in product.GetAtoms()]
    if not all(number in first.by_map or number in second.by_map for number in numbers):
        return None
    is_first = [number in first.by_map for number in numbers]
    crossing = [b for b in product.GetBonds() if is_first[b.GetBeginAtomIdx()] != is_first[b.GetEndAtomIdx()]]
    if len(crossing) != 1 or _forms_bond(product, _MappedAtoms(reactants)):
        return None
    mine = [atom for atom in product.GetAtoms() if is_first[atom.GetIdx()]]
    delta = _count_delta(mine, first, is_by_element=False)
    return None if delta is None else _orient_cut(crossing[0], is_first, delta)


def _orient_cut(bond: Chem.Bond, is_first: list[bool], delta: tuple[tuple[int, int], ...]) -> PlacedCut:
    ends = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=describe_atom)
    low, high = (end.GetIdx() for end in ends)
    ask = describe_atom(ends[0]), describe_bond(bond), describe_atom(ends[1])
    return PlacedCut(Cut(ask, is_first[low], delta), (low, high) if is_first[low] else (high, low))


class _MappedAtoms:
    """The atoms of a template's reactant side, by map number."""

    def __init__(self, molecules: list[Chem.Mol]) -> None:
        atoms = [atom for molecule in molecules for atom in molecule.GetAtoms()]
        mapped = [atom for atom in atoms if atom.GetAtomMapNum()]
        self.by_map = {atom.GetAtomMapNum(): atom for atom in mapped}
        self.has_repeats = len(self.by_map) != len(mapped)
        self.all = atoms


def _is_kept_or_whole(atom: Chem.Atom, after: _MappedAtoms) -> bool:
    """Whether an atom of the product side stays, or goes without taking unseen neighbours along."""
    if atom.GetAtomMapNum() in after.by_map:
        return True
    return bool(find_value(_read_query(atom), "AtomExplicitDegree") == atom.GetDegree())


def _forms_bond(product: Chem.Mol, after: _MappedAtoms) -> bool:
    """Whether the template binds two mapped atoms that its product side leaves unbound."""
    bound = {
        frozenset((bond.GetBeginAtom().GetAtomMapNum(), bond.GetEndAtom().GetAtomMapNum()))
        for bond in product.GetBonds()
    }
    known = {atom.GetAtomMapNum() for atom in product.GetAtoms()} - {0}
    given = {
        frozenset((number, neighbour.GetAtomMapNum()))
        for number, atom in after.by_map.items()
        for neighbour in atom.GetNeighbors()
    }
    return any(pair <= known and pair not in bound for pair in given)


def _count_delta(
    before: list[Chem.Atom], after: _MappedAtoms, is_by_element: bool
) -> tuple[tuple[int, int], ...] | None:
    delta: Counter[int] = Counter()
    product_maps = set()
    for atom in before:
        number = atom.GetAtomMapNum()
        product_maps.add(number)
        change = _find_change(atom, after.by_map.get(number) if number else None, is_by_element)
        if change is None:
            return None
        for code, sign in change:
            delta[code] += sign
    product_maps.discard(0)
    for atom in after.all:
        if atom.GetAtomMapNum() not in product_maps:
            delta[encode_atom(atom.GetAtomicNum(), 0 if is_by_element else atom.GetDegree())] += 1
    return tuple(sorted((code, count) for code, count in delta.items() if count))


def _find_change(
    before: Chem.Atom, after: Chem.Atom | None, is_by_element: bool
) -> list[tuple[int, int]] | None:
    """What one atom of the product side contributes: (code, +1 or -1) pairs, None where that is not told."""
    query = _read_query(before)
    element, degree = find_element(query), find_value(query, "AtomExplicitDegree")
    # A reactant side that names no element (`*`, or a choice of elements) takes over the product's.
    element_after = element if after is None else after.GetAtomicNum() or element
    growth = 0 if after is None or is_by_element else after.GetDegree() - before.GetDegree()
    if after is not None and growth == 0 and element == element_after:
        return []
    if element is None or element_after is None or (degree is None and not is_by_element):
        return None
    degree = 0 if is_by_element or degree is None else degree
    change = [(encode_atom(element, degree), -1)]
    if after is not None:
        change.append((encode_atom(element_after, degree + growth), 1))
    return change


def _read_query(atom: Chem.Atom) -> Tree:
    return parse_query(atom.DescribeQuery()) if atom.HasQuery() else ("unknown",)
