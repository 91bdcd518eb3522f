"""How much memory an execution environment holds, and the watch that kills one past its ceiling.

The memory of an environment is that of all of its processes, wherever they forked to; pages that they share
count once, and pages of files do not count, since Lambda can drop those. Polling lets a fast fill overshoot,
by its GB/s times the interval. Imports psutil. When it is wrong, a handler passes here that Lambda kills.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import psutil

INTERVAL_S = 0.05
_HAS_PROC = Path("/proc/self/smaps_rollup").exists()
_KEPT = ("Pss_Anon:", "Pss_Shmem:")


class Watched(Protocol):
    """An environment as the watch sees it; `Environment` and the tests' stand-in are."""

    pid: int
    ceiling_bytes: int

    def note_memory(self, held_bytes: int) -> None:
        """Take notice of a measurement."""

    def kill(self, reason: str) -> None:
        """End it."""


def list_family(pid: int) -> list[psutil.Process]:
    """Give a process and all of its descendants; empty once it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def read_children() -> dict[int, list[int]]:
    """Give the children of every process, by its pid; one look serves all environments."""
    found: dict[int, list[int]] = {}
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            found.setdefault(_read_parent(pid), []).append(pid)
    return found


def _read_parent(pid: int) -> int:
    if not _HAS_PROC:
        return psutil.Process(pid).ppid()
    with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123  read a hundred times every 50 ms
        return int(stat.read().rpartition(b")")[2].split()[1])


def measure_bytes(pid: int, exact_from: int, children: Mapping[int, list[int]]) -> int:
    """Give the bytes that a process and its descendants hold.

    Args:
        exact_from: from here on shared and file pages are told apart, which costs 10 ms per GB.
    """
    family = [pid]
    for each in family:
        family += children.get(each, [])
    rough = sum(_read(each, _read_resident) for each in family)
    if rough < exact_from:
        return rough
    # twice, since the share of whoever is read last grows when others end in between
    return min(sum(_read(each, _read_private) for each in family) for _ in range(2))


def _read(pid: int, measure: Callable[[int], int]) -> int:
    try:
        return measure(pid)
    except (psutil.Error, OSError):
        return 0


def _read_resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _read_private(pid: int) -> int:
    if not _HAS_PROC:
        return _read_resident(pid)
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_KEPT))


class MemoryWatch:
    """A thread that measures the environments at work."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._busy: set[Watched] = set()
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="rehearsal-memory", daemon=True)
        self._thread.start()

    def add(self, watched: Watched) -> None:
        """Measure this one from now on."""
        with self._lock:
            self._busy.add(watched)

    def remove(self, watched: Watched) -> None:
        """Measure it no longer."""
        with self._lock:
            self._busy.discard(watched)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._closed.wait(self._interval_s):
            with self._lock:
                busy = list(self._busy)
            children = read_children() if busy else {}
            for each in busy:
                held_bytes = measure_bytes(each.pid, each.ceiling_bytes, children)
                each.note_memory(held_bytes)
                if held_bytes > each.ceiling_bytes:
                    each.kill("memory")
