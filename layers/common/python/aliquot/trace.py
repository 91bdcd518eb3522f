"""What an outcome tells of its making: by which worker, when, and how long its records took.

    host: Spread of a step --answer--> lane: Spread of a slice --> Trace in an outcome's header

Times of records are counted in bins, four to each doubling; those shorter than FINE_NS are not told apart,
since a clock looked at for each of them would cost a no-op job a tenth of its time. Nothing of it decides
anything: an outcome without a trace is as good. Owns the bins and both plain forms. Imports the standard
library and `envelope`'s checks. When it is wrong, a run's report misleads.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.envelope import is_count

FINE_NS = 100_000
_MOST_SLOW = 3  # records that a spread names
_MOST_BINS = 260  # of 64-bit numbers there are no more; whoever draws them makes all between two
_LATEST_MS = 253_402_300_800_000  # where years have five digits, which no calendar of Python's tells
_LONGEST_NAME = 64


@dataclass
class Spread:
    """How long records took.

    Args:
        bins: how many by the number of their bin; shorter ones than FINE_NS in none.
        slow: the slowest, longest first, as (nanoseconds, place in the chunk).
    """

    bins: dict[int, int] = field(default_factory=dict)
    slow: list[tuple[int, int]] = field(default_factory=list)

    def note(self, first: int, end: int, took_ns: int) -> None:
        """Count the records first..end, which took so long together; of several each took the same."""
        n_records = end - first
        each_ns = took_ns // n_records if n_records > 0 else 0
        if each_ns < FINE_NS:
            return
        at = find_bin(each_ns)
        self.bins[at] = self.bins.get(at, 0) + n_records
        if len(self.slow) < _MOST_SLOW or each_ns > self.slow[-1][0]:
            self._name((each_ns, first))

    def merge(self, other: Spread) -> None:
        """Count the records of another spread too."""
        for at, n_records in other.bins.items():
            self.bins[at] = self.bins.get(at, 0) + n_records
        for slow in other.slow:
            self._name(slow)

    def _name(self, slow: tuple[int, int]) -> None:
        self.slow = heapq.nlargest(_MOST_SLOW, [*self.slow, slow])

    def to_plain(self) -> list[Any]:
        """Plain values, as frames and headers hold them."""
        return [list(map(list, sorted(self.bins.items()))), list(map(list, self.slow))]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Spread:
        """The spread of plain values that `is_spread` holds for sound."""
        bins, slow = plain
        return cls(dict(map(tuple, bins)), list(map(tuple, slow)))


@dataclass(frozen=True)
class Trace:
    """What an outcome tells of its making.

    Args:
        worker: the host's place; on a stack the environment's name and the place in it.
        began_ms, ended_ms: of the slice that it is of, in milliseconds since 1970.
    """

    worker: str
    began_ms: int
    ended_ms: int
    spread: Spread

    def to_plain(self) -> list[Any]:
        """Plain values, as a header holds them."""
        return [self.worker, self.began_ms, self.ended_ms, self.spread.to_plain()]

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Trace | None:
        """The trace in an outcome's header; None where it has none, or one that cannot be."""
        found = header.get("trace")
        if not (type(found) is list and len(found) == 4):
            return None
        worker, began_ms, ended_ms, spread = found
        is_sound = type(worker) is str and len(worker) <= _LONGEST_NAME and is_spread(spread)
        if not (is_sound and is_count(began_ms) and is_count(ended_ms) and began_ms <= ended_ms < _LATEST_MS):
            return None
        return cls(worker, began_ms, ended_ms, Spread.from_plain(spread))


def find_bin(took_ns: int) -> int:
    """The bin of a time of at least 4 ns: four to each doubling."""
    n_bits = took_ns.bit_length()
    return 4 * n_bits + (took_ns >> (n_bits - 3) & 3)


def start_bin_ns(at: int) -> int:
    """The shortest time in a bin."""
    n_bits, quarter = divmod(at, 4)
    return (4 + quarter) << n_bits >> 3


def is_spread(value: Any) -> bool:
    """Whether these are a spread's plain values."""
    is_sound = type(value) is list and len(value) == 2 and all(map(_are_pairs, value))
    return is_sound and all(at < _MOST_BINS for at, _ in value[0])


def _are_pairs(rows: Any) -> bool:
    return (
        type(rows) is list
        and len(rows) <= _MOST_BINS
        and all(type(row) is list and len(row) == 2 and all(map(is_count, row)) for row in rows)
    )
