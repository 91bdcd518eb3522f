"""Readers of what others send: frames of hosts, tasks, events of the inbox, requests.

Owns these targets. Imports the core.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from aliquot.codec import pack
from aliquot.envelope import Part
from aliquot.errors import Undecodable
from aliquot.frames import Channel, pack_frame, read_frame
from aliquot.inbox import Dropped
from aliquot.lane import Task
from aliquot.message import TaskMessage, hand_back
from aliquot.protocol import check_frames
from aliquot.request_file import RequestRefused, RunRequest
from aliquot.rows import Block
from aliquot.spans import SpanSet
from benchmarks.fuzz.forge import dump_json, join, load_json, split
from benchmarks.fuzz.objects import BLOCK, CHUNK
from benchmarks.fuzz.targets import JSON, Target, as_it_is

TASK = TaskMessage("june", "work", CHUNK, CHUNK.all_records, share=4)
ANSWER = {
    "op": "answer",
    "first": 0,
    "end": 3,
    "block": [BLOCK.pack().stored, BLOCK.pack().crc, BLOCK.pack().plain_bytes],
    "rows": 2,
    "kinds": {"n": ["int"]},
    "failures": [[1, "crash", "why", ""]],
    "wall_ns": 1,
    "cpu_ns": 1,
}


def _ask_frames(body: bytes) -> None:
    """Frames as a host writes them: cut by the fuzzer's lengths, and as they come."""
    for said in (body, b"".join(len(item).to_bytes(4, "big") + item for item in split(body, 3) if item)):
        for receive in (_receive, _read_blocking):
            with suppress(Undecodable):
                for frame in receive(said[: 60 << 10]):
                    assert isinstance(frame, dict)


def _receive(body: bytes) -> list[dict[str, Any]]:
    read_end, write_end = os.pipe()
    channel = Channel(os.dup(write_end), read_end)
    try:
        os.write(write_end, body)
        frames = channel.receive()
        check_frames(frames, {0: (0, 3)})
        for frame in frames:
            if frame["op"] == "answer":
                Block.unpack(Part(*frame["block"]))
        return frames
    finally:
        os.close(write_end)
        channel.close()


def _read_blocking(body: bytes) -> list[dict[str, Any]]:
    read_end, write_end = os.pipe()
    os.write(write_end, body)
    os.close(write_end)
    try:
        return list(iter(lambda: read_frame(read_end), None))
    finally:
        os.close(read_end)


def _seed_frames() -> Iterator[bytes]:
    failed = {"op": "failed", "error": "OpenFailed", "args": ["toy", "why"]}
    broken = {"op": "broken", "chunk": "00000000.3", "reason": "why"}
    frames = ({"op": "opened"}, ANSWER, failed, broken)
    yield from map(pack_frame, frames)
    yield join(*(pack(frame) for frame in frames[:3]))


def _ask_message(body: bytes) -> None:
    for text in (base64.b64encode(body).decode(), body.decode("utf-8", "replace")):
        with suppress(Undecodable):
            message = TaskMessage.from_text(text)
            assert 0 < len(message.spans) <= message.chunk.n_records
            assert TaskMessage.from_text(message.to_text()) == message
            children = hand_back(message, [Task(message.chunk, message.spans)], 1.0, 30.0)
            assert len(children) <= 8
            assert not children or SpanSet.of(s for c in children for s in c.spans.spans) == message.spans


def _seed_message() -> Iterator[bytes]:
    yield base64.b64decode(TASK.to_text())
    yield TASK.to_text().encode()
    yield pack([1, "june", "work", "00000000.100", "0-3+5-100", 2, 3, 4, "large", True])


def _ask_event(body: bytes) -> None:
    dropped = Dropped.read(load_json(body))
    assert dropped.url
    assert isinstance(dropped.version, str)


def _seed_event() -> Iterator[bytes]:
    found = {"key": "a.run.json", "size": 10, "etag": "abc", "sequencer": "01"}
    for more in ({}, {"version-id": "v1"}):
        yield dump_json({"detail": {"bucket": {"name": "inbox"}, "object": {**found, **more}}})


def _ask_request(body: bytes) -> None:
    request = RunRequest.from_bytes(body)
    assert request.job
    assert all(isinstance(item, str) for item in (*request.data, *request.keep))
    json.dumps(asdict(request)).encode()


def _seed_request() -> Iterator[bytes]:
    wanted = {
        "format": "aliquot/request/1",
        "job": "crossref",
        "data": ["june/*.rsmi.gz"],
        "options": {"templates": {"sha256": "a" * 64}},
        "columns": {"reaction": "rxn"},
        "keep": ["a"],
        "package": "0" * 64,
        "budget_usd": 5,
        "budget_time_s": 60.5,
        "record_timeout_s": 3,
        "max_failed": "5%",
        "window": 7,
    }
    yield dump_json(wanted)
    yield dump_json({name: wanted[name] for name in ("format", "job", "data")})


MESSAGES = (
    Target("frames", as_it_is(_ask_frames), _seed_frames, (Undecodable,), tuple(ANSWER), n_items=3),
    Target("message", as_it_is(_ask_message), _seed_message, (Undecodable,), ("0-3", "00000000.3", "june")),
    Target("event", as_it_is(_ask_event), _seed_event, (Undecodable,), ("version-id", *JSON)),
    Target("request", as_it_is(_ask_request), _seed_request, (RequestRefused,), ("budget_time_s", *JSON)),
)
