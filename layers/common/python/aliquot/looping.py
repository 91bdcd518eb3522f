"""The event loop of a host: records of an `async` function are in flight on it, each held by a thread.

    thread 0 --coroutine--> |                   |
    thread 1 --coroutine--> | the loop's thread | --what it gave--> the thread that waits for it
    ...                     |                   |

So steps, words on the page, tries and blame are those of any host with threads. A coroutine past its record's
deadline is cancelled, and costs its record alone; one that cannot be cancelled, or keeps the loop from the
others, is left to the supervisor: the loop notes on the page that it turns, in place of the host.

Owns the loop. Imports `page`. When it is wrong, records wait for each other.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from aliquot.page import AT_NS, AWAKE_NS

LEAD_NS = 250_000_000  # by which a record begins later for the supervisor, so that the host cancels before
_BEAT_S = 0.1
_AWAKE_NS = 1_000_000_000


class RecordLate(Exception):
    """A record that was cancelled at its deadline."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s


def is_async(function: Any) -> bool:
    """Whether calling it gives a coroutine, or an asynchronous generator."""
    return any(
        judge(each)
        for judge in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (function, getattr(function, "__call__", None))  # noqa: B004 - an object's own may be async
    )


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
        self._loop = asyncio.new_event_loop()
        self._slots, self._timeout_ns = slots, round(timeout_s * 1e9)
        self._beat()
        threading.Thread(target=self._turn, daemon=True).start()

    def enter(self, thread: int) -> None:
        """Say which of the host's threads this is, before it calls."""
        self._own.slot = self._slots[thread]

    def _turn(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was started
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # asyncio hands on what a coroutine raises of these
                continue

    def _beat(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was started
        self._slots[0][AWAKE_NS] = time.monotonic_ns()
        self._loop.call_later(_BEAT_S, self._beat)

    def _wait_for(self, record: Any) -> Any:
        loop, slot = self._loop, self._own.slot
        assert loop is not None  # noqa: S101 - it was started
        begun: list[asyncio.Task[Any]] = []
        ended: SimpleQueue[asyncio.Task[Any]] = SimpleQueue()

        def begin() -> None:
            begun.append(loop.create_task(self._answer(record)))
            begun[0].add_done_callback(ended.put)

        loop.call_soon_threadsafe(begin)
        due_ns = int(slot[AT_NS]) - LEAD_NS + self._timeout_ns
        try:
            task = ended.get(timeout=max(0, due_ns - time.monotonic_ns()) / 1e9)
        except Empty:
            is_turning = time.monotonic_ns() - int(self._slots[0][AWAKE_NS]) < min(
                _AWAKE_NS, self._timeout_ns // 2
            )
            if is_turning and begun:
                loop.call_soon_threadsafe(begun[0].cancel)
            task = ended.get()  # or the supervisor ends all this
            if is_turning:
                if not task.cancelled():
                    task.exception()  # asked for, or asyncio would say that nobody did
                raise RecordLate(self._timeout_ns / 1e9) from None
        return task.result()

    async def _answer(self, record: Any) -> Any:
        given = self._function(record)
        if isinstance(given, AsyncIterator):
            return [row async for row in given]
        return await given
