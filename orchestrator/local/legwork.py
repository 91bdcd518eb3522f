"""A leg of a local run: its stages side by side, each in a thread, outcomes of one the tasks of the next.

    chunks --tasks--> stage --outcome put--> task of the next stage, for the same records --> ... last stage

A stage is over when the one before is, and nothing is left to do. What is not answered when a session begins
is told by coverage: a gap of a stage is taken from the outcomes of the stage before. Owns this hand-over.
Imports `hosting`, `tasks`, `writing`, the ledger. When it is wrong, records are done twice or wait forever.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aliquot.bounds import Counts
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.ledger import Ledger, UnreadableOutcome
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.supervisor import Supervisor, TaskSource
from orchestrator.local.hosting import StageHosts
from orchestrator.local.tasks import LocalTasks
from orchestrator.local.writing import OutcomeWriter


class ForwardTasks:
    """The tasks of a later stage: what was open when the session began, then what the stage before puts."""

    def __init__(self, open_tasks: Iterable[Task]) -> None:
        self._waiting = deque(open_tasks)
        self._put: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._is_over = threading.Event()

    def forward(self, key: OutcomeKey) -> None:
        """Take what an outcome of the stage before answers for."""
        self._put.put(Task(key.chunk, key.spans, key))

    def end(self) -> None:
        """No further outcome will come."""
        self._is_over.set()

    def next_task(self) -> Task | None:
        """The next task, None where there is none now."""
        self._collect()
        return self._waiting.popleft() if self._waiting else None

    @property
    def is_exhausted(self) -> bool:
        """Whether no further task will come."""
        is_over = self._is_over.is_set()  # before the queue is looked at: it may still grow
        self._collect()
        return is_over and not self._waiting

    def _collect(self) -> None:
        while not self._put.empty():
            self._waiting.append(self._put.get())


@dataclass
class Ends:
    """When the threads of a leg end early.

    Args:
        should_stop: asked with the counts of the last stage.
        is_over: no further step is sent.
    """

    should_stop: Callable[[Counts], bool]
    is_over: Callable[[], bool]
    failures: list[BaseException] = field(default_factory=list)
    is_stopped: threading.Event = field(default_factory=threading.Event)


def run_leg(
    ledger: Ledger,
    hosts: Sequence[StageHosts],
    first: TaskSource,
    later: Sequence[Sequence[Task]],
    counts: Sequence[Counts],
    ends: Ends,
) -> bool:
    """Run the stages of a leg until nothing is left (True), or until `should_stop` (False).

    Args:
        first: tasks of the first stage.
        later: open tasks of each of the others.
        counts: of each stage; any thread may read them.
    Raises:
        UnreadableOutcome: an outcome that a later stage read is damaged.
    """
    sources: list[TaskSource] = [first, *map(ForwardTasks, later)]
    works = [
        _StageWork(ledger, each, sources[place], sources[place + 1 :], counts[place], counts[-1], ends)
        for place, each in enumerate(hosts)
    ]
    threads = [threading.Thread(target=work.run, name=f"aliquot-{work.name}") for work in works[:-1]]
    for thread in threads:
        thread.start()
    works[-1].run()
    for thread in threads:
        thread.join()
    if ends.failures:
        raise ends.failures[0]
    return all(work.is_whole for work in works)


class _StageWork:
    """One stage's supervisors, one after the other, in a thread."""

    def __init__(
        self,
        ledger: Ledger,
        hosts: StageHosts,
        tasks: TaskSource,
        behind: Sequence[TaskSource],
        counts: Counts,
        watched: Counts,
        ends: Ends,
    ) -> None:
        self._ledger, self._hosts, self._tasks, self._ends = ledger, hosts, tasks, ends
        self._next = behind[0] if behind and isinstance(behind[0], ForwardTasks) else None
        self._counts, self._watched = counts, watched
        self.name = hosts.stage.name
        self.is_whole = False

    def run(self) -> None:
        """Work until nothing is left; what goes wrong stops the other stages."""
        try:
            self.is_whole = self._supervise()
        except Undecodable as err:
            self._fail(_name_source(err, self._ledger.prefix))
        except BaseException as err:  # noqa: BLE001 - carried to the session's own thread
            self._fail(err)
        finally:
            if self._next is not None:
                self._next.end()

    def _supervise(self) -> bool:
        """Run tasks; then those that ran out of memory, one by one, by a host with all that may be had."""
        with OutcomeWriter(self._put) as writer:
            first = self._hosts.supervise(self._ledger, writer.put, self._counts)
            is_whole = self._drive(first, self._tasks)
            if is_whole and first.deferred:
                last = self._hosts.supervise(self._ledger, writer.put, self._counts, has_all=True)
                is_whole = self._drive(last, LocalTasks(first.deferred))
        return is_whole

    def _drive(self, supervisor: Supervisor, tasks: TaskSource) -> bool:
        return supervisor.run(tasks, self._should_stop, self._ends.is_over)

    def _put(self, chunk: ChunkId, spans: SpanSet, outcome: Outcome, wall_ns: int) -> None:
        key = self._ledger.put_outcome(self.name, chunk, spans, outcome, wall_ns)
        if self._next is not None:
            self._next.forward(key)

    def _should_stop(self, _counts: Counts) -> bool:
        return self._ends.is_stopped.is_set() or self._ends.should_stop(self._watched)

    def _fail(self, err: BaseException) -> None:
        self._ends.failures.append(err)
        self._ends.is_stopped.set()


def _name_source(err: Undecodable, prefix: str) -> Exception:
    """What is wrong, as an unreadable outcome where it was one of the stage before."""
    try:
        return UnreadableOutcome(OutcomeKey.parse(err.what), err.reason, prefix)
    except ValueError:
        return err
