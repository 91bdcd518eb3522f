"""What a user may choose anew at every session of a run, because it changes no row.

Owns its defaults, and its checks against this machine; those that every run has are `limits`'. Imports the
core's `processes`. When it is wrong, a session begins more than the machine holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aliquot.errors import BadOption
from aliquot.page import MOST_HOSTS
from aliquot.processes import count_cores, read_free_mib
from orchestrator.limits import check_limits, check_positive

_MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class Settings:
    """Workers and limits; raises BadOption where one of them cannot be.

    Args:
        workers: hosts; None for the physical cores.
        record_timeout_s: a record's deadline, at most a year.
        memory_mib: private memory a host; None for 80% of what is free, divided by the workers.
        max_failed: as the user wrote it: "5%" or "12".
        ending: "parquet" or "csv".
        threads: of each host; None for as many as the job's stage declares.
        budget_time_s: wall time of all sessions together; None for no limit.
        budget_usd: kept with the run; what is done here costs nothing.
        rate: records that the run begins in a time, "50/s"; None for what the job's stage declares.
        retries: how often a record is tried again; None for as often as the job's stage says.
        estimated_s: what a plan said that it would take, and its 90% interval; None where none was made.
    """

    workers: int | None = None
    record_timeout_s: float = 60.0
    memory_mib: int | None = None
    max_failed: str = "5%"
    ending: str = "parquet"
    budget_time_s: float | None = None
    budget_usd: float | None = None
    threads: int | None = None
    rate: str | None = None
    retries: int | None = None
    estimated_s: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_limits(
            workers=self.workers,
            record_timeout_s=self.record_timeout_s,
            max_failed=self.max_failed,
            ending=self.ending,
            threads=self.threads,
            rate=self.rate,
            retries=self.retries,
            budget_usd=self.budget_usd,
            budget_time_s=self.budget_time_s,
        )
        check_positive("--memory", self.memory_mib)
        if self.workers is not None and self.workers > MOST_HOSTS:
            raise BadOption("--workers", f"{self.workers} are too many: at most {MOST_HOSTS}")

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], **chosen: Any) -> Settings:
        """Those of a manifest, with what is `chosen` (not None) instead."""
        return cls(**{**plain, **{name: value for name, value in chosen.items() if value is not None}})

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return asdict(self)

    def resolve(self) -> ResolvedSettings:
        """The same with what was left open decided for this machine."""
        workers = self.workers or min(count_cores(), MOST_HOSTS)
        free_mib = max(1, int(_MEMORY_SHARE * read_free_mib()))
        memory_mib = self.memory_mib or max(1, free_mib // workers)
        most_mib = self.memory_mib or free_mib
        is_given = self.memory_mib is not None
        chosen = self.threads, self.rate, self.retries
        return ResolvedSettings(workers, self.record_timeout_s, memory_mib, most_mib, *chosen, is_given)


@dataclass(frozen=True)
class ResolvedSettings:
    """What hosts are started with on this machine; see Settings.

    Args:
        most_memory_mib: of a single host, for records that ran out of memory beside others.
        is_memory_given: the user said how much a host has.
    """

    workers: int
    record_timeout_s: float
    memory_mib: int
    most_memory_mib: int
    threads: int | None = None
    rate: str | None = None
    retries: int | None = None
    is_memory_given: bool = False
