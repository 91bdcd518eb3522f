"""Which messages a receive gives out."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rehearsal.receive import MAX_BATCH_BYTES, Waiting, plan_receive

READY = Waiting(group=None, receives=0, size_bytes=10, is_visible=True, is_in_flight=False)
HIDDEN = replace(READY, is_visible=False, is_in_flight=True)

messages = st.lists(
    st.builds(
        Waiting,
        group=st.sampled_from([None, "a", "b", "c"]),
        receives=st.integers(0, 4),
        size_bytes=st.integers(1, 3_000_000),
        is_visible=st.booleans(),
        is_in_flight=st.booleans(),
    ).map(lambda each: replace(each, is_in_flight=each.is_in_flight and not each.is_visible)),
    max_size=12,
)


@given(messages, st.integers(1, 10), st.none() | st.integers(1, 3), st.booleans())
def test_receive_gives_each_visible_message_at_most_once_and_within_limits(rows, limit, most, is_fifo):
    receipt = plan_receive(rows, limit, most, is_fifo=is_fifo)
    touched = [*receipt.deliver, *receipt.redrive]
    assert len(set(touched)) == len(touched)
    assert all(rows[index].is_visible for index in touched)
    assert len(receipt.deliver) <= limit
    assert all(most is None or rows[index].receives < most for index in receipt.deliver)
    assert all(most is not None and rows[index].receives >= most for index in receipt.redrive)
    sizes = [rows[index].size_bytes for index in receipt.deliver]
    assert len(sizes) <= 1 or sum(sizes) <= MAX_BATCH_BYTES


@given(messages, st.integers(1, 10))
def test_fifo_never_gives_a_message_before_an_older_one_of_its_group(rows, limit):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html"""
    given_out = plan_receive(rows, limit, None, is_fifo=True).deliver
    for index in given_out:
        older = [each for each in range(index) if rows[each].group == rows[index].group]
        assert all(each in given_out for each in older)


@given(messages, st.integers(1, 10))
def test_receive_gives_something_when_there_is_something(rows, limit):
    assert bool(plan_receive(rows, limit, None, is_fifo=False).deliver) == any(
        each.is_visible for each in rows
    )


def test_without_groups_the_oldest_comes_first():
    assert plan_receive([HIDDEN, READY, READY, READY], 2, None, is_fifo=False).deliver == (1, 2)


def test_group_with_nothing_in_flight_comes_first():
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html"""
    rows = [replace(HIDDEN, group="busy"), *[replace(READY, group="busy")] * 3, replace(READY, group="quiet")]
    assert plan_receive(rows, 3, None, is_fifo=False).deliver == (4, 1, 2)


def test_message_at_its_last_receive_leaves_for_the_dead_letter_queue():
    rows = [replace(READY, receives=3), replace(READY, receives=2)]
    receipt = plan_receive(rows, 10, 3, is_fifo=False)
    assert (receipt.deliver, receipt.redrive) == ((1,), (0,))
