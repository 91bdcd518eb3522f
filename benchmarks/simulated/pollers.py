"""How many tasks of a queue run at a time, and which of them find a warm environment.

Owns the ramp as AWS documents it and the count of environments. Imports the project's quotas. When it is
wrong, a simulated run begins faster than any real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orchestrator.quotas import Ramp

ENDLESS = Ramp(1 << 20, 0.0, 1 << 20)


@dataclass
class Rung:
    """A rung's queue: what runs and what is warm.

    Args:
        ramp: of its pollers, from its first message on.
        most: tasks at a time, whatever the pollers allow.
    """

    ramp: Ramp
    most: int
    began_s: float | None = None
    n_running: int = 0
    n_warm: int = 0
    n_cold_starts: int = 0
    peak: int = 0
    busy: list[tuple[float, int]] = field(default_factory=list)

    def has_room(self, now_s: float) -> bool:
        """Whether a further task may run."""
        return self.n_running < min(self.most, math.floor(self.ramp.allowed_at(now_s - self._began(now_s))))

    def find_growth_s(self, now_s: float) -> float | None:
        """Seconds until one more task may run, None where there will never be more."""
        since_s = now_s - self._began(now_s)
        allowed = math.floor(self.ramp.allowed_at(since_s) + 1e-9)
        if allowed >= min(self.most, self.ramp.most) or not self.ramp.per_s:
            return None
        return max(0.001, (allowed + 1 - self.ramp.first) / self.ramp.per_s - since_s)

    def begin(self) -> bool:
        """Have a task run; says whether its environment is cold."""
        self.n_running += 1
        self.peak = max(self.peak, self.n_running)
        if self.n_warm:
            self.n_warm -= 1
            return False
        self.n_cold_starts += 1
        return True

    def end(self, *, is_killed: bool) -> None:
        """A task has ended, and with a kill its environment."""
        self.n_running -= 1
        self.n_warm += not is_killed

    def _began(self, now_s: float) -> float:
        if self.began_s is None:
            self.began_s = now_s
        return self.began_s
