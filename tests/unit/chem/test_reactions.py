"""Splitting of reaction text: sides, CXSMILES tails and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.errors import ParseFailure
from aliquot_chem.reactions import parse_reaction_text, split_reaction

fragments = st.lists(st.sampled_from(["C", "CC", "[Na+]", "[Cl-]", "c1ccccc1"]), max_size=5)


@given(left=fragments, agents=fragments, right=fragments)
def test_sides_come_back_as_written(left: list[str], agents: list[str], right: list[str]) -> None:
    text = ">".join(".".join(side) for side in (left, agents, right))
    assert split_reaction(text + "\tname") == (tuple(left), tuple(agents), tuple(right))


@given(left=fragments, agents=fragments, right=fragments, data=st.data())
def test_a_group_joins_its_fragments_wherever_they_stand(
    left: list[str], agents: list[str], right: list[str], data: st.DataObject
) -> None:
    """Fragments are numbered over all three sides; joined or not, none is lost and none changes sides."""
    sides, start, groups = (left, agents, right), 0, []
    for side in sides:
        numbers = data.draw(st.permutations(range(start, start + len(side))))
        cut = data.draw(st.integers(0, len(side)))
        groups += [group for group in (numbers[:cut], numbers[cut:]) if len(group) > 1]
        start += len(side)
    text = ">".join(".".join(side) for side in sides)
    tail = " |f:" + ",".join(".".join(map(str, group)) for group in groups) + "|" if groups else ""
    split = split_reaction(text + tail)
    for side, found in zip(sides, split, strict=True):
        assert sorted(side) == sorted(fragment for molecule in found for fragment in molecule.split("."))
    assert sum(map(len, sides)) - sum(map(len, split)) == sum(len(group) - 1 for group in groups)


@pytest.mark.parametrize(
    ("tail", "reactants"),
    [
        ("|f:0.1|", ("[Na+].[Cl-]", "CC")),
        ("|f:0.2,3.4|", ("[Na+].CC", "[Cl-]")),
        ("|c:1,2,f:0.1,t:3|", ("[Na+].[Cl-]", "CC")),
        ("|$f:1.2;;$,f:0.1|", ("[Na+].[Cl-]", "CC")),
        ("|(1.0,2.0,;f:1.2),f:0.1,^1:3|", ("[Na+].[Cl-]", "CC")),
        ("|c:1|", ("[Na+]", "[Cl-]", "CC")),
        ("US123 |f:0.1|", ("[Na+]", "[Cl-]", "CC")),
    ],
)
def test_other_fields_of_the_tail_are_passed_over(tail: str, reactants: tuple[str, ...]) -> None:
    assert split_reaction(f"[Na+].[Cl-].CC>>CO.O {tail}").reactants == reactants


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "the reaction is empty"),
        ("  ", "the reaction is empty"),
        ("CC>CO", "found 1 '>': CC>CO"),
        ("C>C>C>C", "found 3 '>'"),
        ("CC>>", "no product"),
        (">>CC", "no reactant"),
        ("CC.C(C>>CC", r"reactants: C\(C does not parse"),
        ("CC>N1>CC", "agents: N1 does not parse"),
        ("CC..C>>CC", "reactants: an empty molecule does not parse"),
        ("C.C>>C |f:0.7|", "does not fit the reaction's 3 fragments"),
        ("C.C>>C |f:0.1,1.2|", "does not fit"),
        ("C.C>>C |f:1.2|", "crosses a '>'"),
    ],
)
def test_what_is_no_reaction_is_refused_with_its_reason(text: str | None, reason: str) -> None:
    with pytest.raises(ParseFailure, match=reason):
        parse_reaction_text(split_reaction(text))


def test_the_product_is_the_first_of_the_largest() -> None:
    product = parse_reaction_text(split_reaction("C>>O.CCO.CCN.[Na+]")).product.molecule
    assert product.write_smiles() == "CCO"
    product = parse_reaction_text(split_reaction("C>>CCO.CC.CC |f:2.3|")).product.molecule
    assert product.write_smiles() == "CC.CC"
