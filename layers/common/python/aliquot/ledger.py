"""The ledger of one run: every decision and every piece of work as an object in its store.

There is no second ledger to disagree: progress is a listing, a decision is an object that is put once and
read back, so that two processes that decide the same thing at once both go on with the first one's word.

Owns what is written under a run's prefix and in which order. Imports the store's interface, `keys`,
`notes`, `coverage` and `roster`. When it is wrong, a run that was killed cannot go on.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aliquot import keys
from aliquot.chunk import ChunkReader
from aliquot.coverage import Coverage, measure_coverage
from aliquot.envelope import is_count
from aliquot.errors import AliquotError, AlreadyPut, StoreError, Undecodable
from aliquot.keys import ChunkId, OutcomeKey, PaidKey
from aliquot.notes import check_fields, is_text, read_note
from aliquot.outcome import Outcome, OutcomeReader
from aliquot.roster import Roster, decide_roster
from aliquot.spans import SpanSet
from aliquot.store import PrefixStore, Store

Parsed = TypeVar("Parsed")

SETTLED = "settled"
TOO_MANY_FAILED = "too many failed"
UNREADABLE = "unreadable outcome"
OPEN_FAILED = "open failed"
STUCK = "stuck"
ABANDONED = "submission abandoned"
CANCELLED = "cancelled"
BUDGET_REACHED = "budget reached"
TIME_REACHED = "time is up"


class UnreadableOutcome(AliquotError):
    """An outcome is damaged: it has to be voided, and its records done again."""

    def __init__(self, key: OutcomeKey, reason: str, prefix: str = "") -> None:
        super().__init__(key, reason)
        self.key, self.reason, self.prefix = key, reason, prefix

    def __str__(self) -> str:
        return f"outcome {self.key} is unreadable: {self.reason}"


@dataclass(frozen=True)
class Stop:
    """Why an epoch ended: `settled`, or what stopped it."""

    epoch: int
    reason: str
    facts: dict[str, Any]


class Ledger:
    """Reads and writes the objects of one run, and of one leg of it.

    Attributes:
        store: what lies under the run's prefix: its manifest, how its epochs ended, what was paid.
        leg: chunks, outcomes, voids and rosters; of the first leg they lie there too.

    Args:
        prefix: of a leg behind an exchange, see `keys.name_leg`.
    """

    def __init__(self, store: Store, prefix: str = "") -> None:
        self.store = store
        self.prefix = prefix
        self.leg: Store = PrefixStore(store, prefix) if prefix else store

    def enter(self, prefix: str) -> Ledger:
        """The same run's ledger in another leg."""
        return self if prefix == self.prefix else Ledger(self.store, prefix)

    def note_leg(self, epoch: int, leg: int, prefix: str) -> None:
        """Say where an epoch's leg lies, for those that work on it next."""
        self.store.put(keys.name_entered(epoch, leg), _to_json({"prefix": prefix}))

    def enter_leg(self, epoch: int, leg: int) -> Ledger:
        """The ledger of a leg that was noted so; raises Undecodable, StoreError."""
        if not leg:
            return self.enter("")
        key = keys.name_entered(epoch, leg)
        said = read_note(key, self.store.get(key))
        check_fields(key, said, prefix=keys.is_leg)
        return self.enter(said["prefix"])

    def list_entered(self) -> list[int]:
        """The legs behind exchanges that were noted in the open epoch."""
        prefix = keys.name_entered(self.epoch, 0).removesuffix("0.json")
        numbers = (key.removeprefix(prefix).removesuffix(".json") for key in self.store.list_keys(prefix))
        return [int(number) for number in numbers if number.isdecimal()]

    def read_manifest(self) -> dict[str, Any] | None:
        """The frozen plan, None where no run was begun."""
        if not self.store.has(keys.MANIFEST):
            return None
        return read_note(keys.MANIFEST, self.store.get(keys.MANIFEST))

    def begin(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Freeze the plan; gives the manifest that counts, which another process may have put first."""
        return read_note(keys.MANIFEST, self._decide(self.store, keys.MANIFEST, _to_json(manifest)))

    def replace_manifest(self, manifest: dict[str, Any]) -> None:
        """Write down a change that the user asked for (`--new-code`)."""
        self.store.put(keys.MANIFEST, _to_json(manifest))

    def put_chunk(self, chunk: ChunkId, body: bytes) -> None:
        """Store a chunk; one that is there already stays."""
        try:
            self.leg.put_once(chunk.key, body)
        except AlreadyPut:
            return

    def list_chunks(self) -> list[ChunkId]:
        """All chunks so far, in dataset order."""
        return self._list(keys.CHUNKS, ChunkId.parse, self.leg)

    def seal(self, n_chunks: int, n_records: int) -> None:
        """Say that the submission is complete."""
        self._decide(self.leg, keys.SEALED, _to_json({"chunks": n_chunks, "records": n_records}))

    @property
    def is_sealed(self) -> bool:
        """Whether the submission is complete: nothing settles before."""
        return self.leg.has(keys.SEALED)

    def put_outcome(
        self,
        stage: str,
        chunk: ChunkId,
        spans: SpanSet,
        outcome: Outcome,
        wall_ns: int,
        *,
        rung: str = "local",
        receives: int = 1,
    ) -> OutcomeKey:
        """Store an outcome under a key of its own."""
        billed_ms = -(-wall_ns // 1_000_000)
        attempt = uuid.uuid4().hex[:12]
        key = OutcomeKey(stage, chunk, spans, attempt, rung, billed_ms, len(outcome.failures), receives)
        with suppress(AlreadyPut):  # nobody else has this key: a client tried its own put once more
            self.leg.put_once(str(key), outcome.to_bytes())
        return key

    def read_chunk(self, chunk: ChunkId) -> ChunkReader:
        """A chunk of the leg; raises Undecodable where it is damaged, StoreError where there is none."""
        return ChunkReader(self.leg.view(chunk.key), chunk)

    def read_outcome(self, key: OutcomeKey) -> OutcomeReader:
        """An outcome's object; raises Undecodable where it is damaged."""
        return OutcomeReader(self.leg.view(str(key)))

    def list_outcomes(self, stage: str, chunk: ChunkId | None = None) -> list[OutcomeKey]:
        """All outcomes of a stage, or those of one chunk."""
        return self._list(keys.name_outcomes(stage, chunk), OutcomeKey.parse, self.leg)

    def list_voids(self) -> list[OutcomeKey]:
        """The outcomes that turned out unreadable."""
        return self._list(keys.VOIDS, lambda key: OutcomeKey.parse(key.removeprefix(keys.VOIDS)), self.leg)

    def note_redelivery(self, rung: str) -> None:
        """Say that a task came once more: whoever had it before was paid, and may have left nothing."""
        self.store.put(f"{keys.REDELIVERED}{rung}-{uuid.uuid4().hex}", b"")

    def count_redeliveries(self) -> dict[str, int]:
        """How often tasks came once more, by rung."""
        noted = self.store.list_keys(keys.REDELIVERED)
        return dict(Counter(key.removeprefix(keys.REDELIVERED).partition("-")[0] for key in noted))

    def note_paid(self, note: PaidKey) -> None:
        """Say that an invocation before the first tally has begun, or what it is billed."""
        self.store.put(str(note), b"")

    def list_paid(self) -> list[PaidKey]:
        """What was said so."""
        return self._list(keys.PAID, PaidKey.parse)

    def note_bill(self, epoch: int, bill: Mapping[str, int]) -> None:
        """Say what driving and merging an epoch has taken, for those that come after it."""
        self.store.put(keys.name_bill(epoch), _to_json(dict(bill)))

    def list_bills(self, before: int) -> list[Mapping[str, int]]:
        """What was said so of the epochs before one; of one that broke nothing."""
        found = [key for epoch in range(before) if self.store.has(key := keys.name_bill(epoch))]
        return [_read_bill(key, self.store.get(key)) for key in found]

    def note_open_failure(self, epoch: int, kind: str, reason: str) -> None:
        """Say that an environment could not open the job: for a reason of the "job", or of the "store"."""
        key = f"{keys.OPEN_FAILURES}{epoch:04d}/{kind}-{uuid.uuid4().hex}"
        self.store.put(key, reason.encode(errors="replace"))

    def list_open_failures(self, epoch: int, kind: str = "") -> list[str]:
        """The keys of what was said so, of both kinds where none is given; each object is a reason."""
        return self.store.list_keys(f"{keys.OPEN_FAILURES}{epoch:04d}/{kind}")

    def void(self, outcome: OutcomeKey) -> None:
        """Mark an outcome as unreadable: its records are open again, its cost stays counted."""
        self._decide(self.leg, keys.name_void(outcome), _to_json({}))

    def measure(self, stage: str) -> Coverage:
        """How far the stage is, from listings alone."""
        return measure_coverage(self.list_chunks(), self.list_outcomes(stage), self.list_voids())

    def settle(self, stage: str, epoch: int) -> Roster:
        """The roster of this epoch, decided now or by whoever was first.

        Raises:
            UnreadableOutcome: an outcome is damaged.
            Undecodable: chunks are not there that were when the submission was sealed.
        """
        chunks = self.list_chunks()
        self._check_sealed(chunks)
        key = keys.name_roster(stage, epoch)
        if self.leg.has(key):  # decided: what was damaged since is for its readers
            return Roster.from_json(self.leg.get(key))
        roster = decide_roster(chunks, self.list_outcomes(stage), self.read_failed, self.list_voids())
        return Roster.from_json(self._decide(self.leg, key, roster.to_json()))

    def is_stopped(self, epoch: int) -> bool:
        """Whether an epoch has ended."""
        return self.store.has(keys.name_stop(epoch))

    def stop(self, epoch: int, reason: str, facts: dict[str, Any]) -> None:
        """End an epoch."""
        self._decide(self.store, keys.name_stop(epoch), _to_json({"reason": reason, **facts}))

    def read_stop(self, epoch: int) -> Stop | None:
        """Why an epoch ended, None while it is open."""
        key = keys.name_stop(epoch)
        if not self.store.has(key):
            return None
        said = read_note(key, self.store.get(key))
        check_fields(key, said, reason=is_text)
        return Stop(epoch, said.pop("reason"), said)

    def list_stops(self) -> list[Stop]:
        """The epochs that ended, in order."""
        epochs = self._list(keys.STOPS, keys.parse_stop)
        return [stop for epoch in epochs if (stop := self.read_stop(epoch)) is not None]

    @property
    def epoch(self) -> int:
        """The epoch that is open: one past those that ended."""
        return max((stop.epoch for stop in self.list_stops()), default=-1) + 1

    def give_up_outcome(self, err: UnreadableOutcome, epoch: int) -> None:
        """Void a damaged outcome and end the epoch whose roster counted on it: the next does it again."""
        self.enter(err.prefix).void(err.key)
        self.stop(epoch, UNREADABLE, {"outcome": str(err.key)})

    def _check_sealed(self, chunks: list[ChunkId]) -> None:
        """Raise Undecodable where chunks were lost since: their records would be missing without a word."""
        if not self.is_sealed:
            return
        there = {"chunks": len(chunks), "records": sum(chunk.n_records for chunk in chunks)}
        said = read_note(keys.SEALED, self.leg.get(keys.SEALED))
        if said != there:
            raise Undecodable(keys.SEALED, f"says {said}, and there are {there}: restore the chunks")

    def _list(self, prefix: str, parse: Callable[[str], Parsed], store: Store | None = None) -> list[Parsed]:
        """What the keys under a prefix say; raises Undecodable by the name of one that is none of ours."""
        found: list[Parsed] = []
        for key in (store or self.store).list_keys(prefix):
            try:
                found.append(parse(key))
            except ValueError as err:
                raise Undecodable(key, f"{err}; remove it from the run, then go on") from err
        return found

    def read_failed(self, key: OutcomeKey) -> SpanSet:
        """The failed records of an outcome; raises UnreadableOutcome."""
        try:
            return self.read_outcome(key).failed
        except (Undecodable, StoreError) as err:
            raise UnreadableOutcome(key, str(err), self.prefix) from err

    def _decide(self, store: Store, key: str, body: bytes) -> bytes:
        """Put once, or read what was put."""
        try:
            store.put_once(key, body)
        except AlreadyPut:
            return store.get(key)
        return body


def _read_bill(key: str, body: bytes) -> Mapping[str, int]:
    bill = read_note(key, body)
    check_fields(key, bill, **dict.fromkeys(bill, is_count))
    return bill


def _to_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
