"""Queries are read as RDKit means them: the evaluation never denies what RDKit matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from aliquot_chem.queries import (
    AtomClass,
    evaluate_atom,
    evaluate_bond,
    find_element,
    find_value,
    parse_query,
)

ATOMS = [
    "C",
    "c",
    "#7",
    "*",
    "a",
    "A",
    "D2",
    "D3",
    "H0",
    "H1",
    "+0",
    "+",
    "-",
    "13*",
    "R",
    "r5",
    "x2",
    "X3",
    "v4",
]
ATOMS += ["$(C=O)", "D{2-3}", "!#6", "!D1", "!H0", "!$(CO)", "^2", "O", "n"]
BONDS = ["", "-", "=", ":", "~", "@", "!@", "-,=", "!-", "-;@", "/"]
MOLECULE = Chem.MolFromSmiles("CC(=O)Nc1ccc(-c2cc[nH]c2)cc1.[13CH3][N+](C)(C)C.[O-]C#C.[2H]O/C=C/C1CC1")


def classify(atom: Chem.Atom) -> AtomClass:
    return AtomClass(
        atom.GetAtomicNum(),
        atom.GetIsAromatic(),
        atom.GetDegree(),
        atom.GetTotalNumHs(True),
        atom.GetFormalCharge(),
        atom.GetIsotope(),
    )


@given(st.lists(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3), min_size=1, max_size=3))
def test_an_atom_that_rdkit_matches_is_not_denied(choices: list[list[str]]) -> None:
    smarts = "[" + ";".join(",".join(choice) for choice in choices) + "]"
    query = Chem.MolFromSmarts(smarts)
    tree = parse_query(query.GetAtomWithIdx(0).DescribeQuery())
    matched = {index for match in MOLECULE.GetSubstructMatches(query) for index in match}
    for atom in MOLECULE.GetAtoms():
        assert evaluate_atom(tree, classify(atom)) in {None, atom.GetIdx() in matched}, smarts


@pytest.mark.parametrize("bond", BONDS)
def test_a_bond_that_rdkit_matches_is_not_denied(bond: str) -> None:
    query = Chem.MolFromSmarts(f"*{bond}*")
    tree = parse_query(query.GetBondWithIdx(0).DescribeQuery())
    matched = {frozenset(match) for match in MOLECULE.GetSubstructMatches(query)}
    for own in MOLECULE.GetBonds():
        is_matched = {own.GetBeginAtomIdx(), own.GetEndAtomIdx()} in matched
        assert evaluate_bond(tree, int(own.GetBondType())) in {None, is_matched}


def test_plain_queries_are_decided() -> None:
    """Were everything unknown, the tests above would pass and the bitset would drop nothing."""
    tree = parse_query(Chem.MolFromSmarts("[#7;H1;D2;+0]").GetAtomWithIdx(0).DescribeQuery())
    assert evaluate_atom(tree, AtomClass(7, False, 2, 1, 0, 0)) is True
    assert evaluate_atom(tree, AtomClass(7, False, 3, 0, 0, 0)) is False
    assert (find_element(tree), find_value(tree, "AtomExplicitDegree")) == (7, 2)
    assert find_element(parse_query(Chem.MolFromSmarts("[C,N]").GetAtomWithIdx(0).DescribeQuery())) is None


def test_a_description_that_is_not_understood_is_unknown() -> None:
    assert evaluate_atom(parse_query("Something new\n"), AtomClass(6, False, 1, 3, 0, 0)) is None
    assert evaluate_atom(parse_query(""), AtomClass(6, False, 1, 3, 0, 0)) is None
