"""Slices of a queue's worker: hand-backs, redelivery, stopped epochs. Real hosts, a list as queue."""

import re
from collections import deque
from dataclasses import dataclass, field

import pytest

from aliquot.bounds import Limits
from aliquot.chunk import Chunk
from aliquot.keys import ChunkId
from aliquot.launch import Launcher
from aliquot.ledger import Ledger
from aliquot.merge import merge_pieces
from aliquot.message import ENDLESS, TaskMessage
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from aliquot.worker import Worked, WorkLimits, supervise_hosts, work_slice

LIMITS = Limits(record_timeout_s=5.0, memory_mib=2000)


@dataclass
class Rig:
    """A ledger with one chunk, an opened job, and a list as queue."""

    ledger: Ledger
    launcher: Launcher
    chunk: ChunkId
    queue: deque[TaskMessage] = field(default_factory=deque)
    n_sent: int = 0

    def send(self, messages: list[TaskMessage]) -> None:
        self.n_sent += len(messages)
        self.queue.extend(messages)

    def work(self, message: TaskMessage, receives: int = 1, slice_s: float = 5.0) -> Worked:
        allowed = WorkLimits("small", 1, slice_s, LIMITS)
        return self.work_on(allowed, message, receives)

    def work_on(self, allowed: WorkLimits, message: TaskMessage, receives: int = 1) -> Worked:
        supervise = supervise_hosts(self.launcher, self.ledger)
        return work_slice(message, receives, self.ledger, supervise, allowed, self.send)

    def first(self, share: int = 8) -> TaskMessage:
        return TaskMessage("run-1", "work", self.chunk, self.chunk.all_records, share=share)

    def failures(self) -> dict[int, str]:
        pieces = merge_pieces(self.ledger, self.ledger.settle("work", 0))
        return {failure.index: failure.message for piece in pieces for failure in piece.failures}

    def rows(self) -> list[int]:
        roster = self.ledger.settle("work", 0)
        return [n for piece in merge_pieces(self.ledger, roster) for n in piece.block.columns.get("n", ())]


@pytest.fixture
def rig(tmp_path, make_launcher, launcher):
    def make(words: list[str]) -> Rig:
        chunk = Chunk(0, len(words), {"n": list(range(len(words))), "do": words}, provenance=((0, 0, 1),))
        made = Rig(
            Ledger(FolderStore(tmp_path / "ledger")), make_launcher(launcher, "one"), ChunkId(0, len(words))
        )
        made.ledger.put_chunk(made.chunk, chunk.to_bytes())
        made.launcher.open()
        return made

    return make


def test_chain_of_hand_backs_does_every_record_once(rig):
    """Parallelism grows from one task; 16 hops and more must pass: a record that sleeps ends its slice."""
    made = rig(["sleep 0.11", "sleep 0.11", "sleep 0.11", "ok"] * 6)
    made.queue.append(made.first(share=1))
    hops = 0
    while made.queue:
        message = made.queue.popleft()
        hops = max(hops, message.hops)
        made.work(message, slice_s=0.04)
    assert hops > 16
    assert made.rows() == list(range(24))
    outcomes = made.ledger.list_outcomes("work")
    assert sum(len(outcome.spans) for outcome in outcomes) == 24


def test_what_waits_behind_a_record_that_outlasts_the_slice_is_handed_back_at_once(rig):
    """A record of minutes would hold up all that its task has, while other workers are idle."""
    made = rig(["ok", "sleep 4", *["ok"] * 30])
    n_put: list[int] = []

    def send(messages: list[TaskMessage]) -> None:
        n_put.append(len(made.ledger.list_outcomes("work")))
        made.send(messages)

    allowed = WorkLimits("small", 1, 1.0, LIMITS)
    supervise = supervise_hosts(made.launcher, made.ledger)
    work_slice(made.first(share=ENDLESS), 1, made.ledger, supervise, allowed, send)
    assert n_put[0] == 0  # it was still at work
    assert {message.share for message in made.queue} == {ENDLESS}
    while made.queue:
        made.work(made.queue.popleft())
    assert made.rows() == list(range(32))
    assert sum(len(outcome.spans) for outcome in made.ledger.list_outcomes("work")) == 32


def test_share_of_a_window_is_never_more_tasks_at_a_time(rig):
    """Should the worker vanish after it, the task comes back with its whole share beside what it gave."""
    made = rig(["ok", "sleep 1.8", *["ok"] * 30])
    made.work(made.first(share=1), slice_s=0.2)
    assert made.n_sent <= 1
    assert made.ledger.list_outcomes("work")


def test_second_delivery_of_a_finished_task_does_nothing(rig):
    """SQS may deliver twice; the second delivery must cost little and change nothing."""
    made = rig(["ok"] * 20)
    assert made.work(made.first()).n_answered == 20
    before = made.ledger.list_outcomes("work")
    assert made.work(made.first(), receives=2) == Worked()
    assert made.ledger.list_outcomes("work") == before


def test_second_delivery_does_only_the_gaps(rig):
    """A worker that vanished half way left outcomes: what they answer is not done again."""
    made = rig(["ok"] * 20)
    made.work(TaskMessage("run-1", "work", made.chunk, SpanSet.range(5, 12)))
    worked = made.work(made.first(), receives=2)
    assert worked.n_answered == 13
    assert made.rows() == list(range(20))


def test_task_of_a_stopped_epoch_does_nothing(rig):
    """A late message of an old epoch must not spend."""
    made = rig(["ok"] * 5)
    made.ledger.stop(0, "cancelled", {})
    assert made.work(made.first()) == Worked()
    assert made.ledger.list_outcomes("work") == []


def test_poison_in_a_slice_costs_itself(rig):
    made = rig(["ok", "exit", "ok"])
    worked = made.work(made.first())
    assert (worked.n_answered, worked.n_failed) == (3, 1)
    assert made.rows() == [0, 2]


def test_third_delivery_sends_the_gaps_on_in_halves(rig):
    """Twice it may have been the environment's fault; now what kills it is closed in upon."""
    made = rig(["ok"] * 20)
    made.work(TaskMessage("run-1", "work", made.chunk, SpanSet.range(0, 4)))
    worked = made.work(made.first(), receives=3)
    assert (worked.n_answered, worked.n_follow_ups) == (0, 2)
    assert [message.spans for message in made.queue] == [SpanSet.range(4, 12), SpanSet.range(12, 20)]
    assert {message.hops for message in made.queue} == {1}


def test_third_delivery_of_one_record_is_worked_on(rig):
    """What cannot be halved is tried until its message is dead."""
    made = rig(["ok"] * 2)
    alone = TaskMessage("run-1", "work", made.chunk, SpanSet.range(1, 2))
    assert made.work(alone, receives=4).n_answered == 1


def test_second_delivery_puts_its_outcomes_every_few_seconds(rig):
    """What was done before the environment is killed once more must not be lost with it."""
    made = rig(["sleep 1.6", "sleep 1.6", "ok"])
    made.work(made.first(), receives=2, slice_s=10.0)
    assert len(made.ledger.list_outcomes("work")) >= 2


SMALL = WorkLimits("small", 1, 60.0, Limits(20.0, 250), next_rung="medium")
MEDIUM = WorkLimits("medium", 2, 60.0, Limits(20.0, 250))


def test_record_that_ran_out_of_memory_climbs_and_it_alone(rig):
    made = rig(["ok", "ok", "hold 350", "ok", "hold 900", "ok"])
    worked = made.work_on(SMALL, made.first())
    assert (worked.n_answered, worked.n_failed, worked.n_climbed) == (4, 0, 2)
    (climbing,) = made.queue
    assert (climbing.rung, climbing.is_alone) == ("medium", True)
    assert climbing.spans == SpanSet.of_indices([2, 4])


def test_on_the_top_rung_one_host_has_the_memory_of_all(rig):
    """Past it a record fails, with what it reached and what it was allowed."""
    made = rig(["ok", "hold 350", "hold 900", "fill"])
    made.work_on(SMALL, made.first())
    worked = made.work_on(MEDIUM, made.queue.popleft())
    assert (worked.n_answered, worked.n_failed, worked.n_climbed) == (3, 2, 0)
    assert made.rows() == [0, 1]
    said = made.failures()
    at_once = re.fullmatch(
        r"MemoryError; reached (\d+) MiB of private memory; the ceiling is 500 MiB", said[2]
    )
    assert at_once is not None
    assert 0 < int(at_once[1]) < 500
    reached = re.search(r"reached (\d+) MiB of private memory; the ceiling is 500 MiB", said[3])
    assert reached is not None
    assert int(reached[1]) > 450


def test_python_s_own_memory_error_climbs_too(rig):
    made = rig(["ok", "ask for too much", "ok"])
    worked = made.work_on(SMALL, made.first())
    assert (worked.n_answered, worked.n_climbed) == (2, 1)
    assert made.rows() == [0, 2]
