"""The job `screen`: a library against queries, by similarity and filters.

    molecules, or blocks of an index --score-> rows of each query, the best -|by query|-> rank
    without queries                  --filter-> what passes                 -|by record|-> list

Owns the declaration: options, the records read, the rows written, the chain. Imports no RDKit and no NumPy by
itself, because the command line loads it to show its help. When it is wrong, flags or columns are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from aliquot.errors import BadOption
from aliquot.job import RECORD, Best, Column, Glimpse, Group, Job, Picture, Reference, Stage
from aliquot_chem.fingerprinting import ID_NAMES, MOLECULE_NAMES
from aliquot_chem.screencounts import ScreenCounts

ORDER_BITS = 29  # fractions of up to 16,384 bits differ by 2 ** -28 or more
RECORD_BITS = 33


class Molecule(NamedTuple):
    """A record: a molecule as SMILES or as a mol block, or a block of an index."""

    id: Annotated[str | None, Column(ID_NAMES, kind="id")]
    molecule: Annotated[str | None, Column(MOLECULE_NAMES, kind="line")]
    part: Annotated[int | None, Column((), kind="part")] = None


class Score(NamedTuple):
    """A molecule of the library beside a query, known by its number from 0.

    `order` ranks by score, then by record where that is known: of an index the library's, else None.
    """

    query: int
    order: int
    score: float
    id: str
    row: int | None


class Passed(NamedTuple):
    """A molecule that passed the filters; `row` as of `Score`."""

    id: str
    row: int | None


class Hit(NamedTuple):
    """A row: a molecule of the library, `record` its 0-based row there; without queries that is all."""

    query_id: str | None
    rank: int | None
    score: float | None
    id: str
    record: int


@dataclass(frozen=True)
class Options:
    """The flags of `screen`."""

    queries: Annotated[
        Reference | None, "molecules to look for: .smi, SDF, CSV, TSV, JSON Lines or Parquet"
    ] = None
    top: Annotated[int, "so many of the library's most similar molecules for each query"] = 20
    substructure: Annotated[bool, "only molecules that contain the query"] = False
    smarts: Annotated[
        Reference | None, "only molecules that match: SMARTS and a name on each line; with ! that match not"
    ] = None
    catalog: Annotated[str | None, "only molecules without alerts: pains, brenk, ... between commas"] = None
    property: Annotated[
        str | None, "only molecules within: lipinski, veber, qed>=0.5, mass<300, ... between commas"
    ] = None
    radius: Annotated[int | None, "of the Morgan fingerprints; 2, or as the index was made"] = None
    bits: Annotated[int | None, "to which they are folded; 2048, or as the index was made"] = None
    index: Annotated[Reference | None, Column((), kind="index"), "the index that is the library"] = None


def has_filters(options: Options) -> bool:
    """Whether molecules are filtered."""
    return bool(options.smarts or options.catalog or options.property)


def choose_stages(options: Options) -> tuple[Stage, ...]:
    """The chain; raises BadOption where nothing is asked for."""
    if options.top < 1:
        raise BadOption("--top", f"{options.top} is below 1")
    if options.queries is not None:
        best = Best(options.top, "query", "order")
        score = Stage("score", open_score, writes=Score, best=best)
        return score, Stage("rank", open_rank, exchange="query")
    if options.substructure:
        raise BadOption(
            "--substructure", "asks for molecules that contain the queries: name them with --queries"
        )
    if not has_filters(options):
        raise BadOption("--queries", "is missing, and so is any filter: --smarts, --catalog or --property")
    by = "row" if options.index is not None else RECORD
    return Stage("filter", open_filter, writes=Passed), Stage("list", open_list, exchange=by)


def prepare(options: Options, into: Path) -> None:
    """Write the queries as hosts load them; raises BadReference, BadOption where an option is at fault."""
    from aliquot_chem.screening import prepare_screen

    prepare_screen(options, into)


def open_score(options: Options, prepared: Path) -> Callable[[Iterable[Molecule]], Iterator[Any]]:
    """A function from molecules, or blocks of an index, to their rows of `Score`."""
    from aliquot_chem import screening

    opened = screening.score_blocks if options.index is not None else screening.score_molecules
    return opened(options, prepared)


def open_filter(options: Options, prepared: Path) -> Callable[[Iterable[Molecule]], Iterator[Any]]:  # noqa: ARG001
    """A function from molecules, or blocks of an index, to their rows of `Passed`."""
    from aliquot_chem import screening

    opened = screening.filter_blocks if options.index is not None else screening.filter_molecules
    return opened(options)


def open_rank(options: Options, prepared: Path) -> Callable[[Iterable[Group]], Iterator[list[Hit]]]:
    """A function from the scores of a query to its hits, best first."""
    from aliquot_chem.screencounts import read_query_ids

    ids = read_query_ids(prepared)

    def rank(group: Group) -> list[Hit]:
        scored = sorted(zip(group.rows, group.records, strict=True), key=lambda each: -each[0].order)
        return [
            Hit(ids[row.query], place, row.score, row.id, record if row.row is None else row.row)
            for place, (row, record) in enumerate(scored[: options.top], 1)
        ]

    return lambda groups: map(rank, groups)


def open_list(options: Options, prepared: Path) -> Callable[[Iterable[Group]], Iterator[list[Hit]]]:  # noqa: ARG001
    """A function from a molecule that passed to its row."""

    def show(group: Group) -> list[Hit]:
        (passed,) = group.rows
        record = group.records[0] if passed.row is None else passed.row
        return [Hit(None, None, None, passed.id, record)]

    return lambda groups: map(show, groups)


def draw_pictures(glimpse: Glimpse) -> Iterator[Picture]:
    """Hits of each query with their scores, for the run's report."""
    from aliquot_chem.pictures import draw_screen

    return draw_screen(glimpse)


job = Job(
    "screen",
    version=1,
    options=Options,
    reads=Molecule,
    writes=Hit,
    stages=choose_stages,
    prepare=prepare,
    summary=ScreenCounts,
    pictures=draw_pictures,
    example="library.smi --queries queries.smi --top 20",
    needs=("rdkit", "numpy"),
)
