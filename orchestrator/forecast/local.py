"""What a run takes on hosts of this machine: wall time of a given amount of work.

Hosts take from each other what is not begun, so that they end together, but for the last records: these begin
when greedy scheduling would begin them. Owns this model. Imports `work`. When it is wrong, people wait longer
than they were told.
"""

from __future__ import annotations

from orchestrator.forecast.work import Work

FIXED_S = 0.35  # hosts forked, the roster, Parquet and figures written
_MERGE_S = 2e-6  # of a record, by the orchestrator


def forecast_wall_s(work: Work, workers: int, start_s: float) -> float:
    """Seconds from the command's first record to its result.

    Args:
        workers: hosts.
        start_s: to prepare and open the job.
    """
    n_hosts = max(1.0, min(workers, work.n_records))
    even_s = work.total_s / n_hosts
    last_s = float((work.places * even_s + work.longest_s).max(initial=0.0))
    return start_s + FIXED_S + max(even_s, last_s) + work.n_records * _MERGE_S
