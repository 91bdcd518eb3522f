"""The best routes in a target's graph: trees of steps of which every leaf is in stock.

A route has few steps rather than many, then a high sum of scores, then what is first by the text of its
steps, the target's first and each leaf's behind it. No molecule of a route is made from itself. Only
molecules that are not in stock are made.

Owns this order and the search. Scores are summed in millionths, as whole numbers, so that no order hangs on
how floats round. Imports the standard library. When it is wrong, a better route is lost to a worse one.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from typing import NamedTuple

from aliquot_chem.nodes import Graph

MILLION = 1_000_000

Step = tuple[str, tuple[str, ...]]
"""A template's id, and the keys of the precursors."""


class RankedRoute(NamedTuple):
    """A route; they are compared as they are ranked.

    Args:
        n_steps: how many steps it has.
        cost: the sum of their scores, negative, in millionths.
        steps: the target's first; behind each step those of its precursors that are not in stock, in turn.
    """

    n_steps: int
    cost: int
    steps: tuple[Step, ...]

    @property
    def score(self) -> float:
        """The sum of the steps' scores."""
        return -self.cost / MILLION


def rank_routes(graph: Graph, depth: int, most: int) -> list[RankedRoute]:
    """The best routes to the target, at most so many, with up to `depth` steps one after the other."""
    return _Search(graph, most).find(graph.target, depth, frozenset())


class _Search:
    def __init__(self, graph: Graph, most: int) -> None:
        self._graph, self._most = graph, most

    def find(self, molecule: str, depth: int, above: frozenset[str]) -> list[RankedRoute]:
        """The best routes to a molecule that hold none of those `above` it, the best first."""
        path = above | {molecule}
        found: list[RankedRoute] = []
        for template_id, score, leaves in self._graph.sets.get(molecule, ()):
            if path.isdisjoint(leaves):
                first = RankedRoute(1, -round(score * MILLION), ((template_id, leaves),))
                found += self._complete(first, leaves, depth, path)
        return nsmallest(self._most, found)

    def _complete(
        self, first: RankedRoute, leaves: Sequence[str], depth: int, path: frozenset[str]
    ) -> list[RankedRoute]:
        """The best routes that begin with a step."""
        missing = [leaf for leaf in leaves if leaf not in self._graph.stock]
        if missing and depth == 1:
            return []
        routes = [first]
        for leaf in missing:
            routes = _join(routes, self.find(leaf, depth - 1, path), self._most)
            if not routes:
                return []
        return routes


def _join(left: Sequence[RankedRoute], right: Sequence[RankedRoute], most: int) -> list[RankedRoute]:
    """The best of one route of each side together, both sides ranked.

    The i-th with the j-th is no better than any with lower places, of which there are i times j.
    """
    pairs = [
        RankedRoute(a.n_steps + b.n_steps, a.cost + b.cost, a.steps + b.steps)
        for i, a in enumerate(left, 1)
        for b in right[: most // i]
    ]
    return nsmallest(most, pairs)
