"""What a simulated stack is like: its times, its pollers, its prices, and how often what goes wrong.

Owns these figures. Imports the core's prices and the pollers' ramps. When it is wrong, a simulation says
nothing of AWS.
"""

from __future__ import annotations

from dataclasses import dataclass

from aliquot.prices import Prices
from aliquot.spending import Tariff
from benchmarks.simulated.pollers import ENDLESS
from orchestrator.quotas import Ramp

_BESIDE_RECORD_S = 90.0  # of a worker's timeout: its slice, and a minute


@dataclass(frozen=True)
class Weather:
    """How often what goes wrong, as shares of invocations or messages."""

    kill: float = 0.0
    hang: float = 0.0  # killed as well, but at the function's timeout
    duplicate: float = 0.0
    late: float = 0.0


@dataclass(frozen=True)
class Place:
    """What a stack is like; times are drawn evenly between two ends.

    Args:
        ramp, most: of each rung's pollers; tasks at a time.
        slice_s, record_timeout_s: of its workers.
        init_s: of a cold environment until the job may be opened; its reference loading is `open_s`.
        call_s: of an invocation besides its records.
        delay_s: from a message's sending to its receipt, where a poller is free.
        chunk_s: from one chunk's arrival to the next.
        merge_s, merge_outcome_s, publish_s: of a group, besides of each of its outcomes, and of publishing.
    """

    ramp: Ramp = ENDLESS
    most: int = 1 << 20
    slice_s: float = 30.0
    record_timeout_s: float = 60.0
    init_s: tuple[float, float] = (1.0, 2.0)
    open_s: float = 0.0
    call_s: tuple[float, float] = (0.07, 0.2)
    delay_s: tuple[float, float] = (0.05, 3.0)
    chunk_s: float = 0.0
    merge_s: tuple[float, float] = (1.0, 4.0)
    merge_outcome_s: tuple[float, float] = (0.02, 0.15)
    publish_s: tuple[float, float] = (1.0, 3.0)

    @property
    def timeout_s(self) -> float:
        """Of a worker's function."""
        return self.record_timeout_s + _BESIDE_RECORD_S


def make_tariff(place: Place | None = None) -> Tariff:
    """As the stack's."""
    return Tariff(Prices(), "arm64", (place or Place()).timeout_s)
