"""The bitset of bond queries: which patterns a molecule cannot hold, told without matching any.

Owns the requirement bits of patterns and the offer of a molecule. A bit stands for "at least k bonds that
match this two-atom query"; a pattern requires some bits, a molecule offers some, and a pattern with a bit
that is not offered cannot match. Imports NumPy. When a bit
is offered too rarely, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.classes import ATOM_CLASSES
from aliquot_chem.molecules import Molecule
from aliquot_chem.queries import BondAsk, evaluate_atom, evaluate_bond, parse_query

Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]
Bit = tuple[BondAsk, int]
"""A bond query, and how many distinct bonds have to match it."""
Ask = TypeVar("Ask", bound=tuple[str, ...])


def list_bits(asks: Iterable[Sequence[tuple[Ask, int]]]) -> list[tuple[Ask, int]]:
    """Every bit that patterns require: each query with 1, 2, ... up to the most that one pattern asks."""
    most: Counter[Ask] = Counter()
    for pattern in asks:
        for ask, count in pattern:
            most[ask] = max(most[ask], count)
    return [(ask, k) for ask in sorted(most) for k in range(1, most[ask] + 1)]


def pack_requirements(asks: Sequence[Sequence[tuple[Ask, int]]], bits: Sequence[tuple[Ask, int]]) -> Words:
    """The bits that each pattern requires, packed; shape (n_patterns, n_words)."""
    position = {bit: i for i, bit in enumerate(bits)}
    required = np.zeros((len(asks), len(bits)), np.bool_)
    for row, pattern in enumerate(asks):
        for ask, count in pattern:
            required[row, [position[ask, k] for k in range(1, count + 1)]] = True
    return pack_words(required)


def pack_words(flags: NDArray[np.bool_]) -> Words:
    """Flags packed along the last axis into 64-bit words, padded with zeros."""
    padded = -(-flags.shape[-1] // 64) * 64
    wide = np.zeros((*flags.shape[:-1], padded), np.bool_)
    wide[..., : flags.shape[-1]] = flags
    return np.packbits(wide, axis=-1).view(np.uint64)


class OfferTable:
    """Tells which bits a molecule offers; atom and bond classes are evaluated when first met.

    The classes met are kept: their number is bounded by chemistry (a few thousand in a million molecules).
    """

    def __init__(self, bits: Sequence[Bit]) -> None:
        """Index the queries of `bits`."""
        self.queries = queries = sorted({ask for ask, _ in bits})
        atom_texts = sorted({end for low, _, high in queries for end in (low, high)})
        bond_texts = sorted({bond for _, bond, _ in queries})
        self._atom_trees = [parse_query(text) for text in atom_texts]
        self._bond_trees = [parse_query(text) for text in bond_texts]
        place_of_atom = {text: place for place, text in enumerate(atom_texts)}
        place_of_bond = {text: place for place, text in enumerate(bond_texts)}
        self._low = np.array([place_of_atom[low] for low, _, _ in queries], np.intp)
        self._high = np.array([place_of_atom[high] for _, _, high in queries], np.intp)
        self._bond = np.array([place_of_bond[bond] for _, bond, _ in queries], np.intp)
        row_of_query = {ask: i for i, ask in enumerate(queries)}
        self._query_of_bit = np.array([row_of_query[ask] for ask, _ in bits], np.intp)
        self._least = np.array([k for _, k in bits], np.uint16)
        self._atom_answers: dict[int, Flags] = {}
        self._bonds: dict[tuple[int, int, int], int] = {}
        self._bond_answers = np.zeros((64, len(queries)), np.uint8)
        self._n_bonds = 0

    def pack_offer(self, molecule: Molecule) -> Words:
        """The bits that the molecule offers, packed like `pack_requirements`."""
        atoms = molecule.classes
        bonds = [
            self._find_bond((atoms[begin], kind, atoms[end])) for begin, kind, end in molecule.graph.bonds
        ]
        # Bytes are summed four times as fast.
        counts = self._bond_answers[bonds].sum(axis=0, dtype=np.uint8 if len(bonds) < 256 else np.uint16)
        return pack_words(counts[self._query_of_bit] >= self._least)

    def match_directed(self, begin: int, bond_type: int, end: int) -> tuple[Flags, Flags]:
        """Which queries a bond may match with its begin as their lower atom, and which with its end.

        Args:
            begin, end: atom classes, see `classes`.
            bond_type: RDKit's.
        """
        ends = self._answer(begin), self._answer(end)
        types = np.array([evaluate_bond(t, bond_type) is not False for t in self._bond_trees], np.bool_)
        is_typed = types[self._bond]
        forth: Flags = is_typed & ends[0][self._low] & ends[1][self._high]
        back: Flags = is_typed & ends[1][self._low] & ends[0][self._high]
        return forth, back

    def _answer(self, atom: int) -> Flags:
        """Which atom queries an atom class may match."""
        if atom not in self._atom_answers:
            answers = [evaluate_atom(tree, ATOM_CLASSES[atom]) is not False for tree in self._atom_trees]
            self._atom_answers[atom] = np.array(answers, np.bool_)
        return self._atom_answers[atom]

    def _find_bond(self, bond_class: tuple[int, int, int]) -> int:
        index = self._bonds.get(bond_class)
        return self._add_bond(*bond_class) if index is None else index

    def _add_bond(self, begin: int, bond_type: int, end: int) -> int:
        if self._n_bonds == len(self._bond_answers):
            self._bond_answers = np.concatenate([self._bond_answers, np.zeros_like(self._bond_answers)])
        forth, back = self.match_directed(begin, bond_type, end)
        self._bond_answers[self._n_bonds] = forth | back
        self._bonds[begin, bond_type, end] = self._bonds[end, bond_type, begin] = self._n_bonds
        self._n_bonds += 1
        return self._n_bonds - 1
