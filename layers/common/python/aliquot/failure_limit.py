"""How many records may fail, and when a run stops for it.

A run ends well while its failures stay within the limit (exit code 0). It stops early, before it wastes a
day, where far more fail: past half of the first 200 records, past a fifth of all later, or past the limit
where that is larger. Pure functions; imports the standard library and `errors`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aliquot.errors import BadOption

FIRST_RECORDS = 200
FIRST_SHARE, LATER_SHARE = 0.5, 0.2


@dataclass(frozen=True)
class FailureLimit:
    """At most `share` of the records that were tried, or `count` of them; one of the two is set."""

    share: float | None = 0.05
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> FailureLimit:
        """Read "5%" or "12"; raises BadOption."""
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,18})?)(%?)", text.strip())
        if match and match[2] and float(match[1]) <= 100:
            return cls(float(match[1]) / 100, None)
        if match and not match[2] and match[1].isdigit():
            return cls(None, int(match[1]))
        raise BadOption("--max-failed", f"{text!r} is neither a percentage (5%) nor a count (12)")

    def __str__(self) -> str:
        return f"{self.count:,}" if self.count is not None else f"{(self.share or 0) * 100:g}%"

    def allows(self, n_failed: int, n_tried: int) -> bool:
        """Whether so many failures are within the limit."""
        return n_failed <= self._count_of(n_tried)

    def stops(self, n_failed: int, n_tried: int, n_records: int) -> bool:
        """Whether so many have failed that going on is pointless.

        Among the first FIRST_RECORDS the share is of all of them, however few are tried yet: the first rows
        of a file are often its worst. A dataset no longer than that (`n_records`, as far as it is known) is
        run through: there is little to save, and its result would depend on how quick the hosts are.
        """
        if n_records <= FIRST_RECORDS:
            return False
        if n_tried <= FIRST_RECORDS:
            return n_failed > max(FIRST_SHARE * FIRST_RECORDS, self._count_of(FIRST_RECORDS))
        return n_failed > max(LATER_SHARE * n_tried, self._count_of(n_tried))

    def _count_of(self, n_tried: int) -> float:
        """How many of so many records may fail."""
        return self.count if self.count is not None else (self.share or 0.0) * n_tried
