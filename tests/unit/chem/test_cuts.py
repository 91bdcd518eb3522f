"""Sides of a product's bonds, as weighed by walking a tree."""

from __future__ import annotations

import pytest
from rdkit import Chem

from aliquot_chem.bitset import OfferTable
from aliquot_chem.cuts import sum_sides
from aliquot_chem.keys import add_hashes, hash_codes
from aliquot_chem.molecules import parse_molecule


@pytest.mark.parametrize(
    "text",
    [
        "CC(=O)NCC",
        "C1CC1CO",
        "c1ccc(-c2ccco2)cc1C",
        "C1CC2CC1CC2C3CC3",
        "C12CC(C1)C2",
        "CC1CCC2(CC1)OCCO2",
        "C",
    ],
)
def test_sides_are_those_of_the_bonds_in_no_ring(text: str) -> None:
    """Were a side weighed wrongly, the templates that cut there would be dropped."""
    parsed = parse_molecule(text)
    assert parsed is not None
    molecule = parsed[0]
    sides = sum_sides(molecule, OfferTable([]).classify(molecule))
    expected = {}
    for bond in molecule.mol.GetBonds():
        if not bond.IsInRing():
            ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            parted = Chem.FragmentOnBonds(molecule.mol, [bond.GetIdx()], addDummies=False)
            for near, far in (ends, ends[::-1]):
                side = next(atoms for atoms in Chem.GetMolFrags(parted) if near in atoms)
                weight = hash_codes([molecule.codes[atom] for atom in side])
                expected[near, far] = int(bond.GetBondType()), weight
    assert {bond: (int(kind), add_hashes(side, 0)) for bond, (kind, side) in sides.items()} == expected
