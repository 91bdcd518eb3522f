"""Difference keys: the hash is linear, and every difference finds the templates that can make it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot_chem.differences import derive_cut, derive_key
from aliquot_chem.keys import Key, encode_atom, hash_codes, hash_delta, subtract_hashes
from aliquot_chem.keytable import Difference, KeyTable
from aliquot_chem.sketches import Sketch

codes = st.lists(st.builds(encode_atom, st.integers(1, 20), st.integers(0, 20)), max_size=30)


@given(left=codes, right=codes)
def test_the_hash_of_a_difference_is_the_difference_of_hashes(left: list[int], right: list[int]) -> None:
    delta = Counter(left)
    delta.subtract(right)
    assert subtract_hashes(hash_codes(left), hash_codes(right)) == hash_delta(delta.items())


def derive(smarts: str) -> Key | None:
    reaction = rdChemReactions.ReactionFromSmarts(smarts)
    return derive_key(*sketch(reaction), (None,))


def sketch(reaction: rdChemReactions.ChemicalReaction) -> tuple[Sketch, list[Sketch]]:
    """Both sides of a template; the caller keeps `reaction` alive."""
    right = [Sketch(reaction.GetProductTemplate(i)) for i in range(reaction.GetNumProductTemplates())]
    return Sketch(reaction.GetReactantTemplate(0)), right


def find(key: Key, delta: dict[int, int], n_reactants: int) -> bool:
    table = KeyTable([key], np.array([0], np.int32), np.array([-1], np.int32))
    found = table.find_rows(Difference(n_reactants, hash_delta(delta.items()), None), lambda: delta)
    return bool(found.regular or found.loose)


ETHER = "[C;D2:1]-[O;D2:2]-[C:3]>>[C;D2:1]-Br.[O;D1:2]-[C:3]"


def test_a_key_is_what_the_template_says() -> None:
    key = derive(ETHER)
    assert key == Key(
        ((encode_atom(8, 1), 1), (encode_atom(8, 2), -1), (encode_atom(35, 1), 1)), 2, False, True
    )


def test_outcomes_that_deviate_are_found_too() -> None:
    """A cut ring copies its linker: more atoms, at degrees at most as high."""
    key = derive(ETHER)
    assert key is not None
    delta = dict(key.delta)
    assert find(key, delta, 2)
    assert not find(key, delta, 1)
    assert find(key, {**delta, encode_atom(6, 2): 2, encode_atom(6, 1): 1}, 2)
    assert not find(key, {**delta, encode_atom(6, 2): 1, encode_atom(6, 1): -1}, 2)
    assert not find(key, {**delta, encode_atom(7, 2): -1}, 2)
    assert not find(key._replace(may_deviate=False), {**delta, encode_atom(6, 2): 2}, 2)


@pytest.mark.parametrize(
    ("smarts", "is_by_element"),
    [
        ("[C:1][O:2]>>[C:1].[O:2]", True),
        ("[*:1][O;D2:2]>>[*:1][O:2]C", False),
        ("[*:1]-[Cl;D1]>>[*:1]-Br", False),
        ("[*:1]-[Cl]>>[*:1]-Br", None),
        ("[C:1]-[C]>>[C:1]", None),
        ("[C:1]>>([C:1].[Na+])", None),
        ("[C:1]>>[C:1].[C:1]", None),
        ("[C:1]-[O;D1:2]>>[C:1]=[O;D1:2]", False),
        ("[C,N;D2:1]-[O;D1]>>[*:1]-Cl", False),
        ("[C,N;D2:1]-[O;D1]>>[*:1](-Cl)-Cl", True),
    ],
)
def test_keys_are_derived_only_where_they_follow(smarts: str, is_by_element: bool | None) -> None:
    key = derive(smarts)
    assert (None if key is None else key.is_by_element) == is_by_element


def test_a_cut_is_one_bond_between_what_parts() -> None:
    def cut(smarts: str) -> object:
        reaction = rdChemReactions.ReactionFromSmarts(smarts)
        return derive_cut(*sketch(reaction), (None, None))

    assert cut(ETHER) is not None
    assert cut("[C;D2:1]1-[O;D2:2]-[C;D2:3]-1>>[C;D2:1]-Br.[O;D1:2]-[C;D2:3]") is None
    assert cut("[C;D2:1]-[O;D2:2]>>[C;D2:1]-[O;D2:2]") is None
    assert cut("([C:1].[O:2])>>[C:1].[O:2]") is None


def test_atom_codes_tell_elements_and_degrees_apart() -> None:
    mol = Chem.MolFromSmiles("CC(C)(C)O")
    seen = {encode_atom(atom.GetAtomicNum(), atom.GetDegree()) for atom in mol.GetAtoms()}
    assert len(seen) == 3
