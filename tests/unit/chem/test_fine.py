"""Differences with their hydrogens: what a template says of them is what RDKit makes of it."""

from __future__ import annotations

import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from aliquot_chem.keys import hash_delta, subtract_hashes
from aliquot_chem.molecules import Molecule
from aliquot_chem.templates import describe_template

TEMPLATES = [
    "[C:1]-[C;H1;D3:2](-[C:3])-[O;H1;D1:4]>>[C:1]-[C;H0;D3:2](-[C:3])=[O;H0;D1:4]",
    "[C:1]-[C;H2;D2:2]-[C;H2;D2:3]-[C:4]>>[C:1]-[C;H1;D2:2]=[C;H1;D2:3]-[C:4]",
    "[N;H1;D2;+0:5]-[C;H0;D3;+0:1](=[O;D1;H0:2])>>O-[C;H0;D3;+0:1](=[O;D1;H0:2]).[N;H2;D1;+0:5]",
    "[c:2]-[N;H2;D1;+0:1]>>O=[N;+;H0;D3:1](-[O&-])-[c:2]",
    "[C:1]-[O;H1;D1;+0:2]>>[C:1]-[O;H0;D2;+0:2]-C-c1:c:c:c:c:c:1",
    "[C:1]-[N;H1;D2;+0:2]-[C:3]>>[C:1]-[N;H0;D3;+0:2](-[C:3])-C(=O)-O-C(-C)(-C)-C",
    "[c;H0;D3;+0:1](:[c:2]):[c:3]-[C:9]>>B(-O)(-O)-[c;H0;D3;+0:1](:[c:2]):[c:3]-[C:9]",
    "[c;H1;D2;+0:1]>>[c;H0;D3;+0:1]-S(=O)(=O)-C",
    "[c;H1;D2;+0:1]>>[c;H0;D3;+0:1]-[#50](-C)(-C)-C",
    "[n;H1;D2;+0:1]>>[n;H0;D3;+0:1]-[Si](-C)(-C)-C",
    "[C:1]-[O;H1;D1;+0:2]>>[C:1]-[O;H0;D2;+0:2]-[P](=O)(-O)-O",
]
OPEN = [
    "[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:1](=[O:2])-O.[N;H2;D1;+0:3]",
    "[C:1]-[C:2](-[C:3])-[O;H1;D1:4]>>[C:1]-[C:2](-[C:3])=[O;H0;D1:4]",
    "[C:1][O;H1;D1:2]>>[C:1][O;H0;D2:2]-[Mg]",
    "[C:1]-[O;H1:2]>>[C:1]-[O;H0:2]-C",
    "[C:1]-[O;D1:2]>>[C:1]-[O;D2:2]-C",
]
PRODUCTS = [
    "CC(O)CCC(C)O",
    "CCCCCC(C)O",
    "CC(=O)NCC(C)C",
    "Nc1ccc(N)cc1CO",
    "C1CNCCN1",
    "Cc1cc[nH]c1",
    "OCC1CC1CO",
    "O=C(NCC(=O)O)c1cc[nH]n1",
    "O=C1NCCN1",
    "C[N+](C)(C)CCO",
]


@pytest.mark.parametrize("smarts", TEMPLATES)
def test_fine_differences_are_those_of_the_outcomes(smarts: str) -> None:
    """For all that sanitises and does not deviate: where one were missed, hits would be lost."""
    key = describe_template(smarts, "exact", "retro").key
    assert key is not None
    assert key.fine is not None
    n_seen = 0
    with rdBase.BlockLogs():
        reaction = rdChemReactions.ReactionFromSmarts(smarts)
        for product in map(Chem.MolFromSmiles, PRODUCTS):
            for outcome in reaction.RunReactants((product,)):
                if any(Chem.SanitizeMol(mol, catchErrors=True) for mol in outcome):
                    continue
                before, after = Molecule(product), [Molecule(mol) for mol in outcome]
                if subtract_hashes(sum(own.hash for own in after), before.hash) == hash_delta(key.delta):
                    fine = [own.fine_hash or 0 for own in after]
                    assert subtract_hashes(sum(fine), before.fine_hash or 0) == key.fine
                    n_seen += 1
    assert n_seen or "[c;H0;D3;+0:1]" in smarts.partition(">>")[0]


@pytest.mark.parametrize("smarts", OPEN)
def test_what_is_left_open_has_no_fine_difference(smarts: str) -> None:
    """Hydrogens or a degree without which an atom has no class, and what a metal makes of them."""
    key = describe_template(smarts, "exact", "retro").key
    assert key is None or key.fine is None


def test_fine_differences_tell_apart_what_degrees_do_not() -> None:
    keys = [describe_template(smarts, "exact", "retro").key for smarts in TEMPLATES[:2]]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].delta == keys[1].delta
    assert keys[0].fine != keys[1].fine


def test_hydrogens_that_are_atoms_tell_nothing() -> None:
    assert Molecule(Chem.MolFromSmiles("[2H]OC")).fine_hash is None
