"""Derives from a template the edit that it makes, so that of templates with one edit only one is run.

Owns the rule by which two templates give the same outcome: they change the same atoms and bonds of a product
in the same way and differ in nothing but the surroundings that they ask for. Imports the standard library
alone to run. What is not understood has no edit, which costs time; where two edits are wrongly equal, answers
are wrong.

Why it holds: what both sides describe in the same words comes out as it went in (`alignment`). The rest, with
new atoms and their bonds, is the edit. It decides the outcome where the product is in one piece, no atom is
taken away, and what parts does so at a bond in no ring.
Radicals are not taken over, and stereochemistry is looked after in ways of its own: `sharing` keeps away from
both. What the product side alone says of stereochemistry is not asked of a product by RunReactants, and would
change that of matched atoms, of which those products have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aliquot_chem.alignment import Bonds, align
from aliquot_chem.sketches import Sketch

_STEREO_SIGNS = "@/\\"  # "@" is also the ring bond, which is then left out needlessly


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
    aligned = align(product, reactants)
    sets_stereo = any(sign in smarts.rpartition(">")[2] for sign in _STEREO_SIGNS)
    if aligned is None or not product.is_connected or sets_stereo:
        return None
    n_own, asks = aligned.n_own, aligned.asks
    changed = aligned.list_changed_bonds()
    touched = aligned.list_touched(changed)
    order = _rank(touched, changed, asks)
    own = [index for index in order if index < n_own]
    text = _write(own + [index for index in order if index >= n_own], changed, asks)
    text = f"{len(reactants)} {len(own)} {text}"
    return PlacedEdit(text, tuple((index, *aligned.places[index]) for index in own)) if own else None


def _rank(touched: set[int], changed: Bonds, asks: list[str]) -> list[int]:
    """The atoms in an order that does not depend on the template's; ties cost sharing, not answers."""
    around: dict[int, list[tuple[str, str]]] = {index: [] for index in touched}
    for (one, other), ask in changed.items():
        around[one].append((ask, asks[other]))
        around[other].append((ask, asks[one]))
    return sorted(touched, key=lambda index: (asks[index], sorted(around[index]), index))


def _write(order: list[int], changed: Bonds, asks: list[str]) -> str:
    rank = {index: i for i, index in enumerate(order)}
    bonds = sorted((*sorted((rank[one], rank[other])), ask) for (one, other), ask in changed.items())
    return f"{[asks[index] for index in order]} {bonds}"
