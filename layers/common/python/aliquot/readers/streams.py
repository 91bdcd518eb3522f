"""A source's bytes, decompressed, and how far into the file they reach.

Owns opening, gzip and what reading may raise. Imports the standard library, `aliquot.errors` and its
neighbours. When it is wrong, a damaged file passes for a short one.
"""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, Protocol

from aliquot.errors import DatasetError
from aliquot.readers.sources import STDIN, Source

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 64 << 10
WINDOW_BYTES = 4 << 20  # of an object that is fetched by ranges: about a tenth of a second each

Opener = Callable[[Source], BinaryIO]


class Readable(Protocol):
    """What a stream reads from: a file, gzip's, or stdin with its first bytes put back."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Stream:
    """A source being read; `head` is its beginning, not yet read.

    `read` passes on what gzip and the system raise, as `DatasetError`.
    """

    def __init__(self, path: str, body: Readable, raw: BinaryIO | None, size_bytes: int | None) -> None:
        self.path, self._raw, self._size_bytes = path, raw, size_bytes
        self._n_read = 0
        self._body: Readable = body
        self._body = _Preceded(self._read_head(), body)

    @property
    def head(self) -> bytes:
        """The first bytes: at least the first line, where it is shorter than 64 KiB."""
        return self._body.head if isinstance(self._body, _Preceded) else b""

    @property
    def fraction(self) -> float | None:
        """How far through the file the reading is, 0 to 1, by (compressed) position; None for stdin."""
        if self._raw is None or self._size_bytes is None:
            return None
        return min(1.0, self._raw.tell() / self._size_bytes) if self._size_bytes else 1.0

    def read(self, size: int) -> bytes:
        """At most `size` bytes of the decompressed text; none at the end."""
        try:
            piece = self._body.read(size)
        except EOFError as err:
            raise self._fail("the gzip stream is cut short") from err
        except (zlib.error, OSError) as err:
            raise self._fail(f"cannot be read on: {err}") from err
        self._n_read += len(piece)
        return piece

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and b"\n" not in head and (piece := self.read(HEAD_BYTES)):
            head += piece
        self._n_read = 0
        return head

    def _fail(self, reason: str) -> DatasetError:
        place = f"{self._n_read:,} bytes of text were read"
        if self._raw is not None and self._size_bytes is not None:
            place += f", to byte {self._raw.tell():,} of {self._size_bytes:,} of the file"
        return DatasetError(self.path, f"{reason} ({place}): copy or download it again")


class _Preceded:
    """A body with the bytes that were read from it to look at put back."""

    def __init__(self, head: bytes, body: Readable) -> None:
        self.head, self._body = head, body

    def read(self, size: int, /) -> bytes:
        if not self.head:
            return self._body.read(size)
        piece, self.head = self.head[:size], self.head[size:]
        return piece


class _Unzipped:
    """What a gzip stream holds, up to the place where it is damaged; the damage is raised after that."""

    def __init__(self, file: GzipFile) -> None:
        self._file = file
        self._damage: Exception | None = None

    def read(self, size: int, /) -> bytes:
        pieces: list[bytes] = []
        try:
            while size > 0 and self._damage is None and (piece := self._file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
        except (EOFError, zlib.error, OSError) as err:  # gzip.BadGzipFile is an OSError
            self._damage = err
        if self._damage is not None and not pieces:
            raise self._damage
        return b"".join(pieces)


class _Piped:
    """Stdin, given on as it arrives instead of waiting for a whole block."""

    def __init__(self, stdin: BinaryIO) -> None:
        self._read1 = getattr(stdin, "read1", stdin.read)

    def read(self, size: int, /) -> bytes:
        piece: bytes = self._read1(size)
        return piece


class _Cut:
    """A body without what comes before byte `begin` and from byte `end` on."""

    def __init__(self, body: Readable, begin: int, end: int | None) -> None:
        self._body, self._at, self._begin, self._end = body, 0, begin, end

    def read(self, size: int, /) -> bytes:
        while self._at < self._begin:
            skipped = len(self._body.read(min(WINDOW_BYTES, self._begin - self._at)))
            if not skipped:
                return b""
            self._at += skipped
        if self._end is not None:
            size = min(size, self._end - self._at)
        piece = self._body.read(size) if size > 0 else b""
        self._at += len(piece)
        return piece


def open_file(source: Source) -> BinaryIO:
    """The file that a source's path names."""
    return Path(source.path).open("rb")


def buffer_windows(file: BinaryIO, window_bytes: int = WINDOW_BYTES) -> BinaryIO:
    """The same file, in large pieces where each is fetched from elsewhere."""
    return io.BufferedReader(file, window_bytes) if isinstance(file, io.RawIOBase) else file


@contextmanager
def open_stream(
    source: Source,
    stdin: BinaryIO | None = None,
    opener: Opener = open_file,
    begin: int = 0,
    end: int | None = None,
    window_bytes: int = WINDOW_BYTES,
) -> Iterator[Stream]:
    """The source's text as a stream.

    Args:
        source: what to open; closed again at the end, stdin excepted.
        stdin: what "-" reads; the process's own by default. Gzip is known by its first two bytes there.
        opener: gives a source's bytes as a file in which one can seek; what it gives raw is read in windows.
        begin, end: bytes of the text, unpacked. Gzip is unpacked from its beginning all the same.
        window_bytes: size of the pieces in which what is raw is read.

    Raises:
        DatasetError: the file cannot be opened, or not read to its end.
    """
    with ExitStack() as stack:
        if source.path == STDIN:
            yield _open_stdin(stdin or sys.stdin.buffer)
            return
        try:
            raw = stack.enter_context(opener(source))
        except OSError as err:
            raise DatasetError(source.path, f"cannot be opened: {err.strerror}") from err
        raw = buffer_windows(raw, window_bytes)
        body: Readable = raw
        if source.is_gzip:
            body = _Cut(_Unzipped(GzipFile(fileobj=raw, mode="rb")), begin, end)
        elif begin or end is not None:
            raw.seek(begin)
            body = _Cut(raw, 0, None if end is None else end - begin)
        yield Stream(source.path, body, raw, source.size_bytes)


def _open_stdin(stdin: BinaryIO) -> Stream:
    piped = _Piped(stdin)
    first = piped.read(2) or b""
    if len(first) == 1:
        first += piped.read(1)
    whole = _Preceded(first, piped)
    is_gzip = first == GZIP_MAGIC
    body: Readable = _Unzipped(GzipFile(fileobj=whole, mode="rb")) if is_gzip else whole  # type: ignore[call-overload]
    return Stream(STDIN, body, None, None)
