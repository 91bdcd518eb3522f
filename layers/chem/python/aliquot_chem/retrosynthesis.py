"""The job `retro`: for every target, the routes of up to three steps whose leaves are all in a stock.

    targets -> expand -> stock -> [expand2 -> stock2 -> [expand3 -> stock3]] -|by record|-> rank

What goes from stage to stage are the molecules that were met of each target (`nodes`). `expand` is bound by
the processor, `stock` by memory: of a stock that a worker maps whole it reads row by row what comes, of one
that is divided it gets, by an exchange, the molecules of one shard, and maps this shard alone. `expand2` and
`expand3` get, by an exchange, each molecule that is not in stock once, for all targets that ask for it.

Owns the declaration: options, the record read, the row written, and the chain. Imports no RDKit and no NumPy
by itself, because the command line loads it to show its help; what computes is imported inside the functions.
When it is wrong, flags, columns or the ledger's view of the job are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from aliquot.errors import BadOption
from aliquot.job import RECORD, Column, Glimpse, Group, Job, Needs, Picture, Reference, Stage
from aliquot_chem.nodes import Node
from aliquot_chem.routecounts import RouteCounts

if TYPE_CHECKING:
    from aliquot_chem.expanding import Expanding

MOST_DEPTH = 3
_TARGET_NAMES = ("smiles", "SMILES", "target", "canonical_smiles", "molecule", "product")


class Target(NamedTuple):
    """A record: a molecule to make, as SMILES."""

    id: Annotated[str | None, Column(("id", "name", "ID", "target_id"), kind="id")]
    smiles: Annotated[str | None, Column(_TARGET_NAMES, kind="line")]


class Route(NamedTuple):
    """A row: a way to make a target from molecules that are in stock.

    `reactions` are its steps as reaction SMILES, the last step of the synthesis first, and `template_ids` the
    templates of these, both separated by blanks; `leaves` are the molecules to start from, joined by ".".
    `tree` is the route as AiZynthFinder writes it (JSON), None unless asked for.
    """

    target_id: str
    target: str
    rank: int
    score: float
    steps: int
    leaves: str
    template_ids: str
    reactions: str
    tree: str | None


@dataclass(frozen=True)
class Options:
    """The flags of `retro`; of each choice the first is the default."""

    templates: Annotated[
        Reference, "retro templates, product>>reactants: CSV, TSV, JSON Lines or Parquet with a SMARTS column"
    ]
    stock: Annotated[Reference, "the molecules to start from: a folder as `aliquot index stock` writes it"]
    counts: Annotated[
        Reference | None,
        "`templates.parquet` of a crossref run: a template's score is the log of its reactions there",
    ] = None
    policy: Annotated[
        Reference | None,
        "an ONNX model that scores the templates for each molecule, as AiZynthFinder's: instead of counts",
        Needs("onnxruntime"),
    ] = None
    depth: Annotated[int, "steps one after the other that a route may have, 1 to 3"] = 1
    sets: Annotated[int, "sets of precursors kept of a molecule, the best"] = 50
    routes: Annotated[int, "routes given of a target, the best"] = 50
    format: Annotated[
        Literal["aizynth"] | None,
        "aizynth: with a column `tree`, the route as AiZynthFinder writes it (JSON)",
    ] = None
    skip_bad_templates: Annotated[bool, "go on without the templates that do not parse"] = False


def prepare(options: Options, into: Path) -> None:
    """Write the templates' prepared state and scores, and how the stock is divided, into the folder `into`.

    Raises:
        BadReference: the templates or counts cannot be used, or the stock is none or has other keys than
            this RDKit writes.
    """
    from aliquot_chem.preparing import prepare_templates
    from aliquot_chem.scores import prepare_scores
    from aliquot_chem.stock import check_keys

    header = check_keys(options.stock)
    prepare_templates(options.templates.path, into, "substructure", "retro", options.skip_bad_templates)
    if options.policy is None:
        prepare_scores(options.counts.path if options.counts else None, into)
    else:
        _prepare_policy(options.policy.path, options.templates.path, into)
    (into / "stock.json").write_text(json.dumps({"n_shards": header.n_shards}), encoding="utf-8")


def _prepare_policy(model: Path, table: Path, into: Path) -> None:
    from aliquot_chem.policy import prepare_policy

    ids = json.loads((into / "templates.json").read_text(encoding="utf-8"))["ids"]
    prepare_policy(model, table, ids, into)


def list_stages(options: Options) -> tuple[Stage, ...]:
    """The chain for these options.

    Raises:
        BadOption: a number is out of range, or two options say how templates are scored.
        BadReference: the stock is none.
    """
    from aliquot_chem.stockfile import read_header

    _check(options)
    is_divided = read_header(options.stock).n_shards > 1
    stages = []
    for level in range(1, options.depth + 1):
        suffix = str(level) if level > 1 else ""
        stages.append(_expand_stage(f"expand{suffix}", level, is_fork_safe=options.policy is None))
        stages.append(_stock_stage(f"stock{suffix}", level, is_divided))
    return (*stages, Stage("rank", open_ranking, exchange=RECORD))


def _check(options: Options) -> None:
    if options.policy and options.counts:
        raise BadOption("--policy", "scores templates instead of --counts: give one of them")
    if not 1 <= options.depth <= MOST_DEPTH:
        raise BadOption(
            "--depth", f"{options.depth}; a route has 1 to {MOST_DEPTH} steps one after the other"
        )
    for name in ("sets", "routes"):
        if getattr(options, name) < 1:
            raise BadOption(f"--{name}", f"{getattr(options, name)}; it takes a number from 1")


def _expand_stage(name: str, level: int, *, is_fork_safe: bool) -> Stage:
    first = Stage(name, open_expansion, writes=Node, fork_safe=is_fork_safe)  # a policy has threads
    if level == 1:
        return first
    return replace(first, open=open_further, exchange="molecule", splits=True, origin="record")


def _stock_stage(name: str, level: int, is_divided: bool) -> Stage:
    if not is_divided:
        # behind `expand2` its rows are of a group's records, as those of `expand2` are
        return Stage(name, open_stock, writes=Node, origin="record" if level > 1 else "")
    return Stage(name, open_shards, writes=Node, exchange="shard", splits=True, origin="record")


def open_expansion(options: Options, prepared: Path) -> Callable[[Iterable[Target]], Iterator[list[Node]]]:
    """A function from targets to nodes: the target with its sets, and every molecule in one of these.

    The iterator raises `ParseFailure` for a target that cannot be read, and goes on after it.
    """
    expanding = _open_expanding(options, prepared)
    return partial(map, lambda target: expanding.begin(target.id or "", target.smiles))


def open_further(options: Options, prepared: Path) -> Callable[[Iterable[Group]], Iterator[list[Node]]]:
    """A function from the nodes of one molecule to these with its sets, and every molecule in one of them."""
    return partial(map, _open_expanding(options, prepared).go_on)


def _open_expanding(options: Options, prepared: Path) -> Expanding:
    from aliquot_chem.expanding import open_expanding

    return open_expanding(prepared, options.sets, options.policy.path if options.policy else None)


def open_stock(options: Options, _prepared: Path) -> Callable[[Iterable[Node]], Iterator[list[Node]]]:
    """A function from nodes to the same that tell whether the molecule is in stock."""
    from aliquot_chem.lookup import look_up_rows
    from aliquot_chem.stockfile import Stock

    return partial(look_up_rows, Stock(options.stock))


def open_shards(options: Options, _prepared: Path) -> Callable[[Iterable[Group]], Iterator[list[Node]]]:
    """A function from the nodes of one shard to the same that tell whether the molecule is in stock."""
    from aliquot_chem.lookup import look_up_group
    from aliquot_chem.stockfile import Stock

    return partial(map, partial(look_up_group, Stock(options.stock)))


def open_ranking(options: Options, prepared: Path) -> Callable[[Iterable[Group]], Iterator[list[Route]]]:
    """A function from all nodes of a target to its routes, ranked."""
    from aliquot_chem.nodes import read_nodes
    from aliquot_chem.routes import rank_routes
    from aliquot_chem.trees import Writer

    write = Writer(prepared, with_trees=options.format == "aizynth").write

    def rank(group: Group) -> list[Route]:
        graph = read_nodes(group.rows)
        routes = rank_routes(graph, options.depth, options.routes)
        return [Route(graph.target_id, graph.target, *row) for row in write(graph, routes)]

    return partial(map, rank)


def draw_pictures(glimpse: Glimpse) -> Iterator[Picture]:
    """Routes as trees, for the run's report."""
    from aliquot_chem.pictures import draw_retro

    return draw_retro(glimpse)


job = Job(
    "retro",
    version=1,
    options=Options,
    reads=Target,
    writes=Route,
    prepare=prepare,
    stages=list_stages,
    summary=RouteCounts,
    pictures=draw_pictures,
    example="targets.smi --templates templates.csv --stock stock --depth 2",
    needs=("rdkit", "numpy"),
)
