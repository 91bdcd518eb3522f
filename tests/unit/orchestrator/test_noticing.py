"""What a watcher is told of costs and failures: from keys, and a few outcomes at each look."""

from __future__ import annotations

import pytest

from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.outcome import Failure, Outcome
from aliquot.prices import Prices
from aliquot.spending import Tariff
from aliquot.stages import StageNote
from aliquot.store import FolderStore
from orchestrator.aws.noticing import Noticing

TARIFF = Tariff(Prices(), "arm64", 150.0)
MANIFEST = {
    "stages": [StageNote("work").to_plain()],
    "settings": {"tariff": TARIFF.to_plain(), "budget_usd": 5.0},
}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(FolderStore(tmp_path))


def put(ledger, chunk, failures, seconds=1):
    outcome = Outcome({}, {}, 0, [Failure(index, kind, "why") for index, kind in failures])
    ledger.put_outcome("work", chunk, chunk.all_records, outcome, seconds * 10**9, rung="small")


def look(noticing, ledger, epoch=0):
    noticing.look(0, ledger, ledger.list_outcomes("work"), epoch)


def test_what_was_worked_is_what_was_spent(ledger):
    noticing = Noticing(ledger, MANIFEST)
    put(ledger, ChunkId(0, 10), [], seconds=1000)
    look(noticing, ledger)
    work_usd = 1000 * TARIFF.worker_s("small")
    assert work_usd < noticing.spent_usd < 1.01 * work_usd
    assert noticing.budget_usd == 5.0


def test_invocations_that_left_nothing_are_spent_too(ledger):
    noticing = Noticing(ledger, MANIFEST)
    ledger.note_redelivery("small")
    look(noticing, ledger)
    assert noticing.spent_usd > 150 * TARIFF.worker_s("small")


def test_a_record_that_failed_twice_counts_once(ledger):
    """SQS may deliver twice, and both outcomes are there."""
    noticing = Noticing(ledger, MANIFEST)
    for failures in ([(1, "parse"), (4, "exception")], [(4, "exception"), (7, "memory")]):
        put(ledger, ChunkId(0, 10), failures)
    look(noticing, ledger)
    look(noticing, ledger)
    assert noticing.kinds == {"parse": 1, "exception": 1, "memory": 1}


def test_a_look_reads_a_few_outcomes_and_the_next_the_others(ledger):
    """A look at a run of 100,000 outcomes must not read them all."""
    noticing = Noticing(ledger, MANIFEST)
    for seq in range(12):
        put(ledger, ChunkId(seq, 10), [(0, "parse")])
    look(noticing, ledger)
    assert noticing.kinds == {"parse": 8}
    look(noticing, ledger)
    assert noticing.kinds == {"parse": 12}


def test_a_damaged_outcome_is_left_to_the_tally(ledger, tmp_path):
    put(ledger, ChunkId(0, 10), [(0, "parse")])
    next(tmp_path.rglob("*~*")).write_bytes(b"garbage")
    noticing = Noticing(ledger, MANIFEST)
    look(noticing, ledger)
    assert noticing.kinds == {}
