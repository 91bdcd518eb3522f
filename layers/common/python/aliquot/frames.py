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
from aliquot.errors import Undecodable

LARGEST_FRAME_BYTES = 1 << 30
_LENGTH = struct.Struct(">I")
_READ_BYTES = 1 << 20
_SHOWN_BYTES = 60  # of what is no frame: whoever wrote it has mostly said why
_PIPE_BYTES = 1 << 20  # as much as Linux lets a user have; 64 KiB make a chunk sixteen writes and wakings

Frame = dict[str, Any]


def pack_frame(frame: Frame) -> bytes:
    """A frame's bytes, length first."""
    body = pack(frame)
    return _LENGTH.pack(len(body)) + body


def write_frame(fd: int, frame: Frame) -> None:
    """Write a frame to a blocking pipe; raises BrokenPipeError when nobody reads."""
    view = memoryview(pack_frame(frame))
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
        self._incoming = bytearray()
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
        self._outgoing.append(memoryview(pack_frame(frame)))
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
        while True:
            try:
                got = os.read(self._from_host, _READ_BYTES)
            except BlockingIOError:
                break
            if not got:
                self.is_ended = True
                break
            self._incoming += got
        return self._take_whole_frames()

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
        at = 0
        with memoryview(self._incoming) as view:
            while len(view) - at >= _LENGTH.size:
                length = _LENGTH.unpack_from(view, at)[0]
                end = at + _LENGTH.size + self._check_length(length, view[at : at + _SHOWN_BYTES])
                if end > len(view):
                    break
                with view[at + _LENGTH.size : end] as body:
                    frames.append(_as_frame(body))
                at = end
        del self._incoming[:at]
        return frames

    def _check_length(self, length: int, begins: memoryview) -> int:
        with begins:
            if not 0 < length <= self._largest_bytes:
                said = f"says that it is {length} bytes long, beginning with {bytes(begins)!r}"
                raise Undecodable("frame", said)
        return length


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
    got = bytearray()
    while len(got) < count:
        more = os.read(fd, min(count - len(got), _READ_BYTES))
        if not more:
            if got:
                raise Undecodable("frame", "the pipe ended inside it")
            return got
        got += more
    return got
