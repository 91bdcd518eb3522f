"""What is concluded from SMILES as text is what RDKit makes of the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from aliquot_chem.classes import ATOM_CLASSES, classify
from aliquot_chem.graphs import read_graph, read_plain_smiles, tidy_smiles

TIDY = [
    "[CH3][C](=[O])[NH][CH2][CH3]",
    "[O]=[C]1[CH2][CH2][NH]1",
    "[CH3][c]1[cH][cH][nH][c]1[Cl]",
    "[O]=[N+]([O-])[c]1[cH][cH][cH][cH][cH]1",
    "[CH3][S](=[O])(=[O])[NH][c]1[n][cH][s][cH]1",
    "[CH3][Si]([CH3])([CH3])[C]#[C][Br]",
    "[CH3][NH2+][CH2][C](=[O])[OH]",
    "[CH3][P](=[O])([OH])[OH]",
    "CC(=O)NCC",
    "c1ccc(-c2ccco2)cc1",
]
UNTIDY = [
    ("[CH2][CH3]", "a radical: bare, it would have one hydrogen more"),
    ("[C]", "so has a lone atom"),
    ("[CH2]([CH3])([CH3])[CH3]", "too many hydrogens: refused where the other would be taken"),
    ("C1=CC=CC=C1", "aromatic atoms that are not written so"),
    ("CN(=O)=O", "RDKit moves charges as it parses"),
    ("CS", "sulphur with a hydrogen may need brackets"),
    ("C[SH](=O)=O", "and here does"),
    ("[13CH3][CH3]", "an isotope"),
    ("C[Mg]Br", "a metal"),
    ("C[Pt]<-N", "a dative bond"),
    ("C*", "any atom"),
    ("C(C", "no SMILES"),
]


def read(text: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(text)
    assert mol is not None
    return mol


def describe(mol: Chem.Mol) -> list[tuple[object, ...]]:
    """All that the kernel or RunReactants may see of the atoms, in canonical order."""
    ranks = Chem.CanonicalRankAtoms(mol, breakTies=False)
    return sorted(
        (
            ranks[atom.GetIdx()],
            atom.GetSmarts(),
            atom.GetIsAromatic(),
            atom.GetNumExplicitHs(),
            atom.GetTotalNumHs(),
            atom.GetNoImplicit(),
            atom.GetNumRadicalElectrons(),
            sorted(str(bond.GetBondType()) for bond in atom.GetBonds()),
        )
        for atom in mol.GetAtoms()
    )


@pytest.mark.parametrize("text", TIDY)
def test_tidied_smiles_give_what_canonical_smiles_give(text: str) -> None:
    """Even the flags: an atom that is written with brackets keeps its hydrogens when a template binds it."""
    tidied = tidy_smiles(text)
    assert tidied is not None
    mol, tidy, _ = tidied
    canonical = Chem.MolToSmiles(read(text))
    assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(read(tidy)) == canonical
    assert describe(mol) == describe(read(canonical))


@pytest.mark.parametrize(("text", "why"), UNTIDY)
def test_what_cannot_be_tidied_surely_is_left_alone(text: str, why: str) -> None:
    with rdBase.BlockLogs():
        assert tidy_smiles(text) is None, why


@given(
    st.lists(
        st.sampled_from(["[CH3]", "[CH2]", "[CH]", "[C]", "[NH]", "[N]", "[O]", "[OH]", "C", "N", "S"]),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.sampled_from(["", "=", "#"]), min_size=6, max_size=6),
)
def test_no_chain_is_tidied_into_another_molecule(atoms: list[str], bonds: list[str]) -> None:
    text = atoms[0] + "".join(bond + atom for bond, atom in zip(bonds, atoms[1:], strict=False))
    with rdBase.BlockLogs():
        tidied, plain = tidy_smiles(text), Chem.MolFromSmiles(text)
        if tidied is not None:
            assert plain is not None, text
            again = read(Chem.MolToSmiles(plain))
            assert describe(tidied[0]) == describe(again), text


@pytest.mark.parametrize(
    "text", [*TIDY, "C[C@H](O)N", "C/C=C/C", "[13CH3]C(=O)NC", "[2H]OC", "OC1CC[C@@H]1C"]
)
def test_a_graph_has_rdkits_bonds_and_one_environment_per_kind_of_atom(text: str) -> None:
    canonical = Chem.MolToSmiles(read(text))
    mol = read(canonical)
    graph = read_graph(mol, canonical)
    if graph is None:
        assert "[2H]" in text
        return
    expected = {(b.GetBeginAtomIdx(), int(b.GetBondType()), b.GetEndAtomIdx()) for b in mol.GetBonds()}
    assert {(min(b, e), kind, max(b, e)) for b, kind, e in expected} == set(graph.bonds)
    for token, orders in set(graph.environments):
        alike = [mol.GetAtomWithIdx(i) for i, own in enumerate(graph.environments) if own == (token, orders)]
        assert (
            len({(a.GetAtomicNum(), a.GetIsAromatic(), a.GetDegree(), a.GetTotalNumHs()) for a in alike}) == 1
        )


LOOKALIKES = [
    "CN(=O)=O",
    "CO",
    "C[N](=[O])=[O]",
    "[CH3][OH]",
    "C1=CNC=C1",
    "C1=CN=CC=C1",
    "C[O-]",
    "CP(C)(C)=C",
    "CP(C)(C)C",
    "OCl(=O)(=O)=O",
    "CCl",
    "C=N",
    "N#N=C",
]


@pytest.mark.parametrize("texts", [LOOKALIKES, LOOKALIKES[::-1]])
def test_classes_are_those_of_rdkits_atoms_whatever_was_met_before(texts: list[str]) -> None:
    """RDKit moves charges as it parses: the oxygen of a nitro group looks like that of an alcohol."""
    for text in [*texts, *TIDY, "[H]OC", "[2H]OC", "[H]C*", "C1=CC=CC=C1", "C[Mg]Br", *texts]:
        mol = read(text)
        classes, graph = classify(mol, text)
        found = [ATOM_CLASSES[own] for own in classes]
        assert found == [
            (
                atom.GetAtomicNum(),
                atom.GetIsAromatic(),
                atom.GetDegree(),
                atom.GetTotalNumHs(True),
                atom.GetFormalCharge(),
                atom.GetIsotope(),
            )
            for atom in mol.GetAtoms()
        ], text
        kinds = {(b.GetBeginAtomIdx(), int(b.GetBondType()), b.GetEndAtomIdx()) for b in mol.GetBonds()}
        assert {(min(b, e), kind, max(b, e)) for b, kind, e in kinds} == {
            (min(b, e), kind, max(b, e)) for b, kind, e in graph.bonds
        }
        assert [len(around) for around in graph.around] == [atom.GetDegree() for atom in mol.GetAtoms()]


def perceive(mol: Chem.Mol) -> object:
    """All that RDKit perceives of a molecule's atoms and bonds."""
    atoms = [
        (
            atom.GetTotalNumHs(),
            atom.GetNumExplicitHs(),
            atom.GetNoImplicit(),
            atom.GetFormalCharge(),
            atom.GetNumRadicalElectrons(),
            atom.GetIsAromatic(),
            atom.GetHybridization(),
            atom.GetChiralTag(),
            atom.IsInRing(),
        )
        for atom in (mol.GetAtomWithIdx(index) for index in range(mol.GetNumAtoms()))
    ]
    bonds = [
        (bond.GetBondType(), bond.GetStereo(), bond.GetBondDir(), bond.GetIsConjugated(), bond.IsInRing())
        for bond in (mol.GetBondWithIdx(index) for index in range(mol.GetNumBonds()))
    ]
    return Chem.MolToSmiles(mol), atoms, bonds


@pytest.mark.parametrize(
    "text",
    [
        "CC=CC(C)O",
        "CN(=O)=O",
        "c1ccc2[nH]ccc2c1",
        "C1=CC=CC=C1",
        "CC(=O)[O-].[Na+]",
        "[Fe](Cl)Cl",
        "[O-][Cl+3]([O-])([O-])O",
        "CP(C)(=O)C",
        "[CH2]C",
        "[13CH3]C",
        "C~C",
        "*C",
    ],
)
def test_plain_smiles_give_what_rdkit_reads(text: str) -> None:
    mol, expected = read_plain_smiles(text), Chem.MolFromSmiles(text)
    assert mol is not None
    assert perceive(mol) == perceive(expected)


@pytest.mark.parametrize("text", ["c1cccc1", "C(C)(C)(C)(C)C", "C1CC", "xyz", "Cc1ccc("])
def test_plain_smiles_are_refused_as_rdkit_refuses_them(text: str) -> None:
    with rdBase.BlockLogs():
        assert read_plain_smiles(text) is None
        assert Chem.MolFromSmiles(text) is None
