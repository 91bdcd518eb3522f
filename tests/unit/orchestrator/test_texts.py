"""Progress and estimates in words, and the arithmetic under them."""

from __future__ import annotations

import io
import random
import threading
from dataclasses import replace

import pytest

from aliquot.readers import Batch
from orchestrator import progress
from orchestrator.estimate import Estimate, describe_range
from orchestrator.probe import N_STRATA, SAMPLE_RECORDS, Sample
from orchestrator.progress import (
    RUNNING,
    Progress,
    StageProgress,
    describe_progress,
    describe_seconds,
    show_progress,
)

HALFWAY = Progress(RUNNING, n_done=900, n_failed=100, n_total=2000, n_session=500, running_s=5.0)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (HALFWAY, "1,000 of 2,000 records (50%), 100 failed, 100 records/s, 10 s left"),
        (replace(HALFWAY, n_total=None), "1,000 records, 100 failed, 100 records/s"),
        (replace(HALFWAY, n_session=0), "1,000 of 2,000 records (50%), 100 failed, starting"),
        (
            replace(HALFWAY, n_total=900),
            "1,000 of 1,000 records (100%), 100 failed, 100 records/s, 0.0 s left",
        ),
        (replace(HALFWAY, phase="preparing"), "preparing"),
        (
            replace(HALFWAY, kinds={"parse": 9, "memory": 91}, spent_usd=0.12, budget_usd=5.0, n_session=0),
            "1,000 of 2,000 records (50%), 100 failed (91 memory, 9 parse), starting, $0.12 of $5.00",
        ),
        (
            replace(HALFWAY, n_session=0, stages=(StageProgress("a", 1, 4), StageProgress("b", 0, None))),
            "1,000 of 2,000 records (50%), 100 failed, starting, a 25%, b -",
        ),
        (  # what failed before this session, or was not looked at yet
            replace(HALFWAY, kinds={"parse": 9}, spent_usd=0.0042, n_session=0),
            "1,000 of 2,000 records (50%), 100 failed (9 parse, 91 others), starting, $0.0042",
        ),
    ],
)
def test_progress_is_one_line(now, said):
    assert describe_progress(now) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (0.26, "0.3 s"), (45.4, "45 s"), (100, "1.7 min"), (719, "12 min"), (12_600, "3.5 h")],
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert describe_seconds(seconds) == said


class Watched:
    progress = HALFWAY


def test_lines_come_while_it_lasts_and_quiet_says_nothing(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_S", 0.02)
    for quiet in (True, False):
        over, to = threading.Event(), io.StringIO()
        threading.Timer(0.2, over.set).start()
        show_progress(Watched(), over, quiet=quiet, to=to)
        assert (to.getvalue() == "") is quiet
    assert set(to.getvalue().splitlines()) == {describe_progress(HALFWAY)}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((0.2, 0.1, 0.9), "less than a second"),
        ((30.0, 20.0, 40.0), "about 30 s (20 s to 40 s)"),
        ((30.0, 29.9, 30.1), "about 30 s"),
        ((7200.0, 3600.0, 10_800.0), "about 2.0 h (60 min to 3.0 h)"),
    ],
)
def test_ranges_are_readable_from_tiny_to_large(seconds, said):
    assert describe_range(*seconds) == said


def test_estimate_reads_well():
    estimate = Estimate(
        n_records=9_998_731,
        n_chunks=412,
        n_bytes=1_234_567_890,
        workers=8,
        record_ms=(2.0, 1.8, 2.3),
        wall_s=(2500.0, 2250.0, 2870.0),
        memory_mib=900,
        n_sampled=200,
        n_failed=3,
    )
    assert str(estimate).splitlines() == [
        "dataset  9,998,731 records in 412 chunks, 1.23 GB",
        "time     about 42 min (38 min to 48 min) on 8 workers; 2 ms a record (1.8 ms to 2.3 ms)",
        "memory   900 MiB",
        "from a probe of 200 records, 3 of them failed; intervals are of 90%",
    ]


def draw(n_records, batch_records):
    sample = Sample(random.Random(1))
    batches = []
    for first in range(0, n_records, batch_records):
        numbers = list(range(first, min(first + batch_records, n_records)))
        batches.append(Batch(0, {"n": numbers}, {}, numbers, {}, [1] * len(numbers), None))
    assert list(sample.watch(batches)) == batches
    return sample.to_chunk()


def test_sample_is_spread_over_the_whole_dataset_and_seeded():
    """The first rows of a file are often its worst, or its easiest."""
    chunk, numbers = draw(10_000, 64)
    assert chunk.n_records == len(set(numbers)) == SAMPLE_RECORDS
    assert list(chunk.columns["n"]) == numbers
    assert 4000 < sum(numbers[:20]) / 20 < 6000  # a probe that is cut short has seen all of it too
    assert 4000 < sum(numbers) / len(numbers) < 6000
    assert draw(10_000, 1000)[1] == numbers
    assert sorted(draw(50, 7)[1]) == list(range(50))


def test_sample_has_records_of_every_size():
    """One record in a hundred that is a thousand times as long is not left to luck."""
    sizes = [1000 if number % 100 == 0 else 1 for number in range(2000)]
    sample = Sample(random.Random(1))
    list(sample.watch([Batch(0, {"n": list(range(2000))}, {}, list(range(2000)), {}, sizes, None)]))
    picked = sample.pick()
    assert sum(candidate.size_bytes == 1000 for candidate, _ in picked) == 2
    assert sorted({stratum for _, stratum in picked}) == list(range(N_STRATA))
    assert [candidate.number for candidate, _ in picked] == sample.to_chunk()[1]


def test_candidates_of_a_sample_stay_within_their_memory():
    sample = Sample(random.Random(1))
    numbers = list(range(3000))
    list(sample.watch([Batch(0, {"n": numbers}, {}, numbers, {}, [1 << 20] * 3000, None)]))
    assert len(sample.pick()) == SAMPLE_RECORDS
    assert sample._most == SAMPLE_RECORDS
