"""The stages of `retro` that expand molecules: from a target, or a molecule that is not in stock, to nodes.

Owns which molecules are expanded and which nodes come of it. Imports RDKit and NumPy. When it is wrong, a
molecule is expanded twice or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rdkit import rdBase

from aliquot.errors import ParseFailure
from aliquot.job import Group
from aliquot_chem.expansion import Expander, FixedRanking, PrecursorSet, Ranking
from aliquot_chem.nodes import Node, choose_node, pack_sets
from aliquot_chem.prepared import load_prepared
from aliquot_chem.stock import write_key
from aliquot_chem.stockfile import hash_keys, number_shards

_SHOWN_CHARS = 80


def open_expanding(prepared: Path, most_sets: int, policy: Path | None) -> Expanding:
    """What expands with the templates in the prepared folder, ranked by a policy where one is given."""
    templates = load_prepared(prepared)
    ranking = _open_ranking(templates.ids, prepared, policy)
    n_shards = json.loads((prepared / "stock.json").read_text(encoding="utf-8"))["n_shards"]
    return Expanding(Expander(templates, ranking, most_sets), n_shards)


def _open_ranking(ids: list[str], prepared: Path, policy: Path | None) -> Ranking:
    if policy is None:
        return FixedRanking(ids, np.load(prepared / "scores.npy"))
    from aliquot_chem.policy import PolicyRanking

    return PolicyRanking(policy, ids, prepared)


class Expanding:
    """An expander whose answers are nodes."""

    def __init__(self, expander: Expander, n_shards: int) -> None:
        """Expand with `expander`; the stock has so many shards."""
        self._expander, self._n_shards = expander, n_shards

    def begin(self, target_id: str, smiles: str | None) -> list[Node]:
        """The nodes of a target, its own first; raises ParseFailure where it cannot be read."""
        with rdBase.BlockLogs():
            key = write_key(smiles or "")
        if key is None:
            raise ParseFailure(f"the target does not parse: {(smiles or '')[:_SHOWN_CHARS] or 'it is empty'}")
        return list(self._make_nodes(-1, key, target_id, self._expander.expand(key)))

    def go_on(self, group: Group) -> list[Node]:
        """The nodes of one molecule, with its sets where a target has it neither expanded nor in stock."""
        by_record: dict[int, list[Node]] = {}
        for record, node in zip(group.records, group.rows, strict=True):
            by_record.setdefault(record, []).append(node)
        known = {record: choose_node(nodes) for record, nodes in by_record.items()}
        if all(map(_is_settled, known.values())):
            return [node._replace(record=record) for record, node in known.items()]
        sets = self._expander.expand(str(group.key))
        nodes: list[Node] = []
        for record, node in known.items():
            if _is_settled(node):
                nodes.append(node._replace(record=record))
            else:
                nodes.extend(self._make_nodes(record, node.molecule, None, sets))
        return nodes

    def _make_nodes(
        self, record: int, key: str, target_id: str | None, sets: Sequence[PrecursorSet]
    ) -> Iterator[Node]:
        leaves = sorted({leaf for own in sets for leaf in own.leaves})
        shards = number_shards(hash_keys([molecule.encode() for molecule in (key, *leaves)]), self._n_shards)
        own_shard, *others = shards.tolist()
        yield Node(record, key, own_shard, None, pack_sets(sets), target_id)
        for leaf, shard in zip(leaves, others, strict=True):
            yield Node(record, leaf, shard, None, None, None)


def _is_settled(node: Node) -> bool:
    return node.sets is not None or node.in_stock is True
