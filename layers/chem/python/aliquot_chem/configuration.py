"""How the tetrahedral centres of a molecule are configured, such that two molecules can be compared by maps.

Owns the reading of chiral tags. Imports RDKit. When it is wrong, a template is taken to explain a reaction of
which it gives another stereoisomer.
"""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem

from aliquot_chem.molecules import Molecule

Centres = dict[int, tuple[tuple[int, ...], bool]]
"""From a centre to its neighbours, ascending, and whether they stand clockwise."""
_IS_CLOCKWISE = {Chem.ChiralType.CHI_TETRAHEDRAL_CW: True, Chem.ChiralType.CHI_TETRAHEDRAL_CCW: False}


def read_centres(molecule: Molecule, numbers: Sequence[int]) -> Centres | None:
    """The centres, their atoms called by `numbers`; None where one is not tetrahedral.

    RDKit's tags stand for the order of an atom's bonds, a hydrogen without an atom of its own left aside.
    """
    centres: Centres = {}
    for index in molecule.chiral_atoms:
        atom = molecule.mol.GetAtomWithIdx(index)
        is_clockwise = _IS_CLOCKWISE.get(atom.GetChiralTag())
        if is_clockwise is None:
            return None
        around = [numbers[neighbour.GetIdx()] for neighbour in atom.GetNeighbors()]
        centres[numbers[index]] = tuple(sorted(around)), is_clockwise ^ _is_odd(around)
    return centres


def is_seen_without_maps(molecule: Molecule) -> bool:
    """Whether a molecule that was parsed with its maps has the canonical SMILES that it has without them.

    RDKit regards maps as it perceives centres and ranks what is around them, and keeps what it found; of 25
    molecules with centres one has other SMILES for it.
    """
    written = molecule.write_smiles()  # clears the maps
    seen = Chem.Mol(molecule.mol)
    Chem.AssignStereochemistry(seen, cleanIt=True, force=True)
    return Chem.MolToSmiles(seen) == written


def _is_odd(order: Sequence[int]) -> bool:
    """Whether it takes an odd number of swaps to sort so few numbers."""
    return sum(one > other for i, one in enumerate(order) for other in order[i + 1 :]) % 2 == 1
