"""What an exchange between two legs of a chain takes on a stack: rows, reads, time and dollars.

    rows and bytes of a sample --scale--> of the dataset --forecast_exchange--> runs, partitions, steps, price

Owns this model. Imports the sizes that `exchange` goes by, and `spending`. When it is wrong, plans leave out
what moves between stages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from aliquot.exchange import CHUNK_BYTES, LEAST_OUTCOMES, MOST_RUNS, PARTITION_BYTES
from aliquot.exchanging import STACK_RUN_BYTES
from aliquot.spending import REDUCE_MB, measure_settling
from aliquot.tally import SHORTEST_WAIT_S
from orchestrator.forecast.place import Place
from orchestrator.forecast.stack import MERGES

_ROW_S = 4e-6  # in each step: a million rows of a number and a text took 3.4 and 4.7 s of CPU here
_READ_S, _PUT_S, _START_S = 0.03, 0.05, 3.0  # of a request; of a step's cold start
_BLOCKS_PER_READ = 1.5  # of a run, by a partition


@dataclass(frozen=True)
class Exchanged:
    """What goes through an exchange: rows, and their bytes before compression."""

    stage: str
    n_rows: float
    n_bytes: float

    def scale(self, factor: float) -> Exchanged:
        """Of so many times the records."""
        return replace(self, n_rows=self.n_rows * factor, n_bytes=self.n_bytes * factor)


@dataclass(frozen=True)
class ExchangeForecast:
    """An exchange as it will be.

    Args:
        n_reads, n_puts: requests of S3.
    """

    stage: str
    n_rows: int
    n_partitions: int
    n_reads: int
    n_puts: int
    wall_s: float
    usd: float


def forecast_exchange_here(found: Exchanged) -> float:
    """Seconds of an exchange on this machine, where the orchestrator does all of it."""
    return 2 * found.n_rows * _ROW_S


def forecast_exchange(found: Exchanged, n_outcomes: int, place: Place) -> ExchangeForecast:
    """One exchange of a leg that left so many outcomes."""
    n_parts = max(1, min(MOST_RUNS, ceil(n_outcomes / LEAST_OUTCOMES)))
    n_runs = max(n_parts, ceil(found.n_bytes / STACK_RUN_BYTES))
    n_partitions = max(1, ceil(found.n_bytes / PARTITION_BYTES))
    n_chunks = max(n_partitions, ceil(found.n_bytes / CHUNK_BYTES))
    n_ranges = ceil(n_runs * n_partitions * _BLOCKS_PER_READ)
    n_reads, n_puts = 2 * n_outcomes + n_ranges, 2 * n_parts + n_runs + n_chunks + 2 * n_partitions
    steps = [
        (n_parts, found.n_rows * _ROW_S + 2 * n_outcomes * _READ_S + n_runs * _PUT_S),
        (n_partitions, found.n_rows * _ROW_S + n_ranges * _READ_S + n_chunks * _PUT_S),
    ]
    busy_s = sum(work_s + n * _START_S for n, work_s in steps)
    wall_s = sum(_START_S + work_s / min(n, MERGES) for n, work_s in steps) + 3 * SHORTEST_WAIT_S
    prices = place.tariff.prices
    settling = measure_settling(place.tariff, 0, 0, n_parts + n_partitions)
    usd = settling.total + busy_s * prices.memory_s(place.tariff.architecture, REDUCE_MB)
    usd += n_reads * prices.s3_get + n_puts * prices.s3_put
    return ExchangeForecast(found.stage, round(found.n_rows), n_partitions, n_reads, n_puts, wall_s, usd)
