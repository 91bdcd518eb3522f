"""The job `crossref`: for every reaction, the templates that explain it.

Owns the declaration: options, the record read, the row written, and how the kernel is opened. Imports no
RDKit and no NumPy by itself, because the command line loads it to show its help; what computes is imported
inside the functions. When it is wrong, flags, columns or the ledger's view of the job are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from aliquot.job import Answer, Column, Glimpse, Job, Picture, Reference, Stage
from aliquot_chem.counts import TemplateCounts

_ID_NAMES = ("id", "reaction_id", "ID", "PatentNumber", "patent_id", "rxn_id")
_REACTION_NAMES = (
    "reaction",
    "rxn_smiles",
    "ReactionSmiles",
    "reaction_smiles",
    "rxn",
    "mapped_rxn",
    "reactants>reagents>production",
    "smiles",
)


class Reaction(NamedTuple):
    """A record: one reaction as SMILES, `reactants>agents>products`."""

    id: Annotated[str | None, Column(_ID_NAMES, kind="id")]
    reaction: Annotated[str | None, Column(_REACTION_NAMES, kind="line")]


class Hit(NamedTuple):
    """A row: a template that explains a reaction. An empty `reaction_id` means that the input has no ids."""

    reaction_id: str
    template_id: str


@dataclass(frozen=True)
class Options:
    """The flags of `crossref`; of each choice the first is the default."""

    templates: Annotated[
        Reference, "reaction templates: CSV, TSV, JSON Lines or Parquet with a column of reaction SMARTS"
    ]
    mode: Annotated[
        Literal["exact", "substructure"],
        "exact: the template gives exactly the reactants; substructure: its product side is in the product",
    ] = "exact"
    reactants: Annotated[
        Literal["auto", "mapped", "all", "any"],
        "which molecules on the left count as reactants: those that share atom maps with the product, all, "
        "or any that fit; auto is mapped where the product carries maps, else any",
    ] = "auto"
    stereo: Annotated[Literal["exact", "ignore"], "whether stereochemistry has to agree"] = "exact"
    direction: Annotated[
        Literal["retro", "forward"],
        "how the templates are written: product>>reactants, or reactants>>product",
    ] = "retro"
    skip_bad_templates: Annotated[bool, "go on without the templates that do not parse"] = False


def build_matcher(options: Options, into: Path) -> None:
    """Read the template table and write the matcher's prepared state into the folder `into`.

    Raises:
        BadReference: the table cannot be read, has no SMARTS column or no rows, or has rows that do not parse
            and `skip_bad_templates` is off; carries the first of them with their line numbers.
    """
    from aliquot_chem.preparing import prepare_templates

    prepare_templates(
        options.templates.path, into, options.mode, options.direction, options.skip_bad_templates
    )


def open_matcher(options: Options, prepared: Path) -> Callable[[Iterable[Reaction]], Iterator[Answer]]:
    """A function from reactions to one `Answer` each: its hits in template order, and its reactant mode.

    The iterator raises `ParseFailure` for a reaction that cannot be read, and goes on after it: every call
    of `next` answers for one reaction.
    """
    from aliquot_chem.matcher import open_explainer

    explain = open_explainer(prepared, options.mode, options.reactants, options.stereo, options.direction)

    def answer(reaction: Reaction) -> Answer:
        template_ids, reactant_mode = explain(reaction.reaction)
        reaction_id = reaction.id or ""
        return Answer([Hit(reaction_id, template_id) for template_id in template_ids], reactant_mode)

    return lambda reactions: map(answer, reactions)


def draw_pictures(glimpse: Glimpse) -> Iterator[Picture]:
    """The templates that explain most, and reactions with their centres lit, for the run's report."""
    from aliquot_chem.pictures import draw_crossref

    return draw_crossref(glimpse)


job = Job(
    "crossref",
    version=1,
    options=Options,
    reads=Reaction,
    writes=Hit,
    prepare=build_matcher,
    stages=(Stage("match", open_matcher),),
    summary=TemplateCounts,
    without_rows="unexplained",
    pictures=draw_pictures,
    example="reactions.rsmi.gz --templates templates.csv",
    needs=("rdkit", "numpy"),
)
