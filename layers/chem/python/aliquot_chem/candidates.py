"""Which templates may explain a reaction, by difference keys alone.

Owns the choice of the differences to look up: one where the reactants are known, one per subset of the
molecules on the left where they are not, and each for every part of a product that is a salt. Imports
RDKit and NumPy. When it is wrong, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from aliquot_chem.changes import MappedSides
from aliquot_chem.classes import CODES, WEIGHTS, count_elements
from aliquot_chem.keys import split_weight, subtract_hashes
from aliquot_chem.keytable import Candidates, Difference, KeyTable
from aliquot_chem.molecules import Molecule

# Past so many subsets, or fragments of a product, all templates are candidates: looking up costs more.
_MOST_SUBSETS = 20_000
_MOST_FRAGMENTS = 4
_SUBSETS_KEPT = 64


class Case(NamedTuple):
    """One reaction to explain.

    Args:
        product: the product as the templates see it.
        pool: the reactants; where `is_subset`, the molecules among which the reactants are.
        sides: both with their maps, where the product is as it was written.
    """

    product: Molecule
    pool: Sequence[Molecule]
    is_subset: bool
    sides: MappedSides | None = None


class _Part(NamedTuple):
    """Atoms of the product: their classes, the sum of their weights, and whether their fine hash holds."""

    classes: Sequence[int]
    weight: int
    is_told: bool

    @property
    def hash(self) -> int:
        """The linear hash of the histogram of atom classes."""
        return split_weight(self.weight)[0]


class Lookup(NamedTuple):
    """The candidates of one difference, and the molecules of the pool that make it up in some way."""

    candidates: Candidates
    reactants: Sequence[Molecule]


def find_candidates(keys: KeyTable, case: Case) -> list[Lookup] | None:
    """Template rows that can explain the case by their keys, by difference; None for all of them."""
    most = min(max(keys.sizes, default=0), len(case.pool))
    if case.is_subset and sum(comb(len(case.pool), n) for n in range(1, most + 1)) > _MOST_SUBSETS:
        return None
    products = _list_reacting_parts(case.product)
    if products is None:
        return None
    if not case.is_subset:
        return [_look_up(keys, product, case.pool, case.pool) for product in products]
    found = [Lookup(keys.keyless, case.pool)]
    for product in products:
        found.extend(_look_up_subsets(keys, product, case.pool, most))
    return found


def _list_reacting_parts(product: Molecule) -> list[_Part] | None:
    """What of the product an outcome can descend from: of a salt any of its fragments; None for too many.

    RunReactants carries over what hangs together with the match and drops the other fragments.
    """
    is_told, classes = product.fine_hash is not None, product.classes
    if len(product.fragment_sizes) == 1:
        return [_Part(classes, product.weight, is_told)]
    if len(product.fragment_sizes) > _MOST_FRAGMENTS:
        return None
    fragments = [[classes[atom] for atom in atoms] for atoms in Chem.GetMolFrags(product.mol)]
    parts = [list(chain(*some)) for n in range(1, len(fragments) + 1) for some in combinations(fragments, n)]
    return [_Part(part, sum(WEIGHTS[own] for own in part), is_told) for part in parts]


def _look_up(
    keys: KeyTable, product: _Part, chosen: Sequence[Molecule], reactants: Sequence[Molecule]
) -> Lookup:
    n_reactants = sum([len(molecule.fragment_sizes) for molecule in chosen])
    total, total_fine = split_weight(sum([molecule.weight for molecule in chosen]))
    own, own_fine = split_weight(product.weight)
    is_told = product.is_told and all(molecule.fine_hash is not None for molecule in chosen)
    fine = subtract_hashes(total_fine, own_fine) if is_told else None
    difference = Difference(n_reactants, subtract_hashes(total, own), fine)
    return Lookup(keys.find_rows(difference, lambda: _count_delta(product, chosen)), reactants)


def _look_up_subsets(keys: KeyTable, product: _Part, pool: Sequence[Molecule], most: int) -> Iterator[Lookup]:
    """Lookups for every subset of the pool that some key can account for."""
    hashes = np.array([molecule.hash for molecule in pool], np.uint64)
    elements = np.stack([molecule.elements for molecule in pool])
    product_hash, product_elements = np.uint64(product.hash), count_elements(product.classes)
    alike: dict[tuple[int, int], list[list[Molecule]]] = {}
    for n in range(1, most + 1):
        subsets = _list_subsets(len(pool), n)
        added = elements[subsets].sum(axis=1) - product_elements
        is_likely = keys.may_hold(hashes[subsets].sum(axis=1) - product_hash, added)
        for subset in subsets[is_likely].tolist():
            chosen = [pool[index] for index in subset]
            n_reactants = sum([len(molecule.fragment_sizes) for molecule in chosen])
            weight = sum([molecule.weight for molecule in chosen])
            alike.setdefault((n_reactants, weight), []).append(chosen)
    for chosen_alike in alike.values():
        yield _look_up(keys, product, chosen_alike[0], list(chain(*chosen_alike)))


@lru_cache(_SUBSETS_KEPT)
def _list_subsets(n_all: int, n: int) -> NDArray[np.intp]:
    """Every choice of n among so many, shape (n_choices, n)."""
    return np.array(list(combinations(range(n_all), n)), np.intp)


def _count_delta(product: _Part, reactants: Sequence[Molecule]) -> Counter[int]:
    delta = Counter(code for molecule in reactants for code in molecule.codes)
    delta.subtract(CODES[own] for own in product.classes)
    return delta
