"""The bitset of bond queries: which patterns a molecule cannot hold, told without matching any.

Owns the requirement bits of patterns and the offer of a molecule. A bit stands for "at least k bonds that
match this two-atom query"; a pattern requires some bits, a molecule offers some, and a pattern with a bit
that is not offered cannot match. Imports NumPy, and of RDKit only what reads a molecule's atoms. When a bit
is offered too rarely, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.keys import encode_atom
from aliquot_chem.molecules import Molecule
from aliquot_chem.queries import AtomClass, BondAsk, evaluate_atom, evaluate_bond, parse_query

if TYPE_CHECKING:
    from rdkit import Chem

Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]
Bit = tuple[BondAsk, int]
"""A bond query, and how many distinct bonds have to match it."""


def list_bits(asks: Iterable[Sequence[tuple[BondAsk, int]]]) -> list[Bit]:
    """Every bit that patterns require: each query with 1, 2, ... up to the most that one pattern asks."""
    most: Counter[BondAsk] = Counter()
    for pattern in asks:
        for ask, count in pattern:
            most[ask] = max(most[ask], count)
    return [(ask, k) for ask in sorted(most) for k in range(1, most[ask] + 1)]


def pack_requirements(asks: Sequence[Sequence[tuple[BondAsk, int]]], bits: Sequence[Bit]) -> Words:
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


class Classified(NamedTuple):
    """A molecule as classes: of each atom, and (begin atom, RDKit's bond type, end atom) of each bond."""

    atoms: list[int]
    bonds: Sequence[tuple[int, int, int]]


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
        self._low = np.array([atom_texts.index(low) for low, _, _ in queries], np.intp)
        self._high = np.array([atom_texts.index(high) for _, _, high in queries], np.intp)
        self._bond = np.array([bond_texts.index(bond) for _, bond, _ in queries], np.intp)
        row_of_query = {ask: i for i, ask in enumerate(queries)}
        self._query_of_bit = np.array([row_of_query[ask] for ask, _ in bits], np.intp)
        self._least = np.array([k for _, k in bits], np.uint16)
        self._atoms: dict[tuple[int, ...], int] = {}
        self._by_environment: dict[tuple[str, int], int] = {}
        self._codes: list[int] = []
        self._atom_answers: list[NDArray[np.bool_]] = []
        self._bonds: dict[tuple[int, int, int], int] = {}
        self._bond_answers = np.zeros((64, len(queries)), np.uint8)
        self._n_bonds = 0

    def classify(self, molecule: Molecule) -> Classified:
        """The classes of the molecule's atoms and bonds."""
        mol, graph = molecule.mol, molecule.graph
        if graph is None:
            # By index: RDKit's own iteration over atoms and bonds costs three times as much.
            atoms = [self._find_atom(mol.GetAtomWithIdx(i)) for i in range(mol.GetNumAtoms())]
            bonds = [mol.GetBondWithIdx(i) for i in range(mol.GetNumBonds())]
            classes = [(b.GetBeginAtomIdx(), b.GetBondType(), b.GetEndAtomIdx()) for b in bonds]
            return Classified(atoms, classes)
        known = self._by_environment
        for environment in set(graph.environments).difference(known):
            index = graph.environments.index(environment)
            known[environment] = self._find_atom(mol.GetAtomWithIdx(index))
        return Classified([known[environment] for environment in graph.environments], graph.bonds)

    def list_codes(self, molecule: Classified) -> list[int]:
        """The code of each atom, see `keys.encode_atom`."""
        return [self._codes[atom] for atom in molecule.atoms]

    def pack_offer(self, molecule: Classified) -> Words:
        """The bits that the molecule offers, packed like `pack_requirements`."""
        atoms = molecule.atoms
        bonds = [self._find_bond((atoms[begin], kind, atoms[end])) for begin, kind, end in molecule.bonds]
        counts = self._bond_answers[bonds].sum(axis=0, dtype=np.uint16)
        return pack_words(counts[self._query_of_bit] >= self._least)

    def match_directed(self, begin: int, bond_type: int, end: int) -> tuple[Flags, Flags]:
        """Which queries a bond may match with its begin as their lower atom, and which with its end.

        Args:
            begin, end: atom classes, see `classify`.
            bond_type: RDKit's.
        """
        ends = self._atom_answers[begin], self._atom_answers[end]
        types = np.array([evaluate_bond(t, int(bond_type)) is not False for t in self._bond_trees], np.bool_)
        is_typed = types[self._bond]
        forth: Flags = is_typed & ends[0][self._low] & ends[1][self._high]
        back: Flags = is_typed & ends[1][self._low] & ends[0][self._high]
        return forth, back

    def _find_atom(self, atom: Chem.Atom) -> int:
        atom_class = (
            atom.GetAtomicNum(),
            atom.GetIsAromatic(),
            atom.GetDegree(),
            atom.GetTotalNumHs(True),
            atom.GetFormalCharge(),
            atom.GetIsotope(),
        )
        index = self._atoms.get(atom_class)
        return self._add_atom(AtomClass(*atom_class)) if index is None else index

    def _add_atom(self, atom_class: AtomClass) -> int:
        answers = [evaluate_atom(tree, atom_class) is not False for tree in self._atom_trees]
        self._codes.append(encode_atom(atom_class.atomic_number, atom_class.degree))
        self._atom_answers.append(np.array(answers, np.bool_))
        return self._atoms.setdefault(atom_class, len(self._atoms))

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
