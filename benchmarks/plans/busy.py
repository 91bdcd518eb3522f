"""The job of the cases that run here: each record says for how many seconds its host is busy with it."""

from __future__ import annotations

import time
from typing import Any

_SPUN_S = 0.0005  # at the end, since a sleep wakes late


def busy(record: dict[str, Any]) -> dict[str, str]:
    """Take as long, asleep but for the end: cores that others use as well would measure those."""
    until_s = time.perf_counter() + float(record["seconds"])
    time.sleep(max(0.0, until_s - time.perf_counter() - _SPUN_S))
    while time.perf_counter() < until_s:
        pass
    return {"id": record["id"]}
