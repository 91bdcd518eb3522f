"""The molecules that were met of a target: the rows that go from stage to stage of `retro`.

A node says of one molecule of one target what is known by then: whether it is in stock, and, where it was
expanded, its sets of precursors. All nodes of a target together are the graph in which routes are looked for.

Owns the row and how a graph is put together from rows. Imports the standard library. When it is wrong,
routes are lost between stages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Set = tuple[str, float, tuple[str, ...]]
"""A template's id, its score, and the keys of the precursors."""


class Node(NamedTuple):
    """A molecule of a target.

    Args:
        record: the target's; behind an exchange, before which nobody knows it: -1.
        molecule: its key.
        shard: in which shard of the stock it lies, or would.
        in_stock: whether the stock has it; None before it was looked up, and of what was expanded before.
        sets: its sets of precursors as JSON; None where it was not expanded.
        target_id: the record's id, of the target itself; None of other molecules.
    """

    record: int
    molecule: str
    shard: int
    in_stock: bool | None
    sets: str | None
    target_id: str | None


class Graph(NamedTuple):
    """What is known of a target in the end: the sets of what was expanded, and what is in stock."""

    target_id: str
    target: str
    sets: dict[str, list[Set]]
    stock: set[str]


def pack_sets(sets: Iterable[Set]) -> str:
    """Sets as JSON."""
    return json.dumps([list(own) for own in sets], separators=(",", ":"))


def unpack_sets(text: str) -> list[Set]:
    """Sets from JSON."""
    return [(template_id, score, tuple(leaves)) for template_id, score, leaves in json.loads(text)]


def choose_node(nodes: Sequence[Node]) -> Node:
    """Of what several nodes know of one molecule of one target the most."""
    return max(
        nodes, key=lambda node: (node.target_id is not None, node.sets is not None, node.in_stock is True)
    )


def read_nodes(rows: Iterable[Any]) -> Graph:
    """The graph of a target from all of its nodes; one of them is the target."""
    sets: dict[str, list[Set]] = {}
    stock: set[str] = set()
    target, target_id = "", ""
    for node in rows:
        if node.target_id is not None:
            target, target_id = node.molecule, node.target_id
        if node.in_stock:
            stock.add(node.molecule)
        if node.sets is not None and node.molecule not in sets:
            sets[node.molecule] = unpack_sets(node.sets)
    return Graph(target_id, target, sets, stock)
