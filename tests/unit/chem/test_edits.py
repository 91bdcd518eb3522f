"""Templates of one edit give one outcome: what edits are, and that RDKit agrees."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from aliquot_chem.templates import describe_template

AMIDES = [
    "[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:1](=[O:2])-O.[N;H2;D1;+0:3]",
    "[C;D1:4]-[C:1](=[O;D1;H0:2])-[N;H1;D2;+0:3]>>[C;D1:4]-[C:1](=[O;D1;H0:2])-O.[N;H2;D1;+0:3]",
    "[C:7]-[N;H1;D2;+0:8]-[C:5]=[O:6]>>O-[C:5]=[O:6].[C:7]-[N;H2;D1;+0:8]",
    "[c:9]:[c:7]-[N;H1;D2;+0:8]-[C:5]=[O:6]>>O-[C:5]=[O:6].[c:9]:[c:7]-[N;H2;D1;+0:8]",
    "[#6:9]~[#6:7]-[N;H1;D2;+0:8]-[C:5]=[O:6]>>O-[C:5]=[O:6].[#6:9]~[#6:7]-[N;H2;D1;+0:8]",
]
OTHERS = [
    "[C:1]-[O;H1;D1:2]>>[C:1]-[O;H0;D2:2]-C",
    "[C:3]-[C:1]-[O;H1;D1:2]>>[C:3]-[C:1]-[O;H0;D2:2]-C",
    "[C:3]-[C:4]-[C:1]-[O;H1;D1:2]>>[C:3]-[C:4]-[C:1]-[O;H0;D2:2]-C",
    "[C:4]-[C:3]-[C:5]-[C:1]-[O;H1;D1:2]>>[C:4]-[C:3]-[C:5]-[C:1]-[O;H0;D2:2]-C",
    "[#7:3][C:1]-[O;H1;D1:2]>>[#7:3][C:1]-[O;H0;D2:2]-C",
    "[C;H2;D2;+0:1]-[O;H1;D1:2]>>[C;H2;D2;+0:1]-[O;H0;D2:2]-C",
    "[*:3]-[C:1]-[O;H1;D1:2]>>[*:3]-[C:1]-[O;H0;D2:2]-C",
    "[C;!H0:3]-[C:1]-[O;H1;D1:2]>>[C;!H0:3]-[C:1]-[O;H0;D2:2]-C",
    "[C;H1,H2:3]-[C:1]-[O;H1;D1:2]>>[C;H1,H2:3]-[C:1]-[O;H0;D2:2]-C",
    "[C;!+:3]-[C:1]-[O;H1;D1:2]>>[C;!+:3]-[C:1]-[O;H0;D2:2]-C",
    "[c:1]-[Cl;D1:2]>>[c:1]-[Br;D1:2]",
    "[n;H0:3]:[c:1]-[Cl;D1:2]>>[n;H0:3]:[c:1]-[Br;D1:2]",
    "[n;H1:3]:[c:1]-[Cl;D1:2]>>[n;H1:3]:[c:1]-[Br;D1:2]",
    "[#7;a:3][c:1]-[Cl;D1:2]>>[#7;a:3][c:1]-[Br;D1:2]",
    "[c:4]:[c:3]:[c:1]-[Cl;D1:2]>>[c:4]:[c:3]:[c:1]-[Br;D1:2]",
    "[C:1]=[O;D1:2]>>[C:1]-[O;D1:2]",
    "[C:3]-[C:1]=[O;D1:2]>>[C:3]-[C:1]-[O;D1:2]",
    "[N;H0:3]-[C:1]=[O;D1:2]>>[N;H0:3]-[C:1]-[O;D1:2]",
    "[C:3]-[C@:4](-[C:5])-[C:1]-[O;H1;D1:2]>>[C:3]-[C:4](-[C:5])-[C:1]-[O;H0;D2:2]-C",
    "[C:3]-[C@@:1](-[C:4])-[O;H1;D1:2]>>[C:3]-[C:1](-[C:4])-[O;H0;D2:2]-C",
]
PRODUCTS = [
    "CC(=O)NCC(C)C",
    "CC(=O)Nc1ccc2[nH]c(Cl)cc2c1",
    "O=C(NCCO)C1CC1CO",
    "OCC1CC1(CO)C(=O)N(C)C",
    "Clc1ncc(-c2ccccc2Cl)cc1",
    "OC1CC2CC1CC2=O",
    "OC[n+]1ccccc1Cl",
    "O=C1CCC(O)CN1CC(O)CO",
    "CC(=O)NC12CC(O)(C1)C2",
    "[13CH2](O)C[N+](C)(C)CC(=O)[O-]",
    "O=c1[nH]c(Cl)nc2ccccc12",
    "CP(=O)(O)CCO",
]


def test_surroundings_are_no_part_of_an_edit() -> None:
    edits = [describe_template(smarts, "exact", "retro").edit for smarts in AMIDES[:4]]
    assert None not in edits
    assert len({edit.text for edit in edits if edit}) == 1
    assert [len(edit.places) for edit in edits if edit] == [2] * 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (AMIDES[0], AMIDES[0].replace("-O.", "-Cl.")),
        (AMIDES[0], AMIDES[0].replace("N;H2;D1;+0", "N;H2;D1;+")),
        (OTHERS[0], OTHERS[0].replace("-C", "=C")),
        (OTHERS[0], OTHERS[5].replace("[C;H2;D2;+0:1]-[O;H0", "[C;H1;D2;+0:1]-[O;H0")),
        (OTHERS[0], OTHERS[6]),
        (OTHERS[10], OTHERS[12]),
        (OTHERS[10], OTHERS[13]),
        (
            "[C;D2:1]-[C;D2:2]-[N;D2:3]>>O-[C;D2:1].[C;D2:2]-[N;D2:3]",
            "[C;D2:1]-[C;D2:2]-[N;D2:3]>>O-[C;D2:1]-[C;D2:2].[N;D2:3]",
        ),
    ],
)
def test_what_is_set_otherwise_is_another_edit(one: str, other: str) -> None:
    """The last four: an atom of any element, hydrogens that are seen, an open bond, another bond broken."""
    edits = [describe_template(smarts, "exact", "retro").edit for smarts in (one, other)]
    assert edits[0] is None or edits[1] is None or edits[0].text != edits[1].text


@pytest.mark.parametrize(
    "smarts",
    [
        "[C:1]([C:2])([OH:3])[N:4]>>[C@:1]([C:2])([OH:3])[N:4]",
        "[C:1][C:2]#[C:3][C:4]>>[C:1]/[C:2]=[C:3]/[C:4]",
        "[C:1]-[Cl;D1]>>[C:1]-Br",
        "([C;D1:1].[N;D1:2])>>([C;D1:1]O.[N;D1:2])",
        "[C;D2:1]-[C;D2:2]-[C;D2:3]>>[C;D1:1].[C;D0:2].[C;D1:3]",
    ],
)
def test_what_is_not_understood_has_no_edit(smarts: str) -> None:
    assert describe_template(smarts, "exact", "retro").edit is None


def test_templates_of_one_edit_at_the_same_atoms_give_the_same_outcome() -> None:
    """What `sharing` relies on, asked of RDKit: rings, charges, isotopes and tautomers included."""
    outcomes, users = defaultdict(set), defaultdict(set)
    with rdBase.BlockLogs():
        for smarts, text in itertools.product([*AMIDES, *OTHERS], PRODUCTS):
            edit, product = describe_template(smarts, "exact", "retro").edit, Chem.MolFromSmiles(text)
            if edit is None:
                continue
            in_rings = {frozenset(pair) for pair in product.GetSubstructMatches(Chem.MolFromSmarts("*@*"))}
            for outcome in rdChemReactions.ReactionFromSmarts(smarts).RunReactants((product,)):
                atoms = [outcome[r].GetAtomWithIdx(a).GetIntProp("react_atom_idx") for _, r, a in edit.places]
                if len(outcome) == 1 or frozenset(atoms) not in in_rings:
                    is_sane = not any(Chem.SanitizeMol(mol, catchErrors=True) for mol in outcome)
                    written = sorted(map(Chem.MolToSmiles, outcome)) if is_sane else ["refused"]
                    outcomes[text, edit.text, *atoms].add(".".join(written))
                    users[text, edit.text, *atoms].add(smarts)
    assert [key for key, own in outcomes.items() if len(own) > 1] == []
    assert sum(len(own) > 1 for own in users.values()) > 25
