"""Routes as rows: as reaction SMILES for everybody, and as the trees that AiZynthFinder writes and reads.

Owns both forms; the trees' is that of `ReactionTree.to_dict` in AiZynthFinder 4. Imports the standard
library. When it is wrong, a route reads as another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aliquot_chem.nodes import Graph
from aliquot_chem.routes import RankedRoute, Step


class Written(NamedTuple):
    """What a row says of a route; see `retrosynthesis.Route`."""

    rank: int
    score: float
    steps: int
    leaves: str
    template_ids: str
    reactions: str
    tree: str | None


class Writer:
    """Writes routes."""

    def __init__(self, prepared: Path, with_trees: bool) -> None:
        """With trees it needs the templates' text, from the prepared folder."""
        self._smarts: dict[str, str] | None = None
        if with_trees:
            listed = json.loads((prepared / "templates.json").read_text(encoding="utf-8"))
            self._smarts = dict(zip(listed["ids"], listed["smarts"], strict=True))

    def write(self, graph: Graph, routes: Sequence[RankedRoute]) -> Iterator[Written]:
        """The rows of ranked routes."""
        for rank, route in enumerate(routes, 1):
            products = list(_place_steps(graph, route))
            tree = None if self._smarts is None else json.dumps(self._write_tree(graph, route))
            yield Written(
                rank,
                route.score,
                route.n_steps,
                ".".join(
                    sorted({leaf for _, leaves in route.steps for leaf in leaves if leaf in graph.stock})
                ),
                " ".join(template_id for template_id, _ in route.steps),
                " ".join(f"{'.'.join(leaves)}>>{product}" for product, (_, leaves) in products),
                tree,
            )

    def _write_tree(self, graph: Graph, route: RankedRoute) -> dict[str, Any]:
        steps = iter(route.steps)
        return {**self._write_molecule(graph, graph.target, steps), "scores": {"score": route.score}}

    def _write_molecule(self, graph: Graph, molecule: str, steps: Iterator[Step]) -> dict[str, Any]:
        """A molecule with what it is made of; takes its steps."""
        is_made = molecule == graph.target or molecule not in graph.stock
        node = {
            "type": "mol",
            "hide": False,
            "smiles": molecule,
            "is_chemical": True,
            "in_stock": molecule in graph.stock,
        }
        if not is_made:
            return node
        template_id, leaves = next(steps)
        reaction = {
            "type": "reaction",
            "hide": False,
            "smiles": f"{molecule}>>{'.'.join(leaves)}",
            "is_reaction": True,
            "metadata": {"template_code": template_id, "template": (self._smarts or {})[template_id]},
            "children": [self._write_molecule(graph, leaf, steps) for leaf in leaves],
        }
        return {**node, "children": [reaction]}


def _place_steps(graph: Graph, route: RankedRoute) -> Iterator[tuple[str, Step]]:
    """Each step with the molecule that it makes."""
    waiting = [graph.target]
    for step in route.steps:
        yield waiting.pop(), step
        waiting += reversed([leaf for leaf in step[1] if leaf not in graph.stock])
