"""A lane's bookkeeping: whatever happens to its host, each record is in one place, and is answered once."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aliquot.keys import ChunkId
from aliquot.lane import Hand, Lane, Task, pick_victim
from aliquot.launch import HostProcess
from aliquot.outcome import Failure
from aliquot.page import ANSWERED, AT_NS, AWAKE_NS, NO_RECORD_NS, READ
from aliquot.spans import SpanSet

N = 40
S = 1_000_000_000
CHUNK = ChunkId(0, N)


def make_lane(threads: int, n: int = N, now_ns: int = 0) -> Lane:
    """A lane with a task of `n` records and a host that has opened its job."""
    lane = Lane(0, tuple(map(Hand, range(threads))))
    slots = tuple(memoryview(bytearray(64)).cast("q") for _ in range(threads))
    lane.host, lane.is_open = HostProcess(1, cast(Any, None), slots, is_open=True), True
    slots[0][AWAKE_NS] = now_ns
    lane.begin(Task(CHUNK, SpanSet.range(0, n)), 0.0)
    return lane


def send(lane: Lane, now_s: float = 0.0) -> Hand | None:
    """Give the next step to a free hand, as a supervisor does; None where none can be given."""
    hand = lane.free_hand
    if hand is None or not lane.has_more:
        return None
    first, end = lane.next_span()
    assert lane.host is not None
    slot = lane.host.slots[hand.number]
    slot[READ] = slot[ANSWERED] = first
    slot[AT_NS] = 0
    lane.mark_sent(hand, (first, end), now_s)
    return hand


def answer(hand: Hand, n_answered: int, wall_ns: int = 20_000_000) -> dict[str, Any]:
    """What a host answers for the first `n_answered` records of what is with a thread of it."""
    assert hand.sent is not None
    first = hand.sent[0]
    said = {"thread": hand.number, "first": first, "end": first + n_answered, "block": [b"", 0, 0]}
    return {
        **said,
        "rows": n_answered,
        "kinds": {"n": ["int"]},
        "failures": [],
        "wall_ns": wall_ns,
        "cpu_ns": 0,
    }


def work_on(lane: Lane, hand: Hand, n_read: int, n_answered: int, now_ns: int = 1) -> None:
    """A thread that has read and answered so many of its records."""
    assert lane.host is not None
    assert hand.sent is not None
    slot = lane.host.slots[hand.number]
    slot[READ], slot[ANSWERED] = hand.sent[0] + n_read, hand.sent[0] + n_answered
    slot[AT_NS] = now_ns


class LaneMachine(RuleBasedStateMachine):
    """A lane to which anything may happen, in any order."""

    @initialize(threads=st.integers(1, 5))
    def begin(self, threads: int) -> None:
        self.lane, self.put = make_lane(threads), SpanSet()

    @property
    def busy(self) -> list[Hand]:
        return [hand for hand in self.lane.hands if hand.sent is not None]

    @rule()
    def send(self) -> None:
        send(self.lane)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        hand = data.draw(st.sampled_from(self.busy))
        assert hand.sent is not None
        self.lane.take_answer(answer(hand, data.draw(st.integers(1, hand.sent[1] - hand.sent[0]))))

    @rule()
    def put_outcomes(self) -> None:
        self._count_put(*(done.spans for done in self.lane.take_outcomes("0", 0.0, 0.0)))
        self.lane.slice.answers = []

    @rule()
    def be_stolen_from(self) -> None:
        self._count_put(self.lane.give_half())

    @rule(data=st.data())
    def lose_host(self, data: st.DataObject) -> None:
        for hand in self.busy:
            assert hand.sent is not None
            n_read = data.draw(st.integers(0, hand.sent[1] - hand.sent[0]))
            work_on(self.lane, hand, n_read, data.draw(st.integers(0, n_read)))
        suspects = SpanSet.of(span for group in self.lane.accuse() for span in group.spans)
        self.lane.todo |= self.lane.take_back() - suspects
        self.lane.suspects |= suspects

    def _count_put(self, *put: SpanSet) -> None:
        for spans in put:
            assert not self.put & spans
            self.put |= spans

    @invariant()
    def each_record_is_in_one_place(self) -> None:
        lane = self.lane
        held = [self.put, lane.todo, lane.suspects, SpanSet.of(lane.sent.values())]
        held += [each.spans for each in lane.slice.answers]
        assert sorted(index for spans in held for index in spans) == list(range(N))

    @invariant()
    def a_suspect_is_alone_in_its_host(self) -> None:
        assert len(self.busy) <= 1 or not any(hand.is_alone for hand in self.busy)

    def teardown(self) -> None:
        """All of it comes to an end."""
        if not hasattr(self, "lane"):
            return
        for _ in range(3 * N):
            while send(self.lane) is not None:
                pass
            for hand in self.busy:
                assert hand.sent is not None
                self.lane.take_answer(answer(hand, hand.sent[1] - hand.sent[0]))
        assert self.lane.is_idle
        self.each_record_is_in_one_place()


TestLane = LaneMachine.TestCase


@given(st.sets(st.integers(0, 3000), min_size=1))
def test_outcomes_hold_each_answer_once_and_their_keys_are_short(at: set[int]) -> None:
    lane = make_lane(1)
    for index in sorted(at, key=lambda index: (index % 7, index)):
        lane.file(SpanSet.range(index, index + 1), Failure(0, "crash", ""), 0.0)
    taken = lane.take_outcomes("0", 0.0, 0.0)
    assert sorted(f.index for done in taken for f in done.outcome.failures) == sorted(at)
    assert [SpanSet.of_indices(f.index for f in done.outcome.failures) for done in taken] == [
        done.spans for done in taken
    ]
    assert all(len(str(done.spans)) <= 120 for done in taken)
    assert sum(len(str(done.spans)) for done in taken[:-1]) >= 90 * (len(taken) - 1)


def test_columns_are_placed_by_record_and_not_by_arrival() -> None:
    lane = make_lane(2)
    first, second = send(lane), send(lane)
    assert first is not None
    assert second is not None
    lane.take_answer({**answer(second, 1), "kinds": {"b": ["str"], "a": ["int"]}})
    lane.take_answer({**answer(first, 1), "kinds": {"a": ["float"]}})
    (done,) = lane.take_outcomes("0", 0.0, 0.0)
    assert done.outcome.places == {"a": (0, 0), "b": (1, 0)}
    assert done.outcome.kinds == {"a": ["float", "int"], "b": ["str"]}


def test_every_thread_has_a_record_before_any_is_answered() -> None:
    lane = make_lane(16)
    while send(lane) is not None:
        pass
    assert sorted(lane.sent.values()) == [(index, index + 1) for index in range(16)]


def test_steps_shrink_to_the_end_where_others_would_wait() -> None:
    """5 records of 20 ms make a step; were the last 40 given out by fives, half of 16 threads had nothing."""
    lane = make_lane(16, 400)
    lane.record_s, lane.last_step = 0.02, 5
    spans = []
    while lane.todo:
        hand = send(lane)
        assert hand is not None
        assert hand.sent is not None
        spans.append(hand.sent[1] - hand.sent[0])
        hand.sent = None
    assert spans[:20] == [5] * 20
    assert spans == sorted(spans, reverse=True)
    assert sum(size == 1 for size in spans) >= 16


def test_time_of_a_record_is_shared_by_threads() -> None:
    """Who plans by it, or steals, wants the time that all threads together take."""
    lane = make_lane(4, 8)
    hand = send(lane)
    assert hand is not None
    lane.take_answer(answer(hand, 1, wall_ns=S))
    assert lane.left_s == pytest.approx(7 / 4)
    (done,) = lane.take_outcomes("0", 0.0, 0.0)
    assert done.wall_ns == S // 4


@pytest.mark.parametrize(("awake_s", "late"), [(60.5, [0, 2]), (59.5, [])])
def test_threads_are_late_by_themselves_while_the_host_is_awake(awake_s: float, late: list[int]) -> None:
    """Otherwise one of them holds the interpreter, and which one nobody knows."""
    lane = make_lane(4, now_ns=int(awake_s * S))
    begun_ns = (S // 2, 55 * S, S // 4, NO_RECORD_NS)
    for at_ns in begun_ns:
        hand = send(lane)
        assert hand is not None
        work_on(lane, hand, 1, 0, at_ns)
    found = lane.find_late(61 * S, 60.0)
    assert found == tuple(SpanSet.range(index, index + 1) for index in late)
    assert lane.stuck_s(61 * S) == pytest.approx(60.75)


def test_a_single_busy_thread_is_late_by_itself() -> None:
    lane = make_lane(4)
    hand = send(lane)
    assert hand is not None
    work_on(lane, hand, 1, 0, S)
    assert lane.find_late(62 * S, 60.0) == (SpanSet.range(0, 1),)


def test_a_host_that_was_killed_is_sent_nothing() -> None:
    lane = make_lane(4)
    send(lane)
    lane.doom = Failure(-1, "deadline", "late")
    assert lane.free_hand is None
    lane.host = None
    assert lane.free_hand is not None


def test_a_step_is_as_long_as_the_stage_wants_it() -> None:
    """A record takes 20 ms: 5 of them, 15 while far from the end, 50 where a call costs something."""
    for step_s, n_records, n_sent in ((0.1, 25, 5), (0.1, 100, 15), (1.0, 100, 50)):
        lane = Lane(0, (Hand(0),), step_s)
        lane.begin(Task(CHUNK, SpanSet.range(0, n_records)), 0.0)
        lane.record_s, lane.last_step = 0.02, 50
        assert lane.next_span() == (0, n_sent)
        assert lane.choose_step_s() == pytest.approx(0.02 * n_sent)


def test_a_lane_gives_what_is_worth_reading_its_object_again_for() -> None:
    """30 records of 10 ms behind an object of 6 MB, which takes 30 ms to read: half of them; 5: none."""
    for n_records, is_given in ((30, True), (5, False)):
        lane = make_lane(1)
        lane.record_s, lane.load_s = 0.01, 0.03
        lane.begin(Task(CHUNK, SpanSet.range(0, n_records + 1)), 0.0)
        lane.mark_sent(lane.hands[0], (0, 1), 0.0)
        assert (pick_victim([lane], 0.02) is lane) == is_given


def test_who_waits_for_a_turn_works_at_nothing_and_is_accused_of_nothing() -> None:
    """Of three threads one waits before its step, one within it, one has a record; then the host dies."""
    lane, now_ns = make_lane(3), time.monotonic_ns()
    hands = []
    for _ in range(3):
        lane.record_s, lane.last_step = 0.001, 3
        hands.append(send(lane))
    before, within, at_work = cast(list[Hand], hands)
    assert at_work.sent is not None
    work_on(lane, before, 0, 0, now_ns + 60 * S)
    assert lane.was_waiting
    assert lane.is_working(now_ns)  # the others have not begun yet, and will
    work_on(lane, within, 2, 2, now_ns + 60 * S)
    work_on(lane, at_work, 1, 0, now_ns)
    assert lane.stuck_s(now_ns + S) == pytest.approx(1.0)
    assert lane.accuse() == (SpanSet.range(at_work.sent[0], at_work.sent[0] + 1),)
    work_on(lane, within, 2, 2, now_ns - S)  # packs, or is between two records
    assert len(lane.accuse()) == 2
    for hand in hands:
        work_on(lane, cast(Hand, hand), 0, 0, now_ns + 60 * S)
    assert not lane.is_working(now_ns)
    assert lane.stuck_s(now_ns) < 0
