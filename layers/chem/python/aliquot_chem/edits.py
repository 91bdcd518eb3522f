"""Derives from a template the edit that it makes, so that of templates with one edit only one is run.

Owns the rule by which two templates give the same outcome: they change the same atoms and bonds of a product
in the same way and differ in nothing but the surroundings that they ask for. Imports the standard library
alone to run. What is not understood has no edit, which costs time; where two edits are wrongly equal, answers
are wrong.

Why it holds: RunReactants builds an outcome from the template's reactant side, takes over from the product
whatever that side leaves open, and adds all other atoms as they are. An atom or a bond that both sides
describe in the same words, so that the product side asks exactly what the reactant side sets, comes out as it
went in (`_is_idle`, `_is_idle_bond`). The rest, with new atoms and their bonds, is the edit. It decides the
outcome where the product is in one piece, no atom is taken away, and what parts does so at a bond in no ring.
Radicals are not taken over, and stereochemistry is looked after in ways of its own: `sharing` keeps away from
both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from aliquot_chem.queries import Tree, find_element, find_value, parse_query
from aliquot_chem.sketches import Sketch

_STEREO_SIGNS = "@/\\"  # "@" is also the ring bond, which is then left out needlessly
_PLAIN_LEAVES = {
    "AtomType",
    "AtomAtomicNum",
    "AtomIsAromatic",
    "AtomIsAliphatic",
    "AtomExplicitDegree",
    "AtomHCount",
    "AtomFormalCharge",
}
_PLAIN_BONDS = {f"BondOrder {order} = val\n" for order in (1, 2, 3, 12)}
_OPEN_BOND = "SingleOrAromaticBond 1 = val\n"
_FIRST_AROMATIC = 1000
_PNICTOGENS = (7, 15)

Bonds = dict[tuple[int, int], str]
"""From two atoms, the lower first, to what the bond between them asks or sets."""


@dataclass(frozen=True)
class PlacedEdit:
    """An edit, and where in the template it is.

    Args:
        text: the edit, its atoms numbered from 0. Templates of one text make the same edit.
        places: of each atom of the edit that the product has, its index in the pattern, and the reactant
            and the atom in it by which the template gives it.
    """

    text: str
    places: tuple[tuple[int, int, int], ...]


def derive_edit(smarts: str, product: Sketch, reactants: Sequence[Sketch]) -> PlacedEdit | None:
    """The template's edit, for a template with a key by degree; None where it cannot be told.

    A template of two reactants must have a cut. With a key, all reactants are in one piece and no map number
    repeats.
    """
    aligned = _align(product, reactants)
    if aligned is None or not product.is_connected or any(sign in smarts for sign in _STEREO_SIGNS):
        return None
    n_own, asks, n_all = len(product.atoms), aligned.asks, len(aligned.places)
    changed = _list_changed_bonds(aligned)
    touched = {index for pair in changed for index in pair} | set(range(n_own, n_all))
    touched.update(i for i, atom in enumerate(product.atoms) if atom.ask != asks[i] or not _is_idle(asks[i]))
    order = _rank(touched, changed, asks)
    own = [index for index in order if index < n_own]
    text = _write(own + [index for index in order if index >= n_own], changed, asks)
    text = f"{len(reactants)} {len(own)} {text}"
    return PlacedEdit(text, tuple((index, *aligned.places[index]) for index in own)) if own else None


class _Aligned(NamedTuple):
    """Both sides of a template in one numbering: the product side's atoms, then those that are added.

    Args:
        places: where the reactant side has each atom, as (reactant, atom in it).
        asks: what the reactant side sets of it.
        before: the bonds of the product side; `after`: those of the reactant side.
    """

    places: list[tuple[int, int]]
    asks: list[str]
    before: Bonds
    after: Bonds


def _align(product: Sketch, reactants: Sequence[Sketch]) -> _Aligned | None:
    """The two sides aligned by map numbers; None where an atom of the product side is taken away."""
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
    return _Aligned(list(index_of), [given[place].ask for place in index_of], before, after)


def _order(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _list_changed_bonds(aligned: _Aligned) -> Bonds:
    """Bonds that are made, set anew or, with an empty text, broken."""
    _, asks, before, after = aligned
    changed = dict.fromkeys(before.keys() - after.keys(), "")
    for pair, ask in after.items():
        if before.get(pair) != ask or not _is_idle_bond(ask, [asks[index] for index in pair]):
            changed[pair] = ask
    return changed


@lru_cache(4_096)
def _is_idle(ask: str) -> bool:
    """Whether an atom that is asked for and set in these words comes out as it went in.

    Its element, aromaticity, charge and number of hydrogens then do. That the latter are set rather than
    implied is seen in SMILES at an aromatic nitrogen or phosphorus alone.
    """
    tree = parse_query(ask)
    if not _is_plain(tree):
        return False
    element = find_element(tree)
    may_be_seen = element in _PNICTOGENS and find_value(tree, "AtomType") != element
    sets_hydrogens = find_value(tree, "AtomHCount") is not None
    return element is not None and not (sets_hydrogens and may_be_seen)


def _is_plain(tree: Tree) -> bool:
    """Whether a query is a list of plain values that all have to be met."""
    if tree[0] == "is":
        return tree[1] in _PLAIN_LEAVES and not tree[3]
    return tree[0] == "and" and all(isinstance(child, tuple) and _is_plain(child) for child in tree[1:])


def _is_idle_bond(ask: str, ends: Iterable[str]) -> bool:
    """Whether a bond that is asked for and set in these words comes out as it went in."""
    if ask in _PLAIN_BONDS:
        return True
    kinds = [find_value(parse_query(end), "AtomType") for end in ends]
    return ask == _OPEN_BOND and any(kind is not None and kind < _FIRST_AROMATIC for kind in kinds)


def _rank(touched: set[int], changed: Bonds, asks: list[str]) -> list[int]:
    """The atoms in an order that does not depend on the template's; ties cost sharing, not answers."""
    around: dict[int, list[tuple[str, str]]] = {index: [] for index in touched}
    for (one, other), ask in changed.items():
        around[one].append((ask, asks[other]))
        around[other].append((ask, asks[one]))
    return sorted(touched, key=lambda index: (asks[index], sorted(around[index]), index))


def _write(order: list[int], changed: Bonds, asks: list[str]) -> str:
    rank = {index: i for i, index in enumerate(order)}
    bonds = sorted((*_order(rank[one], rank[other]), ask) for (one, other), ask in changed.items())
    return f"{[asks[index] for index in order]} {bonds}"
