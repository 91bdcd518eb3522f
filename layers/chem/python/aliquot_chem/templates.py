"""Reads one reaction template: whether it can be used, and what it asks of a product.

Owns what is accepted as a template and the patterns that are matched. Imports RDKit. When a pattern asks more
than the template does, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot_chem.centres import Centre
from aliquot_chem.differences import PlacedCut, derive_cut, derive_key
from aliquot_chem.edits import PlacedEdit, derive_edit
from aliquot_chem.fine import derive_fine
from aliquot_chem.keys import Key
from aliquot_chem.queries import BondAsk, RayAsk
from aliquot_chem.sketches import Sketch


class UnsupportedTemplate(ValueError):
    """A template that does not parse or cannot be used; the text says why."""


@dataclass(frozen=True)
class Pattern:
    """A molecule query in RDKit's binary form, without maps and chirality, its bonds' asks and centres.

    SMARTS would not do: some queries do not read back from the SMARTS that RDKit writes for them.
    """

    binary: bytes
    asks: tuple[tuple[BondAsk, int], ...] = field(compare=False)  # they follow from the binary form
    centres: tuple[Centre, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Template:
    """What the matcher knows of a template: the patterns that molecules must match, its key, cut and edit."""

    patterns: tuple[Pattern, ...]
    key: Key | None = None
    cut: PlacedCut | None = None
    edit: PlacedEdit | None = None


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
    # `left` and `right` point into `reaction`, which lives until this function returns.
    if mode == "substructure" or direction == "forward":
        asked = right if mode == "substructure" and direction == "forward" else left
        return Template(tuple(_take_pattern(query, Sketch(query)) for query in asked))
    product, reactants = Sketch(left[0]), [Sketch(molecule) for molecule in right]
    pattern = _take_pattern(left[0], product)
    fine = derive_fine(product, reactants)
    key = derive_key(product, reactants, fine)
    if key is None or key.is_by_element:
        return Template((pattern,), key)
    cut = derive_cut(product, reactants, fine)
    edit = derive_edit(smarts, product, reactants) if cut or len(reactants) == 1 else None
    return Template((pattern,), key, cut, edit)


def _take_pattern(query: Chem.Mol, sketch: Sketch) -> Pattern:
    """The pattern that `query` is; takes its maps and chirality off on the way."""
    for index, atom in enumerate(sketch.atoms):
        if atom.number:
            query.GetAtomWithIdx(index).SetAtomMapNum(0)
    Chem.RemoveStereochemistry(query)
    asks = tuple(sorted(Counter(_iterate_asks(sketch)).items()))
    return Pattern(query.ToBinary(), asks, _list_centres(sketch))


def read_pattern(binary: bytes) -> Chem.Mol:
    """The query that a pattern's binary form stands for."""
    form: Any = binary  # bytes, where RDKit's stubs say str
    return Chem.Mol(form)


def _list_centres(sketch: Sketch) -> tuple[Centre, ...]:
    """The pattern's atoms with several neighbours; of the others the bonds' asks say all."""
    rays: list[list[RayAsk]] = [[] for _ in sketch.atoms]
    for begin, end, ask in sketch.bonds:
        rays[begin].append((ask, sketch.atoms[end].ask))
        rays[end].append((ask, sketch.atoms[begin].ask))
    centres = {
        Centre(atom.ask, tuple(sorted(Counter(own).items())))
        for atom, own in zip(sketch.atoms, rays, strict=True)
        if len(own) > 1
    }
    return tuple(sorted(centres))


def _iterate_asks(sketch: Sketch) -> Iterator[BondAsk]:
    asks = [atom.ask for atom in sketch.atoms]
    for begin, end, ask in sketch.bonds:
        low, high = sorted((asks[begin], asks[end]))
        yield low, ask, high
