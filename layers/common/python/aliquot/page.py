"""The shared page on which hosts note how far they are, so that a dead host's culprit is known.

One small file, mapped by the supervisor and its hosts; each thread of a host has a slot of 8-byte words. It
writes its slot before each record that it takes and after each that it answers; the supervisor only reads.
Writes of one aligned word are whole, and that is all that is relied on. Behind the slots lies the word of the
pace that hosts keep together, see `pace`.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from aliquot.job import MOST_THREADS

_WORDS = 8  # one cache line a slot
MOST_HOSTS = 512
N_SLOTS = MOST_HOSTS * MOST_THREADS  # what nobody writes takes no memory
_PAGE_BYTES = (N_SLOTS + 1) * _WORDS * 8

READ, ANSWERED, AT_NS, AWAKE_NS = 0, 1, 2, 3
NO_RECORD_NS = 1 << 62  # at AT_NS while the host packs and writes its answer: no record is at hand


class Page:
    """The mapped file; `fd` is what hosts inherit."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _PAGE_BYTES)
        self._words = memoryview(self._map).cast("q")

    @classmethod
    def create(cls) -> Page:
        """A new page that has no name in the file system."""
        fd, path = tempfile.mkstemp(prefix="aliquot-page-")
        Path(path).unlink()
        os.ftruncate(fd, _PAGE_BYTES)
        return cls(fd)

    def slot(self, number: int) -> memoryview:
        """Words of a slot: READ and ANSWERED are indices in the chunk, the others monotonic times."""
        return self._words[number * _WORDS : (number + 1) * _WORDS]

    def slots(self, first: int, n_threads: int) -> tuple[memoryview, ...]:
        """The words of a host's threads, a slot each."""
        return tuple(self.slot(first + thread) for thread in range(n_threads))

    @property
    def pace(self) -> memoryview:
        """One word: the monotonic time at which the next record of a stage with a rate may begin."""
        return self.slot(N_SLOTS)[:1]

    def close(self) -> None:
        """Close the descriptor, and the mapping unless a slot is held still: then it ends with that."""
        os.close(self.fd)
        self._words.release()
        with suppress(BufferError):
            self._map.close()  # it holds a descriptor of its own
