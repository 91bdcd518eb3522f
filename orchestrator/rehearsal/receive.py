"""Decides which messages of a queue a receive gives out: order, fairness, FIFO groups, redrive, limits.

Pure: it sees rows and returns indices. When it is wrong, a group is delivered out of order, a poison message
never reaches its dead-letter queue, or one sender starves the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MAX_BATCH_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Waiting:
    """A message as a receive sees it.

    Attributes:
        is_visible: neither delayed nor hidden.
        is_in_flight: given out, and still hidden.
    """

    group: str | None
    receives: int
    size_bytes: int
    is_visible: bool
    is_in_flight: bool


@dataclass(frozen=True)
class Receipt:
    """What a receive does: indices to give out, in order, and indices to move to the dead-letter queue."""

    deliver: tuple[int, ...]
    redrive: tuple[int, ...]


def plan_receive(
    messages: Sequence[Waiting], limit: int, max_receives: int | None, *, is_fifo: bool
) -> Receipt:
    """Choose what one receive gives out.

    Args:
        messages: everything in the queue, oldest first.
        max_receives: the redrive policy's maxReceiveCount; None without a dead-letter queue.
    """
    busy: Counter[str | None] = Counter(
        each.group for each in messages if each.is_in_flight and each.group is not None
    )
    redrive: list[int] = []
    ready: list[int] = []
    blocked: set[str | None] = set()
    for index, each in enumerate(messages):
        if is_fifo and each.group in blocked:
            continue
        if not each.is_visible:
            blocked.add(each.group)  # nothing overtakes what is hidden or delayed
        elif max_receives is not None and each.receives >= max_receives:
            redrive.append(index)
        else:
            ready.append(index)
    chosen = ready if is_fifo else _order_fairly(messages, ready, busy, limit)
    return Receipt(_cut_at_size(messages, chosen[:limit]), tuple(redrive))


def _order_fairly(
    messages: Sequence[Waiting], ready: Sequence[int], busy: Counter[str | None], limit: int
) -> list[int]:
    """Give the quietest group's oldest message first, again and again; without groups, oldest first."""
    if all(messages[index].group is None for index in ready):
        return list(ready)
    busy, left = Counter(busy), list(ready)
    chosen: list[int] = []
    while left and len(chosen) < limit:
        index = min(left, key=lambda each: (busy[messages[each].group], each))
        left.remove(index)
        busy[messages[index].group] += 1
        chosen.append(index)
    return chosen


def _cut_at_size(messages: Sequence[Waiting], chosen: Sequence[int]) -> tuple[int, ...]:
    total_bytes = 0
    for place, index in enumerate(chosen):
        total_bytes += messages[index].size_bytes
        if place and total_bytes > MAX_BATCH_BYTES:
            return tuple(chosen[:place])
    return tuple(chosen)
