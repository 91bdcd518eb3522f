"""A rate that all hosts of a machine keep together: turns at which records begin, on the shared page.

    word of the page: when the next record may begin --take, under a lock of the file--> that, moved on

A record that waits for its turn is at nobody's hand: its deadline has not begun. Turns are taken in advance,
a second at most, so that a host which ends takes no more than those with it.

Owns the turns. Imports `page`. When it is wrong, a service is asked more often than was promised, or a run is
slower than it may be.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable

from aliquot.page import Page

_AHEAD_NS = 1_000_000_000  # how far ahead turns are taken; who finds the next one later than that looks again
_LOOK_NS = 100_000_000


class Pace:
    """Turns at a rate, taken by the threads of all hosts that have a page.

    Args:
        per_s: turns a second, above 0.
        now_ns, sleep: the machine's monotonic clock, which its processes share; how to wait.
    """

    def __init__(
        self,
        page: Page,
        per_s: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fd, self._word = page.fd, page.pace
        self._turn_ns = 1e9 / per_s
        self._now_ns, self._sleep = now_ns, sleep
        self._lock = threading.Lock()  # the file's lock is between processes

    def is_due(self, before_ns: int) -> bool:
        """Whether the next turn comes before this time; somebody else may take it."""
        return int(self._word[0]) < before_ns

    def wait(self, n_turns: int, note: Callable[[int], None]) -> None:
        """Take as many turns, and return when the first of them has come.

        Args:
            note: told until when at least this waits, in monotonic nanoseconds, before it does.
        """
        while (at_ns := self._take(n_turns)) is None:
            now_ns = self._now_ns()
            pause_ns = max(_LOOK_NS, min(int(self._word[0]) - now_ns - _AHEAD_NS, _AHEAD_NS))
            note(now_ns + 4 * _AHEAD_NS)
            self._sleep(pause_ns / 1e9)
        note(at_ns)
        while (left_ns := at_ns - self._now_ns()) > 0:
            self._sleep(left_ns / 1e9)

    def _take(self, n_turns: int) -> int | None:
        """When the turns begin; None where that is too far ahead to take them."""
        with self._lock:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)  # goes with its process, should that be killed here
            try:
                now_ns = self._now_ns()
                at_ns = max(now_ns, int(self._word[0]))
                if at_ns > now_ns + _AHEAD_NS:
                    return None
                self._word[0] = at_ns + round(n_turns * self._turn_ns)
                return at_ns
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)
