"""Objects in a dict, what asking for them costs, and a ledger over them as one invocation sees it.

Owns the order of what comes to be: an invocation looked when it began, and what it put is there when it ends.
Imports the core's ledger. When it is wrong, simulated workers see what nobody could have seen.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aliquot.errors import AlreadyPut, StoreError
from aliquot.keys import TOMBSTONE, ChunkId, OutcomeKey
from aliquot.ledger import Ledger
from aliquot.outcome import Outcome
from aliquot.prices import Prices
from aliquot.spans import SpanSet

RUNG = "small"
TAIL_S = 0.2  # as `worker` bills what follows an outcome


class Bucket:
    """A store whose every request is counted and billed."""

    def __init__(self, prices: Prices) -> None:
        self._objects: dict[str, bytes] = {}
        self._keys: list[str] = []  # sorted
        self._noted: list[str] | None = None
        self.usd, self._prices = 0.0, prices
        self.counted: Counter[str] = Counter()

    def put(self, key: str, body: bytes) -> None:
        """As a store."""
        self._pay("put", self._prices.s3_put)
        if key not in self._objects:
            insort(self._keys, key)
            if self._noted is not None:
                self._noted.append(key)
        self._objects[key] = body

    def put_once(self, key: str, body: bytes) -> None:
        """As a store."""
        if key in self._objects:
            self._pay("put", self._prices.s3_put)
            raise AlreadyPut(key)
        self.put(key, body)

    def get(self, key: str) -> bytes:
        """As a store."""
        self._pay("get", self._prices.s3_get)
        if key not in self._objects:
            raise StoreError(key, "there is no such object")
        return self._objects[key]

    view = get

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """Bytes of an object."""
        return self.get(key)[first : first + n_bytes]

    def has(self, key: str) -> bool:
        """As a store."""
        self._pay("get", self._prices.s3_get)
        return key in self._objects

    def list_keys(self, prefix: str) -> list[str]:
        """As a store."""
        first = bisect_left(self._keys, prefix)
        end = bisect_left(self._keys, prefix + "\U0010ffff", first)
        n_requests = 1 + (end - first) // 1000
        self._pay("list", self._prices.s3_put * n_requests, n_requests)
        return self._keys[first:end]

    @contextmanager
    def trying(self) -> Iterator[None]:
        """What is put within comes to nothing, and costs nothing."""
        usd, counted, self._noted = self.usd, self.counted.copy(), []
        yield
        for key in self._noted:
            del self._objects[key]
            del self._keys[bisect_left(self._keys, key)]
        self.usd, self.counted, self._noted = usd, counted, None

    def _pay(self, kind: str, usd: float, n_requests: int = 1) -> None:
        self.usd += usd
        self.counted[kind] += n_requests


class LateLedger(Ledger):
    """A ledger as an invocation sees it that ends now: it looked when it began, and what it put is billed."""

    def __init__(self, store: Bucket) -> None:
        super().__init__(store)
        self.elapsed_s = self._billed_s = 0.0  # of the invocation: at its next put, and at the last
        self.answered_s = 0.0  # of the invocation: at its last put that came to be
        self._killed_s: float | None = None
        self._was_stopped: bool | None = None
        self._seen: list[list[OutcomeKey]] = []
        self._parsed: dict[str, OutcomeKey] = {}

    def begin_invocation(self, seen: list[OutcomeKey], elapsed_s: float, killed_s: float | None) -> None:
        """Have one run: what it saw at its start, how long that took, and when it was killed, if it was."""
        self._seen, self._was_stopped = [seen], False
        self.elapsed_s, self._billed_s, self._killed_s = elapsed_s, 0.0, killed_s
        self.answered_s = 0.0

    def end_invocation(self) -> None:
        """See what is there now."""
        self._seen, self._was_stopped, self._killed_s = [], None, None
        self.elapsed_s = self._billed_s = 0.0

    def is_stopped(self, epoch: int) -> bool:
        """Whether it was when the invocation began."""
        return super().is_stopped(epoch) if self._was_stopped is None else self._was_stopped

    def list_outcomes(self, stage: str, chunk: ChunkId | None = None) -> list[OutcomeKey]:
        """What was there when the invocation began; at its second look what is there now."""
        if chunk is not None:
            return self._seen.pop() if self._seen else super().list_outcomes(stage, chunk)
        return [self._parse(key) for key in self.store.list_keys(f"outcomes/{stage}/")]

    def put_outcome(
        self,
        stage: str,
        chunk: ChunkId,
        spans: SpanSet,
        outcome: Outcome,
        _wall_ns: int,
        *,
        rung: str = RUNG,
        receives: int = 1,
    ) -> OutcomeKey:
        """Put an outcome, unless the invocation was killed before; simulated time is what its key says."""
        billed_s, self._billed_s = self.elapsed_s - self._billed_s + TAIL_S, self.elapsed_s
        if self._killed_s is not None and self.elapsed_s > self._killed_s:
            return OutcomeKey(stage, chunk, spans, "never", rung, 0, 0, receives)
        self.answered_s = self.elapsed_s
        billed_ns = 0 if rung == TOMBSTONE else int(billed_s * 1e9)
        return super().put_outcome(stage, chunk, spans, outcome, billed_ns, rung=rung, receives=receives)

    def _parse(self, key: str) -> OutcomeKey:
        """What a key says: every tally reads them all again."""
        if key not in self._parsed:
            self._parsed[key] = OutcomeKey.parse(key)
        return self._parsed[key]
