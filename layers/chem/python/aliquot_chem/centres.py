"""Drops the patterns of which some atom has no place in a molecule, its neighbours regarded.

Owns the requirement of each pattern: a centre is an atom with several neighbours, by what it and they are
asked. Wherever the pattern matches, each of its centres is on an atom that offers it (`rays`). It is for
molecules against thousands of patterns; where a cut bond is known, `stars` does with two atoms. Imports
NumPy. When a centre is held to have no place, hits are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aliquot_chem.bitset import Flags, Words, list_bits, pack_requirements, pack_words
from aliquot_chem.classes import ATOM_CLASSES
from aliquot_chem.molecules import Molecule
from aliquot_chem.queries import RayAsk, evaluate_atom, parse_query
from aliquot_chem.rays import Rays, RayTable
from aliquot_chem.rowsets import Rows

_KEPT = 16_384


class Centre(NamedTuple):
    """An atom of a pattern: what it is asked, and its rays with their numbers."""

    ask: str
    rays: tuple[tuple[RayAsk, int], ...]


class CentreTable:
    """The distinct centres, and which of them each pattern requires."""

    def __init__(self, centres: Sequence[Centre], required: Words) -> None:
        """Index `centres`; `required` are those of each pattern, packed."""
        asks = sorted({centre.ask for centre in centres})
        place = {ask: index for index, ask in enumerate(asks)}
        self._trees = [parse_query(ask) for ask in asks]
        self._ask_of_centre = np.array([place[centre.ask] for centre in centres], np.intp)
        bits = list_bits(centre.rays for centre in centres)
        self._rays = RayTable(bits)
        self._rays_required = pack_requirements([centre.rays for centre in centres], bits)
        self._required = np.asarray(required)
        self._answers: dict[int, Flags] = {}
        self._offered: dict[tuple[int, Rays], Words] = {}

    def keep(self, patterns: Rows, molecule: Molecule) -> Rows:
        """Those of the patterns of which each centre has a place in the molecule."""
        classes, around = molecule.classes, molecule.graph.around
        atoms = {
            (own, tuple(sorted([(classes[other], kind) for other, kind in near])))
            for own, near in zip(classes, around, strict=True)
        }
        offered = np.bitwise_or.reduce([self._offer(own, rays) for own, rays in atoms])
        return np.asarray(patterns[~(self._required[patterns] & ~offered).any(axis=1)])

    def _offer(self, own: int, rays: Rays) -> Words:
        """The centres that an atom of that class and with these rays may be."""
        offered = self._offered.get((own, rays))
        if offered is None:
            has_rays = ~(self._rays_required & self._rays.refuse(rays)).any(axis=1)
            if len(self._offered) >= _KEPT:
                self._offered.clear()
            offered = pack_words(np.asarray(has_rays & self._answer(own)[self._ask_of_centre]))
            self._offered[own, rays] = offered
        return offered

    def _answer(self, own: int) -> Flags:
        """Which atom queries an atom class may match."""
        if own not in self._answers:
            answers = [evaluate_atom(tree, ATOM_CLASSES[own]) is not False for tree in self._trees]
            self._answers[own] = np.array(answers, np.bool_)
        return self._answers[own]
