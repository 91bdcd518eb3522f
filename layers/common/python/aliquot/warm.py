"""The manifest that a warm environment has read already, so that a task costs no request for it.

A manifest is put once, but for its settings: a `resume` may change the limits of a run, of an epoch that is
open too. So what was read holds for one epoch, until the run's time is up, and for FRESH_S at most; a limit
that was changed meanwhile is the tallies' to keep, which read the manifest every time.

Owns how long a manifest is believed. Imports nothing. When it is wrong, workers go by limits that a user has
changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

FRESH_S = 300.0  # ten slices


class ManifestMemory:
    """The manifest of the run that an environment last worked on.

    Args:
        now_s: seconds since 1970, as a run's `until_s` has them.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._of: tuple[str, int] | None = None
        self._manifest: Mapping[str, Any] = {}
        self._ends_s = 0.0

    def recall(self, run: str, epoch: int, read: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The manifest of a run, read anew where what was read of it may not hold any more."""
        if self._of != (run, epoch) or self._now_s() >= self._ends_s:
            self._manifest = read()  # where it raises, what is known stays known of the run that it is of
            self._of, self._ends_s = (run, epoch), self._find_end_s()
        return self._manifest

    def _find_end_s(self) -> float:
        until_s = self._manifest["settings"].get("until_s")
        ends_s = self._now_s() + FRESH_S
        return ends_s if until_s is None else min(ends_s, float(until_s))
