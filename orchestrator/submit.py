"""Submission: chunks put into the ledger, then `sealed`.

A submission that was killed is taken up again by cutting the same input once more and passing over the chunks
that are there; a pipe gives other batches every time. A bucket is far away, so several chunks may be on their
way to it at a time; it is sealed when all have arrived. Imports the core's `cutting` and `ledger`. When it is
wrong, a resumed run works on other records than before, or a run is sealed without some of its records.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from aliquot.cutting import Cut, encode_chunk
from aliquot.errors import DatasetError
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger

N_AT_ONCE = 16


class Puts(Protocol):
    """How chunks get into a ledger."""

    def put(self, chunk: ChunkId, body: bytes) -> None:
        """Put a chunk, now or soon; raises what this or an earlier put met."""

    def finish(self) -> None:
        """Return when every chunk is there; raises what one of them met."""


class PutsInTurn:
    """Puts each chunk while the caller waits."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def put(self, chunk: ChunkId, body: bytes) -> None:
        """Put a chunk."""
        self._ledger.put_chunk(chunk, body)

    def finish(self) -> None:
        """Nothing is on its way."""


class PutsAtOnce:
    """Puts several chunks at a time, in threads; as many bodies are in memory, and no more.

    A put that fails ends the submission at the next call. Chunks may arrive in another order.
    """

    def __init__(self, ledger: Ledger, n_at_once: int = N_AT_ONCE) -> None:
        self._ledger = ledger
        self._room = threading.BoundedSemaphore(n_at_once)
        self._n_at_once = n_at_once
        self._threads = ThreadPoolExecutor(n_at_once, thread_name_prefix="aliquot-put")
        self._failure: BaseException | None = None
        self.has_any_arrived = False

    def put(self, chunk: ChunkId, body: bytes) -> None:
        """Send a chunk on its way, when there is room for another."""
        self._room.acquire()
        self._check()
        self._threads.submit(self._ledger.put_chunk, chunk, body).add_done_callback(self._note)

    def finish(self) -> None:
        """Wait until all have arrived."""
        for _ in range(self._n_at_once):
            self._room.acquire()
        for _ in range(self._n_at_once):
            self._room.release()
        self._check()

    def close(self) -> None:
        """Begin no further put."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _note(self, put: Future[None]) -> None:
        if not put.cancelled():
            self._failure = self._failure or put.exception()
            self.has_any_arrived |= put.exception() is None
        self._room.release()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


def submit_chunks(
    ledger: Ledger, cuts: Iterable[Cut], *, is_repeatable: bool, puts: Puts | None = None
) -> Iterator[Cut]:
    """Put chunks that are not there yet and seal; yields each chunk once it is put, or on its way.

    Args:
        is_repeatable: the input is known to be the same as before, so that chunks that are there need not
            be compared. A pipe or an iterable is not.
        puts: one after the other where it is not given.
    Raises:
        DatasetError: the input gives other records than those submitted before.
    """
    puts = puts or PutsInTurn(ledger)
    there, is_sealed = {chunk.seq: chunk for chunk in ledger.list_chunks()}, ledger.is_sealed
    n_chunks = n_records = 0
    for cut in cuts:
        before = there.pop(cut.id.seq, None)
        if before is None and is_sealed:
            raise DatasetError("input", f"goes on after {n_records:,} records, and {_SAME}")
        if before is None:
            puts.put(cut.id, encode_chunk(cut.chunk))
        elif before != cut.id or not (
            is_repeatable or ledger.store.get(before.key) == encode_chunk(cut.chunk)
        ):
            raise DatasetError(
                "input", f"gives other records than before from record {cut.chunk.first:,} on, and {_SAME}"
            )
        n_chunks, n_records = n_chunks + 1, n_records + cut.id.n_records
        yield cut
    if there:
        raise DatasetError(
            "input", f"ends after {n_records:,} records where more were submitted before, and {_SAME}"
        )
    puts.finish()
    ledger.seal(n_chunks, n_records)


_SAME = "the run in this folder was begun with other input: give it that again, or choose a new folder"
