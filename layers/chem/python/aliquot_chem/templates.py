"""Reads one reaction template: whether it can be used, and what it asks of a product.

Owns what is accepted as a template and the patterns that are matched. Imports RDKit. When a pattern asks more
than the template does, hits are lost.
"""

from __future__ import annotations

from base64 import b85decode, b85encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot_chem.differences import PlacedCut, derive_cut, derive_key
from aliquot_chem.keys import Key
from aliquot_chem.queries import BondAsk, describe_atom, describe_bond


class UnsupportedTemplate(ValueError):
    """A template that does not parse or cannot be used; the text says why."""


@dataclass(frozen=True)
class Pattern:
    """A molecule query as text (see `read_pattern`), without maps and chirality, and its bonds' asks."""

    text: str
    asks: tuple[tuple[BondAsk, int], ...]


@dataclass(frozen=True)
class Template:
    """What the matcher knows of a template: the patterns that molecules must match, its key, its cut."""

    patterns: tuple[Pattern, ...]
    key: Key | None = None
    cut: PlacedCut | None = None


def parse_reaction(smarts: str) -> rdChemReactions.ChemicalReaction:
    """The template as RDKit's reaction, ready to run.

    Raises:
        UnsupportedTemplate: it does not parse, lacks a side, or repeats a map number on its left.
    """
    if not smarts:
        raise UnsupportedTemplate("no SMARTS")
    try:
        reaction = rdChemReactions.ReactionFromSmarts(smarts)
        reaction.Initialize()
    except (ValueError, RuntimeError) as err:
        raise UnsupportedTemplate(_first_line(err)) from err
    if not reaction.GetNumReactantTemplates() or not reaction.GetNumProductTemplates():
        raise UnsupportedTemplate("a side of the template is empty")
    _, n_errors = reaction.Validate(silent=True)
    if n_errors:
        raise UnsupportedTemplate("RDKit finds it invalid, as where a map number repeats on the left")
    return reaction


def _first_line(err: Exception) -> str:
    text = str(err).strip().splitlines()
    return text[0].removeprefix("ChemicalReactionParserException: ") if text else type(err).__name__


def describe_template(smarts: str, mode: str, direction: str) -> Template:
    """What the matcher needs of a template under these options.

    Raises:
        UnsupportedTemplate: see `parse_reaction`; or a retro template has several molecules on its left.
    """
    reaction = parse_reaction(smarts)
    left = [reaction.GetReactantTemplate(i) for i in range(reaction.GetNumReactantTemplates())]
    right = [reaction.GetProductTemplate(i) for i in range(reaction.GetNumProductTemplates())]
    if direction == "retro" and len(left) > 1:
        raise UnsupportedTemplate(
            f"{len(left)} molecules left of '>>' where a retro template has its one product: "
            "group them as (A.B)>>..., or is it written forward (--direction forward)?"
        )
    asked = right if mode == "substructure" and direction == "forward" else left
    # `left` and `right` point into `reaction`, which lives until this function returns.
    patterns = tuple(describe_pattern(query) for query in asked)
    if mode == "substructure" or direction == "forward":
        return Template(patterns)
    key = derive_key(left[0], right)
    return Template(patterns, key, derive_cut(left[0], right) if key and not key.is_by_element else None)


def describe_pattern(query: Chem.Mol) -> Pattern:
    """A query's text and the number of times that it asks each bond.

    The text is SMARTS where that reads back as the same query. It is RDKit's binary form in base 85 after "|"
    where it does not, or may not: a description of a recursive query leaves out what is inside.
    """
    plain = Chem.Mol(query)
    for atom in plain.GetAtoms():
        atom.SetAtomMapNum(0)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    smarts = Chem.MolToSmarts(plain)
    again: Chem.Mol | None = Chem.MolFromSmarts(smarts)
    if "$" in smarts or not again or _describe_query(again) != _describe_query(plain):
        smarts = "|" + b85encode(plain.ToBinary()).decode()
    return Pattern(smarts, tuple(sorted(Counter(_iterate_asks(plain)).items())))


def read_pattern(text: str) -> Chem.Mol:
    """The query that a pattern's text stands for."""
    if text.startswith("|"):
        binary: Any = b85decode(text[1:])  # bytes, where RDKit's stubs say str
        return Chem.Mol(binary)
    return Chem.MolFromSmarts(text)


def _describe_query(query: Chem.Mol) -> list[object]:
    atoms: list[object] = [describe_atom(atom) for atom in query.GetAtoms()]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), describe_bond(b)) for b in query.GetBonds()]
    return atoms + sorted(bonds)


def _iterate_asks(query: Chem.Mol) -> Iterator[BondAsk]:
    for bond in query.GetBonds():
        ends = sorted((describe_atom(bond.GetBeginAtom()), describe_atom(bond.GetEndAtom())))
        yield ends[0], describe_bond(bond), ends[1]
