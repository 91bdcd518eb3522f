"""A parsed molecule and what is derived from it on demand: maps, histogram, canonical SMILES.

Owns the order of the literal definition, parse, read the maps, clear them, write canonical SMILES, and the
one shortcut through it: where a molecule has no stereochemistry, its maps are taken out of the text before it
is parsed. Imports RDKit. When it is wrong, molecules are compared that nobody wrote.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdqueries

from aliquot_chem.classes import CODES, WEIGHTS, classify, count_elements
from aliquot_chem.graphs import Graph, read_plain_smiles, tidy_smiles
from aliquot_chem.keys import N_DEGREES, encode_atom, split_weight

# With stereochemistry RDKit regards map numbers as it parses (two groups that differ by maps alone make a
# centre), and so it may with hydrogens that are written as atoms (whether they are merged).
_HYDROGEN_ATOMS = ("[H", *(f"{digit}H" for digit in range(10)))
_MAPS_MATTER = ("@", "/", "\\", *_HYDROGEN_ATOMS)
_MAP = re.compile(r":0*(\d*)\]")
# Reagents and solvents come again and again; of short text, so that 2,048 of them stay small.
_KEPT_MOLECULES = 2_048
_KEPT_CHARS = 40
_IS_CHIRAL = rdqueries.HasChiralTagQueryAtom()
_HYDROGEN = {encode_atom(1, degree) for degree in range(N_DEGREES)}


class Molecule:
    """A molecule of a reaction, read once and shared: nobody changes it from outside."""

    def __init__(
        self, mol: Chem.Mol, text: str = "", has_maps: bool = False, tidied: Graph | None = None
    ) -> None:
        """Wrap `mol`, which then belongs to this object: its maps are cleared when SMILES is asked for.

        Args:
            mol: the molecule.
            text: what it was parsed from, if from anything, without maps.
            has_maps: whether its atoms carry map numbers.
            tidied: for a molecule of tidy SMILES (see `graphs`) what was read from them.
        """
        self.mol, self.text, self._tidied, self._has_maps = mol, text, tidied, has_maps
        self.n_atoms = mol.GetNumAtoms()  # hydrogens that are atoms of their own included
        self._smiles: dict[bool, str] = {}
        self._written = ""

    @property
    def n_heavy(self) -> int:
        """Number of heavy atoms."""
        return self.mol.GetNumHeavyAtoms()

    @cached_property
    def classes(self) -> list[int]:
        """The class of each atom, see `classes`."""
        classes, self.graph = classify(self.mol, self.text, self._tidied)
        return classes

    @cached_property
    def graph(self) -> Graph:
        """The molecule's atoms and bonds."""
        self.classes, graph = classify(self.mol, self.text, self._tidied)
        return graph

    @cached_property
    def weight(self) -> int:
        """The sum of its atoms' weights, see `keys.split_weight`."""
        return sum(map(WEIGHTS.__getitem__, self.classes))

    @cached_property
    def hash(self) -> int:
        """The linear hash of the histogram of atom classes."""
        return split_weight(self.weight)[0]

    @cached_property
    def elements(self) -> NDArray[np.int64]:
        """Number of atoms by atomic number."""
        return count_elements(self.classes)

    @cached_property
    def fine_hash(self) -> int | None:
        """The linear hash of the histogram by class and hydrogens.

        None where hydrogens are atoms of their own, which RunReactants counts otherwise.
        """
        is_plain = bool(self.graph.environments)
        return None if not is_plain and not _HYDROGEN.isdisjoint(self.codes) else split_weight(self.weight)[1]

    @property
    def codes(self) -> list[int]:
        """Element and degree of each atom, see `keys.encode_atom`."""
        return [CODES[own] for own in self.classes]

    @cached_property
    def chiral_atoms(self) -> list[int]:
        """The atoms with a chiral tag."""
        tagged = self.mol.GetAtomsMatchingQuery(_IS_CHIRAL) if not self.text or "@" in self.text else ()
        return [atom.GetIdx() for atom in tagged]

    @cached_property
    def fragment_sizes(self) -> list[int]:
        """Number of atoms of each fragment; more than one fragment in a salt."""
        is_one_piece = bool(self.text) and "." not in self.text
        return [self.n_atoms] if is_one_piece else count_fragment_atoms(self.mol)

    def write_smiles(self, is_isomeric: bool = True) -> str:
        """Canonical SMILES without map numbers."""
        smiles = self._smiles.get(is_isomeric)
        if smiles is None:
            self.clear_maps()
            smiles = self._smiles[is_isomeric] = Chem.MolToSmiles(self.mol, isomericSmiles=is_isomeric)
            if is_isomeric:
                self._written = self.mol.GetProp("_smilesAtomOutputOrder")
        return smiles

    def read_written_order(self) -> list[int]:
        """Which of the molecule's atoms stands at each place of its canonical isomeric SMILES."""
        self.write_smiles()
        order: list[int] = json.loads(self._written)
        return order

    def clear_maps(self) -> None:
        """Take the map numbers off the molecule's atoms."""
        if self._has_maps:
            for index in range(self.n_atoms):
                self.mol.GetAtomWithIdx(index).SetAtomMapNum(0)
            self._has_maps = False

    def parse_again(self) -> Molecule | None:
        """The molecule that its canonical isomeric SMILES describes, None in the rare case that none is."""
        if self._tidied is not None:
            return self
        text = self.write_smiles()
        mol = read_smiles(text)
        return None if mol is None else Molecule(mol, text)


class MappedMolecule(NamedTuple):
    """A molecule, the map numbers of its atoms, as text without leading zeros, and its text with them."""

    molecule: Molecule
    maps: frozenset[str]
    text: str


_NO_MAPS = frozenset[str]()
_UNMAPPED = frozenset({""})


def parse_molecule(text: str, is_tidied: bool = False) -> MappedMolecule | None:
    """The molecule that `text` describes, with its map numbers; None where it is empty or refused.

    With `is_tidied` it may be given as that which its canonical SMILES describe, see `graphs.tidy_smiles`.
    """
    if not text:
        return None
    plain, maps = text, _NO_MAPS
    if ":" in text:
        words = _MAP.split(text)  # text up to a map, and maps, by turns
        plain, maps = "]".join(words[::2]), frozenset(words[1::2]) - _UNMAPPED
    needs_maps = _has_any(plain, _MAPS_MATTER)
    if maps and needs_maps:
        return _parse_with_maps(text, plain, maps)
    molecule = _parse_tidied(plain) if is_tidied and not needs_maps else None
    if molecule is None:
        molecule = _parse_kept(plain) if len(plain) <= _KEPT_CHARS else _parse_unmapped(plain)
    return None if molecule is None else MappedMolecule(molecule, maps, text)


def _parse_with_maps(text: str, plain: str, maps: frozenset[str]) -> MappedMolecule | None:
    mol = read_smiles(text)
    if mol is None:
        return None
    if _has_any(plain, _HYDROGEN_ATOMS):  # it may be merged, and its map with it
        numbers = {mol.GetAtomWithIdx(i).GetAtomMapNum() for i in range(mol.GetNumAtoms())}
        maps = frozenset(map(str, numbers - {0}))
    return MappedMolecule(Molecule(mol, plain, has_maps=True), maps, text)


def _parse_tidied(text: str) -> Molecule | None:
    tidied = tidy_smiles(text)
    if tidied is None:
        return None
    mol, tidy, graph = tidied
    return Molecule(mol, tidy, tidied=graph)


def read_smiles(text: str) -> Chem.Mol | None:
    """RDKit's molecule, None where it refuses the text: its stubs do not say so."""
    return Chem.MolFromSmiles(text)


def _parse_unmapped(text: str) -> Molecule | None:
    mol = read_smiles(text) if _has_any(text, _MAPS_MATTER) else read_plain_smiles(text)
    return None if mol is None else Molecule(mol, text)


_parse_kept = lru_cache(_KEPT_MOLECULES)(_parse_unmapped)


def _has_any(text: str, signs: tuple[str, ...]) -> bool:
    """Whether one of the signs is in the text: a fraction of what a regular expression takes."""
    return any(map(text.__contains__, signs))


def count_fragment_atoms(mol: Chem.Mol) -> list[int]:
    """Number of atoms of each connected part of `mol`."""
    return [len(atoms) for atoms in Chem.GetMolFrags(mol)]
