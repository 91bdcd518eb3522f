"""Rosters, tasks, keys, frames, events and requests of any kind: read, or refused by one error."""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.codec import pack, unpack
from aliquot.errors import Undecodable
from aliquot.frames import Channel, pack_frame
from aliquot.inbox import Dropped
from aliquot.keys import ChunkId, OutcomeKey, parse_stop
from aliquot.message import TaskMessage
from aliquot.protocol import check_frames
from aliquot.request_file import RequestRefused, RunRequest
from aliquot.roster import Roster
from aliquot.spans import SpanSet
from tests.unit.hostile.anything import ANY_JSON, ANYTHING, QUICK

CHUNK = ChunkId(0, 3)


def _encode(fields: Any) -> str:
    return base64.b64encode(pack(fields)).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


@QUICK
@given(ANY_JSON, st.data())
def test_roster_of_anything(value: Any, data: st.DataObject) -> None:
    sound = {
        "format": "aliquot/roster/1",
        "chunks": [["00000000.3", [["0-3", "outcomes/w/00000000.3/0-3~a.local.1.0.1"]], ""]],
    }
    assert Roster.from_json(json.dumps(sound).encode()).shares
    place = data.draw(st.integers(0, 2))
    chunk = list(sound["chunks"][0])
    chunk[place] = value
    for hostile in (value, {"format": "aliquot/roster/1", "chunks": value}, {**sound, "chunks": [chunk]}):
        with suppress(Undecodable):
            Roster.from_json(json.dumps(hostile).encode())


@pytest.mark.parametrize(
    ("shares", "gap"),
    [
        ([["0-4", "0-3~a.local.1.0.1"]], ""),
        ([["0-2", "0-3~a.local.1.0.1"], ["1-3", "0-3~b.local.1.0.1"]], ""),
        ([["0-3", "0-3~a.local.1.0.1"]], "2-3"),
        ([], "0-9"),
    ],
)
def test_roster_gives_no_record_twice_and_none_that_is_not_there(shares: list[list[str]], gap: str) -> None:
    given = [[spans, f"outcomes/w/00000000.3/{outcome}"] for spans, outcome in shares]
    body = {"format": "aliquot/roster/1", "chunks": [["00000000.3", given, gap]]}
    with pytest.raises(Undecodable, match=r"00000000\.3"):
        Roster.from_json(json.dumps(body).encode())


@QUICK
@given(st.lists(ANYTHING, max_size=11), st.integers(0, 9), ANYTHING)
def test_message_of_anything(fields: list[Any], place: int, value: Any) -> None:
    sound = unpack(_decode(TaskMessage("june", "match", CHUNK, CHUNK.all_records).to_text()))
    forged = [*sound[:place], value, *sound[place + 1 :]]
    for hostile in (fields, forged):
        with suppress(Undecodable):
            message = TaskMessage.from_text(_encode(hostile))
            assert 0 < len(message.spans) <= message.chunk.n_records


@QUICK
@given(st.text(max_size=60))
def test_message_of_any_text(text: str) -> None:
    with pytest.raises(Undecodable):
        TaskMessage.from_text(text)


@pytest.mark.parametrize(
    "fields",
    [
        [1, "june", "match", "00000000.3", "0-9" + "9" * 30, 0, 0, 1, "small", False],
        [1, "june", "match", f"00000000.{10**30}", f"0-{10**30}", 0, 0, 1, "small", False],
        [1, "june", "match", "00000000.٣", "0-3", 0, 0, 1, "small", False],
        [1, "../june", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june/../july", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "a/b", "00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "match", "../00000000.3", "0-3", 0, 0, 1, "small", False],
        [1, "june", "match", "00000000.3", "0-3", 1 << 31, 0, 1, "small", False],
        [1, "june", "match", "00000000.3", "0-3", 0, -1, 1, "small", False],
        [1, "june\n", "match", "00000000.3", "0-3", 0, 0, 1, "small", False],
    ],
)
def test_message_that_asks_for_what_cannot_be_is_refused(fields: list[Any]) -> None:
    with pytest.raises(Undecodable):
        TaskMessage.from_text(_encode(fields))


@QUICK
@given(st.text("0123456789-+./~abz٣\n", max_size=40))
def test_keys_and_spans_read_as_they_are_written_or_not_at_all(text: str) -> None:
    """A key that reads as another would have one object counted for another."""
    for parse, spell in (
        (SpanSet.parse, str),
        (lambda t: OutcomeKey.parse(f"outcomes/w/00000000.3/0-3~{t}"), lambda k: str(k).partition("~")[2]),
    ):
        with suppress(ValueError):
            parsed = parse(text)
            assert len(str(parsed)) < 500
            if parse is SpanSet.parse:
                assert spell(parsed) == text
                assert len(parsed) >= 0
    for read in (ChunkId.parse, parse_stop):
        with suppress(ValueError):
            read(text)


@QUICK
@given(st.lists(ANYTHING | st.dictionaries(st.text(max_size=6), ANYTHING, max_size=4), max_size=3))
def test_frames_of_anything_are_refused_before_they_are_believed(frames: list[Any]) -> None:
    read_end, write_end = os.pipe()
    channel = Channel(os.dup(write_end), read_end)
    try:
        for frame in frames:
            os.write(write_end, pack_frame(frame))
        with suppress(Undecodable):
            got = channel.receive()
            check_frames(got, {0: (0, 3)})
            assert all(frame["op"] in {"answer", "opened", "failed", "broken"} for frame in got)
    finally:
        os.close(write_end)
        channel.close()


ANSWER = {
    "op": "answer",
    "thread": 0,
    "first": 0,
    "end": 3,
    "block": [b"", 0, 0],
    "rows": 0,
    "kinds": {},
    "failures": [],
    "wall_ns": 1,
    "cpu_ns": 1,
}


@pytest.mark.parametrize(
    "lie",
    [
        {"thread": 1},
        {"thread": -1},
        {"thread": None},
        {"thread": True},
        {"thread": [0]},
        {"first": 1},
        {"end": 4},
        {"end": 0},
        {"end": -1},
        {"end": "3"},
        {"end": 2.5},
        {"block": [b"", 0]},
        {"block": ["", 0, 0]},
        {"rows": None},
        {"kinds": {"a": "int"}},
        {"failures": [[7, "crash", "", ""]]},
        {"failures": [[1, "crash", ""]]},
        {"wall_ns": -5},
    ],
)
def test_answer_for_what_was_not_asked_is_refused(lie: dict[str, Any]) -> None:
    """A job that writes to its host's pipe must not answer for records of others."""
    check_frames([ANSWER], {0: (0, 3)})
    with pytest.raises(Undecodable):
        check_frames([ANSWER | lie], {0: (0, 3), 2: (9, 12)})


def test_answer_that_comes_twice_or_unasked_is_refused() -> None:
    for frames, sent in (([ANSWER, ANSWER], {0: (0, 3), 1: (3, 6)}), ([ANSWER], {1: (0, 3)}), ([ANSWER], {})):
        with pytest.raises(Undecodable):
            check_frames(frames, sent)


@QUICK
@given(ANYTHING)
def test_event_of_anything(value: Any) -> None:
    for event in (
        value,
        {"detail": value},
        {"detail": {"bucket": {"name": value}, "object": {"key": value, "etag": value, "size": value}}},
    ):
        with suppress(Undecodable):
            Dropped.read(event)


@pytest.mark.parametrize("field", ["version-id", "sequencer"])
@pytest.mark.parametrize("value", [[], 5, None])
def test_event_of_an_object_whose_version_is_no_text(field: str, value: Any) -> None:
    """Found by `make fuzz`; a run's id is made of it."""
    found = {"key": "a.run.json", "size": 10, "etag": "abc", field: value}
    with pytest.raises(Undecodable):
        Dropped.read({"detail": {"bucket": {"name": "inbox"}, "object": found}})


@pytest.mark.parametrize("field", ["budget_usd", "budget_time_s", "record_timeout_s"])
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_request_with_a_figure_past_all_floats_is_answered(field: str, value: int) -> None:
    """Found by `make fuzz`: an OverflowError, and nobody would have heard why nothing began."""
    request = {"format": "aliquot/request/1", "job": "crossref", "data": "a", field: value}
    with pytest.raises(RequestRefused, match=field):
        RunRequest.from_bytes(json.dumps(request).encode())


@QUICK
@given(st.binary(max_size=80) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_request_of_anything(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        RunRequest.from_bytes(body)
