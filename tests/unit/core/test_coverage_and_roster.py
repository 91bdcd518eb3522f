"""Coverage and roster against brute force: per record, over any outcomes in any order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.coverage import measure_coverage
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.roster import Roster, decide_roster
from aliquot.spans import SpanSet

CHUNKS = [ChunkId(0, 9), ChunkId(1, 4), ChunkId(2, 1)]
STRANGER = ChunkId(9, 5)  # a chunk that is not on the list


@dataclass(frozen=True)
class History:
    """Outcomes of a stage, which records failed in each, and which are void."""

    failed: dict[OutcomeKey, SpanSet]
    voids: tuple[OutcomeKey, ...]
    listing: tuple[OutcomeKey, ...]

    @property
    def standing(self) -> list[OutcomeKey]:
        return sorted((key for key in self.failed if key not in self.voids), key=str)


@st.composite
def histories(draw: st.DrawFn) -> History:
    failed: dict[OutcomeKey, SpanSet] = {}
    for number in range(draw(st.integers(0, 8))):
        chunk = draw(st.sampled_from([*CHUNKS, STRANGER]))
        indices = draw(st.sets(st.integers(0, chunk.n_records - 1), min_size=1))
        failing = draw(st.sets(st.sampled_from(sorted(indices))))
        attempt = f"{draw(st.integers(0, 9))}{number}"
        spans = SpanSet.of_indices(indices)
        rung = draw(st.sampled_from(["local", "tombstone"])) if failing == indices else "local"
        key = OutcomeKey("s", chunk, spans, attempt, rung, draw(st.integers(0, 50)), len(failing), 1)
        failed[key] = SpanSet.of_indices(failing)
    voids = tuple(draw(st.sets(st.sampled_from(sorted(failed, key=str))))) if failed else ()
    return History(failed, voids, tuple(draw(st.permutations(sorted(failed, key=str)))))


def _choose_by_hand(history: History, chunk: ChunkId, record: int) -> OutcomeKey | None:
    """Done before failed, tombstones last, then the lowest key."""
    holders = [key for key in history.standing if key.chunk == chunk and record in key.spans]
    return min(
        holders,
        key=lambda key: (record in history.failed[key], key.rung == "tombstone", str(key)),
        default=None,
    )


@given(histories())
def test_coverage_is_what_some_standing_outcome_holds(history: History) -> None:
    coverage = measure_coverage(reversed(CHUNKS), history.listing, history.voids)
    answered = {
        (key.chunk, record) for key in history.standing for record in key.spans if key.chunk in CHUNKS
    }
    missing = {(chunk, record) for chunk in CHUNKS for record in range(chunk.n_records)} - answered
    assert {(chunk, record) for chunk, gap in coverage.gaps.items() for record in gap} == missing
    assert list(coverage.gaps) == sorted(coverage.gaps)
    assert all(coverage.gaps.values())
    assert coverage.n_answered == len(answered)
    assert coverage.n_records == 14
    assert coverage.is_complete == (not missing)


@given(histories())
def test_every_outcome_that_was_paid_for_is_counted(history: History) -> None:
    """Voided and doubled work costs as much as any other."""
    coverage = measure_coverage(CHUNKS, history.listing, history.voids)
    assert coverage.spent_ms == sum(key.billed_ms for key in history.failed)


@given(histories())
def test_roster_chooses_per_record_done_before_failed_then_lowest_key(history: History) -> None:
    roster = decide_roster(CHUNKS, history.listing, history.failed.__getitem__, history.voids)
    chosen = [
        (chunk, record, share.outcome)
        for chunk, shares in roster.shares.items()
        for share in shares
        for record in share.spans
    ]
    assert len(chosen) == len({(chunk, record) for chunk, record, _ in chosen}), "a record is answered twice"
    by_hand = {
        (chunk, record): _choose_by_hand(history, chunk, record)
        for chunk in CHUNKS
        for record in range(chunk.n_records)
    }
    assert {(chunk, record): key for chunk, record, key in chosen} == {
        at: key for at, key in by_hand.items() if key
    }
    assert {(chunk, record) for chunk, gap in roster.not_tried.items() for record in gap} == {
        at for at, key in by_hand.items() if key is None
    }


@given(histories(), st.randoms(use_true_random=False))
def test_roster_does_not_depend_on_the_order_of_a_listing(history: History, random: object) -> None:
    """Two processes that settle the same epoch must decide the same."""
    shuffled = list(history.listing)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = decide_roster(CHUNKS, history.listing, history.failed.__getitem__, history.voids)
    second = decide_roster(CHUNKS[::-1], shuffled * 2, history.failed.__getitem__, history.voids)
    assert first == second
    assert first.to_json() == second.to_json()


@given(histories())
def test_roster_reads_back(history: History) -> None:
    roster = decide_roster(CHUNKS, history.listing, history.failed.__getitem__, history.voids)
    read = Roster.from_json(roster.to_json())
    assert read == roster
    assert list(read.shares) == CHUNKS


@given(histories())
def test_roster_agrees_with_coverage(history: History) -> None:
    roster = decide_roster(CHUNKS, history.listing, history.failed.__getitem__, history.voids)
    assert roster.not_tried == measure_coverage(CHUNKS, history.listing, history.voids).gaps


def test_failed_records_are_read_only_where_outcomes_overlap() -> None:
    """A run of 10 million records settles from listings; reading every outcome would cost a pass over it."""
    apart = [
        OutcomeKey("s", CHUNKS[0], SpanSet.range(0, 5), "a", "local", 1, 3, 1),
        OutcomeKey("s", CHUNKS[0], SpanSet.range(5, 9), "b", "local", 1, 4, 1),
    ]
    asked: list[OutcomeKey] = []
    decide_roster(CHUNKS, apart, lambda key: asked.append(key) or SpanSet())
    assert asked == []
    decide_roster(
        CHUNKS,
        [*apart, OutcomeKey("s", CHUNKS[0], SpanSet.range(4, 6), "c", "local", 1, 0, 1)],
        lambda key: asked.append(key) or SpanSet(),
    )
    assert sorted(key.attempt for key in asked) == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": "aliquot/roster/9", "chunks": []}',
        b"null",
        b'{"format":"aliquot/roster/1"}',
        b'{"format":"aliquot/roster/1","chunks":[["x",[],""]]}',
        b"\xff\xfe",
        b'{"format":"aliquot/roster/1","chunks":[1]}',
    ],
)
def test_a_roster_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Undecodable):
        Roster.from_json(body)


def test_a_failure_with_a_reason_stands_before_a_tombstone() -> None:
    """A tombstone says only that no attempt came back; one that did knows why."""
    chunk, spans = CHUNKS[1], SpanSet.range(0, 4)
    tombstone = OutcomeKey("s", chunk, spans, "a", "tombstone", 0, 4, 1)
    reason = OutcomeKey("s", chunk, spans, "b", "small", 5, 4, 1)
    roster = decide_roster([chunk], [tombstone, reason], lambda _: spans)
    assert [share.outcome for share in roster.shares[chunk]] == [reason]
