"""Which surroundings an atom offers: its bonds and the neighbours that they lead to.

Owns the bits of rays: a bit stands for "at least k neighbours that match this query, by bonds that match that
one". Wherever a pattern matches, an atom of it has its neighbours on distinct atoms, so it asks nothing that
is not offered there. Imports NumPy. When a bit is refused that is offered, hits are lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.bitset import Words, pack_words
from aliquot_chem.classes import ATOM_CLASSES
from aliquot_chem.queries import RayAsk, evaluate_atom, evaluate_bond, parse_query

RayBit = tuple[RayAsk, int]
"""What a bond and the neighbour that it leads to are asked, and how many neighbours have to be so."""
Rays = tuple[tuple[int, int], ...]
"""Of an atom's neighbours the class, and the type of the bond to each; sorted."""
_KEPT = 16_384


class RayTable:
    """Tells which bits the surroundings of an atom refuse."""

    def __init__(self, bits: Sequence[RayBit]) -> None:
        """Index `bits`."""
        asks = sorted({ask for ask, _ in bits})
        place = {ask: index for index, ask in enumerate(asks)}
        self._trees = [(parse_query(bond), parse_query(atom)) for bond, atom in asks]
        self._ask_of_bit = np.array([place[ask] for ask, _ in bits], np.intp)
        self._least = np.array([k for _, k in bits], np.uint16)
        self._answers: dict[tuple[int, int], NDArray[np.uint16]] = {}
        self._refused: dict[Rays, Words] = {}

    def refuse(self, rays: Rays) -> Words:
        """The bits that an atom with these rays does not offer, packed."""
        refused = self._refused.get(rays)
        if refused is None:
            counts = np.zeros(len(self._trees), np.uint16)
            for ray in rays:
                counts += self._answer(ray)
            if len(self._refused) >= _KEPT:
                self._refused.clear()
            refused = self._refused[rays] = pack_words(counts[self._ask_of_bit] < self._least)
        return refused

    def _answer(self, ray: tuple[int, int]) -> NDArray[np.uint16]:
        """Which queries a neighbour of that class, by a bond of that type, may match."""
        if ray not in self._answers:
            atom, kind = ATOM_CLASSES[ray[0]], ray[1]
            answers = [
                evaluate_bond(bond, kind) is not False and evaluate_atom(ask, atom) is not False
                for bond, ask in self._trees
            ]
            self._answers[ray] = np.array(answers, np.uint16)
        return self._answers[ray]
