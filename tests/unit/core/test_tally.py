"""What a tick decides: every record is asked for, the window holds, what is lost is sent again."""

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.coverage import measure_coverage
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.message import ENDLESS, TaskMessage, hand_back
from aliquot.spans import SpanSet
from aliquot.stages import StageNote, share_rate, split_legs
from aliquot.tally import (
    DRAIN_WAIT_S,
    LONGEST_WAIT_S,
    SHORTEST_WAIT_S,
    TickState,
    choose_wait,
    plan_drain,
    plan_tick,
)

CHUNKS = [ChunkId(seq, 4 + seq) for seq in range(12)]


def answer(message: TaskMessage, number: int, spans: SpanSet | None = None) -> OutcomeKey:
    return OutcomeKey("match", message.chunk, spans or message.spans, f"{number:06d}", "small", 5, 0, 1)


def tick(state, outcomes=(), depth=0, window=4, chunks=CHUNKS, is_sealed=True, **more):
    coverage = measure_coverage(chunks, outcomes)
    return plan_tick("run-1", "match", chunks, is_sealed, coverage, depth, window, "small", state, **more)


def answer_whole(chunk: ChunkId, billed_ms: int) -> OutcomeKey:
    return OutcomeKey("match", chunk, chunk.all_records, "a", "small", billed_ms, 0, 1)


def test_tasks_in_flight_stay_within_the_window():
    """What is in flight when a budget runs out is paid: the window bounds it."""
    plan = tick(TickState())
    assert [message.chunk for message in plan.send] == CHUNKS[:4]
    assert tick(plan.state, depth=4).send == ()
    done = [answer(plan.send[0], 0)]
    assert [message.chunk for message in tick(plan.state, done, depth=3).send] == [CHUNKS[4]]


def test_one_chunk_gets_the_whole_window_as_its_share():
    """A dataset of one chunk must be able to grow to the whole concurrency."""
    plan = tick(TickState(), chunks=CHUNKS[:1], window=100)
    assert [message.share for message in plan.send] == [100]


def test_nothing_is_complete_before_it_is_sealed():
    """A submission under way may be fully answered so far, and is not done."""
    outcomes = [OutcomeKey("match", chunk, chunk.all_records, "a", "small", 1, 0, 1) for chunk in CHUNKS]
    assert not tick(TickState(), outcomes, is_sealed=False).is_complete
    assert tick(TickState(), outcomes).is_complete


def test_lost_task_is_sent_again_when_the_queue_was_empty_twice():
    plan = tick(TickState(), chunks=CHUNKS[:1])
    partly = [answer(plan.send[0], 0, SpanSet.range(0, 2))]
    first = tick(plan.state, partly, depth=0, chunks=CHUNKS[:1])
    assert first.send == ()
    second = tick(first.state, partly, depth=0, chunks=CHUNKS[:1])
    assert [message.spans for message in second.send] == [SpanSet.range(2, 4)]


def test_busy_queue_delays_a_repair():
    plan = tick(TickState(), chunks=CHUNKS[:1])
    state = plan.state
    for _ in range(5):
        following = tick(state, depth=1, chunks=CHUNKS[:1])
        assert following.send == ()
        state = following.state


def test_waits_grow_and_stay_bounded():
    waits, state = [], TickState()
    for _ in range(12):
        plan = tick(state, depth=1)
        waits.append(plan.wait_s)
        state = plan.state
    assert waits[0] == SHORTEST_WAIT_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S


@settings(max_examples=60)
@given(data=st.data(), window=st.integers(1, 6))
def test_any_loss_and_duplication_ends_covered(data, window):
    """Messages may be lost, doubled or half done; ticks must still bring every record home."""
    queue: deque[TaskMessage] = deque()
    outcomes: list[OutcomeKey] = []
    state = TickState()
    for step in range(400):
        plan = tick(state, outcomes, depth=len(queue), window=window)
        if plan.is_complete:
            break
        queue.extend(plan.send)
        state = plan.state if step > 50 or data.draw(st.integers(0, 9)) else state
        while queue and (step > 50 or data.draw(st.booleans())):
            message = queue.popleft()
            fate = "done" if step > 50 else data.draw(st.sampled_from(["done", "lost", "twice", "half"]))
            if fate == "twice":
                queue.append(message)
            if fate == "half":
                outcomes.append(answer(message, len(outcomes), message.spans.take(1)[0]))
            elif fate != "lost":
                outcomes.append(answer(message, len(outcomes)))
    assert measure_coverage(CHUNKS, outcomes).is_complete


def test_stopped_epoch_waits_for_what_is_in_flight_and_no_longer():
    """A roster that is frozen too early calls records not tried that are being paid for."""
    state, n_ticks = TickState(), 0
    while not (plan := plan_drain(state, 5, 180)).is_complete:
        state, n_ticks = plan.state, n_ticks + 1
    assert n_ticks * DRAIN_WAIT_S >= 180
    state, n_ticks = TickState(), 0
    while not (plan := plan_drain(state, 0, 180)).is_complete:
        state, n_ticks = plan.state, n_ticks + 1
    assert 60 <= n_ticks * DRAIN_WAIT_S < 120


def test_submission_that_does_not_go_on_is_given_up_after_a_day():
    """A laptop that died in mid-submission would leave a state machine ticking for ever."""
    state = TickState()
    seconds = 0
    while not (plan := tick(state, chunks=[], is_sealed=False)).is_abandoned:
        state, seconds = plan.state, seconds + plan.wait_s
    assert 0.9 * 86_400 < seconds < 1.1 * 86_400


def test_short_chunks_wait_so_that_no_worker_does_until_the_next_tick():
    """4 workers do 4 x 5 s / 1.2 s of them in a tick's wait: 17, and as many to spare."""
    chunks = [ChunkId(seq, 10) for seq in range(100)]
    first = tick(TickState(), chunks=chunks, may_wait=True)
    assert len(first.send) == 4  # nobody knows yet
    done = [answer_whole(chunk, 1000) for chunk in chunks[:4]]
    following = tick(first.state, done, chunks=chunks, may_wait=True)
    assert following.wait_s == SHORTEST_WAIT_S
    assert len(following.send) == 4 * (1 + 2 * 7 / 1.2) // 1 + 1
    assert tick(first.state, done, chunks=chunks, depth=9, may_wait=True).wait_s == 7
    assert len(tick(first.state, done, chunks=chunks).send) == 4  # where the window alone bounds what runs


def test_few_long_chunks_are_open_and_each_may_become_as_many_tasks_as_it_has_slices():
    """Of chunks of 100 slices one more is enough for 4 workers; one for each would end in long chains."""
    chunks = [ChunkId(seq, 10) for seq in range(100)]
    state = TickState(n_dispatched=1)
    sent = tick(state, [answer_whole(chunks[0], 3_000_000)], depth=4, chunks=chunks, may_wait=True).send
    assert [message.chunk.seq for message in sent] == [1]
    assert sent[0].share == ENDLESS


def test_idle_workers_get_chunks_whatever_was_thought_of_their_length():
    chunks = [ChunkId(seq, 10) for seq in range(100)]
    state = TickState(n_dispatched=2)
    outcomes = [answer_whole(chunks[0], 3_000_000)]
    assert len(tick(state, outcomes, depth=1, chunks=chunks, may_wait=True).send) == 3
    assert len(tick(state, outcomes, depth=9, chunks=chunks, may_wait=True).send) == 0


def test_tick_comes_as_often_as_what_runs_pays_for():
    """At 100 workers a minute's wait at the end costs more than ten ticks; at 2 it is the reverse."""
    longest = [tick(TickState(n_ticks=50), depth=1, window=window).wait_s for window in (2, 20, 100, 1000)]
    assert longest == [LONGEST_WAIT_S, 30, 6, SHORTEST_WAIT_S]
    assert [choose_wait(50, 500, n_keys) for n_keys in (0, 200_000, 2_000_000)] == [5, 19, LONGEST_WAIT_S]


def test_chunks_that_are_answered_take_no_room_in_the_window():
    """A run that is taken up again at its end must not tick its way through what is done."""
    outcomes = [OutcomeKey("match", chunk, chunk.all_records, "a", "small", 1, 0, 1) for chunk in CHUNKS[:9]]
    assert [message.chunk for message in tick(TickState(), outcomes, window=2).send] == CHUNKS[9:11]


def test_gaps_of_which_nothing_comes_are_given_up():
    """Tasks that vanish without a trace must not be paid for until somebody looks."""
    state, n_sent = TickState(), 0
    for _ in range(200):
        plan = tick(state, chunks=CHUNKS[:1])
        state, n_sent = plan.state, n_sent + len(plan.send)
        if plan.is_stuck:
            break
    assert plan.is_stuck
    assert n_sent < 20


def test_run_that_gains_a_record_now_and_then_is_not_stuck():
    chunk = ChunkId(0, 50)
    state, outcomes = TickState(), []
    for number in range(50):
        for _ in range(5):
            plan = tick(state, outcomes, chunks=[chunk])
            state = plan.state
            assert not plan.is_stuck
        spans = SpanSet.range(number, number + 1)
        outcomes.append(OutcomeKey("match", chunk, spans, f"{number:06d}", "small", 5, 0, 1))


@settings(max_examples=30)
@given(st.data(), st.integers(1, 9), st.integers(1, 12))
def test_shares_of_a_rate_never_add_up_to_more_than_all_of_it(data, window, n_chunks):
    """Each task begins its share of the records: whatever comes and goes, together they keep the rate."""
    chunks, state, outcomes, in_flight = CHUNKS[:n_chunks], TickState(), [], []
    before = tick(state, chunks=chunks[:1], window=window, is_sealed=False, is_rated=True)
    assert before.send == ()  # more chunks may come, and shares would have been given away
    while not (plan := tick(state, outcomes, len(in_flight), window, chunks, is_rated=True)).is_complete:
        state = plan.state
        in_flight += plan.send
        assert 0 < sum(message.share for message in in_flight) <= window
        message = in_flight.pop(data.draw(st.integers(0, len(in_flight) - 1)))
        done, rest = message.spans.take(data.draw(st.integers(1, len(message.spans))))
        outcomes.append(answer(message, len(outcomes), done))
        in_flight += hand_back(message, [replace(message.task, spans=rest)], record_s=5.0, slice_s=10.0)
        assert sum(message.share for message in in_flight) <= window


def test_a_task_has_the_part_of_a_rate_that_its_share_is_of_the_window():
    """Four threads keep up with 4 records a second: of 20 a second there are five tasks."""
    settings = {"window": 100, "threads": None, "rate": None}
    legs = split_legs([StageNote("match", threads=4, rate="20/s")])
    assert share_rate(legs, "match", 2, settings) == 20 * 2 / 5
    for own, per_s in (({"rate": "600/min"}, 10 * 2 / 3), ({"threads": 20}, 20.0), ({"window": 3}, 40 / 3)):
        assert share_rate(legs, "match", 2, settings | own) == pytest.approx(per_s)
    assert share_rate(split_legs([StageNote("match")]), "match", 2, settings) == 0
