"""Cuts: sides are weighed right, and templates that would part a product wrongly are dropped, no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot_chem.bitset import OfferTable
from aliquot_chem.cuts import CutTable, ProductCuts
from aliquot_chem.keys import hash_codes, split_weight
from aliquot_chem.molecules import Molecule, parse_molecule
from aliquot_chem.prepared import load_prepared
from aliquot_chem.preparing import prepare_templates
from aliquot_chem.stars import StarTable

AMIDE = "[C:1](=[O;D1;H0:2])-[N;H1;D2:3]>>[C:1](=[O;D1;H0:2])-O.[N;H2;D1:3]"
ETHER = "[C;H2;D2:1]-[O;H0;D2:2]>>[C;H2;D2:1]-Br.[O;H1;D1:2]"
CROWDED = (
    "[C:4]-[C;H1;D3:1](-[C:5])-[O;H0;D2:2]-[C:3]=[O:6]>>[C:4]-[C;H1;D3:1](-[C:5])-Br.[O;H1;D1:2]-[C:3]=[O:6]"
)
TEMPLATES = [AMIDE, ETHER, CROWDED]


def parse(text: str) -> Molecule:
    parsed = parse_molecule(text)
    assert parsed is not None
    return parsed.molecule


@pytest.fixture
def open_tables(tmp_path: Path) -> tuple[CutTable, StarTable]:
    (tmp_path / "t.csv").write_text("\n".join(["smarts", *TEMPLATES]))
    prepare_templates(tmp_path / "t.csv", tmp_path, "exact", "retro", is_skipping_bad=False)
    prepared = load_prepared(tmp_path)
    table = CutTable(prepared, OfferTable(prepared.bits))
    return table, StarTable(prepared.ray_bits, prepared.ray_required)


@pytest.mark.parametrize(
    "text",
    ["CC(=O)NCC", "C1CC1CO", "c1ccc(-c2ccco2)cc1C", "C1CC2CC1CC2C3CC3", "C12CC(C1)C2", "CC1CCC2(CC1)OCCO2"],
)
def test_sides_are_those_of_the_bonds_in_no_ring(text: str, open_tables: tuple[CutTable, StarTable]) -> None:
    """Were a side weighed wrongly, the templates that cut there would be dropped."""
    molecule = parse(text)
    cuts = ProductCuts(open_tables[0], molecule)
    for bond in molecule.mol.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        assert bond.IsInRing() == (ends in cuts._in_rings) == (ends[::-1] in cuts._in_rings)
        if not bond.IsInRing():
            parted = Chem.FragmentOnBonds(molecule.mol, [bond.GetIdx()], addDummies=False)
            for near, far in (ends, ends[::-1]):
                side = next(atoms for atoms in Chem.GetMolFrags(parted) if near in atoms)
                weight = hash_codes([molecule.codes[atom] for atom in side])
                assert split_weight(cuts._weigh_side(near, far))[0] == weight


def find_parting(table: CutTable, product: str, reactants: str) -> set[int]:
    pool = [parse(text) for text in reactants.split(".")]
    found = ProductCuts(table, parse(product)).find_parting((1 << len(TEMPLATES)) - 1, pool)
    return {table.cut_of_row.index(cut) for cut in found}


def test_a_cut_has_to_leave_what_the_reactants_are(open_tables: tuple[CutTable, StarTable]) -> None:
    """The second has the right atoms on the wrong sides, the third the hydrogens of an alkyne."""
    table = open_tables[0]
    assert find_parting(table, "CCCC(=O)NC", "CCCC(=O)O.NC") == {0}
    assert find_parting(table, "CCCC(=O)NC", "CC(=O)O.NCCC") == set()
    assert find_parting(table, "CCCC(=O)NC", "C#CC(=O)O.NC") == set()
    assert find_parting(table, "CCCCOCC", "CCCCBr.OCC") == {1}
    assert find_parting(table, "CCCCOCC", "CCCCO.BrCC") == {1}


@pytest.mark.parametrize(
    "product", ["O=C1CCCCN1", "O=C1CC2CCCC2N1", "CC1CC(=O)NC1C", "O=C1CN1", "O=C1NCC(=O)NC1"]
)
def test_sizes_of_what_an_opened_ring_gives_are_rdkits(
    product: str, open_tables: tuple[CutTable, StarTable]
) -> None:
    """Each reactant takes the linker along; a template is dropped by these sizes before it is run."""
    molecule, cuts = parse(product), ProductCuts(open_tables[0], parse(product))
    reaction = rdChemReactions.ReactionFromSmarts(AMIDE)
    matches = molecule.mol.GetSubstructMatches(reaction.GetReactantTemplate(0), uniquify=False)
    outcomes = reaction.RunReactants((molecule.mol,))
    counted = sorted(cuts.count_atoms(0, match) for match in matches)
    assert counted == sorted(tuple(mol.GetNumAtoms() for mol in outcome) for outcome in outcomes)
    assert counted


@pytest.mark.parametrize(
    ("product", "root", "kept"),
    [
        ("CC(C)OC(=O)C", (1, 3), [0, 1, 2]),
        ("CCOC(=O)C", (1, 2), [0, 1]),
        ("CC(C)OC", (1, 3), [0, 1, 2]),
        ("CC(N)OC(=O)C", (1, 3), [0, 1]),
        ("CC(C)ON", (1, 3), [0, 1]),
    ],
)
def test_surroundings_of_the_cut_have_to_be_there(
    product: str, root: tuple[int, int], kept: list[int], open_tables: tuple[CutTable, StarTable]
) -> None:
    """Only the third template asks for more at the ends of an ether's bond: two carbons, and another."""
    rows = open_tables[1].keep_rooted(np.arange(3), parse(product), [root])
    assert [row for row in rows.tolist() if row] == [row for row in kept if row]


@pytest.mark.parametrize(("product", "root", "kept"), [("CC(=O)NC", (1, 3), [0]), ("CCCNC", (2, 3), [])])
def test_a_carbonyl_at_the_cut_is_asked_for(
    product: str, root: tuple[int, int], kept: list[int], open_tables: tuple[CutTable, StarTable]
) -> None:
    assert open_tables[1].keep_rooted(np.arange(1), parse(product), [root]).tolist() == kept
