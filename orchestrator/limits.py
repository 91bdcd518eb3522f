"""What a user may choose of a run wherever it goes, held to what can be: one check for both backends.

Owns these checks, what is said of a choice that cannot be, and how choices are spelt. Imports the core's
failure limit and `job`, and `results` for the formats. When it is wrong, a limit that nothing can keep
reaches a run, and ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from aliquot.declaration import parse_rate
from aliquot.errors import BadOption
from aliquot.failure_limit import FailureLimit
from aliquot.job import MOST_RETRIES, MOST_THREADS, Job, Stages
from aliquot.loading import NoOptions
from aliquot.stages import find_late_rate
from orchestrator.results import ENDINGS

# as manifests name them; a stack's window is decided by the stack and the budget, and changes no row
_FLAGS = {
    "workers": "--workers",
    "memory_mib": "--memory",
    "max_failed": "--max-failed",
    "ending": "--format",
    "threads": "--threads",
    "rate": "--rate",
    "retries": "--retries",
    "record_timeout_s": "--record-timeout",
    "budget_usd": "--budget-usd",
    "budget_time_s": "--budget-time",
}
_DEFAULTS = {"max_failed": "5%", "ending": "parquet", "record_timeout_s": 60.0}
_YEAR_S = 365 * 86400.0  # timers and selectors of some systems take no more than a few years


def check_limits(
    *,
    workers: int | None,
    record_timeout_s: float,
    max_failed: str,
    ending: str,
    threads: int | None,
    rate: str | None,
    retries: int | None,
    budget_usd: float | None,
    budget_time_s: float | None,
) -> None:
    """Raise BadOption where one of them cannot be."""
    check_positive("--workers", workers)
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise BadOption("--threads", f"{threads} is not from 1 to {MOST_THREADS}; more --workers have more")
    if rate is not None:
        try:
            per_s = parse_rate(rate)
        except ValueError as err:
            raise BadOption("--rate", str(err)) from err
        if not per_s:
            raise BadOption(
                "--rate", "is empty: say 50/s, 600/min or 2000/h, or leave it out for the job's own"
            )
    if retries is not None and not 0 <= retries <= MOST_RETRIES:
        raise BadOption("--retries", f"{retries} is not from 0 to {MOST_RETRIES}")
    check_positive("--record-timeout", record_timeout_s)
    check_positive("--budget-time", budget_time_s)
    if not record_timeout_s <= _YEAR_S:  # NaN is not either
        raise BadOption("--record-timeout", f"{record_timeout_s} is not within a year of seconds")
    if ending not in ENDINGS:
        raise BadOption("--format", f"{ending!r} is not one of {', '.join(ENDINGS)}")
    if budget_usd is not None and not 0 < budget_usd < inf:
        raise BadOption("--budget-usd", f"{budget_usd} is not a sum of dollars above 0")
    FailureLimit.parse(max_failed)


def check_threads(job: Job, stages: Stages, threads: int | None) -> None:
    """Raise BadOption where a job would be called by several threads that says nothing of bearing it."""
    is_function = job.options is NoOptions and len(stages) == 1
    is_bearing = is_function or any(stage.threads > 1 for stage in stages)
    if threads is not None and threads > 1 and not is_bearing:
        said = f"job {job.name!r} takes one record at a time: no stage of it declares `threads`"
        raise BadOption("--threads", f"{said}; --workers has more processes")


def check_rate(job: Job, stages: Stages, rate: str | None, *, is_on_stack: bool) -> None:
    """Raise BadOption where nobody knows which stage a rate is for, or where a stack cannot keep it."""
    rated = [stage.name for stage in stages if stage.rate]
    if rate and len(stages) > 1 and not rated:
        said = f"job {job.name!r} has {len(stages)} stages, and none of them declares a `rate` to be changed"
        raise BadOption("--rate", said)
    if rate and len(stages) == 1 and stages[0].whole:
        said = f"job {job.name!r} takes chunks whole: its records begin together, and no rate is kept"
        raise BadOption("--rate", said)
    later = find_late_rate(stages)
    if is_on_stack and later:
        said = f"stage {later!r} of job {job.name!r} has a rate, which a stack keeps where a leg begins"
        raise BadOption("--on", f"{said}: declare it with exchange=RECORD, or run it here")


def check_positive(flag: str, value: float | None) -> None:
    """Raise BadOption where a value was given that is not above 0."""
    if value is not None and value <= 0:
        raise BadOption(flag, f"{value} is not positive")


def list_chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a manifest's settings those that somebody chose, by their names there."""
    found = {name: settings.get(name) for name in _FLAGS}
    return {name: value for name, value in found.items() if value not in (None, _DEFAULTS.get(name))}


def spell_chosen(settings: Mapping[str, Any]) -> list[str]:
    """The same as words of a command."""
    chosen = list_chosen(settings).items()
    return [word for name, value in chosen for word in (_FLAGS[name], _spell(name, value))]


def _spell(name: str, value: Any) -> str:
    said = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{said}s" if name == "budget_time_s" else said
