"""Both sides of a template in one numbering, and what of it stays as it is.

Owns the pairing of atoms by map numbers, and which atoms and bonds come out of RunReactants as they went in.
Imports the standard library alone to run. When something that changes is taken to stay, answers are wrong.

RunReactants builds an outcome from the template's reactant side, takes over from the product whatever that
side leaves open, and adds all other atoms as they are. So an atom or a bond that both sides describe in the
same words, such that the product side asks exactly what the reactant side sets, comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from aliquot_chem.queries import Tree, find_element, find_value, parse_query
from aliquot_chem.sketches import Sketch

_PLAIN_BONDS = {f"BondOrder {order} = val\n": order for order in (1, 2, 3, 12)}
_OPEN_BOND, _SINGLE = "SingleOrAromaticBond 1 = val\n", 1
_PLAIN_LEAVES = {
    "AtomType",
    "AtomAtomicNum",
    "AtomIsAromatic",
    "AtomIsAliphatic",
    "AtomExplicitDegree",
    "AtomHCount",
    "AtomFormalCharge",
}
_FIRST_AROMATIC = 1000
_PNICTOGENS = (7, 15)

Bonds = dict[tuple[int, int], str]
"""From two atoms, the lower first, to what the bond between them asks or sets."""


class Aligned(NamedTuple):
    """Both sides of a template in one numbering: the product side's atoms, then those that are added.

    Args:
        n_own: how many atoms the product side has.
        places: where the reactant side has each atom, as (reactant, atom in it).
        asks_before: what the product side asks of each of its atoms.
        asks: what the reactant side sets of each atom.
        before: the bonds of the product side; `after`: those of the reactant side.
    """

    n_own: int
    places: list[tuple[int, int]]
    asks_before: list[str]
    asks: list[str]
    before: Bonds
    after: Bonds

    def list_changed_bonds(self) -> Bonds:
        """Bonds that are made, set anew or, with an empty text, broken."""
        changed = dict.fromkeys(self.before.keys() - self.after.keys(), "")
        for pair, ask in self.after.items():
            is_plain = find_bond_type(ask, [self.asks[index] for index in pair]) is not None
            if not is_plain or self.before.get(pair) != ask:
                changed[pair] = ask
        return changed

    def list_touched(self, changed: Bonds) -> set[int]:
        """The atoms that are added, that may come out otherwise than they went in, or whose bonds may."""
        touched = {index for pair in changed for index in pair} | set(range(self.n_own, len(self.places)))
        for index, ask in enumerate(self.asks_before):
            if ask != self.asks[index] or not _is_idle(ask):
                touched.add(index)
        return touched


def align(product: Sketch, reactants: Sequence[Sketch]) -> Aligned | None:
    """The two sides aligned by map numbers; None where an atom of the product side is taken away.

    No map number may repeat on a side.
    """
    given = {(r, a): atom for r, side in enumerate(reactants) for a, atom in enumerate(side.atoms)}
    place_of_map = {atom.number: place for place, atom in given.items() if atom.number}
    if not all(atom.number in place_of_map for atom in product.atoms):
        return None
    index_of = {place_of_map[atom.number]: index for index, atom in enumerate(product.atoms)}
    for place in given:
        index_of.setdefault(place, len(index_of))
    after = {
        _order(index_of[r, begin], index_of[r, end]): ask
        for r, side in enumerate(reactants)
        for begin, end, ask in side.bonds
    }
    before = {_order(begin, end): ask for begin, end, ask in product.bonds}
    asks_before = [atom.ask for atom in product.atoms]
    asks = [given[place].ask for place in index_of]
    return Aligned(len(product.atoms), list(index_of), asks_before, asks, before, after)


def _order(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


@lru_cache(4_096)
def _is_idle(ask: str) -> bool:
    """Whether an atom that is asked for and set in these words comes out as it went in.

    Its element, aromaticity, charge and number of hydrogens then do. That the latter are set rather than
    implied is seen in SMILES at an aromatic nitrogen or phosphorus alone.
    """
    tree = parse_query(ask)
    if not is_plain_query(tree):
        return False
    element = find_element(tree)
    may_be_seen = element in _PNICTOGENS and find_value(tree, "AtomType") != element
    sets_hydrogens = find_value(tree, "AtomHCount") is not None
    return element is not None and not (sets_hydrogens and may_be_seen)


def is_plain_query(tree: Tree) -> bool:
    """Whether a query is a list of plain values that all have to be met."""
    if tree[0] == "is":
        return tree[1] in _PLAIN_LEAVES and not tree[3]
    return tree[0] == "and" and all(isinstance(child, tuple) and is_plain_query(child) for child in tree[1:])


def find_bond_type(ask: str, ends: Iterable[str]) -> int | None:
    """RDKit's type of a bond that is described so, between atoms that are; None where it is left open."""
    if ask != _OPEN_BOND:
        return _PLAIN_BONDS.get(ask)
    kinds = [find_value(parse_query(end), "AtomType") for end in ends]
    return _SINGLE if any(kind is not None and kind < _FIRST_AROMATIC for kind in kinds) else None
