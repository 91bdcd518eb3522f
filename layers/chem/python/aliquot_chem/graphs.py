"""Atoms and bonds of a molecule from its text and one matrix, without an object per atom.

Owns what may be concluded from SMILES as text: of *tidy* SMILES (canonical, or as good: `tidy_smiles`) an
atom's element, aromaticity, hydrogens, charge and isotope follow from its token and its bonds' orders.
Imports RDKit and NumPy. When it is wrong, hits are lost, or molecules are compared that nobody wrote.

It is here because RDKit's objects for all atoms and bonds cost as much as parsing does.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from aliquot_chem.keys import encode_atom

_ATOM = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops]")
# No metals, whose single bonds RDKit may turn into dative ones, and no hydrogens, which it may merge.
_PLAIN_ATOM = re.compile(r"\[\d*(?:Cl|Br|Si|Se|se|[BCNOPSFIbcnops])@{0,2}(?:H\d?)?(?:[+-]\d?)?\]")
_UNUSUAL_BONDS = re.compile(r"[<>~$]")
_BONDS = {1.0: (1, 1), 1.5: (12, 1 << 8), 2.0: (2, 1 << 16), 3.0: (3, 1 << 24)}
"""From a bond's order to RDKit's bond type, and what it adds to the number for its atoms."""

# Atoms that canonical SMILES writes without brackets, if the hydrogens are those that it then implies ...
_UNBRACKETED = {
    f"[{symbol}{hydrogens}]": symbol
    for symbol, most in {"C": 4, "N": 3, "O": 2, "c": 1}.items()
    for hydrogens in ["", "H", "H2", "H3", "H4"][: most + 1]
}
_UNBRACKETED |= {f"[{symbol}]": symbol for symbol in ("S", "P", "F", "Cl", "Br", "I", "n", "o", "s")}
# ... and such that it always writes with them.
_BRACKETED = re.compile(r"\[nH\]|\[(?:[CNOSPno]H?|NH[23])[+-]\]|\[Si(?:H\d?)?\]")
_IMPLYING = ("C", "N", "O", "c")
_CHARGES = {"": 0, "+": 1, "-": -1}
_WRITTEN = re.compile(r"\[([A-Z]?[a-z]?)(?:H(\d?))?([+-]?)\]")


class Graph(NamedTuple):
    """A molecule read off tidy SMILES.

    Args:
        environments: of each atom its token, and a number for the orders of its bonds.
        bonds: (begin atom, RDKit's bond type, end atom).
    """

    environments: list[tuple[str, int]]
    bonds: list[tuple[int, int, int]]


def read_graph(mol: Chem.Mol, text: str) -> Graph | None:
    """The graph of a molecule that was parsed from this tidy SMILES; None where it has unusual atoms."""
    tokens = _ATOM.findall(text)
    is_plain = all(map(_is_plain, tokens)) and not _UNUSUAL_BONDS.search(text)
    return _read(mol, tokens) if is_plain and len(tokens) == mol.GetNumAtoms() else None


def tidy_smiles(text: str) -> tuple[Chem.Mol, str, Graph] | None:
    """The molecule that canonical SMILES of the one in `text` describe, without writing them, and its SMILES.

    Brackets are taken off where canonical SMILES have none. Where the molecule of the new text is the same
    (elements, hydrogens, charges, aromatic atoms), both texts say the same of the same atoms, in brackets or
    not. None where that is not sure.

    Args:
        text: SMILES without maps, without stereochemistry and without hydrogens that are atoms.
    """
    tokens = _ATOM.findall(text)
    if not all(map(_is_known, tokens)) or _UNUSUAL_BONDS.search(text):
        return None
    tidy = _ATOM.sub(_unbracket, text)
    mol: Chem.Mol | None = Chem.MolFromSmiles(tidy)
    if mol is None or len(tokens) != mol.GetNumAtoms():
        return None
    graph = _read(mol, tokens)
    return (mol, tidy, graph) if _are_as_written(mol, graph.environments) else None


_as_written: dict[tuple[str, int], bool] = {}  # bounded by chemistry: some hundreds in a million molecules


def _read(mol: Chem.Mol, tokens: list[str]) -> Graph:
    orders = Chem.GetAdjacencyMatrix(mol, useBO=True)
    places = np.flatnonzero(orders)
    sums, bonds, n_atoms = [0] * len(tokens), [], len(tokens)
    for place, order in zip(places.tolist(), orders.ravel()[places].tolist(), strict=True):
        begin, end = divmod(place, n_atoms)
        kind, weight = _BONDS[order]
        sums[begin] += weight
        if begin < end:
            bonds.append((begin, kind, end))
    return Graph(list(zip(tokens, sums, strict=True)), bonds)


def list_codes(mol: Chem.Mol, text: str) -> list[int]:
    """The class of each atom, see `keys.encode_atom`; `text` is the SMILES that `mol` is of, or empty."""
    tokens = _ATOM.findall(text)
    if len(tokens) != mol.GetNumAtoms() or "*" in text:  # a hydrogen was merged, or tokens stand for no atom
        atoms = [mol.GetAtomWithIdx(index) for index in range(mol.GetNumAtoms())]
        return [encode_atom(atom.GetAtomicNum(), atom.GetDegree()) for atom in atoms]
    degrees = np.count_nonzero(Chem.GetAdjacencyMatrix(mol), axis=0).tolist()
    for index, token in enumerate(tokens):
        if token not in _atomic_numbers:
            _atomic_numbers[token] = mol.GetAtomWithIdx(index).GetAtomicNum()
    numbers = [_atomic_numbers[token] for token in tokens]
    return [encode_atom(number, degree) for number, degree in zip(numbers, degrees, strict=True)]


_atomic_numbers: dict[str, int] = {}  # bounded by chemistry, as the tokens have no maps


@lru_cache(4_096)
def _is_plain(token: str) -> bool:
    return token[0] != "[" or _PLAIN_ATOM.fullmatch(token) is not None


@lru_cache(4_096)
def _is_known(token: str) -> bool:
    return token[0] != "[" or token in _UNBRACKETED or _BRACKETED.fullmatch(token) is not None


def _unbracket(found: re.Match[str]) -> str:
    return _UNBRACKETED.get(found[0], found[0])


def _are_as_written(mol: Chem.Mol, environments: list[tuple[str, int]]) -> bool:
    if all(map(_as_written.get, environments)):
        return True
    for index, environment in enumerate(environments):
        if environment not in _as_written:
            _as_written[environment] = _is_as_written(environment[0], mol.GetAtomWithIdx(index))
    return all(_as_written[environment] for environment in environments)


def _is_as_written(token: str, atom: Chem.Atom) -> bool:
    """Whether an atom is what its token says, and would be written with brackets or without as it is."""
    written = _WRITTEN.fullmatch(token if token[0] == "[" else f"[{token}]")
    if written is None:
        return False
    symbol, hydrogens, sign = written.groups()
    if token[0] != "[":
        # The implied hydrogens. With others than these elements they may make a valence that needs brackets.
        n_hydrogens = atom.GetTotalNumHs() if symbol in _IMPLYING else 0
    else:
        n_hydrogens = 0 if hydrogens is None else int(hydrogens or 1)
    charge = _CHARGES[sign]
    found = atom.GetIsAromatic(), atom.GetTotalNumHs(), atom.GetFormalCharge()
    return found == (symbol.islower(), n_hydrogens, charge)
