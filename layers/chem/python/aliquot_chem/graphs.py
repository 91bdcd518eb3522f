"""Atoms and bonds of a molecule from its text and one matrix, without an object per atom.

Owns what may be concluded from SMILES as text: of *tidy* SMILES (canonical, or as good: `tidy_smiles`) an
atom's element, aromaticity, hydrogens, charge and isotope follow from its token and its bonds' orders.
Imports RDKit. When it is wrong, hits are lost, or molecules are compared that nobody wrote.

It is here because RDKit's objects for all atoms and bonds cost as much as parsing does.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache

from rdkit import Chem

_ATOM = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops]")
_SPLIT = re.compile(f"({_ATOM.pattern})")
# No metals, whose single bonds RDKit may turn into dative ones, and no hydrogens, which it may merge.
_PLAIN_ATOM = re.compile(r"\[\d*(?:Cl|Br|Si|Se|se|[BCNOPSFIbcnops])@{0,2}(?:H\d?)?(?:[+-]\d?)?\]")
_UNUSUAL_BONDS = re.compile(r"[<>~$]")
_AROMATIC_BONDS, _ONE_SINGLE_BOND = 0xFF00, 1
_SHIFTING = re.compile("P|Cl|Br|I")
_CHARGE = re.compile(r"([+-])(\d?)\]")
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


Environment = tuple[str, int]
"""An atom's token in SMILES, and a number for the orders of its bonds."""

Bond = tuple[int, int, int]
"""Begin atom, RDKit's bond type, end atom; the begin is the lower."""


class Graph:
    """A molecule's atoms and bonds.

    Attributes:
        environments: of each atom, where the molecule was read off its text; else none.
        bonds: all of them.
    """

    def __init__(self, n_atoms: int, bonds: list[Bond], environments: list[Environment]) -> None:
        """Keep the lists."""
        self.bonds, self.environments, self._n_atoms = bonds, environments, n_atoms

    @cached_property
    def around(self) -> list[list[tuple[int, int]]]:
        """Of each atom its neighbours, as (atom, RDKit's bond type)."""
        around: list[list[tuple[int, int]]] = [[] for _ in range(self._n_atoms)]
        for begin, kind, end in self.bonds:
            around[begin].append((end, kind))
            around[end].append((begin, kind))
        return around


_UNSANITIZED = Chem.SmilesParserParams()
for _option in ("sanitize", "removeHs", "allowCXSMILES", "parseName"):  # their stubs take no value
    setattr(_UNSANITIZED, _option, False)


def read_plain_smiles(text: str) -> Chem.Mol | None:
    """RDKit's molecule of SMILES without stereochemistry and without hydrogens that are atoms.

    None where it refuses the text. It is what `MolFromSmiles` gives; but that looks for hydrogens to merge
    and for stereochemistry to perceive, which takes a fifth of its time.
    """
    mol: Chem.Mol | None = Chem.MolFromSmiles(text, _UNSANITIZED)
    if mol is None or Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return mol


def read_graph(mol: Chem.Mol, text: str) -> Graph | None:
    """The graph of a molecule that was parsed from this text; None where tokens do not stand for atoms.

    Bond types are right where all atoms are plain, see `is_plain`.
    """
    tokens = _ATOM.findall(text)
    if len(tokens) != mol.GetNumAtoms() or _UNUSUAL_BONDS.search(text):
        return None
    return _read(mol, tokens)


def has_clear_class(environment: Environment) -> bool:
    """Whether a plain atom's environment tells its class, if its charge is the one that is written.

    Not where Kekule's form leaves hydrogens open: of `C1=CNC=C1` and `C1=CN=CC=C1` the nitrogens have one
    token and two aromatic bonds each. Nor for elements that with a charge from RDKit look like others.
    """
    token, orders = environment
    if _SHIFTING.search(token):
        return orders == _ONE_SINGLE_BOND and "P" not in token
    return token[0] == "[" or token.islower() or not orders & _AROMATIC_BONDS


@lru_cache(4_096)
def read_charge(token: str) -> int:
    """The charge that a plain atom is written with."""
    found = _CHARGE.search(token)
    return int(f"{found[1]}{found[2] or 1}") if found else 0


def tidy_smiles(text: str) -> tuple[Chem.Mol, str, Graph] | None:
    """The molecule that canonical SMILES of the one in `text` describe, without writing them, and its SMILES.

    Brackets are taken off where canonical SMILES have none. Where the molecule of the new text is the same
    (elements, hydrogens, charges, aromatic atoms), both texts say the same of the same atoms, in brackets or
    not. None where that is not sure.

    Args:
        text: SMILES without maps, without stereochemistry and without hydrogens that are atoms.
    """
    words = _SPLIT.split(text)  # what lies between atoms, and atoms, by turns
    tokens = words[1::2]
    if not all(map(_is_known, tokens)) or _UNUSUAL_BONDS.search(text):
        return None
    words[1::2] = [_UNBRACKETED.get(token, token) for token in tokens]
    tidy = "".join(words)
    mol = read_plain_smiles(tidy)
    if mol is None or len(tokens) != mol.GetNumAtoms():
        return None
    graph = _read(mol, tokens)
    return (mol, tidy, graph) if graph is not None and _are_as_written(mol, graph.environments) else None


_as_written: dict[tuple[str, int], bool] = {}  # bounded by chemistry: some hundreds in a million molecules


def _read(mol: Chem.Mol, tokens: list[str]) -> Graph | None:
    orders = Chem.GetAdjacencyMatrix(mol, useBO=True)
    begins, ends = orders.nonzero()
    sums, bonds = [0] * len(tokens), []
    for begin, end, order in zip(begins.tolist(), ends.tolist(), orders[begins, ends].tolist(), strict=True):
        if begin < end:
            if order not in _BONDS:
                return None
            kind, weight = _BONDS[order]
            sums[begin] += weight
            sums[end] += weight
            bonds.append((begin, kind, end))
    return Graph(len(tokens), bonds, list(zip(tokens, sums, strict=True)))


@lru_cache(4_096)
def is_plain(token: str) -> bool:
    """Whether an atom is none of a metal, whose bonds may be dative, a hydrogen or something rare."""
    return token[0] != "[" or _PLAIN_ATOM.fullmatch(token) is not None


@lru_cache(4_096)
def _is_known(token: str) -> bool:
    return token[0] != "[" or token in _UNBRACKETED or _BRACKETED.fullmatch(token) is not None


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
