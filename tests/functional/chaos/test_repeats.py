"""What happens twice: puts that meet their own success, and tasks that another delivery is at work on."""

from __future__ import annotations

from pathlib import Path

from aliquot.bounds import Counts, Limits
from aliquot.chunk import Chunk
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from aliquot.supervisor import PutOutcome
from aliquot.worker import Give, Supervised, WorkLimits, work_slice

CHUNK = ChunkId(0, 30)
TASK = TaskMessage("june", "work", CHUNK, CHUNK.all_records, share=8)


class Repeating(FolderStore):
    """A client that tries a put again although the first try went through, as one does on a lost answer."""

    def put_once(self, key: str, body: bytes) -> None:
        super().put_once(key, body)
        super().put_once(key, body)


def _begin(ledger: Ledger) -> Ledger:
    ledger.put_chunk(CHUNK, Chunk(0, 30, {"n": list(range(30))}, provenance=((0, 0, 1),)).to_bytes())
    return ledger


def test_put_that_meets_its_own_success_is_one(tmp_path: Path) -> None:
    ledger = _begin(Ledger(Repeating(tmp_path)))
    ledger.put_outcome("work", CHUNK, CHUNK.all_records, Outcome({}, {}, 0), 1)
    ledger.stop(0, "cancelled", {})
    ledger.seal(1, 30)
    assert ledger.measure("work").is_complete
    assert ledger.read_stop(0) is not None


def _work(ledger: Ledger, receives: int, *, with_other: bool) -> list[TaskMessage]:
    """A slice that does a third of its task; what it hands back."""
    sent: list[TaskMessage] = []

    def supervise(
        task: Task, _limits: Limits, _hosts: int, _slice_s: float, put: PutOutcome, _give: Give | None
    ) -> Supervised:
        done, rest = task.spans.take(10)
        if with_other:
            ledger.put_outcome("work", CHUNK, done, Outcome({}, {}, 0), 1)
        put(CHUNK, done, Outcome({}, {}, 0), 1)
        return Supervised([Task(CHUNK, rest)], [], 1.0, Counts(10, 0))

    allowed = WorkLimits("small", 1, 10.0, Limits(10.0, 100))
    work_slice(TASK, receives, ledger, supervise, allowed, sent.extend)
    return sent


def test_second_delivery_hands_nothing_back_while_another_is_at_work(tmp_path: Path) -> None:
    """Were the rest handed back twice, everything down the chain would be done twice: 13% more for 5%."""
    ledger = _begin(Ledger(FolderStore(tmp_path)))
    assert _work(ledger, 2, with_other=True) == []


def test_second_delivery_hands_back_what_a_dead_first_one_left(tmp_path: Path) -> None:
    ledger = _begin(Ledger(FolderStore(tmp_path)))
    ledger.put_outcome("work", CHUNK, SpanSet.range(0, 5), Outcome({}, {}, 0), 1)
    sent = _work(ledger, 2, with_other=False)
    assert SpanSet.of(span for message in sent for span in message.spans.spans) == SpanSet.range(15, 30)
