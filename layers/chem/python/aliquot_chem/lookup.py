"""The stages of `retro` that look molecules up in the stock.

Owns what is looked up, how many at a time, and each molecule of a group once. Imports NumPy through the
stock. When it is wrong, an answer is given for another molecule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from aliquot.job import Group
from aliquot_chem.nodes import Node
from aliquot_chem.stockfile import Stock

_ROWS_AT_A_TIME = 1024


def look_up_rows(stock: Stock, nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """Each node with what the stock says of it; it reads ahead."""
    waiting = iter(nodes)
    while batch := list(islice(waiting, _ROWS_AT_A_TIME)):
        yield from ([node] for node in _look_up(stock, batch))


def look_up_group(stock: Stock, group: Group) -> list[Node]:
    """The nodes of a group with what the stock says of them, and the records that they came from.

    Of the stock no more than a group's shard is mapped in at a time.
    """
    rows = zip(group.records, group.rows, strict=True)
    nodes = _look_up(stock, [node._replace(record=record) for record, node in rows])
    stock.release()
    return nodes


def _look_up(stock: Stock, nodes: list[Node]) -> list[Node]:
    """Of the nodes those that were neither expanded nor looked up before are."""
    asked = list(dict.fromkeys(node.molecule for node in nodes if _is_open(node)))
    answers = dict(zip(asked, stock.find(asked).tolist(), strict=True))
    return [node._replace(in_stock=answers[node.molecule]) if _is_open(node) else node for node in nodes]


def _is_open(node: Node) -> bool:
    return node.in_stock is None and node.sets is None
