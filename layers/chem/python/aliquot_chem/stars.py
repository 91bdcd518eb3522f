"""Drops the templates whose surroundings of the cut bond the product does not have there.

Owns the requirements of the two ends of a cut, in the bits of `rays`, the other end left aside. Imports
NumPy. When an end is held to refuse what it offers, hits are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from aliquot_chem.bitset import Words
from aliquot_chem.molecules import Molecule
from aliquot_chem.rays import RayBit, RayTable
from aliquot_chem.rowsets import Rows


class StarTable:
    """What each template row requires of the ends of its cut."""

    def __init__(self, bits: Sequence[RayBit], required: Words) -> None:
        """Index `bits`; `required` are those of each row, of its first end and of its second side by side."""
        self._rays = RayTable(bits)
        self._required = np.asarray(required)  # indexing a memory map costs ten times as much

    def keep_rooted(self, rows: Rows, product: Molecule, roots: Iterable[tuple[int, int]]) -> Rows:
        """Those of `rows` whose cut may be one of the bonds, given from the first reactant's end."""
        is_passing = np.zeros(len(rows), np.bool_)
        for first, second in roots:
            refused = self._refuse(product, first, second), self._refuse(product, second, first)
            is_passing |= ~(self._required[rows] & np.concatenate(refused)).any(axis=1)
        return rows[is_passing]

    def _refuse(self, product: Molecule, end: int, other_end: int) -> Words:
        classes, around = product.classes, product.graph.around[end]
        rays = [(classes[other], kind) for other, kind in around if other != other_end]
        return self._rays.refuse(tuple(sorted(rays)))
