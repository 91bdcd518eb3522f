"""Where the time of a run went, from what its objects' names and its epochs' ends say.

    keys of outcomes, in dataset order --> hosts' seconds by stage, and the stretches that were slow
    ends of epochs --> wall seconds by session

Owns these sums. Imports the core's ledger; reads no object but the ends of epochs. When it is wrong, people
hurry the wrong stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from aliquot.keys import LEGS, OUTCOMES, ChunkId, OutcomeKey
from aliquot.ledger import Ledger

_SLOW = 2.0  # times the stage's mean
_MOST_SLOW = 3


@dataclass(frozen=True)
class Stretch:
    """Records of one outcome that took longer than others.

    Args:
        first, end: numbers of records in the dataset, half open.
        record_ms: a host's wall time for each, on average.
    """

    first: int
    end: int
    record_ms: float


@dataclass(frozen=True)
class StageTimes:
    """What hosts did for a stage.

    Args:
        n_records: answered, each as often as it was.
        host_s: wall time of hosts on what they answered; not that of those which were ended.
        slow: stretches of at least twice the mean, the slowest first.
    """

    stage: str
    n_outcomes: int
    n_records: int
    host_s: float
    slow: tuple[Stretch, ...] = ()

    @property
    def record_ms(self) -> float:
        """A host's wall time for a record, on average."""
        return 1000 * self.host_s / max(1, self.n_records)


def measure_stages(ledger: Ledger) -> list[StageTimes]:
    """What each stage took, in the order of their first outcomes' names; raises StoreError."""
    found: dict[str, list[OutcomeKey]] = {}
    is_first = set()
    for text, key in list_attempts(ledger):
        found.setdefault(key.stage, []).append(key)
        if text.startswith(OUTCOMES):
            is_first.add(key.stage)
    firsts = find_firsts(ledger.list_chunks())
    return [sum_stage(stage, keys, firsts if stage in is_first else {}) for stage, keys in found.items()]


def list_attempts(ledger: Ledger) -> list[tuple[str, OutcomeKey]]:
    """All outcomes of a run, of every leg: their keys in the run's store, and what these say."""
    found: list[tuple[str, OutcomeKey]] = []
    store = ledger.store
    for text in (*store.list_keys(OUTCOMES), *store.list_keys(LEGS)):
        try:
            found.append((text, OutcomeKey.parse(text[max(0, text.find(OUTCOMES)) :])))
        except ValueError:  # another object, or one that whoever merges names
            continue
    return found


def find_firsts(chunks: Sequence[ChunkId]) -> dict[ChunkId, int]:
    """The number of each chunk's first record in the dataset."""
    return dict(zip(chunks, accumulate((chunk.n_records for chunk in chunks), initial=0), strict=False))


def sum_stage(stage: str, keys: Iterable[OutcomeKey], firsts: Mapping[ChunkId, int]) -> StageTimes:
    """What one stage took; stretches are told of chunks of the dataset only."""
    keys = [key for key in keys if key.spans]
    times = StageTimes(
        stage, len(keys), sum(len(key.spans) for key in keys), sum(key.billed_ms for key in keys) / 1000
    )
    slow = [
        Stretch(
            firsts[key.chunk] + key.spans.spans[0][0],
            firsts[key.chunk] + key.spans.spans[-1][1],
            key.billed_ms / len(key.spans),
        )
        for key in keys
        if key.chunk in firsts and key.billed_ms / len(key.spans) >= _SLOW * times.record_ms > 0
    ]
    slowest = sorted(slow, key=lambda each: -each.record_ms)[:_MOST_SLOW]
    return StageTimes(stage, times.n_outcomes, times.n_records, times.host_s, tuple(slowest))


def list_sessions_s(ledger: Ledger) -> list[float]:
    """Wall seconds of each session of a run on this machine that came to an end."""
    said = (stop.facts.get("elapsed_s") for stop in ledger.list_stops())
    return [float(seconds) for seconds in said if isinstance(seconds, int | float)]
