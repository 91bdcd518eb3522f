"""Where a run's time went, from the keys of its outcomes."""

from __future__ import annotations

from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import Ledger
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from orchestrator.times import Stretch, find_firsts, list_sessions_s, measure_stages, sum_stage

CHUNKS = [ChunkId(0, 100), ChunkId(1, 50), ChunkId(2, 50)]


def key(seq, first, end, ms):
    chunk = CHUNKS[seq]
    return OutcomeKey("work", chunk, SpanSet.range(first, end), "a", "local", ms, 0, 1)


def test_a_slow_stretch_is_told_by_its_records_in_the_dataset():
    keys = [key(0, 0, 100, 100), key(1, 0, 50, 50), key(2, 10, 20, 1000), key(2, 20, 50, 30)]
    times = sum_stage("work", keys, find_firsts(CHUNKS))
    assert (times.n_outcomes, times.n_records, times.host_s) == (4, 190, 1.18)
    assert times.slow == (Stretch(160, 170, 100.0),)


def test_even_work_has_no_slow_stretch():
    times = sum_stage("work", [key(0, 0, 100, 100), key(1, 0, 50, 60)], find_firsts(CHUNKS))
    assert times.slow == ()


def test_work_without_records_or_time_divides_by_nothing():
    tombstone = OutcomeKey("work", CHUNKS[0], SpanSet.range(0, 1), "a", "tombstone", 0, 1, 9)
    times = sum_stage("work", [tombstone], find_firsts(CHUNKS))
    assert (times.record_ms, times.slow) == (0.0, ())
    assert sum_stage("work", [], {}).record_ms == 0.0


def test_stages_are_told_apart_and_sessions_are_those_that_ended(tmp_path):
    ledger = Ledger(FolderStore(tmp_path))
    for stage in ("first", "second"):
        ledger.put_outcome(stage, CHUNKS[0], SpanSet.range(0, 10), Outcome({}, {}, 0), 2_000_000_000)
    ledger.stop(0, "interrupted", {"elapsed_s": 5.0})
    ledger.stop(1, "taken up again", {})
    ledger.stop(2, "settled", {"elapsed_s": 1.5})
    assert [(each.stage, each.host_s) for each in measure_stages(ledger)] == [("first", 2.0), ("second", 2.0)]
    assert list_sessions_s(ledger) == [5.0, 1.5]
