"""Derives from a template by what its reactants differ from the product, atom by atom with their hydrogens.

Owns the difference by (element, degree, hydrogens), of which keys and cuts have the hash: it tells apart what
has one difference by (element, degree), as an oxidised alcohol and a hydrogenated double bond. Imports the
standard library alone to run. Where it does not follow from the template's text there is none, which costs
time; where it is wrong, hits are lost.

Why it holds for an outcome that does not deviate from its template (see `keys`): an atom that the template
does not touch keeps its bonds and with them its hydrogens (`alignment`). A touched atom of which both sides
tell the number comes out with the one that is set. An added atom gets what its valence leaves free, as RDKit
fills it up. Sanitising moves charges and aromaticity, and no hydrogens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aliquot_chem.alignment import Aligned, align, find_bond_type, is_plain_query
from aliquot_chem.keys import encode_atom, encode_fine, hash_delta
from aliquot_chem.queries import Tree, find_element, find_value, parse_query, read_class
from aliquot_chem.sketches import Sketch

_VALENCES = {5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 17: 1, 35: 1, 53: 1}
_CHARGED_VALENCES = {(8, -1): 1, (7, 1): 4}
# Of these, which take several valences, only one that is full by its bonds is told.
_HIGHER_VALENCES = {16: (2, 4, 6), 15: (3, 5), 50: (4,)}
_AROMATIC_CARBON, _AROMATIC = 1006, 12


def derive_fine(product: Sketch, reactants: Sequence[Sketch]) -> list[int | None]:
    """Per reactant, the hash of what it has more than its part of the product; None where that is not told.

    It is of use for a template with a key by degree: no map number repeats, all reactants are in one piece.
    """
    aligned = align(product, reactants)
    if aligned is None:
        return [None] * len(reactants)
    deltas: list[Counter[int] | None] = [Counter() for _ in reactants]
    for index in aligned.list_touched(aligned.list_changed_bonds()):
        reactant, atom = aligned.places[index]
        degree = reactants[reactant].atoms[atom].degree
        change, delta = _find_change(aligned, product, index, degree), deltas[reactant]
        if change is None or delta is None:
            deltas[reactant] = None
        else:
            delta.update(change[1])
            delta.subtract(change[0])
    return [None if delta is None else hash_delta(delta.items()) for delta in deltas]


Change = tuple[list[int], list[int]]
"""Codes that go, and codes that come, see `keys.encode_fine`."""


def _find_change(aligned: Aligned, product: Sketch, index: int, degree: int) -> Change | None:
    """What a touched atom of that degree in the reactant side contributes; None where it is not told."""
    tree = parse_query(aligned.asks[index])
    element, n_after = find_element(tree), _find_hydrogens(aligned, index, tree)
    if element is None or n_after is None:
        return None
    if index >= aligned.n_own:
        return [], [encode_fine(encode_atom(element, degree), n_after)]
    ask = aligned.asks_before[index]
    element_before, degree_before = read_class(ask)
    n_before, growth = find_value(parse_query(ask), "AtomHCount"), degree - product.atoms[index].degree
    if element_before is None or n_before is None:
        return None
    if (element_before, n_before, growth) == (element, n_after, 0):
        return [], []
    if degree_before is None:
        return None
    before = encode_fine(encode_atom(element_before, degree_before), n_before)
    return [before], [encode_fine(encode_atom(element, degree_before + growth), n_after)]


def _find_hydrogens(aligned: Aligned, index: int, tree: Tree) -> int | None:
    """How many hydrogens a touched atom comes out with."""
    if not is_plain_query(tree):
        return None
    told = find_value(tree, "AtomHCount")
    return (
        _fill_up(tree, _list_bond_types(aligned, index)) if told is None and index >= aligned.n_own else told
    )


def _list_bond_types(aligned: Aligned, index: int) -> list[int] | None:
    """RDKit's types of an atom's bonds; None where one is open."""
    asks = aligned.asks
    own = [(pair, ask) for pair, ask in aligned.after.items() if index in pair]
    types = [find_bond_type(ask, [asks[end] for end in pair]) for pair, ask in own]
    known = [bond_type for bond_type in types if bond_type is not None]
    return known if len(known) == len(types) else None


def _fill_up(tree: Tree, bond_types: list[int] | None) -> int | None:
    """The hydrogens of an added atom of which the template tells no number."""
    element, charge = find_element(tree), find_value(tree, "AtomFormalCharge") or 0
    if bond_types is None or element is None:
        return None
    if find_value(tree, "AtomType") == _AROMATIC_CARBON and not charge:
        return max(0, 3 - len(bond_types)) if bond_types.count(_AROMATIC) > 1 else None
    if _AROMATIC in bond_types:
        return None
    valence = _CHARGED_VALENCES.get((element, charge)) if charge else _VALENCES.get(element)
    n_bonds = sum(bond_types)
    if valence is not None:
        return valence - n_bonds if valence >= n_bonds else None
    return 0 if not charge and n_bonds in _HIGHER_VALENCES.get(element, ()) else None
