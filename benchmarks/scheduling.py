"""Greedy list scheduling: the yardstick of balance, of the engine here and on a simulated stack.

Owns one pure function. Imports the standard library: the engine's peers are measured where nothing else is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence


def schedule_greedily(times_s: Iterable[float], free_at_s: Sequence[float]) -> float:
    """When the last record is done if each, in this order, goes to the worker that is free first.

    Args:
        times_s: of each record, in the order of the dataset.
        free_at_s: when each worker may begin its first one.
    """
    free = list(free_at_s)
    heapq.heapify(free)
    end_s = 0.0
    for time_s in times_s:
        done_s = free[0] + time_s
        heapq.heapreplace(free, done_s)
        end_s = max(end_s, done_s)
    return end_s
