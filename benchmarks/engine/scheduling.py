"""Greedy list scheduling: the yardstick of balance.

Owns one pure function. Imports the standard library.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def schedule_greedily(times_s: Iterable[float], n_workers: int) -> float:
    """The time until all is done when each record, in this order, goes to the worker that is free first.

    Args:
        times_s: of each record, in the order of the dataset.
    """
    free_at_s = [0.0] * n_workers
    for time_s in times_s:
        heapq.heapreplace(free_at_s, free_at_s[0] + time_s)
    return max(free_at_s)
