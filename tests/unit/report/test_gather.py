"""What a ledger tells of a run: a page of bounded size, out of names and headers of whatever length."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.store import FolderStore
from aliquot.trace import Spread, Trace
from orchestrator.report import gather as gathering
from orchestrator.report.charts import list_bins, make_memory, make_spread, make_throughput, make_timeline
from orchestrator.report.gather import gather

EPOCH_MS = 1_790_000_000_000


def put(
    ledger: Ledger, chunk: ChunkId, first: int, end: int, *, worker: str, began_ms: int, ms: int = 500
) -> None:
    spread = Spread()
    for at in range(first, end):
        spread.note(at, at + 1, ms * 1_000_000 // (end - first))
    trace = Trace(worker, EPOCH_MS + began_ms, EPOCH_MS + began_ms + ms, spread)
    outcome = Outcome({}, {}, 0, cpu_ms=ms, peak_mib=100, trace=trace)
    ledger.put_outcome("work", chunk, SpanSet.range(first, end), outcome, ms * 1_000_000)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(FolderStore(tmp_path))


def test_answers_given_twice_are_told_with_their_time(ledger):
    chunk = ChunkId(0, 10)
    ledger.put_chunk(chunk, b"")
    put(ledger, chunk, 0, 10, worker="0", began_ms=0)
    put(ledger, chunk, 5, 10, worker="1", began_ms=500)
    ledger.void(ledger.list_outcomes("work")[0])
    repairs = gather(ledger).repairs
    assert (repairs.n_doubled, repairs.n_voided) == (5, 1)
    assert repairs.doubled_s == pytest.approx(1.0 * 5 / 15)
    assert repairs.voided_s == pytest.approx(0.5)


def test_a_long_run_is_sampled_and_its_figures_stay_true(ledger, monkeypatch):
    """100,000 tasks of 1,000 workers: charts of the same size, and rates as if all had been read."""
    monkeypatch.setattr(gathering, "MOST_HEADERS", 150)
    rng, n_outcomes = random.Random(1), 450
    for number in range(n_outcomes):
        chunk = ChunkId(number, 10)
        worker = number % 90
        ledger.put_chunk(chunk, b"")
        at_ms = 1000 * (number // 90)
        put(ledger, chunk, 0, 10, worker=f"a/{worker}", began_ms=at_ms, ms=rng.randint(700, 900))
    found = gather(ledger)
    assert found.n_outcomes == n_outcomes
    assert 150 <= len(found.makings) <= 170
    assert len({making.trace.worker for making in found.makings}) > 60  # not the same few again and again
    figures = [
        make_timeline(found.makings, found.share),
        make_throughput(found.makings, found.share),
        make_memory(found.makings, 512),
        make_spread(found.spreads),
    ]
    assert all(figure is not None for figure, _ in figures)
    assert sum(len(json.dumps(figure)) for figure, _ in figures) < 60_000
    rate = float(figures[1][1].split()[0])
    assert rate == pytest.approx(4500 / 4.9, rel=0.15)
    assert "450 outcomes" in figures[0][1]


def test_damaged_headers_and_runs_without_any_leave_a_report(ledger, tmp_path):
    chunk = ChunkId(0, 10)
    ledger.put_chunk(chunk, b"")
    put(ledger, chunk, 0, 10, worker="0", began_ms=0)
    (key,) = ledger.list_outcomes("work")
    (tmp_path / str(key)).write_bytes(b"ALQT garbage")
    found = gather(ledger)
    assert found.makings == []
    assert found.stages[0].n_records == 10
    assert make_timeline(found.makings, found.share)[0] is None
    assert gather(Ledger(FolderStore(tmp_path / "none"))).n_outcomes == 0


def test_bins_hold_every_record_in_order():
    spread = Spread()
    for took_ms in (0.5, 1.0, 1.01, 40.0):
        spread.note(0, 1, int(took_ms * 1e6))
    bins = list_bins(spread, 7)
    assert sum(count for _, _, count in bins) == 7
    assert bins[0][2] == 3
    assert all(before[1] == after[0] for before, after in pairwise(bins))


def test_no_share_of_records_takes_longer_than_the_longest():
    """The caption's quantiles are ends of bins, and the last bin ends behind its records."""
    one, many = Spread(), Spread()
    one.note(0, 1, 78_700_000)
    for took_ns in (5_050_000, 3_720_000, 240_000):
        many.note(0, 1, took_ns)
    said = make_spread({"merge": (one, 1), "run": (many, 3)})[1]
    assert said == (
        "merge: one record, 78.7 ms. "
        "run: half of 3 records within 4.19 ms, 99% within 5.05 ms, the longest 5.05 ms."
    )
