"""The classes of a molecule's atoms: all that a modelled query, a key or a cut depends on.

Owns the register of the classes met in this process, and when a class is concluded from SMILES as text
(`graphs.Graph.environments`) instead of read from RDKit's atom: that costs a tenth. Imports NumPy and RDKit.
When a class is wrong, hits are lost. What was met is kept: chemistry has a few thousand of both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from aliquot_chem.graphs import Environment, Graph, has_clear_class, is_plain, read_charge, read_graph
from aliquot_chem.keys import N_ELEMENTS, encode_atom, weigh_atom
from aliquot_chem.queries import AtomClass

ATOM_CLASSES: list[AtomClass] = []
CODES: list[int] = []
"""Of each class, see `keys.encode_atom`."""
WEIGHTS: list[int] = []
"""Of each class, see `keys.weigh_atom`."""

_index: dict[AtomClass, int] = {}
_by_environment: dict[Environment, int] = {}


def classify(mol: Chem.Mol, text: str, tidied: Graph | None = None) -> tuple[list[int], Graph]:
    """The class of each atom, and the graph.

    Args:
        mol: the molecule.
        text: the SMILES that it was parsed from, without maps, or empty.
        tidied: the graph, where it was read off tidy SMILES before.
    """
    graph = read_graph(mol, text) if text and tidied is None else tidied
    if graph is not None:
        try:  # what is known is plain
            return list(map(_by_environment.__getitem__, graph.environments)), graph
        except KeyError:
            learnt = _learn_classes(mol, graph)
            if learnt is not None:
                return learnt, graph
    classes = [_read_class(mol.GetAtomWithIdx(index)) for index in range(mol.GetNumAtoms())]
    found = [mol.GetBondWithIdx(index) for index in range(mol.GetNumBonds())]
    bonds = [(bond.GetBeginAtomIdx(), int(bond.GetBondType()), bond.GetEndAtomIdx()) for bond in found]
    return classes, Graph(len(classes), bonds, [])


def count_elements(classes: Sequence[int]) -> NDArray[np.int64]:
    """Number of atoms by atomic number."""
    return np.bincount([ATOM_CLASSES[own].atomic_number for own in classes], minlength=N_ELEMENTS)


def _learn_classes(mol: Chem.Mol, graph: Graph) -> list[int] | None:
    """The class of each atom; those of new environments are noted where these tell them.

    None where some atom is not plain, or RDKit has moved charges as it parsed: no token is then trusted.
    """
    if not all(is_plain(token) for token, _ in graph.environments):
        return None
    found = [_by_environment.get(environment, -1) for environment in graph.environments]
    classes = [_read_class(mol.GetAtomWithIdx(i)) if own < 0 else own for i, own in enumerate(found)]
    for (token, _), own in zip(graph.environments, classes, strict=True):
        if ATOM_CLASSES[own].charge != read_charge(token):
            return None
    told = zip(graph.environments, classes, strict=True)
    _by_environment.update({environment: own for environment, own in told if has_clear_class(environment)})
    return classes


def _read_class(atom: Chem.Atom) -> int:
    atom_class = AtomClass(
        atom.GetAtomicNum(),
        atom.GetIsAromatic(),
        atom.GetDegree(),
        atom.GetTotalNumHs(True),
        atom.GetFormalCharge(),
        atom.GetIsotope(),
    )
    if atom_class not in _index:
        _index[atom_class] = len(ATOM_CLASSES)
        ATOM_CLASSES.append(atom_class)
        code = encode_atom(atom_class.atomic_number, atom_class.degree)
        CODES.append(code)
        WEIGHTS.append(weigh_atom(code, atom_class.n_hydrogens))
    return _index[atom_class]
