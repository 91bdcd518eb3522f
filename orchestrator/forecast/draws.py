"""Many forecasts as one: the median and the 90% between, of what is not known of the work and of the model.

Owns intervals. Imports NumPy. When it is wrong, nine runs in ten are not within them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestrator.forecast.local import FIXED_S, forecast_wall_s
from orchestrator.forecast.place import Load, Place
from orchestrator.forecast.stack import Forecast, forecast_run
from orchestrator.forecast.work import Work

Interval = tuple[float, float, float]  # the median, and the 90% between
# of a model that is given the true times: chosen by seed 1 of benchmarks/plans, held by others
LOCAL_ERROR, STACK_ERROR, USD_ERROR = 0.06, 0.045, 0.03
_START_ERROR = 0.4  # of starting, which a probe has seen once
_SEED = 20261
_ENDS = (0.5, 0.04, 0.96)  # of draws: resampling some hundred records is short by a little


def find_interval(values: Sequence[float], error: float = 0.0) -> Interval:
    """The median of what was drawn, and the 90% between.

    Args:
        error: of the model besides, as a standard deviation of logarithms.
    """
    blur = np.exp(error * np.random.default_rng(_SEED).normal(size=len(values)))
    if len(values) == 1:
        blur = np.exp(error * np.array([0.0]))
    _, low, high = np.quantile(np.asarray(values) * blur, _ENDS)
    median = float(np.median(values))
    return median, min(median, float(low)), max(median, float(high))


def forecast_all(works: Sequence[Work], load: Load, place: Place) -> list[Forecast]:
    """Each amount of work on a stack, its last record answered at some time between two ticks."""
    lucks = np.random.default_rng(_SEED).uniform(size=len(works)) if len(works) > 1 else [0.5]
    return [forecast_run(work, load, place, float(luck)) for work, luck in zip(works, lucks, strict=True)]


def forecast_here(works: Sequence[Work], workers: int, start_s: float) -> Interval:
    """Wall seconds on hosts of this machine."""
    luck = np.random.default_rng(_SEED + 1).normal(size=len(works)) if len(works) > 1 else np.zeros(1)
    starts_s = (start_s + FIXED_S) * np.exp(_START_ERROR * luck) - FIXED_S
    walls_s = [forecast_wall_s(work, workers, at) for work, at in zip(works, starts_s, strict=True)]
    return find_interval(walls_s, LOCAL_ERROR)
