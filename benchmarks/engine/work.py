"""The functions that every engine runs on the same records: nothing, spinning, arrays, waiting, dying.

Imported by worker processes of all engines, from the checkout's root: nothing but the standard library here.
Plain functions of one record that give one row.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from typing import Any

Record = dict[str, Any]


def take(record: Record) -> Record:
    """Case a: nothing."""
    return {"v": record["v"]}


def spin(record: Record) -> Record:
    """Cases b and c: so much processor time, and what it took by both clocks."""
    began_s = time.perf_counter()
    cpu_s = burn(record["cpu_s"])
    return {"n": record["n"], "cpu_s": cpu_s, "busy_s": time.perf_counter() - began_s}


def burn(cpu_s: float) -> float:
    """Spin for so much of this thread's processor time; gives what was spent."""
    began_s = time.thread_time()
    while (spent_s := time.thread_time() - began_s) < cpu_s:
        pass
    return spent_s


def turn(record: Record) -> Record:
    """Case d: an array in, another of its size out."""
    return {"n": record["n"], "array": record["array"][::-1] + 1.0}


def fetch(record: Record) -> Record:
    """Case e: ask the local server, which waits."""
    with urllib.request.urlopen(record["url"], timeout=60) as answer:  # noqa: S310 - our own server's address
        return {"n": record["n"], "body": answer.read().decode()}


def die(record: Record) -> Record:
    """Case f: one millisecond, or the end of the process."""
    if record["is_fatal"]:
        os.kill(os.getpid(), signal.SIGKILL)
    burn(0.001)
    return {"n": record["n"]}
