"""What a tick decides: every record is asked for, the window holds, what is lost is sent again."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.coverage import measure_coverage
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from aliquot.tally import (
    DRAIN_WAIT_S,
    LONGEST_WAIT_S,
    SHORTEST_WAIT_S,
    TickState,
    plan_drain,
    plan_tick,
)

CHUNKS = [ChunkId(seq, 4 + seq) for seq in range(12)]


def answer(message: TaskMessage, number: int, spans: SpanSet | None = None) -> OutcomeKey:
    return OutcomeKey("match", message.chunk, spans or message.spans, f"{number:06d}", "small", 5, 0, 1)


def tick(state, outcomes=(), depth=0, window=4, chunks=CHUNKS, is_sealed=True):
    coverage = measure_coverage(chunks, outcomes)
    return plan_tick("run-1", "match", chunks, is_sealed, coverage, depth, window, "small", state)


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
