"""What is paid for before a run's first tally, invocation by invocation: noted, and held to the run's budget.

    begins -> `paid/<kind>-<invocation>`;  could the budget be reached? -> the epoch is stopped
    ends   -> `paid/<kind>-<invocation>.<ms>.<items>.<puts>`

An invocation puts its own note before it reads the others': of those that begin at once the last one sees
all, and if it goes on, all of them together fit into the budget. Items of a map are begun even where the
epoch is stopped, so whoever hands them out looks once more with them counted in. Owns this order. Imports
`ledger`, `spending` and `ticks`. When it is wrong, cutting a dataset crosses a budget.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aliquot.errors import StoreError
from aliquot.keys import PaidKey
from aliquot.ledger import BUDGET_REACHED, Ledger
from aliquot.spending import CUT_TIMEOUT_S, MOST_CUTTERS, is_beyond_before_work
from aliquot.store import Store
from aliquot.ticks import read_tariff

_TAIL_MS = 100  # billed after an invocation has measured itself
# of what all cutters at once may begin and end within a timeout, with room for what they put
_FAR = 3 * MOST_CUTTERS


class CountingStore:
    """A store that knows how many objects were put."""

    def __init__(self, store: Store) -> None:
        self._store, self.n_puts = store, 0

    def put(self, key: str, body: bytes) -> None:
        """As the store's."""
        self.n_puts += 1
        self._store.put(key, body)

    def put_once(self, key: str, body: bytes) -> None:
        """As the store's."""
        self.n_puts += 1
        self._store.put_once(key, body)

    def get(self, key: str) -> bytes:
        """As the store's."""
        return self._store.get(key)

    def view(self, key: str) -> bytes | memoryview:
        """As the store's."""
        return self._store.view(key)

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """As of the store."""
        return self._store.get_range(key, first, n_bytes)

    def has(self, key: str) -> bool:
        """As the store's."""
        return self._store.has(key)

    def list_keys(self, prefix: str) -> list[str]:
        """As the store's."""
        return self._store.list_keys(prefix)


@dataclass
class Bill:
    """What an invocation says of itself when it ends.

    Args:
        ledger: the run's; what is put into it is counted.
        n_items: that it handed out.
    """

    ledger: Ledger
    n_items: int = 0


class Purse:
    """Notes invocations and holds them to their runs' budgets; one for each environment.

    Args:
        now_ns: the monotonic clock.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._sure: tuple[object, int] = (None, 0)

    @contextmanager
    def pay(
        self,
        ledger: Ledger,
        settings: Mapping[str, Any],
        kind: str,
        epoch: int,
        billed_from_ns: int,
        place: object = None,
    ) -> Iterator[Bill]:
        """Note an invocation's beginning and end; within, the epoch is stopped where nothing is to be done.

        Args:
            settings: of the manifest.
            kind: see `keys.PaidKey`.
            billed_from_ns: on this clock.
            place: the map that this is an item of, in which nothing is handed out; None for none.
        """
        invocation = uuid.uuid4().hex
        ledger.note_paid(PaidKey(kind, invocation))
        counted = CountingStore(ledger.store)
        bill = Bill(Ledger(counted))
        try:
            self.hold(ledger, settings, epoch, place)
            yield bill
        finally:
            billed_ms = max(0, -(-(self._now_ns() - billed_from_ns) // 1_000_000) + _TAIL_MS)
            with suppress(StoreError):  # it is then priced at the whole timeout
                ledger.note_paid(PaidKey(kind, invocation, billed_ms, bill.n_items, counted.n_puts))

    def hold(self, ledger: Ledger, settings: Mapping[str, Any], epoch: int, place: object = None) -> bool:
        """Stop the epoch where the budget might be reached; gives whether it was."""
        budget_usd = settings.get("budget_usd")
        if budget_usd is None or self._is_sure((place, epoch, budget_usd)) or ledger.is_sealed:
            return False
        tariff, paid = read_tariff(settings), ledger.list_paid()
        if is_beyond_before_work(tariff, budget_usd, paid):
            ledger.stop(epoch, BUDGET_REACHED, {"budget_usd": budget_usd, "at": time.time()})
            return True
        if place is not None and not is_beyond_before_work(tariff, budget_usd, paid, _FAR):
            self._sure = (place, epoch, budget_usd), self._now_ns() + int(CUT_TIMEOUT_S * 1e9)
        return False

    def _is_sure(self, place: object) -> bool:
        """Whether a look not long ago found the budget so far that it cannot have been reached since."""
        return self._sure[0] == place and self._now_ns() < self._sure[1]
