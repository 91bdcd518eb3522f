"""Which templates may explain a reaction, by difference keys alone.

Owns the choice of the differences to look up: one where the reactants are known, one per subset of the
molecules on the left where they are not, and each for every part of a product that is a salt. Imports RDKit
and NumPy. When it is wrong, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from aliquot_chem.keys import subtract_hashes
from aliquot_chem.keytable import Candidates, KeyTable
from aliquot_chem.molecules import Molecule

# Past so many subsets, or fragments of a product, all templates are candidates: looking up costs more.
_MOST_SUBSETS = 20_000
_MOST_FRAGMENTS = 4


class Case(NamedTuple):
    """One reaction to explain.

    Args:
        product: the product as the templates see it.
        pool: the reactants; where `is_subset`, the molecules among which the reactants are.
    """

    product: Molecule
    pool: Sequence[Molecule]
    is_subset: bool


def find_candidates(keys: KeyTable, case: Case) -> Candidates | None:
    """Template rows that can explain the case by their keys; None for all of them."""
    most = min(max(keys.sizes, default=0), len(case.pool))
    if case.is_subset and sum(comb(len(case.pool), n) for n in range(1, most + 1)) > _MOST_SUBSETS:
        return None
    products = _list_reacting_parts(case.product)
    if products is None:
        return None
    if not case.is_subset:
        found = [_find_rows(keys, product, case.pool) for product in products]
    else:
        found = [Candidates(np.empty(0, np.intp), keys.keyless)]
        for product in products:
            found.extend(_iterate_subset_rows(keys, product, case.pool, most))
    return found[0] if len(found) == 1 else _merge(found)


def _merge(found: Sequence[Candidates]) -> Candidates:
    """All rows; one that is loose for some difference is loose."""
    regular = np.concatenate([candidates.regular for candidates in found])
    loose = np.concatenate([candidates.loose for candidates in found])
    return Candidates(np.setdiff1d(regular, loose), np.unique(loose))


def _list_reacting_parts(product: Molecule) -> list[Molecule] | None:
    """What of the product an outcome can descend from: of a salt any of its fragments; None for too many.

    RunReactants carries over what hangs together with the match and drops the other fragments.
    """
    if len(product.fragment_sizes) == 1:
        return [product]
    if len(product.fragment_sizes) > _MOST_FRAGMENTS:
        return None
    fragments = Chem.GetMolFrags(product.mol, asMols=True, sanitizeFrags=False)
    return [
        Molecule(reduce(Chem.CombineMols, some))
        for n in range(1, len(fragments) + 1)
        for some in combinations(fragments, n)
    ]


def _find_rows(keys: KeyTable, product: Molecule, reactants: Sequence[Molecule]) -> Candidates:
    n_reactants = sum(len(molecule.fragment_sizes) for molecule in reactants)
    total = sum(molecule.hash for molecule in reactants)
    delta_hash = subtract_hashes(total, product.hash)
    return keys.find_rows(n_reactants, delta_hash, lambda: _count_delta(product, reactants))


def _iterate_subset_rows(
    keys: KeyTable, product: Molecule, pool: Sequence[Molecule], most: int
) -> Iterator[Candidates]:
    """Rows for every subset of the pool that some key can account for, repeats included."""
    facts = [(m.hash, m.n_atoms, len(m.fragment_sizes), m) for m in pool]
    seen = set()
    for n in range(1, most + 1):
        for some in combinations(facts, n):
            n_reactants = sum([fact[2] for fact in some])
            delta_hash = subtract_hashes(sum([fact[0] for fact in some]), product.hash)
            if (n_reactants, delta_hash) in seen:
                continue
            seen.add((n_reactants, delta_hash))
            growth = sum([fact[1] for fact in some]) - product.n_atoms
            if keys.may_hold(n_reactants, delta_hash, growth):
                yield _find_rows(keys, product, [fact[3] for fact in some])


def _count_delta(product: Molecule, reactants: Sequence[Molecule]) -> Counter[int]:
    delta = Counter(code for molecule in reactants for code in molecule.codes)
    delta.subtract(product.codes)
    return delta
