"""Tasks as messages: they read back, hostile ones are refused, a hand-back covers the rest once."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.codec import pack
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.message import ENDLESS, MOST_CHILDREN, TaskMessage, hand_back
from aliquot.spans import SpanSet

CHUNK = ChunkId(3, 1000)

span_sets = st.sets(st.integers(0, 999), min_size=1).map(SpanSet.of_indices)


@given(spans=span_sets, epoch=st.integers(0, 9), hops=st.integers(0, 99), share=st.integers(1, 99))
def test_message_reads_back(spans, epoch, hops, share):
    message = TaskMessage("run-1", "match", CHUNK, spans, epoch, hops, share)
    assert TaskMessage.from_text(message.to_text()) == message
    source = OutcomeKey("first", CHUNK, CHUNK.all_records, "a", "small", 1, 0, 1)
    later = replace(message, leg="legs/2/0123456789abcdef/", source=source)
    assert TaskMessage.from_text(later.to_text()) == later


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode()))
def test_hostile_message_is_refused(text):
    """A queue may hold anything; what is read must be a task or a refusal."""
    with pytest.raises(Undecodable):
        TaskMessage.from_text(text)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (1, "../run"),
        (2, "a/b"),
        (3, "chunks/../x"),
        (3, 7),
        (4, "0-1001"),
        (4, ""),
        (4, "5-0"),
        (5, -1),
        (5, "0"),
        (7, 1 << 31),
        (8, "../small"),
        (8, 3),
        (9, 1),
        (10, "legs/0/0123456789abcdef/"),
        (10, "legs/1/../"),
        (10, 3),
        (11, "outcomes/x"),
        (11, 7),
        (11, f"outcomes/match/{CHUNK}/0-1~a.small.1.0.1"),
        (11, "outcomes/match/00000009.1000/0-1000~a.small.1.0.1"),
    ],
)
def test_message_with_a_field_that_cannot_be_is_refused(place, value):
    fields = [1, "run", "match", str(CHUNK), "0-5", 0, 0, 1, "small", False, "", ""]
    assert TaskMessage.from_text(spell(fields)).spans == SpanSet.range(0, 5)
    fields[place] = value
    with pytest.raises(Undecodable):
        TaskMessage.from_text(spell(fields))


def spell(fields):
    return base64.b64encode(pack(fields)).decode()


@given(
    spans=span_sets,
    cut=st.integers(0, 1000),
    share=st.integers(1, 200),
    record_s=st.floats(0, 100),
    slice_s=st.floats(0.1, 30),
)
def test_hand_back_covers_the_rest_once(spans, cut, share, record_s, slice_s):
    """A record in two follow-ups is paid twice; one in none is lost until a repair."""
    head, tail = spans.take(min(cut, len(spans)))
    rest = [Task(CHUNK, part) for part in (head, tail)]
    message = TaskMessage("run-1", "match", CHUNK, spans, hops=4, share=share)
    children = hand_back(message, rest, record_s, slice_s)
    assert sum(len(child.spans) for child in children) == len(spans)
    assert SpanSet.of(span for child in children for span in child.spans.spans) == spans
    assert all(child.spans for child in children)
    assert {child.hops for child in children} == {5}
    assert len(children) <= min(MOST_CHILDREN, share, len(spans))
    assert sum(child.share for child in children) <= share


def test_hand_back_grows_with_what_is_left():
    """One chunk of much work becomes as many tasks as it has slices, within its share of the window."""
    rest = [Task(CHUNK, CHUNK.all_records)]
    message = TaskMessage("run-1", "match", CHUNK, CHUNK.all_records, share=100)
    assert len(hand_back(message, rest, record_s=0.001, slice_s=30)) == 1
    assert len(hand_back(message, rest, record_s=0.12, slice_s=30)) == 4
    assert len(hand_back(message, rest, record_s=10, slice_s=30)) == MOST_CHILDREN
    assert hand_back(message, [], record_s=1, slice_s=30) == []


def test_share_without_end_is_not_divided():
    """Divided, it would be used up some hand-backs later, and long records run one after the other again."""
    message = TaskMessage("run-1", "match", CHUNK, CHUNK.all_records, share=ENDLESS)
    children = hand_back(message, [Task(CHUNK, CHUNK.all_records)], record_s=0.12, slice_s=30)
    assert [child.share for child in children] == [ENDLESS] * 4
    assert TaskMessage.from_text(children[0].to_text()) == children[0]
