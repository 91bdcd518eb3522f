"""Patterns are dropped by their centres where neighbours are missing, and never where they match."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from aliquot_chem.molecules import Molecule, parse_molecule
from aliquot_chem.patterns import PatternTable
from aliquot_chem.prepared import load_prepared
from aliquot_chem.preparing import prepare_templates

PATTERNS = [
    "[C:1](=[O:2])-[N:3]",
    "[C:1](=[O:2])-[O:3]",
    "[C;D3:1](-[C:2])(-[C:3])-[O:4]",
    "[c:1](:[n:2])-[Cl:3]",
    "[c:1]:[c:2]-[C:3](=[O:4])-[N;H1:5]",
    "[C:1](-[F:2])(-[F:3])-[F:4]",
    "[C:1]-[$(N=O):2]-[C:3]",
    "[*:1]~[S;D4:2](~[O:3])~[O:4]",
]
PRODUCTS = [
    "CC(=O)NC",
    "CC(=O)CCNC",
    "CC(C)OC",
    "Clc1ccccn1",
    "Clc1cccnc1",
    "O=C(NC)c1ccccc1",
    "O=C(N(C)C)c1ccccc1",
    "FC(F)(F)CF",
    "FCC(F)F",
    "CN(C=O)N=O",
    "CS(=O)(=O)CC(=O)OC",
]


@pytest.fixture
def table(tmp_path: Path) -> PatternTable:
    lines = ["smarts", *(f"{pattern}>>[C:1]" for pattern in PATTERNS)]
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    prepare_templates(tmp_path / "t.tsv", tmp_path, "substructure", "retro", is_skipping_bad=False)
    return PatternTable(load_prepared(tmp_path))


def parse(text: str) -> Molecule:
    parsed = parse_molecule(text)
    assert parsed is not None
    return parsed.molecule


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_pattern_that_matches_is_kept(product: str, table: PatternTable) -> None:
    molecule = parse(product)
    held = {i for i, text in enumerate(PATTERNS) if molecule.mol.HasSubstructMatch(Chem.MolFromSmarts(text))}
    assert held <= set(table.screen(molecule).tolist())
    assert held == set(table.find_held(molecule).nonzero()[0].tolist())


@pytest.mark.parametrize(("product", "pattern"), [("CC(=O)CCNC=N", 0), ("Clc1cccnc1", 3), ("FCC(F)F", 5)])
def test_bonds_that_do_not_meet_at_an_atom_are_not_enough(
    product: str, pattern: int, table: PatternTable
) -> None:
    """Each bond of the pattern is there, and as often: but not side by side."""
    assert pattern not in table.screen(parse(product)).tolist()
