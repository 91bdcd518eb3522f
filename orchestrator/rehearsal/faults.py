"""Faults by seed: what goes wrong, how often, and always at the same places for the same seed.

Each decision has a kind and a name (a message's body, an invocation's number, a call's key), and the seed,
the kind and the name decide it, so that threads which race do not change what is hit. Pure. When it is wrong,
a failing test cannot be run again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """How often which fault happens, as shares from 0 to 1.

    Attributes:
        duplicate: messages that are delivered once more.
        delay: messages that arrive `delay_s` late.
        throttle: invocations that find no environment free.
        kill: environments that are killed at work, between 0 and `kill_after_s` after the start.
        fail_s3: S3 calls of handlers that answer 503 SlowDown.
        limit: no more faults of one kind than this.
    """

    seed: int = 0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_s: float = 30.0
    throttle: float = 0.0
    kill: float = 0.0
    kill_after_s: float = 0.2
    fail_s3: float = 0.0
    limit: int = 1_000_000


@dataclass
class Dice:
    """Throws the dice of a `Faults`, and counts what was hit."""

    faults: Faults
    hits: Counter[str] = field(default_factory=Counter)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, kind: str, name: str) -> float:
        """Give a number from 0 to 1 for the nth time that this name comes up."""
        with self._lock:
            turn = self._seen[kind, name]
            self._seen[kind, name] += 1
        digest = hashlib.sha256(f"{self.faults.seed}/{kind}/{name}/{turn}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def is_hit(self, kind: str, name: str) -> bool:
        """Say whether this one goes wrong; `kind` is a field of `Faults`."""
        share: float = getattr(self.faults, kind)
        if share <= 0 or self.draw(kind, name) >= share:
            return False
        with self._lock:
            if self.hits[kind] >= self.faults.limit:
                return False
            self.hits[kind] += 1
        return True
