"""Outcomes are written beside the supervisor, and are all there when the run settles."""

from __future__ import annotations

import threading
from operator import itemgetter

import pytest

from aliquot.keys import ChunkId
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from orchestrator.local.writing import OutcomeWriter

CHUNK = ChunkId(0, 100)


class Disk:
    """Takes outcomes once it is let go; refuses those of the record `bad`."""

    def __init__(self, bad=None):
        self.is_free, self.written, self._bad = threading.Event(), [], bad

    def put(self, _chunk, spans, _outcome, wall_ns):
        assert self.is_free.wait(60)
        if wall_ns == self._bad:
            raise OSError("full")
        self.written.append((spans, wall_ns))


def put_all(disk, n, err=None):
    """A session that answers so many records, and is ended by `err`."""
    with OutcomeWriter(disk.put) as writer:
        for number in range(n):
            put(writer, number)
        if err:
            raise err


def put(writer, number):
    writer.put(CHUNK, SpanSet.range(number, number + 1), Outcome({}, {}, 0), number)


def test_put_does_not_wait_for_the_disk_and_the_end_does():
    disk = Disk()
    with OutcomeWriter(disk.put) as writer:
        put(writer, 0)
        put(writer, 1)
        assert not disk.written
        disk.is_free.set()
    assert sorted(disk.written, key=itemgetter(1)) == [(SpanSet.range(n, n + 1), n) for n in (0, 1)]


def test_no_more_wait_than_memory_holds():
    """A job may answer faster than a disk writes; an outcome has up to some 16 MiB."""
    disk = Disk()
    with OutcomeWriter(disk.put) as writer:
        producer = threading.Thread(target=lambda: [put(writer, n) for n in range(50)])
        producer.start()
        producer.join(0.2)
        assert producer.is_alive()
        disk.is_free.set()
        producer.join(60)
    assert len(disk.written) == 50


def test_full_disk_ends_the_session_at_the_latest_when_it_ends():
    disk = Disk(bad=0)
    disk.is_free.set()
    with pytest.raises(OSError, match="full"):
        put_all(disk, 1)


def test_full_disk_is_told_while_the_run_goes_on():
    disk = Disk(bad=0)
    disk.is_free.set()
    with pytest.raises(OSError, match="full"):
        put_all(disk, 1000)
    assert len(disk.written) < 999


def test_what_ended_the_session_is_not_hidden_and_what_was_answered_is_kept():
    disk = Disk()
    disk.is_free.set()
    with pytest.raises(KeyError):
        put_all(disk, 1, KeyError())
    assert len(disk.written) == 1
