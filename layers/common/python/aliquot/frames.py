"""Frames on a pipe: a length (u32, big-endian) and that many bytes of msgpack.

The whole protocol between a supervisor and a host travels in these; docs/host-protocol.md describes it for
other languages. Owns the framing, for blocking and for non-blocking ends. Imports `codec`.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections import deque
from contextlib import suppress
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.envelope import Buffer
from aliquot.errors import Undecodable

LARGEST_FRAME_BYTES = 1 << 30
_LENGTH = struct.Struct(">I")
_READ_BYTES = 1 << 20
_SHOWN_BYTES = 60  # of what is no frame: whoever wrote it has mostly said why
_PIPE_BYTES = 1 << 20  # as much as Linux lets a user have; 64 KiB make a chunk sixteen writes and wakings

_LONG_BYTES = 1 << 16  # of bytes in a frame: these are written from where they lie
_MOST_SHORT = 15  # items of a list, or a map, that msgpack's first byte counts
_BYTES_32, _MAP_16 = struct.Struct(">BI"), struct.Struct(">BH")
_MOST_AT_ONCE_BYTES = 64 << 20  # room that is made because a length says so, and not as the bytes come

Frame = dict[str, Any]


def pack_frame(frame: Frame) -> bytes:
    """A frame's bytes, length first."""
    return b"".join(_list_pieces(frame))


def write_frame(fd: int, frame: Frame) -> None:
    """Write a frame to a blocking pipe; raises BrokenPipeError when nobody reads."""
    for piece in _list_pieces(frame):
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]


def read_frame(fd: int) -> Frame | None:
    """Read a frame from a blocking pipe; None at its end. Raises Undecodable where it is cut short."""
    head = _read_exactly(fd, _LENGTH.size)
    if not head:
        return None
    body = _read_exactly(fd, _check_length(_LENGTH.unpack(head)[0]))
    if not body:
        raise Undecodable("frame", "the pipe ended inside it")
    return _as_frame(memoryview(body))


class Channel:
    """The supervisor's end of a host's two pipes; never blocks.

    Args:
        to_host: descriptor that is written to.
        from_host: descriptor that is read from; `fileno` gives it to a selector.
        largest_bytes: what claims to be a longer frame is none.
    """

    def __init__(self, to_host: int, from_host: int, largest_bytes: int = LARGEST_FRAME_BYTES) -> None:
        self._to_host, self._from_host, self._largest_bytes = to_host, from_host, largest_bytes
        os.set_blocking(to_host, False)
        os.set_blocking(from_host, False)
        _widen(to_host)
        _widen(from_host)
        self._outgoing: deque[memoryview] = deque()
        self._incoming, self._n_incoming = bytearray(_READ_BYTES), 0
        self.is_ended = False

    def fileno(self) -> int:
        """The descriptor to wait on for frames."""
        return self._from_host

    @property
    def writer(self) -> int:
        """The descriptor to wait on while `has_unsent`."""
        return self._to_host

    @property
    def has_unsent(self) -> bool:
        """Whether bytes wait for room in the pipe."""
        return bool(self._outgoing)

    def send(self, frame: Frame) -> None:
        """Queue a frame and write what the pipe takes now."""
        self._outgoing += map(memoryview, _list_pieces(frame))
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes now."""
        while self._outgoing:
            try:
                written = os.write(self._to_host, self._outgoing[0])
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._outgoing.clear()  # its end is seen on the other pipe
                return
            rest = self._outgoing[0][written:]
            if rest:
                self._outgoing[0] = rest
            else:
                self._outgoing.popleft()

    def receive(self) -> list[Frame]:
        """The frames that have arrived whole; sets `is_ended` at the pipe's end."""
        frames: list[Frame] = []
        while True:
            try:
                with memoryview(self._incoming) as view, view[self._n_incoming :] as room:
                    n_got = os.readv(self._from_host, [room])
            except BlockingIOError:
                break
            if not n_got:
                self.is_ended = True
                break
            self._n_incoming += n_got
            frames += self._take_whole_frames()
        return frames

    def end_writing(self) -> None:
        """Have the reader meet its end; what was sent has gone, for it is not sent by halves."""
        os.close(self._to_host)
        self._to_host = -1

    def close(self) -> None:
        """Close both pipes."""
        if self._to_host >= 0:
            os.close(self._to_host)
        os.close(self._from_host)

    def _take_whole_frames(self) -> list[Frame]:
        frames: list[Frame] = []
        at = wanted = 0
        with memoryview(self._incoming) as room, room[: self._n_incoming] as view:
            while len(view) - at >= _LENGTH.size:
                length = _LENGTH.unpack_from(view, at)[0]
                end = at + _LENGTH.size + self._check_length(length, view[at : at + _SHOWN_BYTES])
                if end > len(view):
                    wanted = end - at
                    break
                with view[at + _LENGTH.size : end] as body:
                    frames.append(_as_frame(body))
                at = end
        self._keep_from(at, wanted)
        return frames

    def _keep_from(self, at: int, wanted: int) -> None:
        """Have what came from `at` on stand at the beginning, with room for a frame of `wanted` bytes."""
        held = self._incoming[at : self._n_incoming]
        self._n_incoming = len(held)
        room = max(_READ_BYTES, min(wanted, _MOST_AT_ONCE_BYTES), 2 * len(held))
        if room > len(self._incoming) or (not held and len(self._incoming) > _MOST_AT_ONCE_BYTES):
            self._incoming = bytearray(room)
        self._incoming[: len(held)] = held

    def _check_length(self, length: int, begins: memoryview) -> int:
        with begins:
            if not 0 < length <= self._largest_bytes:
                said = f"says that it is {length} bytes long, beginning with {bytes(begins)!r}"
                raise Undecodable("frame", said)
        return length


def _list_pieces(frame: Frame) -> list[Buffer]:
    """A frame's bytes, length first, in pieces one behind the other: long bytes in it are not copied."""
    pieces: list[Buffer] = []
    small = bytearray()

    def add(value: Any) -> None:
        if _is_long(value):
            small.extend(_BYTES_32.pack(0xC6, len(value)))
            pieces.extend((bytes(small), value))
            small.clear()
        elif _holds_long(value):
            small.append(0x90 | len(value))
            for item in value:
                add(item)
        else:
            small.extend(pack(value))

    if type(frame) is dict and any(_is_long(value) or _holds_long(value) for value in frame.values()):
        small.extend(
            _MAP_16.pack(0xDE, len(frame)) if len(frame) > _MOST_SHORT else bytes((0x80 | len(frame),))
        )
        for name, value in frame.items():
            small.extend(pack(name))
            add(value)
    else:
        small.extend(pack(frame))
    pieces.append(bytes(small))
    return [_LENGTH.pack(sum(map(len, pieces))), *pieces]


def _holds_long(value: Any) -> bool:
    """Whether there are long bytes in a short list."""
    return type(value) is list and len(value) <= _MOST_SHORT and any(map(_is_long, value))


def _is_long(value: Any) -> bool:
    return isinstance(value, bytes | memoryview) and len(value) >= _LONG_BYTES


def _widen(pipe: int) -> None:
    """Let a pipe hold a chunk, where the system has it and the user may."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _as_frame(body: memoryview) -> Frame:
    frame = unpack(body, "frame")
    if not isinstance(frame, dict):
        raise Undecodable("frame", f"is a {type(frame).__name__}, not a map")
    return frame


def _check_length(length: int) -> int:
    if not 0 < length <= LARGEST_FRAME_BYTES:
        raise Undecodable("frame", f"says that it is {length} bytes long")
    return length


def _read_exactly(fd: int, count: int) -> bytearray:
    """`count` bytes, or none at the pipe's end."""
    got, n_got = bytearray(min(count, _MOST_AT_ONCE_BYTES)), 0
    while n_got < count:
        if n_got == len(got):
            got.extend(bytes(min(count - n_got, _MOST_AT_ONCE_BYTES)))
        with memoryview(got) as view, view[n_got:] as room:
            n_more = os.readv(fd, [room])
        if not n_more:
            if n_got:
                raise Undecodable("frame", "the pipe ended inside it")
            return bytearray()
        n_got += n_more
    return got
