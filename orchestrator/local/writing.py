"""Puts outcomes beside the supervisor, which does not wait for the disk.

Owns the threads that write and how much may wait for it. Imports the standard library and the core's type of
a put. When it is wrong, what was answered is not in the ledger when the run settles.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from aliquot.keys import ChunkId
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.supervisor import PutOutcome

_MOST_WAITING = 4  # outcomes of at most some 16 MiB
_N_THREADS = 2  # while one waits for the disk the other copies


class OutcomeWriter:
    """A context in which `put` returns at once; leaving it waits until all that was put is on disk.

    What a put raises is raised by a later one, or on leaving.
    """

    def __init__(self, put: PutOutcome) -> None:
        """Write by `put`."""
        self._put = put
        self._threads = ThreadPoolExecutor(_N_THREADS, "aliquot-outcomes")
        self._waiting: deque[Future[object]] = deque()

    def put(self, chunk: ChunkId, spans: SpanSet, outcome: Outcome, wall_ns: int) -> None:
        """As the ledger's."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= _MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(self._put, chunk, spans, outcome, wall_ns))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        if error is None:
            for written in self._waiting:
                written.result()
