"""The event loop of a host: records of an `async` function are in flight on it, each held by a thread.

    thread 0 --coroutine--> |                   |
    thread 1 --coroutine--> | the loop's thread | --what it gave--> the thread that waits for it
    ...                     |                   |

So steps, words on the page, tries and blame are those of any host with threads. A coroutine past its record's
deadline is cancelled, and costs its record alone. One that cannot be cancelled, or keeps the loop from the
others, is left to the supervisor: the loop notes on the page that it turns, in place of the host. Where it is
kept for less, the others get their time back.

Owns the loop. Imports `page`. When it is wrong, records wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from aliquot.page import AT_NS, AWAKE_NS

if TYPE_CHECKING:
    import asyncio

LEAD_NS = 250_000_000  # by which a record begins later for the supervisor, so that the host cancels before
_BEAT_S = 0.1


class RecordLate(Exception):
    """A record that was cancelled at its deadline."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s


class Awaited:
    """An `async` function of one record as a function from records to answers, which many threads may call.

    Args:
        function: gives a coroutine of a record's answer, or an asynchronous generator of its rows.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._own = threading.local()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: Sequence[memoryview] = ()
        self._timeout_ns = 0
        self._given_ns: dict[int, int] = {}  # by thread, to the record that it holds
        self._lock = threading.Lock()  # of these

    def __call__(self, records: Iterable[Any]) -> Iterator[Any]:
        """What the function answers to each record, in order."""
        for record in records:
            yield self._wait_for(record)

    def start(self, slots: Sequence[memoryview], timeout_s: float) -> None:
        """Begin the loop: in the host itself, for a fork takes no threads along.

        Args:
            slots: of the host's threads on the page.
            timeout_s: a record's deadline.
        """
        import asyncio  # 20 ms, which other hosts do without

        self._loop = asyncio.new_event_loop()
        self._slots, self._timeout_ns = slots, round(timeout_s * 1e9)
        self._beat()
        threading.Thread(target=self._turn, daemon=True).start()

    def enter(self, thread: int) -> None:
        """Say which of the host's threads this is, before it calls."""
        self._own.thread = thread

    def _turn(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was started
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # asyncio hands on what a coroutine raises of these
                continue

    def _beat(self) -> None:
        """Note that the loop turns; the time for which somebody kept it is given back to who waited."""
        assert self._loop is not None  # noqa: S101 - it was started
        now_ns, awake = time.monotonic_ns(), self._slots[0]
        lost_ns = now_ns - int(awake[AWAKE_NS] or now_ns)
        if lost_ns > LEAD_NS:
            with self._lock:
                for thread, given_ns in self._given_ns.items():
                    more_ns = min(lost_ns, self._timeout_ns - given_ns)  # who keeps it ever again is late too
                    self._given_ns[thread] = given_ns + more_ns
                    self._slots[thread][AT_NS] += more_ns
        awake[AWAKE_NS] = now_ns
        self._loop.call_later(_BEAT_S, self._beat)

    def _wait_for(self, record: Any) -> Any:
        loop, thread = self._loop, self._own.thread
        assert loop is not None  # noqa: S101 - it was started
        begun: list[asyncio.Task[Any]] = []
        ended: SimpleQueue[asyncio.Task[Any]] = SimpleQueue()

        def begin() -> None:
            begun.append(loop.create_task(self._answer(record)))
            begun[0].add_done_callback(ended.put)

        def give_up() -> None:  # on the loop, behind `begin`: it may not have come to that yet
            begun[0].cancel()

        with self._lock:
            self._given_ns[thread] = 0
        loop.call_soon_threadsafe(begin)
        try:
            return self._await_end(thread, ended).result()
        except Empty:
            loop.call_soon_threadsafe(give_up)
            if not (task := ended.get()).cancelled():  # or the supervisor ends all this
                task.exception()  # asked for, or asyncio would say that nobody did
            raise RecordLate(self._timeout_ns / 1e9) from None
        finally:
            with self._lock:
                del self._given_ns[thread]

    def _await_end(self, thread: int, ended: SimpleQueue[asyncio.Task[Any]]) -> asyncio.Task[Any]:
        """A thread's coroutine at its end; raises Empty where it is past its deadline, and the loop turns."""
        slot, awake = self._slots[thread], self._slots[0]
        while True:
            left_ns = int(slot[AT_NS]) - LEAD_NS + self._timeout_ns - time.monotonic_ns()
            try:
                return ended.get(timeout=max(_BEAT_S / 2, left_ns / 1e9))
            except Empty:
                now_ns = time.monotonic_ns()
                is_late = now_ns > int(slot[AT_NS]) - LEAD_NS + self._timeout_ns
                if is_late and now_ns - int(awake[AWAKE_NS]) < LEAD_NS:
                    raise

    async def _answer(self, record: Any) -> Any:
        given = self._function(record)
        if isinstance(given, AsyncIterator):
            return [row async for row in given]
        return await given
