"""Datasets as record times: drawn by a law, cut into chunks.

Owns the laws. Imports the standard library. When it is wrong, tails are lighter than their name says.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def draw_times(draw: random.Random, law: str, n_records: int, mean_s: float, most_s: float) -> list[float]:
    """Times by a law of that mean, none longer than `most_s`."""
    laws = {
        "uniform": lambda: draw.uniform(0.5, 1.5),
        "lognormal 0.5": lambda: draw.lognormvariate(0, 0.5),
        "lognormal 1.5": lambda: draw.lognormvariate(0, 1.5),
        "Pareto 1.5": lambda: draw.paretovariate(1.5),
    }
    times = [laws[law]() for _ in range(n_records)]
    scale = mean_s * n_records / sum(times)
    return [min(most_s, each * scale) for each in times]


def cut(times: Sequence[float], n_chunks: int) -> list[Sequence[float]]:
    """Chunks of as many records each, as many as asked for or fewer."""
    size = -(-len(times) // n_chunks)
    return [times[first : first + size] for first in range(0, len(times), size)]
