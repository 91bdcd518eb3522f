"""The time of a rehearsal: it passes by itself, and tests and `drain` move it on.

Imports the standard library only. When it is wrong, a drain hangs, or skips a timer that should have fired.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch, ahead of the real ones by what it was moved.

    Args:
        now: the time that passes by itself.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now, self._ahead_s, self._is_closed = now, 0.0, False
        self._moved = threading.Condition()
        self._sleepers: dict[int, float] = {}
        self._ids = itertools.count()

    def now(self) -> float:
        """Give the time."""
        return self._now() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Move on; who sleeps past this wakes."""
        with self._moved:
            self._ahead_s += max(0.0, seconds)
            self._moved.notify_all()

    def advance_to(self, moment: float) -> None:
        """Move on to a moment; nothing, where it has passed."""
        self.advance(moment - self.now())

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        """Return when the time has passed, the event is set or the clock is closed."""
        due = self.now() + seconds
        sleeper = next(self._ids)
        with self._moved:
            self._sleepers[sleeper] = due
            while (left_s := due - self.now()) > 0 and not self._is_closed:
                if until is not None and until.is_set():
                    break
                self._moved.wait(min(left_s, 0.2))
            del self._sleepers[sleeper]

    def close(self) -> None:
        """Wake everyone for good."""
        with self._moved:
            self._is_closed = True
            self._moved.notify_all()

    @property
    def next_wake(self) -> float | None:
        """When the first sleeper wakes, None where nobody sleeps."""
        with self._moved:
            return min(self._sleepers.values(), default=None)
