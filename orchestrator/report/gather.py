"""What a run's objects tell of its work: from all outcomes' names, and from the headers of so many of them.

    names of outcomes --> counts, what was done twice, which to look into
    headers of at most MOST_HEADERS, evenly chosen, and of the slowest --> who, when, memory, times of records

Nothing but names and headers is read, so that a run of 100,000 tasks is told in seconds, and one on a stack
costs no more than a thousand small reads. Owns that choice and these sums. Imports the core's ledger and
`times`. When it is wrong, the report tells of another run than there was.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aliquot.chunk import ChunkReader
from aliquot.envelope import read_header
from aliquot.errors import CodecError, StoreError, Undecodable
from aliquot.keys import LEGS, OUTCOMES, TOMBSTONE, VOIDS, ChunkId, OutcomeKey
from aliquot.ledger import Ledger, Stop
from aliquot.outcome import read_making
from aliquot.spans import SpanSet
from aliquot.store import FolderStore, Store
from aliquot.trace import Spread, Trace
from orchestrator.times import StageTimes, find_firsts, list_attempts, sum_stage

MOST_HEADERS, MOST_HEADERS_IN_S3 = 4000, 800
_SEED = 20260
_SLOWEST = 20  # outcomes that are looked into besides, by what a record of them took
_MOST_SLOW = 20  # records that are told
_HEADER_BYTES = 4096
_READERS_IN_S3 = 16


@dataclass(frozen=True)
class Making:
    """How an outcome was made, as its header tells; None where its header has no such field.

    Args:
        first: number of its first record in the dataset; None behind an exchange.
    """

    key: OutcomeKey
    trace: Trace | None
    cpu_ms: int
    peak_mib: int
    first: int | None = None


@dataclass(frozen=True)
class SlowRecord:
    """A record that took long, and where it stands in the input as far as its chunk says."""

    stage: str
    record: int | None
    took_s: float
    source: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Repairs:
    """What was done besides what counts.

    Args:
        n_doubled, doubled_s: answers to records that had one, and what hosts took for them.
        n_voided, voided_s: outcomes that turned out unreadable.
        n_buried: records that ended their whole environment each time.
        n_climbed: outcomes made on a rung above the lowest.
        n_received_again: outcomes of tasks that had been delivered before.
        redelivered: by rung, deliveries after the first that a stack noted.
    """

    n_doubled: int = 0
    doubled_s: float = 0.0
    n_voided: int = 0
    voided_s: float = 0.0
    n_buried: int = 0
    n_climbed: int = 0
    n_received_again: int = 0
    redelivered: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """What a ledger tells of a run's work.

    Args:
        n_outcomes, n_chunks: that are there; `makings` are of as many as were looked into.
        spreads: times of records by stage, of those looked into, and how many records these are of.
        stops: how its epochs ended.
    """

    n_outcomes: int = 0
    n_chunks: int = 0
    stages: Sequence[StageTimes] = ()
    repairs: Repairs = field(default_factory=Repairs)
    makings: Sequence[Making] = ()
    spreads: Mapping[str, tuple[Spread, int]] = field(default_factory=dict)
    slow: Sequence[SlowRecord] = ()
    stops: Sequence[Stop] = ()

    @property
    def share(self) -> float:
        """Of the outcomes, how many were looked into."""
        return len(self.makings) / self.n_outcomes if self.n_outcomes else 1.0


Headers = MutableMapping[str, tuple[Trace | None, int, int] | None]


def gather(ledger: Ledger, source_names: Sequence[str] = (), known: Headers | None = None) -> Findings:
    """What the run's ledger tells; raises StoreError.

    Args:
        known: headers that were read before, by key; what is read is added.
    """
    attempts, chunks = list_attempts(ledger), ledger.list_chunks()
    firsts = find_firsts(chunks)
    by_stage: dict[str, list[OutcomeKey]] = defaultdict(list)
    for _, key in attempts:
        by_stage[key.stage].append(key)
    is_first = {key.stage for text, key in attempts if text.startswith(OUTCOMES)}
    stages = [sum_stage(name, keys, firsts if name in is_first else {}) for name, keys in by_stage.items()]
    makings = list(_read_makings(ledger.store, _choose(attempts, ledger.store), firsts, known))
    spreads = _merge_spreads(makings)
    return Findings(
        n_outcomes=len(attempts),
        n_chunks=len(chunks),
        stages=stages,
        repairs=_count_repairs(ledger, attempts),
        makings=makings,
        spreads=spreads,
        slow=_locate(ledger, _find_slow(makings), chunks, firsts, source_names),
        stops=ledger.list_stops(),
    )


def _choose(attempts: Sequence[tuple[str, OutcomeKey]], store: Store) -> list[tuple[str, OutcomeKey]]:
    """Which outcomes are looked into: all, or evenly chosen ones and those of the slowest records."""
    most = MOST_HEADERS if isinstance(store, FolderStore) else MOST_HEADERS_IN_S3
    if len(attempts) <= most:
        return list(attempts)
    step, chance = len(attempts) / most, random.Random(_SEED)  # noqa: S311 - a sample, no secret
    # one of each stretch, and not always the same: workers take turns, and every 25th may be of a few alone
    chosen = dict(attempts[int((place + chance.random()) * step)] for place in range(most))
    slowest = sorted(attempts, key=lambda each: -each[1].billed_ms / max(1, len(each[1].spans)))
    chosen.update(slowest[:_SLOWEST])
    return list(chosen.items())


def _read_makings(
    store: Store,
    chosen: Sequence[tuple[str, OutcomeKey]],
    firsts: Mapping[ChunkId, int],
    known: Headers | None,
) -> Iterator[Making]:
    headers: Headers = {} if known is None else known
    missing = [text for text, _ in chosen if text not in headers]
    if isinstance(store, FolderStore):
        headers.update((text, _read(store, text)) for text in missing)
    else:
        with ThreadPoolExecutor(_READERS_IN_S3) as readers:
            headers.update(zip(missing, readers.map(lambda text: _read(store, text), missing), strict=True))
    for text, key in chosen:
        found = headers[text]
        if found is not None:
            trace, cpu_ms, peak_mib = found
            first = firsts.get(key.chunk) if text.startswith(OUTCOMES) else None
            yield Making(key, trace, cpu_ms, peak_mib, first)


def _read(store: Store, key: str) -> tuple[Trace | None, int, int] | None:
    """What an outcome's header tells; None where it is damaged, or gone."""
    for n_bytes in (_HEADER_BYTES, 256 * _HEADER_BYTES):
        try:
            return read_making(read_header(store.get_range(key, 0, n_bytes), "outcome")[0])
        except Undecodable:
            continue  # its header is longer, or it is damaged
        except StoreError:
            return None
    return None


def _merge_spreads(makings: Iterable[Making]) -> dict[str, tuple[Spread, int]]:
    merged: dict[str, tuple[Spread, int]] = {}
    for each in makings:
        if each.trace is not None:
            spread, n_records = merged.get(each.key.stage, (Spread(), 0))
            spread.merge(each.trace.spread)
            merged[each.key.stage] = spread, n_records + len(each.key.spans)
    return merged


def _find_slow(makings: Iterable[Making]) -> list[tuple[int, int, Making]]:
    """The slowest records, longest first: nanoseconds, place in the chunk, and their outcome."""
    found = {
        (each.key.stage, each.key.chunk, place, each.first is None): (took_ns, place, each)
        for each in makings
        if each.trace is not None
        for took_ns, place in reversed(each.trace.spread.slow)
    }
    return sorted(found.values(), key=lambda each: -each[0])[:_MOST_SLOW]


def _locate(
    ledger: Ledger,
    slow: Iterable[tuple[int, int, Making]],
    chunks: Sequence[ChunkId],
    firsts: Mapping[ChunkId, int],
    source_names: Sequence[str],
) -> list[SlowRecord]:
    """Slow records with their places in the input; those of groups have none."""
    readers: dict[ChunkId, ChunkReader | None] = {}
    there, located = set(chunks), []
    for took_ns, place, each in slow:
        chunk, stage, took_s = each.key.chunk, each.key.stage, took_ns / 1e9
        if each.first is None or chunk not in there or place >= chunk.n_records:
            located.append(SlowRecord(stage, None, took_s))
            continue
        if chunk not in readers:
            readers[chunk] = _read_chunk(ledger, chunk)
        source, line = _find_place(readers[chunk], place, source_names)
        located.append(SlowRecord(stage, firsts[chunk] + place, took_s, source, line))
    return located


def _read_chunk(ledger: Ledger, chunk: ChunkId) -> ChunkReader | None:
    try:
        return ledger.read_chunk(chunk)
    except (CodecError, StoreError):
        return None


def _find_place(
    reader: ChunkReader | None, place: int, source_names: Sequence[str]
) -> tuple[str, int | None]:
    if reader is None:
        return "", None
    try:
        source, line = reader.locate(place)
        return source_names[source], line
    except (CodecError, IndexError):
        return "", None


def _count_repairs(ledger: Ledger, attempts: Sequence[tuple[str, OutcomeKey]]) -> Repairs:
    store = ledger.store
    voided = list(_list_voids(store))
    by_chunk: dict[tuple[str, str, ChunkId], list[OutcomeKey]] = defaultdict(list)
    for text, key in attempts:
        by_chunk[text[: text.find(OUTCOMES)], key.stage, key.chunk].append(key)
    n_doubled, doubled_s = 0, 0.0
    for keys in by_chunk.values():
        n_answers = sum(len(key.spans) for key in keys)
        n_more = n_answers - len(SpanSet.of(span for key in keys for span in key.spans.spans))
        if n_more:
            n_doubled += n_more
            doubled_s += sum(key.billed_ms for key in keys) / 1000 * n_more / n_answers
    rungs = {key.rung for _, key in attempts} - {TOMBSTONE, "local", "small"}
    return Repairs(
        n_doubled=n_doubled,
        doubled_s=doubled_s,
        n_voided=len(voided),
        voided_s=sum(key.billed_ms for key in voided) / 1000,
        n_buried=sum(len(key.spans) for _, key in attempts if key.rung == TOMBSTONE),
        n_climbed=sum(key.rung in rungs for _, key in attempts),
        n_received_again=sum(key.receives > 1 for _, key in attempts),
        redelivered=ledger.count_redeliveries(),
    )


def _list_voids(store: Store) -> Iterator[OutcomeKey]:
    """The outcomes that were given up, of all legs."""
    for text in (*store.list_keys(VOIDS), *(key for key in store.list_keys(LEGS) if VOIDS in key)):
        try:
            yield OutcomeKey.parse(text[text.find(VOIDS) + len(VOIDS) :])
        except ValueError:
            continue
