"""The ledger decides once, and what merges give is what outcomes hold, in dataset order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aliquot.chunk import Chunk
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import Ledger, Stop
from aliquot.merge import Effort, UnreadableOutcome, gather_kinds, merge_pieces
from aliquot.outcome import Failure, Outcome
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.store import FolderStore

CHUNKS = [ChunkId(0, 4), ChunkId(1, 3)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(FolderStore(tmp_path))
    for chunk, first in zip(CHUNKS, (0, 4), strict=True):
        body = Chunk(
            first, chunk.n_records, {"n": list(range(chunk.n_records))}, provenance=((0, 0, 1),)
        ).to_bytes()
        made.put_chunk(chunk, body)
    return made


def _put(
    ledger: Ledger, chunk: ChunkId, indices: list[int], failed: tuple[int, ...] = (), value: Any = None
) -> OutcomeKey:
    """An outcome over `indices`, a block for each run of them; rows hold the record's number, or `value`."""
    spans = SpanSet.of_indices(indices)
    blocks = {}
    for first, end in spans.spans:
        answers = [[] if n in failed else [{"n": n if value is None else value}] for n in range(first, end)]
        blocks[first] = make_block(first, answers, [None] * len(answers), ()).pack()
    failures = [Failure(index, "exception", "ValueError") for index in failed]
    kinds = {"n": ["int" if value is None else type(value).__name__]}
    return ledger.put_outcome(
        "s", chunk, spans, Outcome(blocks, kinds, len(indices), failures, cpu_ms=10, n_retries=3), 1_500_000
    )


def _merge(ledger: Ledger, epoch: int = 0) -> tuple[list[tuple[int, Any]], list[int]]:
    rows: list[tuple[int, Any]] = []
    failed: list[int] = []
    for piece in merge_pieces(ledger, ledger.settle("s", epoch)):
        failed += [piece.chunk.first + failure.index for failure in piece.failures]
        values = iter(piece.block.columns.get("n", []))
        for place, count in enumerate(piece.block.counts):
            rows += [(piece.first_record + place, next(values)) for _ in range(count)]
    return rows, failed


def test_rows_come_in_dataset_order_whatever_the_order_of_outcomes(ledger: Ledger) -> None:
    _put(ledger, CHUNKS[1], [0, 1, 2])
    _put(ledger, CHUNKS[0], [1, 2])
    _put(ledger, CHUNKS[0], [0, 3], failed=(3,))
    assert _merge(ledger) == ([(0, 0), (1, 1), (2, 2), (4, 0), (5, 1), (6, 2)], [3])


def test_records_without_a_block_stand_where_they_belong(ledger: Ledger) -> None:
    """What the supervisor files has no rows and no block: before, between and after those that have."""
    blocks = {index: make_block(index, [[{"n": index}]], [None], ()).pack() for index in (1, 3)}
    failures = [Failure(index, "crash", "its process was killed by SIGSEGV") for index in (0, 2)]
    ledger.put_outcome("s", CHUNKS[0], SpanSet.range(0, 4), Outcome(blocks, {"n": ["int"]}, 2, failures), 1)
    assert _merge(ledger) == ([(1, 1), (3, 3)], [0, 2])
    pieces = list(merge_pieces(ledger, ledger.settle("s", 0)))
    assert [piece.first_record + place for piece in pieces for place in range(len(piece.block.counts))] == [
        0,
        1,
        2,
        3,
    ]


def test_a_record_done_twice_gives_its_rows_once(ledger: Ledger) -> None:
    _put(ledger, CHUNKS[0], [0, 1, 2, 3], failed=(1,))
    _put(ledger, CHUNKS[0], [1, 2])
    assert _merge(ledger) == ([(0, 0), (1, 1), (2, 2), (3, 3)], [])


def test_what_was_decided_first_stays(ledger: Ledger) -> None:
    """An outcome that arrives after the roster changes no row of its epoch."""
    _put(ledger, CHUNKS[0], [0, 1])
    before = _merge(ledger)
    _put(ledger, CHUNKS[0], [2, 3])
    assert _merge(ledger) == before
    assert len(_merge(ledger, epoch=1)[0]) == 4
    assert ledger.begin({"job": "a"}) == {"job": "a"}
    assert ledger.begin({"job": "b"}) == {"job": "a"}
    ledger.stop(0, "cancelled", {"n": 1})
    ledger.stop(0, "settled", {})
    assert ledger.list_stops() == [Stop(0, "cancelled", {"n": 1})]
    assert ledger.epoch == 1


def _damage(ledger: Ledger, key: OutcomeKey) -> None:
    path = ledger.store.root / str(key)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


def test_a_damaged_outcome_is_named_and_voided_and_its_records_are_open_again(ledger: Ledger) -> None:
    good, bad = _put(ledger, CHUNKS[0], [0, 1]), _put(ledger, CHUNKS[0], [2, 3])
    _damage(ledger, bad)
    with pytest.raises(UnreadableOutcome) as caught:
        _merge(ledger)
    assert caught.value.key == bad
    ledger.void(bad)
    ledger.void(bad)
    assert ledger.list_voids() == [bad]
    coverage = ledger.measure("s")
    assert coverage.gaps[CHUNKS[0]] == SpanSet.range(2, 4)
    assert coverage.spent_ms == good.billed_ms + bad.billed_ms == 4
    assert _merge(ledger, epoch=1)[0] == [(0, 0), (1, 1)]


def test_a_damaged_outcome_that_overlaps_is_named_when_the_stage_settles(ledger: Ledger) -> None:
    """To choose between outcomes their headers are read; who settles has to learn which one to void."""
    bad = _put(ledger, CHUNKS[0], [0, 1], failed=(0,))
    _put(ledger, CHUNKS[0], [0, 1, 2, 3])
    (ledger.store.root / str(bad)).write_bytes(b"ALQT")
    with pytest.raises(UnreadableOutcome) as caught:
        ledger.settle("s", 0)
    assert caught.value.key == bad


def test_kinds_and_processor_time_are_gathered_from_headers(ledger: Ledger) -> None:
    _put(ledger, CHUNKS[0], [0, 1, 2, 3])
    _put(ledger, CHUNKS[1], [0, 1, 2], value="x")
    assert gather_kinds(ledger, ledger.settle("s", 0)) == ({"n": {"int", "str"}}, Effort(20, 6))


def test_a_manifest_that_is_damaged_is_told(ledger: Ledger) -> None:
    assert ledger.read_manifest() is None
    ledger.store.put("manifest.json", b"{")
    with pytest.raises(Undecodable, match=r"manifest\.json"):
        ledger.read_manifest()


def test_files_that_are_not_ours_stand_in_no_listing(ledger: Ledger) -> None:
    (ledger.store.root / "chunks/.DS_Store").write_bytes(b"theirs")
    assert ledger.list_chunks() == CHUNKS
