"""Where a local run's tasks come from: gaps of chunks that are there, then chunks as they are submitted.

The dataset is read in a thread of its own, so that it is in the ledger, and its length known, as early as
possible, and so that a pipe that gives nothing holds nobody up; only chunk ids pass between the threads.
Owns that hand-over. Imports `submit`. When it is wrong, a run ends before its dataset does, or never.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from aliquot.cutting import Cut
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.readers import Batch

_WAIT_S = 0.1
_LEAVE_S = 1.0

SubmitBatches = Callable[[Iterable[Batch]], Iterator[Cut]]


class Submission:
    """A thread that reads a dataset's first batch and, once told to, submits all; `ids` gives the chunks.

    Args:
        batches: the dataset.
        submit: puts its chunks, yielding each when it is stored.
    """

    def __init__(self, batches: Iterator[Batch], submit: SubmitBatches) -> None:
        self._batches, self._submit = batches, submit
        self._failure: BaseException | None = None
        self._has_first, self._may_go_on, self._should_stop = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name="aliquot-submit", daemon=True)
        self._is_empty = False
        self.ids: queue.SimpleQueue[ChunkId] = queue.SimpleQueue()
        self.n_records = 0
        self.fraction: float | None = 0.0
        self._thread.start()

    def is_empty(self, should_stop: threading.Event) -> bool:
        """Whether the dataset holds no record; raises what reading the first one raised."""
        while not self._has_first.wait(_WAIT_S) and not should_stop.is_set():
            pass
        self.check()
        return self._is_empty

    def go_on(self) -> None:
        """Let chunks be stored."""
        self._may_go_on.set()

    @property
    def is_running(self) -> bool:
        """Whether chunks may still come."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End after the chunk at hand; a pipe that gives nothing is left to its thread."""
        self._should_stop.set()
        self._may_go_on.set()
        self._thread.join(_LEAVE_S)

    def finish(self, should_stop: threading.Event) -> None:
        """Wait for its end, or until `should_stop`; raises what it raised."""
        while self._thread.is_alive() and not should_stop.is_set():
            self._thread.join(_WAIT_S)
        self.check()

    def check(self) -> None:
        """Raise what the thread raised, if it did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            first = next((batch for batch in self._batches if batch.n_records), None)
            self._is_empty = first is None
            self._has_first.set()
            self._may_go_on.wait()
            if first is not None and not self._should_stop.is_set():
                self._submit_all(chain([first], self._batches))
        except BaseException as err:  # noqa: BLE001 - carried to the run's own thread by `check`
            self._failure = err
            self._has_first.set()

    def _submit_all(self, batches: Iterator[Batch]) -> None:
        for cut in self._submit(batches):
            self.n_records += cut.id.n_records
            self.fraction = cut.fraction
            self.ids.put(cut.id)
            if self._should_stop.is_set():
                return
        self.fraction = 1.0


class LocalTasks:
    """The task source of a local run.

    Args:
        open_tasks: tasks for chunks that were there before.
        known: those chunks, which the submission will name again.
        submission: where further chunks come from, None where the dataset is sealed.
    """

    def __init__(
        self, open_tasks: Iterable[Task], known: Iterable[ChunkId] = (), submission: Submission | None = None
    ) -> None:
        self._waiting = deque(open_tasks)
        self._known = frozenset(known)
        self._submission = submission

    def next_task(self) -> Task | None:
        """The next task, None where there is none now; raises what the submission raised."""
        self._collect()
        return self._waiting.popleft() if self._waiting else None

    @property
    def is_exhausted(self) -> bool:
        """Whether no further task will come."""
        if self._submission is None:
            return not self._waiting
        is_over = not self._submission.is_running  # before the queue is looked at: it may still grow
        self._collect()
        return is_over and not self._waiting

    def _collect(self) -> None:
        if self._submission is None:
            return
        while not self._submission.ids.empty():
            chunk = self._submission.ids.get()
            if chunk not in self._known:
                self._waiting.append(Task(chunk, chunk.all_records))
        self._submission.check()
