"""An exchange gives every row to the group of its key, once and in order, whatever lies in between."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot import exchange, runs
from aliquot.chunk import Chunk, ChunkReader
from aliquot.errors import Undecodable
from aliquot.exchange import Passage, choose_bounds, compact, gather, plan, read_index, seal, split_work
from aliquot.group_cutter import MOST_PARTITIONS
from aliquot.grouped import list_records, list_row_columns, read_groups
from aliquot.job import RECORD, Best
from aliquot.keys import ChunkId, name_leg
from aliquot.ledger import Ledger
from aliquot.outcome import Failure, Outcome
from aliquot.outlet import rank_key
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from aliquot.store import FolderStore

Rows = list[list[tuple[Any, int]]]  # of each record (key, value)

KEYS = st.one_of(st.integers(-3, 3), st.text("ab", max_size=2), st.binary(max_size=1))
RECORDS = st.lists(st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=4), min_size=1, max_size=12)


class Counted(FolderStore):
    """A folder that counts what is read."""

    n_gets = n_ranges = 0

    def get(self, key: str) -> bytes:
        self.n_gets += 1
        return super().get(key)

    def view(self, key: str) -> bytes | memoryview:
        self.n_gets += 1
        return super().view(key)

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        self.n_ranges += 1
        return super().get_range(key, first, n_bytes)


def _run_stage(ledger: Ledger, records: Rows, failing: set[int] = frozenset()) -> None:
    """Put chunks of three records and their outcomes, two each."""
    for seq, first in enumerate(range(0, len(records), 3)):
        held = records[first : first + 3]
        chunk = ChunkId(seq, len(held))
        ledger.put_chunk(
            chunk, Chunk(first, len(held), {"id": list(range(len(held)))}, provenance=((0, 0, 1),)).to_bytes()
        )
        for at in range(len(held)):
            is_failed = first + at in failing
            rows = [] if is_failed else [{"key": key, "value": value} for key, value in held[at]]
            block = make_block(at, [rows], [None], ())
            failures = [Failure(at, "exception", "no")] if is_failed else []
            outcome = Outcome({at: block.pack()}, {}, len(rows), failures)
            ledger.put_outcome("first", chunk, SpanSet.range(at, at + 1), outcome, 1)
    ledger.seal(len(ledger.list_chunks()), len(records))


def _exchange(folder: Path, records: Rows, **changes: Any) -> tuple[Passage, dict[str, Any]]:
    ledger = Ledger(Counted(folder))
    _run_stage(ledger, records, changes.pop("failing", frozenset()))
    run_bytes = changes.pop("run_bytes", exchange.RUN_BYTES)
    first = StageNote("behind", exchange=changes.pop("by", "key"), splits=changes.pop("splits", False))
    passage = Passage(ledger, ledger.enter(name_leg(1, "ab")), StageNote("first", **changes), first, False)
    parts = split_work(ledger.settle("first", 0))
    for number, part in enumerate(parts):
        compact(passage, number, part, run_bytes=run_bytes)
    index = plan(passage, len(parts))
    for place in range(index.n_partitions):
        gather(passage, index, place)
    said = seal(passage, index.n_partitions)
    return passage, said


def _read(ledger: Ledger) -> list[tuple[Any, list[dict[str, Any]], list[int]]]:
    found = []
    for chunk in ledger.list_chunks():
        reader = ChunkReader(ledger.leg.get(chunk.key), chunk)
        names = list_row_columns(reader)

        def make(values: Any, names: list[str] = names) -> Any:
            return (dict(zip(names, each, strict=True)) for each in values)

        groups = read_groups(reader, 0, chunk.n_records, names, make)
        for index, group in enumerate(groups):
            assert list_records(reader, index) == sorted(set(group.records))
            found.append((group.key, list(group.rows), list(group.records)))
    return found


def _group(records: Rows) -> list[tuple[Any, list[dict[str, Any]], list[int]]]:
    """The plain way."""
    groups: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, rows in enumerate(records):
        for key, value in rows:
            groups[rank_key(key)].append((number, {"key": key, "value": value}))
    return [
        (ranked[1], [row for _, row in groups[ranked]], [number for number, _ in groups[ranked]])
        for ranked in sorted(groups)
    ]


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, sizes=st.sampled_from([(64 << 20, 256 << 10), (200, 60), (1, 1)]))
def test_groups_are_those_of_a_dict(tmp_path_factory, records, sizes):
    """With runs, blocks, partitions and chunks of any size."""
    with pytest.MonkeyPatch.context() as patched:
        run_bytes, block_bytes = sizes
        patched.setattr(runs, "BLOCK_BYTES", block_bytes)
        patched.setattr(exchange, "PARTITION_BYTES", 2 * block_bytes)
        patched.setattr(exchange, "CHUNK_BYTES", block_bytes)
        passage, said = _exchange(tmp_path_factory.mktemp("run"), records, run_bytes=run_bytes)
    expected = _group(records)
    assert _read(passage.behind) == expected
    assert said["groups"] == len(expected)
    assert said["rows"] == sum(map(len, records))
    assert said["largest_rows"] == max((len(rows) for _, rows, _ in expected), default=0)


def test_records_gather_their_own_rows(tmp_path):
    passage, _ = _exchange(tmp_path, [[("b", 1), ("a", 2)], [], [("a", 3)]], by=RECORD)
    assert [(key, [row["value"] for row in rows]) for key, rows, _ in _read(passage.behind)] == [
        (0, [1, 2]),
        (2, [3]),
    ]


def test_failed_records_are_in_no_group(tmp_path):
    passage, said = _exchange(tmp_path, [[("a", 1)], [("a", 2)], [("b", 3)]], failing={1})
    assert [records for _, _, records in _read(passage.behind)] == [[0], [2]]
    assert said["rows"] == 2


@settings(max_examples=40, deadline=None)
@given(
    records=st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=3), max_size=9),
    n=st.integers(1, 3),
)
def test_the_best_are_those_of_a_sort(tmp_path_factory, records, n):
    """Ties go to the row that is earlier in the dataset, whichever run it lies in."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exchange, "LEAST_OUTCOMES", 2)
        folder = tmp_path_factory.mktemp("run")
        passage, _ = _exchange(folder, records or [[]], run_bytes=60, best=Best(n, "key", "value"))
    for key, rows, numbers in _read(passage.behind):
        everything = [(at, value) for at, held in enumerate(records) for k, value in held if k == key]
        ranked = sorted(range(len(everything)), key=lambda at: (-everything[at][1], at))[:n]
        assert [(number, row["value"]) for number, row in zip(numbers, rows, strict=True)] == [
            everything[at] for at in sorted(ranked)
        ]


def test_a_hot_key_is_split_where_the_stage_allows_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "CHUNK_BYTES", 100)
    records: Rows = [[("hot", number)] for number in range(60)]
    whole, said = _exchange(tmp_path / "whole", records)
    assert [len(rows) for _, rows, _ in _read(whole.behind)] == [60]
    split, split_said = _exchange(tmp_path / "split", records, splits=True)
    parts = _read(split.behind)
    assert len(parts) > 3
    assert [row["value"] for _, rows, _ in parts for row in rows] == list(range(60))
    assert said["largest_rows"] == split_said["largest_rows"] == 60
    assert split_said["largest_key"] == "hot"


def test_reads_grow_with_runs_and_partitions_not_with_outcomes(tmp_path, monkeypatch):
    """10,000 outcomes and 1,000 partitions would be 10^7 reads, were outcomes read by partitions."""
    monkeypatch.setattr(runs, "BLOCK_BYTES", 400)
    monkeypatch.setattr(exchange, "PARTITION_BYTES", 800)
    records: Rows = [[(f"{(number * 7 + at) % 100:03d}", at) for at in range(5)] for number in range(120)]
    ledger = Ledger(Counted(tmp_path))
    _run_stage(ledger, records)
    store = ledger.store
    passage = Passage(
        ledger,
        ledger.enter(name_leg(1, "ab")),
        StageNote("first"),
        StageNote("behind", exchange="key"),
        False,
    )
    (part,) = split_work(ledger.settle("first", 0))
    before = store.n_gets
    compact(passage, 0, part)
    n_outcomes, n_chunks = 120, 40
    assert store.n_gets - before == n_outcomes + n_chunks
    index = plan(passage, 1)
    n_blocks = sum(len(run.blocks) for run in index.runs)
    assert index.n_partitions > 10
    for place in range(index.n_partitions):
        gather(passage, index, place)
    assert store.n_ranges <= n_blocks + 2 * index.n_partitions * len(index.runs)
    assert store.n_ranges < n_outcomes * index.n_partitions / 10


def test_every_step_may_be_repeated(tmp_path):
    records: Rows = [[("a", 1), ("b", 2)], [("a", 3)]]
    passage, _ = _exchange(tmp_path, records)
    expected = _read(passage.behind)
    (part,) = split_work(passage.before.settle("first", 0))
    compact(passage, 0, part)
    assert plan(passage, 1) == read_index(passage.behind)
    gather(passage, read_index(passage.behind), 0)
    assert _read(passage.behind) == expected


def test_a_damaged_run_is_told(tmp_path):
    passage, _ = _exchange(tmp_path, [[("a", 1)]])
    index = read_index(passage.behind)
    key = index.runs[0].key
    body = bytearray(passage.behind.leg.get(key))
    body[-1] ^= 1
    passage.behind.leg.put(key, bytes(body))
    with pytest.raises(Undecodable, match="checksum"):
        gather(passage, index, 0)
    lying = replace(index.runs[0].blocks[0], n_rows=5)
    passage.behind.leg.put(key, bytes(body[:-1]) + bytes([body[-1] ^ 1]))
    with pytest.raises(Undecodable, match="does not hold the 5 rows"):
        gather(passage, replace(index, runs=[replace(index.runs[0], blocks=[lying])]), 0)


def test_partitions_are_of_about_one_size():
    notes = [
        runs.RunNote(
            str(run),
            ["v"],
            [runs.BlockNote(key, key + 9, 10, 0, 1, 1, 100) for key in range(0, 1000, 10)],
        )
        for run in range(3)
    ]
    bounds = choose_bounds(notes, 3000)
    assert len(bounds) == 9
    assert bounds == sorted(set(bounds))
    assert choose_bounds([], 3000) == []
    assert choose_bounds([runs.RunNote("r", [], [runs.BlockNote(5, 5, 1, 0, 1, 1, 100)] * 9)], 10) == []


def test_there_are_no_more_partitions_than_chunks_have_numbers_for():
    """They grow instead: a chunk's number has eight digits, of which a partition has four for its own."""
    notes = [
        runs.RunNote(
            "r", ["v"], [runs.BlockNote(key, key, 1, 0, 1, 1, 100 if key % 7 else 900) for key in range(500)]
        )
    ]
    assert len(choose_bounds(notes, 1)) == 499
    for most in (1, 2, 10, 499):
        assert len(choose_bounds(notes, 1, most)) < most
    last = ChunkId(MOST_PARTITIONS * 10_000 - 1, 1)
    assert ChunkId.parse(str(last)) == last
