"""An exchange: the rows of a settled leg, grouped by key, become the chunks of the next one.

    roster, in groups --compact (each)--> a few sorted runs each, with their index
      --plan--> partitions of the keys, of PARTITION_BYTES each, by the blocks of all runs
      --gather (each)--> the groups of a partition as chunks
      --seal--> the next leg is submitted; what is known of its groups

Outcomes are read once, whatever the number of partitions; a partition reads of each run the blocks that may
hold its keys. No step holds more than a run's rows or, in `gather`, a block of each run and the chunk that
grows. Every step may be repeated: it puts the same objects again.

Owns the objects under a leg's prefix but those of its chunks' form (`grouped`) and of its runs' (`runs`).
Imports `merge` and the ledger. When it is wrong, groups lack rows or have them twice.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from typing import Any

from aliquot.envelope import Envelope, is_count
from aliquot.errors import Undecodable
from aliquot.group_cutter import MOST_PARTITIONS, GroupCutter
from aliquot.grouped import trace_dataset, trace_groups
from aliquot.job import RECORD, Best, Key
from aliquot.ledger import Ledger
from aliquot.merge import Piece, merge_pieces
from aliquot.notes import check_fields, is_text, read_note
from aliquot.outlet import Keeper, rank_key
from aliquot.roster import Roster, split_roster
from aliquot.runs import Place, Row, RunNote, RunWriter, read_run
from aliquot.stages import StageNote

RUN_BYTES = (
    16 << 20
)  # of a run before compression; of a million small rows 229 MB at the peak, 517 with 64 MiB
MOST_RUNS = 300
PARTITION_BYTES = 32 << 20
CHUNK_BYTES = 1 << 20
LEAST_OUTCOMES = 256  # that one step compacts
_INDEX = "exchange/index"
SAID = "exchange/said.json"  # what is known of an exchange that is over
_TOLD = ("rows", "groups", "partitions", "largest_rows")
_COUNTS = ("groups", "rows", "largest_rows", "wall_ms")


@dataclass(frozen=True)
class Passage:
    """From one leg to the next.

    Args:
        before, behind: ledgers of the two legs.
        last: the stage that the rows are of.
        first: the stage that reads their groups.
        is_grouped: the leg before reads groups itself, not the dataset.
    """

    before: Ledger
    behind: Ledger
    last: StageNote
    first: StageNote
    is_grouped: bool


@dataclass(frozen=True)
class Index:
    """All runs of an exchange, and the keys at which its partitions begin, but for the first."""

    runs: Sequence[RunNote]
    bounds: Sequence[Key]

    @property
    def n_partitions(self) -> int:
        """Partitions, one at least."""
        return len(self.bounds) + 1

    @property
    def names(self) -> list[str]:
        """The columns of all rows, in order of appearance."""
        return list(dict.fromkeys(name for run in self.runs for name in run.names))

    def find_range(self, partition: int) -> tuple[Key | None, Key | None]:
        """The keys of a partition: from the first up to, not including, the second."""
        ends = [None, *self.bounds, None]
        return ends[partition], ends[partition + 1]


def split_work(roster: Roster) -> list[Roster]:
    """A settled leg in parts that are compacted apart: as many as make MOST_RUNS at most."""
    n_outcomes = sum(len(shares) for shares in roster.shares.values())
    return split_roster(roster, max(LEAST_OUTCOMES, -(-n_outcomes // MOST_RUNS)))


def compact(
    passage: Passage,
    part: int,
    roster: Roster,
    check: Callable[[], None] = lambda: None,
    run_bytes: int = RUN_BYTES,
) -> int:
    """Sort the rows of a part into runs, and note their index; gives their number.

    Args:
        check: called before each piece; raises where the user has interrupted.
        run_bytes: of a run before compression: fewer runs are fewer reads, and take more memory here.
    Raises:
        UnreadableOutcome: an outcome is damaged.
        JobError: a row says that it came from a record that is not of its group.
    """
    began_ns = time.monotonic_ns()
    store, writer = passage.behind.leg, RunWriter()
    runs: list[RunNote] = []
    keeper = Keeper(passage.last.best) if passage.last.best is not None else None

    def flush() -> None:
        nonlocal writer
        runs.append(writer.write(store, f"exchange/runs/{part:05d}.{len(runs):03d}"))
        writer = RunWriter()

    for piece in merge_pieces(passage.before, roster):
        check()
        _add_piece(passage, writer, piece, keeper)
        if writer.n_bytes >= run_bytes:
            flush()
    if writer.keys:
        flush()
    n_outcomes = sum(len(shares) for shares in roster.shares.values())
    paid = {"outcomes": n_outcomes, "wall_ms": _measure_ms(began_ns)}
    header = {"type": "compacted", "runs": [run.to_plain() for run in runs], **paid}
    store.put(_name_part(part), Envelope(header, {}).to_bytes())
    return len(runs)


def plan(passage: Passage, n_parts: int) -> Index:
    """Cut the keys into partitions of about PARTITION_BYTES; the same for whoever asks again."""
    store = passage.behind.leg
    headers = [_read_header(store.get(_name_part(part)), "compacted") for part in range(n_parts)]
    runs = [run for part, header in enumerate(headers) for run in _read_runs(header, _name_part(part))]
    index = Index(runs, choose_bounds(runs, PARTITION_BYTES))
    header = {
        "type": "index",
        "runs": [run.to_plain() for run in index.runs],
        "bounds": list(index.bounds),
        "n_parts": n_parts,
        **{name: sum(int(each[name]) for each in headers) for name in ("outcomes", "wall_ms")},
    }
    store.put(_INDEX, Envelope(header, {}).to_bytes())
    return index


def choose_bounds(runs: Sequence[RunNote], partition_bytes: int, most: int = MOST_PARTITIONS) -> list[Key]:
    """The keys at which partitions begin, but for the first: each has about so many bytes before compression.

    A partition has at least the rows of one key, however many they are; where there would be more than `most`
    they are larger.
    """
    n_bytes = sum(block.plain_bytes for run in runs for block in run.blocks)
    partition_bytes = max(partition_bytes, n_bytes // most + 1)
    blocks = sorted((block for run in runs for block in run.blocks), key=lambda block: rank_key(block.first))
    bounds: list[Key] = []
    held, begins = 0, rank_key(blocks[0].first) if blocks else (0, 0)
    for block in blocks:
        if held >= partition_bytes and rank_key(block.first) > begins:
            bounds.append(block.first)
            held, begins = 0, rank_key(block.first)
        held += block.plain_bytes
    return bounds


def read_index(ledger: Ledger) -> Index:
    """The index of a leg's exchange; raises Undecodable, StoreError."""
    header = _read_header(ledger.leg.get(_INDEX), "index")
    if type(header.get("bounds")) is not list:
        raise Undecodable(_INDEX, "says no bounds")
    return Index(_read_runs(header, _INDEX), header["bounds"])


def gather(passage: Passage, index: Index, partition: int, check: Callable[[], None] = lambda: None) -> None:
    """Put the groups of a partition as chunks, and note what is known of them.

    Raises:
        Undecodable, StoreError: a run is damaged, or gone.
    """
    began_ns = time.monotonic_ns()
    low, high = index.find_range(partition)
    names, store = index.names, passage.behind.leg
    rows = heapq.merge(
        *(read_run(store, run, names, low, high) for run in index.runs), key=lambda row: row.order
    )
    row_bytes = sum(run.plain_bytes for run in index.runs) / max(1, sum(run.n_rows for run in index.runs))
    cutter = GroupCutter(
        passage.behind,
        partition,
        names,
        max(1, int(CHUNK_BYTES / max(1.0, row_bytes))),
        splits=passage.first.splits,
    )
    for key, group in groupby(rows, key=lambda row: row.key):
        check()
        cutter.begin(key)
        for row in _choose_best(group, names, passage.last.best):
            cutter.add(row)
        cutter.end()
    cutter.flush()
    largest_rows, largest_key = cutter.largest
    note: dict[str, Any] = {"groups": cutter.n_groups, "rows": cutter.n_rows, "largest_rows": largest_rows}
    note |= {"largest_key": str(largest_key), "wall_ms": _measure_ms(began_ns)}
    store.put(_name_gathered(partition), json.dumps(note).encode())


def tell_exchanges(ledgers: Iterable[Ledger]) -> list[dict[str, Any]]:
    """What `summary.json` says of exchanges: rows, groups and partitions, and how large the largest group is.

    Args:
        ledgers: of the legs behind them.
    """
    told: list[dict[str, Any]] = []
    for ledger in ledgers:
        said = read_note(SAID, ledger.leg.get(SAID))
        check_fields(SAID, said, stage=is_text, **dict.fromkeys(_TOLD, is_count))
        told.append({name: said[name] for name in ("stage", *_TOLD, "largest_key")})
    return told


def seal(passage: Passage, n_partitions: int) -> dict[str, Any]:
    """Say that the leg behind is submitted whole; gives what is known of its groups, and what it took.

    Raises:
        StoreError, Undecodable: a partition has not been gathered.
    """
    store, header = passage.behind.leg, _read_header(passage.behind.leg.get(_INDEX), "index")
    notes = []
    for key in map(_name_gathered, range(n_partitions)):
        notes.append(read_note(key, store.get(key)))
        check_fields(key, notes[-1], **dict.fromkeys(_COUNTS, is_count), largest_key=is_text)
    chunks = passage.behind.list_chunks()
    largest = max(notes, key=lambda note: int(note["largest_rows"]))
    said: dict[str, Any] = {name: sum(note[name] for note in notes) for name in ("groups", "rows", "wall_ms")}
    said["wall_ms"] += header["wall_ms"]
    said |= {"stage": passage.first.name, "partitions": n_partitions, "chunks": len(chunks)}
    said |= {"steps": header["n_parts"] + n_partitions, "outcomes": header["outcomes"]}
    said |= {name: largest[name] for name in ("largest_rows", "largest_key")}
    store.put(SAID, json.dumps(said).encode())
    passage.behind.seal(len(chunks), sum(chunk.n_records for chunk in chunks))
    return said


def _add_piece(passage: Passage, writer: RunWriter, piece: Piece, keeper: Keeper | None) -> None:
    """Add the rows of a piece."""
    block, seq = piece.block, piece.chunk.chunk.seq
    if keeper is not None and block.n_rows:
        block = keeper.keep(block, seq)
    if not block.n_rows:
        return
    trace = trace_groups if passage.is_grouped else trace_dataset
    records = list(trace(piece.chunk, block, passage.last))
    answering = compress(range(len(block.counts)), block.counts)
    units = ((block.first + nth, ordinal) for nth in answering for ordinal in range(block.counts[nth]))
    places: list[Place] = [(record, seq, *unit) for record, unit in zip(records, units, strict=True)]
    by = passage.first.exchange
    keys = records if by == RECORD else block.columns[by]
    writer.add(keys, places, block.columns)


def _choose_best(rows: Iterator[Row], names: Sequence[str], best: Best | None) -> Iterator[Row]:
    """The rows of a group that go on, in order."""
    if best is None:
        return rows
    held, at = list(rows), names.index(best.score)
    keeper = Keeper(best)
    for row in held:
        keeper.keeps(0, row.values[at], row.place[1:])
    return iter([row for row in held if keeper.holds(0, row.values[at], row.place[1:])])


def _read_header(body: bytes, kind: str) -> dict[str, Any]:
    header = Envelope.from_bytes(body, kind).header
    if not all(is_count(header.get(name)) for name in ("outcomes", "wall_ms")):
        raise Undecodable(kind, "does not say what it has taken")
    return header


def _read_runs(header: Mapping[str, Any], what: str) -> list[RunNote]:
    if type(header.get("runs")) is not list:
        raise Undecodable(what, "lists no runs")
    return [RunNote.from_plain(plain) for plain in header["runs"]]


def _measure_ms(began_ns: int) -> int:
    return (time.monotonic_ns() - began_ns) // 1_000_000


def _name_gathered(partition: int) -> str:
    return f"exchange/gathered/{partition:05d}.json"


def _name_part(part: int) -> str:
    return f"exchange/parts/{part:05d}"
