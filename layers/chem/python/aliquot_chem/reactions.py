"""Reads a reaction: `reactants>agents>products`, with or without a CXSMILES tail.

Owns the splitting of the text, fragment groups (`|f:0.1,2.3|`) and the choice of the product. Imports RDKit.
Raises `ParseFailure` with what was wrong; when it is wrong, every answer is about another reaction.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aliquot.errors import ParseFailure
from aliquot_chem.molecules import MappedMolecule, Molecule, parse_molecule

_SIDES = ("reactants", "agents", "products")
_SHOWN_CHARS = 80
# Labels between dollars and coordinates between parentheses may hold any text, "f:" too.
_FREE_TEXT = re.compile(r"\$[^$]*\$|\([^()]*\)")
_GROUPS = re.compile(r"(?:^|,)f:(\d+(?:\.\d+)*(?:,\d+(?:\.\d+)*)*)")


class ReactionText(NamedTuple):
    """The molecules of a reaction as SMILES, salts joined by "." where fragment groups say so."""

    reactants: tuple[str, ...]
    agents: tuple[str, ...]
    products: tuple[str, ...]


class ReactionMolecules(NamedTuple):
    """A reaction's molecules, the reactants and the product with their map numbers.

    `product` is the one of the products with most heavy atoms, the first on a tie.
    """

    reactants: list[MappedMolecule]
    agents: list[Molecule]
    product: MappedMolecule


def split_reaction(text: str | None) -> ReactionText:
    """The molecules of a reaction as written.

    Fragments are numbered over all three sides from 0, as CXSMILES does; a group stands where its first
    fragment stood. Other fields of the tail, and text after it, are passed over.

    Raises:
        ParseFailure: no text, not two ">", or a fragment group that does not fit.
    """
    words = (text or "").split(maxsplit=1)
    if not words:
        raise ParseFailure("the reaction is empty")
    sides = words[0].split(">")
    if len(sides) != len(_SIDES):
        found = f"{len(sides) - 1} '>': {_shorten(words[0])}"
        raise ParseFailure(f"expected reactants>agents>products, found {found}")
    fragments = [side.split(".") if side else [] for side in sides]
    groups = _read_groups(words[1]) if len(words) > 1 else []
    return ReactionText(*map(tuple, _join_groups(fragments, groups) if groups else fragments))


def _read_groups(tail: str) -> list[list[int]]:
    """Fragment numbers of each group in a CXSMILES tail; none where the tail is a name."""
    if not tail.startswith("|"):
        return []
    found = _GROUPS.search(_FREE_TEXT.sub("", tail[1:].partition("|")[0]))
    return [[int(n) for n in group.split(".")] for group in found[1].split(",")] if found else []


def _join_groups(sides: list[list[str]], groups: list[list[int]]) -> list[list[str]]:
    flat = [(number, fragment) for number, side in enumerate(sides) for fragment in side]
    joined: dict[int, str] = dict(enumerate(fragment for _, fragment in flat))
    for group in groups:
        first = min(group)
        if max(group) >= len(flat) or not all(n in joined for n in group):
            raise ParseFailure(f"fragment group {group} does not fit the reaction's {len(flat)} fragments")
        if len({flat[n][0] for n in group}) > 1:
            raise ParseFailure(f"fragment group {group} crosses a '>'")
        joined[first] = ".".join(joined.pop(n) for n in sorted(set(group)))
    kept: list[list[str]] = [[] for _ in sides]
    for number, fragment in sorted(joined.items()):
        kept[flat[number][0]].append(fragment)
    return kept


def parse_reaction_text(split: ReactionText) -> ReactionMolecules:
    """The molecules of a split reaction.

    Raises:
        ParseFailure: a molecule that does not parse, or no product, or no reactant.
    """
    if not split.products:
        raise ParseFailure("no product")
    if not split.reactants:
        raise ParseFailure("no reactant")
    reactants, agents, products = (
        [_parse_molecule(text, side) for text in texts] for side, texts in zip(_SIDES, split, strict=True)
    )
    product = max(products, key=lambda mapped: mapped.molecule.n_heavy)
    return ReactionMolecules(reactants, [agent.molecule for agent in agents], product)


def _parse_molecule(text: str, side: str) -> MappedMolecule:
    molecule = parse_molecule(text, is_tidied=side == "products")
    if molecule is None:
        raise ParseFailure(f"{side}: {_shorten(text) or 'an empty molecule'} does not parse")
    return molecule


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
