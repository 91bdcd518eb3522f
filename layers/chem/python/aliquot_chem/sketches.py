"""A template's molecule as plain Python: what each atom and bond asks, and how they hang together.

Owns the reading of RDKit's query molecules for whatever is derived from a template. Imports RDKit. Atoms are
read once and by index: each that Python gets hold of costs a microsecond.
"""

from __future__ import annotations

from typing import NamedTuple

from rdkit import Chem


class SketchAtom(NamedTuple):
    """One atom: RDKit's description of its query, its map number (0 for none), element and degree.

    `atomic_number` is 0 where the query names no element, or several.
    """

    ask: str
    number: int
    atomic_number: int
    degree: int


class Sketch:
    """A molecule of a template.

    Attributes:
        atoms: in RDKit's order.
        bonds: (begin, end, ask) with indices into `atoms`.
        is_connected: whether the molecule is in one piece.
    """

    def __init__(self, query: Chem.Mol) -> None:
        """Read `query`, of which nothing is kept."""
        atoms = [query.GetAtomWithIdx(index) for index in range(query.GetNumAtoms())]
        bonds = [query.GetBondWithIdx(index) for index in range(query.GetNumBonds())]
        # An atom or a bond without a query is described by an empty text.
        self.atoms = [
            SketchAtom(atom.DescribeQuery(), atom.GetAtomMapNum(), atom.GetAtomicNum(), atom.GetDegree())
            for atom in atoms
        ]
        self.bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.DescribeQuery()) for b in bonds]
        self.is_connected = len(Chem.GetMolFrags(query)) == 1

    def list_bound_numbers(self) -> set[tuple[int, int]]:
        """The pairs of map numbers, the lower first, that a bond joins."""
        numbers = [atom.number for atom in self.atoms]
        pairs = ((numbers[begin], numbers[end]) for begin, end, _ in self.bonds)
        return {(a, b) if a < b else (b, a) for a, b in pairs if a and b}
