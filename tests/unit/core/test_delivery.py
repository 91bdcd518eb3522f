"""However records were shared out among outcomes and groups, tables and figures are the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.chunk import Chunk
from aliquot.delivery import Subject, gather_columns, write_closing, write_tables
from aliquot.figures import Columns, Figures
from aliquot.job import Job, Stage
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.loading import NoOptions
from aliquot.outcome import Failure, Outcome
from aliquot.roster import Roster, split_roster
from aliquot.rows import make_block
from aliquot.spans import SpanSet
from aliquot.store import FolderStore

Row = dict[str, Any]
_VALUES = st.one_of(st.none(), st.integers(0, 9), st.floats(0, 1), st.text(max_size=2))
_ROWS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3).flatmap(
    lambda row: st.permutations(list(row.items())).map(dict)
)


class Counted:
    """A summary that notices order: the records with rows, and a count by note."""

    def __init__(self, _options: Any, _prepared: Path) -> None:
        self.records: list[int] = []
        self.n_rows = 0

    def add(self, record: int, rows: Any, _note: str | None) -> None:
        self.records.append(record)
        self.n_rows += len(rows)

    def partial(self) -> Any:
        return [self.records, self.n_rows]

    def merge(self, partial: Any) -> None:
        self.records += partial[0]
        self.n_rows += partial[1]

    def figures(self) -> dict[str, Any]:
        return {"first": self.records[:1], "n_rows": self.n_rows}

    def tables(self) -> dict[str, dict[str, Any]]:
        return {"seen": {"record": self.records}}


JOB = Job("toy", 1, NoOptions, (Stage("work", lambda *_: lambda _: iter(())),), summary=Counted)


@dataclass
class History:
    """What each record gives (None: failed, "open": nobody tried), and how that was shared out."""

    records: list[list[Row] | str | None]
    chunk_records: int
    owners: list[int]
    cuts: list[bool]


@st.composite
def histories(draw: st.DrawFn) -> History:
    record = st.one_of(st.lists(_ROWS, max_size=2), st.lists(_ROWS, max_size=2), st.none(), st.just("open"))
    records = draw(st.lists(record, min_size=1, max_size=20))
    n = len(records)
    owners = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    cuts = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return History(records, draw(st.integers(1, 8)), owners, cuts)


def _submit(history: History, folder: Path) -> Ledger:
    ledger = Ledger(FolderStore(folder))
    for seq, first in enumerate(range(0, len(history.records), history.chunk_records)):
        part = history.records[first : first + history.chunk_records]
        chunk = ChunkId(seq, len(part))
        columns = {"id": [f"r{first + index}" for index in range(len(part))]}
        ledger.put_chunk(chunk, Chunk(first, len(part), columns, provenance=((0, 0, first + 1),)).to_bytes())
        for owner in range(3):
            indices = [
                i for i, what in enumerate(part) if what != "open" and history.owners[first + i] == owner
            ]
            if indices:
                _answer(ledger, history, chunk, first, indices)
    return ledger


def _answer(ledger: Ledger, history: History, chunk: ChunkId, first: int, indices: list[int]) -> None:
    """An outcome as a lane makes it: blocks in any order, a column's place the least of all blocks'."""
    blocks, failures = {}, []
    kinds: dict[str, set[str]] = {}
    places: dict[str, tuple[int, int]] = {}
    starts = [i for i in indices if i - 1 not in indices or history.cuts[first + i]]
    for start in reversed(starts):
        end = start + 1
        while end in indices and end not in starts:
            end += 1
        found = [history.records[first + i] for i in range(start, end)]
        block = make_block(start, [rows or [] for rows in found], [None] * len(found), ())  # type: ignore[misc]
        failures += [Failure(start + i, "exception", "no") for i, rows in enumerate(found) if rows is None]
        blocks[start] = block.pack()
        for at, (name, named) in enumerate(block.kinds().items()):
            kinds.setdefault(name, set()).update(named)
            places[name] = min((start, at), places.get(name, (start, at)))
    plain = {name: sorted(named) for name, named in kinds.items()}
    outcome = Outcome(blocks, plain, 0, failures, cpu_ms=7, places=places)
    ledger.put_outcome("work", chunk, SpanSet.of_indices(indices), outcome, 1)


def _deliver(
    ledger: Ledger, groups: list[Roster], folder: Path
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Each group apart, with the columns of all; what is said, and the tables."""
    subject = Subject(JOB, NoOptions(), folder, ["records.csv"])
    columns = Columns({}, {})
    for group in groups:
        found, _ = gather_columns(JOB, ledger, group)
        columns = columns.merge(Columns.from_plain(found.to_plain()))
    figures, summary = Figures(), Counted(None, folder)
    tables: dict[str, list[pa.Table]] = {}
    for number, group in enumerate(groups):
        into = folder / f"group-{number}"
        part, partial = write_tables(subject, ledger, group, columns, into, "parquet")
        figures.merge(Figures.from_plain(part.to_plain()))
        summary.merge(partial.partial())  # type: ignore[union-attr]
        for path in sorted(into.rglob("*.parquet")):
            tables.setdefault(path.stem.partition("-")[0], []).append(pq.read_table(path))
    said = write_closing(subject, columns, figures, summary, {"elapsed_s": 1.0}, folder, "parquet")
    return said, {name: pa.concat_tables(parts) for name, parts in tables.items()}


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 3))
def test_groups_say_what_the_whole_says(history: History, n_outcomes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = _submit(history, Path(folder, "ledger"))
        roster = ledger.settle("work", 0)
        whole, tables = _deliver(ledger, [roster], Path(folder, "whole"))
        said, parts = _deliver(ledger, split_roster(roster, n_outcomes), Path(folder, "parts"))
        assert said == whole
        for name, table in tables.items():
            assert parts[name].equals(table), name
        assert whole["records"] == len(history.records)
        assert whole["not_tried"] == history.records.count("open")


@settings(max_examples=60, deadline=None)
@given(histories())
def test_columns_stand_in_order_of_appearance_however_records_were_shared_out(history: History) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = _submit(history, Path(folder))
        columns, effort = gather_columns(JOB, ledger, ledger.settle("work", 0))
        rows = [row for what in history.records if isinstance(what, list) for row in what]
        assert list(columns.rows) == list(dict.fromkeys(name for row in rows for name in row))
        assert effort.cpu_ms == 7 * len(ledger.list_outcomes("work"))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 8))
def test_groups_are_the_roster_in_order_and_none_is_too_large(n_shares: list[int], most: int) -> None:
    shares = {ChunkId(seq, 9): tuple(range(n)) for seq, n in enumerate(n_shares)}
    gaps = {chunk: SpanSet.range(0, 1) for chunk, held in shares.items() if not held}
    groups = split_roster(Roster(shares, gaps), most)  # type: ignore[arg-type]
    joined = [(chunk, held) for group in groups for chunk, held in group.shares.items()]
    assert joined == list(shares.items())
    assert sum(len(group.not_tried) for group in groups) == len(gaps)
    sizes = [sum(map(len, group.shares.values())) for group in groups]
    assert all(size <= most or len(group.shares) == 1 for size, group in zip(sizes, groups, strict=True))
