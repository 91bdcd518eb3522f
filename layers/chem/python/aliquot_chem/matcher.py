"""The matcher's front: from a reaction's text to the ids of the templates that explain it.

Owns the reading of a record by the definition (which molecules are reactants, what is no reaction) and the
choice among the matchers of the modes. Imports RDKit through them. When it is wrong, the right answer is
given to another question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rdkit import rdBase

from aliquot.errors import ParseFailure
from aliquot_chem.candidates import Case
from aliquot_chem.changes import MappedSides
from aliquot_chem.forward import ForwardMatcher
from aliquot_chem.molecules import Molecule
from aliquot_chem.prepared import load_prepared
from aliquot_chem.reactions import parse_reaction_text, split_reaction
from aliquot_chem.retro import RetroMatcher
from aliquot_chem.substructure import SubstructureMatcher

Explain = Callable[[str | None], tuple[list[str], str]]


def open_explainer(prepared: Path, mode: str, reactants: str, stereo: str, direction: str) -> Explain:
    """A function from a reaction's text to the ids that explain it, in table order, and its reactant mode.

    It raises `ParseFailure` for a reaction that cannot be read.
    """
    templates = load_prepared(prepared)
    if mode == "substructure":
        find: Callable[[Case], Sequence[int]] = SubstructureMatcher(templates).find
    elif direction == "retro":
        find = RetroMatcher(templates, is_isomeric=stereo == "exact").find
    else:
        find = ForwardMatcher(templates, is_isomeric=stereo == "exact").find

    def explain(text: str | None) -> tuple[list[str], str]:
        with rdBase.BlockLogs():
            case, reactant_mode = read_case(text, reactants)
            return [templates.ids[row] for row in find(case)], reactant_mode

    return explain


def read_case(text: str | None, reactants: str) -> tuple[Case, str]:
    """The reaction in `text` by the definition, and which reactant mode was used for it.

    Raises:
        ParseFailure: it does not parse, its sides are equal, or no reactant is mapped where one has to be.
    """
    reaction = parse_reaction_text(split_reaction(text))
    product, maps, text = reaction.product
    reactant_mode = reactants if reactants != "auto" else "mapped" if maps else "any"
    chosen = [own for own in reaction.reactants if reactant_mode != "mapped" or not maps.isdisjoint(own.maps)]
    if not chosen:
        raise ParseFailure("no reactant shares a map number with the product")
    pool = [own.molecule for own in chosen]
    if _are_equal(pool, product):
        raise ParseFailure("the reactants are the product")
    again = product.parse_again()
    if again is None:
        raise ParseFailure(f"products: {product.write_smiles()} does not parse again")
    if reactant_mode == "any":
        return Case(again, pool + reaction.agents, is_subset=True), reactant_mode
    sides = MappedSides(again, product, text, pool, [own.text for own in chosen]) if maps else None
    return Case(again, pool, is_subset=False, sides=sides), reactant_mode


def _are_equal(reactants: Sequence[Molecule], product: Molecule) -> bool:
    """Whether both sides are the same molecules; atoms are counted before SMILES are written."""
    if sum(molecule.n_atoms for molecule in reactants) != product.n_atoms:
        return False
    left = sorted(part for molecule in reactants for part in molecule.write_smiles().split("."))
    return left == sorted(product.write_smiles().split("."))
