"""Frames over real pipes: whole, in order, and never trusted."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot import frames
from aliquot.codec import pack
from aliquot.errors import Undecodable
from aliquot.frames import Channel, pack_frame, read_frame, write_frame


@dataclass
class Pipes:
    """A supervisor's channel, and the host's two ends."""

    channel: Channel
    host_reads: int
    host_writes: int


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    host_reads, to_host = os.pipe()
    from_host, host_writes = os.pipe()
    made = Pipes(Channel(to_host, from_host), host_reads, host_writes)
    yield made
    made.channel.close()
    for fd in (made.host_reads, made.host_writes):
        if fd >= 0:
            os.close(fd)


def test_a_frame_larger_than_the_pipe_passes_both_ways(pipes: Pipes) -> None:
    """Chunks are megabytes and a pipe holds one at most: the supervisor must not block, the host must."""
    frame = {"op": "chunk", "body": bytes(1 << 20)}
    pipes.channel.send(frame)
    pipes.channel.send({"op": "step"})
    assert pipes.channel.has_unsent
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.extend(read_frame(pipes.host_reads) for _ in range(2)))
    reader.start()
    while pipes.channel.has_unsent:
        pipes.channel.flush()
    reader.join()
    assert got == [frame, {"op": "step"}]
    writer = threading.Thread(target=write_frame, args=(pipes.host_writes, frame))
    writer.start()
    received: list[object] = []
    while not received:
        received += pipes.channel.receive()
    writer.join()
    assert received == [frame]


def test_room_grows_with_what_comes_not_with_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A length of 1 GiB is no reason to take as much; frames beyond what is taken at once come whole."""
    monkeypatch.setattr(frames, "_READ_BYTES", 100)
    monkeypatch.setattr(frames, "_MOST_AT_ONCE_BYTES", 1000)
    host_reads, to_host = os.pipe()
    from_host, host_writes = os.pipe()
    channel = Channel(to_host, from_host)
    sizes = (10, 70_000, 499, 3000)
    sent = [{"n": size, "body": os.urandom(size), "parts": [b"x" * size, 1]} for size in sizes]
    for frame in sent:
        assert pack_frame(frame)[4:] == pack(frame)
        write_frame(host_writes, frame)
    received: list[object] = []
    while len(received) < len(sent):
        received += channel.receive()
    for frame in sent:
        channel.send(frame)
    assert received == [read_frame(host_reads) for _ in sent] == sent
    channel.close()
    os.close(host_reads)
    os.close(host_writes)


@given(st.lists(st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2), max_size=5), st.data())
def test_frames_come_whole_however_bytes_arrive(frames: list[dict[str, int]], data: st.DataObject) -> None:
    read_end, write_end = os.pipe()
    unread, to_host = os.pipe()
    channel = Channel(to_host, read_end)
    body = b"".join(map(pack_frame, frames))
    received, at = [], 0
    while at < len(body):
        size = data.draw(st.integers(1, len(body) - at))
        os.write(write_end, body[at : at + size])
        at += size
        received += channel.receive()
    assert received == frames
    channel.close()
    os.close(write_end)
    os.close(unread)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">I", 0),
        struct.pack(">I", (1 << 30) + 1),
        b"\xff" * 64,
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 1) + b"\x07",
        struct.pack(">I", 2) + b"\x91\x01",
    ],
    ids=["empty", "too-long", "garbage", "no-msgpack", "a-number", "a-list"],
)
def test_bytes_that_are_no_frame_are_refused_at_both_ends(pipes: Pipes, body: bytes) -> None:
    os.write(pipes.host_writes, body)
    with pytest.raises(Undecodable):
        pipes.channel.receive()
    read_end, write_end = os.pipe()
    os.write(write_end, body)
    with pytest.raises(Undecodable):
        read_frame(read_end)
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("length", [1, 3, 4, 6])
def test_a_pipe_that_ends_inside_a_frame_is_told(length: int) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, pack_frame({"op": "step"})[:length])
    os.close(write_end)
    with pytest.raises(Undecodable, match="ended inside"):
        read_frame(read_end)
    os.close(read_end)


def test_a_host_that_is_gone_is_seen_and_not_raised(pipes: Pipes) -> None:
    os.close(pipes.host_reads)
    os.close(pipes.host_writes)
    pipes.host_reads = pipes.host_writes = -1
    pipes.channel.send({"op": "step"})
    assert not pipes.channel.has_unsent
    assert pipes.channel.receive() == []
    assert pipes.channel.is_ended
