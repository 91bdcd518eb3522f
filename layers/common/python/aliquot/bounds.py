"""What a supervisor allows, what of that each host is told, and what it has counted.

Owns both. Imports `host` for its limits and `outcome`. When it is wrong, a host is held to other limits than
those that it is judged by.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aliquot.host import HostLimits
from aliquot.outcome import Failure


@dataclass(frozen=True)
class Limits:
    """What a supervisor allows.

    Args:
        record_timeout_s: a record's deadline.
        memory_mib: ceiling of a host's private memory.
        slice_s: an outcome is put at least this often.
        defers_memory: a record that ran out of memory is left for a host with more, not filed.
        threads, rate_per_s, retries: of each host, see `host.HostLimits`.
        is_whole: the records of a task go to a host together.
    """

    record_timeout_s: float
    memory_mib: int
    slice_s: float = 5.0
    defers_memory: bool = False
    threads: int = 1
    rate_per_s: float = 0.0
    retries: int | None = None
    is_whole: bool = False

    @property
    def of_host(self) -> HostLimits:
        """What of this each host is held to."""
        return HostLimits(
            self.record_timeout_s,
            self.memory_mib,
            self.threads,
            rate_per_s=self.rate_per_s,
            retries=self.retries,
        )


@dataclass
class Counts:
    """What has happened so far; read by whoever shows progress."""

    n_answered: int = 0
    n_failed: int = 0
    n_host_ends: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, failures: list[Failure]) -> None:
        """Count failures by kind."""
        for failure in failures:
            self.n_failed += 1
            self.kinds[failure.kind] = self.kinds.get(failure.kind, 0) + 1
