"""A chunk that is taken whole: one call, one fate, and never a part of it for another worker."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from aliquot.bounds import Counts, Limits
from aliquot.keys import TOMBSTONE, ChunkId
from aliquot.lane import Lane, Task
from aliquot.ledger import Ledger
from aliquot.message import TaskMessage, hand_back
from aliquot.outcome import Failure
from aliquot.rows import Block
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from aliquot.whole import WholeStep
from aliquot.worker import Supervised, WorkLimits, bury_task, work_slice

CHUNK = ChunkId(0, 5)
MESSAGE = TaskMessage("run-1", "query", CHUNK, CHUNK.all_records, share=32)


class Attempt:
    """A step over five records, of which the second and the last did not parse."""

    def __init__(self, call, retry=(), bad=(1, 4)) -> None:
        self.calls = []

        def counted(table):
            self.calls.append(table.to_pylist())
            return call(table)

        self.step = WholeStep(
            call=counted,
            records=lambda a, b: iter([pa.table({"x": [i for i in range(a, b) if i not in bad]})]),
            bad={index: Failure(index, "parse", "no") for index in bad},
            columns=(),
            slot=memoryview(bytearray(64)).cast("q"),
            stop_ns=time.monotonic_ns(),
            arm=lambda _: None,
            retry=retry,
        )
        self.block = self.step.run(0, 5)
        self.failed = sorted((failure.index, failure.kind) for failure in self.step.failures)


def test_a_table_in_and_a_table_out():
    attempt = Attempt(lambda _: pa.table({"s": pa.array([7, None], pa.int16())}))
    assert attempt.calls == [[{"x": 0}, {"x": 2}, {"x": 3}]]
    assert attempt.failed == [(1, "parse"), (4, "parse")]
    assert list(attempt.block.counts) == [2, 0, 0, 0, 0]
    again = Block.unpack(attempt.block.pack())
    assert again.columns["s"].equals(pa.array([7, None], pa.int16()))
    assert again.kinds() == attempt.block.kinds()


def test_each_record_took_its_share_of_the_time():
    """Not nothing, as a report would read a chunk that was not noted."""
    spread = Attempt(lambda _: time.sleep(0.01) or pa.table({"s": [1]})).step.spread
    ((took_ns, first),) = spread.slow
    assert first == 0
    assert 2e6 <= took_ns < 1e9
    assert sum(spread.bins.values()) == 5


def test_what_raises_has_failed_all_that_parsed():
    def fail(_table):
        raise ZeroDivisionError("by 0")

    attempt = Attempt(fail)
    assert attempt.failed == [
        (0, "exception"), (1, "parse"), (2, "exception"), (3, "exception"), (4, "parse"),
    ]  # fmt: skip
    assert attempt.block.n_rows == 0
    assert Attempt(lambda _: 5).failed == attempt.failed  # no rows


def test_what_may_pass_is_tried_again(monkeypatch):
    monkeypatch.setattr("aliquot.attempt.choose_pause_s", lambda *_: 0.0)
    errors = [ConnectionError("gone"), KeyError("later")]

    def answer(table):
        if errors:
            raise errors.pop()
        return table

    attempt = Attempt(answer, retry=(KeyError,))
    assert len(attempt.calls) == 3
    assert attempt.block.n_rows == 3


def test_a_chunk_of_bad_rows_calls_nothing():
    attempt = Attempt(lambda table: table, bad=range(5))
    assert attempt.calls == []
    assert attempt.block.n_rows == 0


def test_a_lane_sends_all_of_it_and_blames_all_of_it():
    lane = Lane(0, is_whole=True)
    lane.begin(Task(CHUNK, CHUNK.all_records), 0.0)
    assert lane.next_span() == (0, 5)
    lane.mark_sent(lane.hands[0], (0, 5), 0.0)
    assert not lane.todo  # nothing that another lane could take half of
    assert lane.is_unit(CHUNK.all_records)
    failures = lane.file(CHUNK.all_records, Failure(0, "crash", "it ended"), 0.0)
    assert [failure.index for failure in failures] == [0, 1, 2, 3, 4]


def test_it_is_handed_back_whole():
    rest = [Task(CHUNK, CHUNK.all_records)]
    assert len(hand_back(MESSAGE, rest, record_s=100.0, slice_s=30.0)) == 5
    (child,) = hand_back(MESSAGE, rest, record_s=100.0, slice_s=30.0, is_whole=True)
    assert child.spans == CHUNK.all_records


@pytest.mark.parametrize(("is_whole", "sent"), [(True, []), (False, ["0-3", "3-5"])])
def test_a_third_delivery_and_a_dead_letter_divide_only_what_can_be(tmp_path, is_whole, sent):
    ledger, asked, messages = Ledger(FolderStore(tmp_path)), [], []

    def supervise(task, *_):
        asked.append(task.spans)
        return Supervised([], [], 0.0, Counts())

    allowed = WorkLimits("small", 1, 30.0, Limits(60.0, 100, is_whole=is_whole))
    work_slice(MESSAGE, 3, ledger, supervise, allowed, messages.extend)
    assert len(messages) == len(sent)
    assert asked == ([CHUNK.all_records] if is_whole else [])
    bury_task(MESSAGE, ledger, messages.extend, is_whole=is_whole)
    outcomes = ledger.list_outcomes("query")
    assert [(each.spans, each.rung) for each in outcomes] == (
        [(CHUNK.all_records, TOMBSTONE)] if is_whole else []
    )
    assert SpanSet.of(span for each in messages for span in each.spans.spans) == (
        SpanSet() if is_whole else CHUNK.all_records
    )
