"""From a settled stage to the files that a user opens: result, failures, not tried, tables, summary.

Everything is read from the roster, piece by piece in record order, and written aside; then the new files
take the old ones' places by rename. Owns the layout of what is delivered. Imports the core's `merge` and
`tables`. When it is wrong, a right run gives a wrong table.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from aliquot.chunk import ChunkReader
from aliquot.job import Job, Summary, read_fields
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.merge import Piece, gather_kinds, merge_pieces
from aliquot.roster import Roster
from aliquot.rows import name_kinds
from aliquot.spans import SpanSet
from aliquot.tables import IS_JSON, TableWriter, make_field, number_records, repeat_values, write_table
from orchestrator.local.folder import LEDGER, explained

FAILURES = {
    "record": {"int"},
    "id": {"str"},
    "source": {"str"},
    "line": {"int"},
    "stage": {"str"},
    "kind": {"str"},
    "message": {"str"},
    "traceback": {"str"},
    "input": {"str"},
}
NOT_TRIED = {"first": {"int"}, "last": {"int"}, "source": {"str"}}
DELIVERED = "delivered.json"
_LONGEST_INPUT = 10_000


@dataclass(frozen=True)
class Delivery:
    """What is delivered and where.

    Args:
        folder: the run's folder.
        sources: paths of the inputs, by their index in chunks.
        ending: "parquet" or "csv".
        options, prepared: what the job's summary is begun with.
        epoch: whose roster it is.
        check: called before each piece; raises where the user has interrupted.
    """

    folder: Path
    job: Job
    options: Any
    prepared: Path
    sources: Sequence[str]
    ending: str
    epoch: int
    check: Callable[[], None]


@dataclass
class _Figures:
    rows: int = 0
    done: int = 0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


def deliver(delivery: Delivery, ledger: Ledger, roster: Roster, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files of a run; gives the summary, `facts` included. Raises UnreadableOutcome, StoreError.

    What was delivered before is replaced only after everything new is written.
    """
    aside = delivery.folder / LEDGER / "delivery"
    with explained(delivery.folder):
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "result").mkdir(parents=True)
        summary = _write_all(delivery, ledger, roster, facts, aside)
        (aside / "summary.json").write_text(
            json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        _swap(aside, delivery, ledger)
    return summary


def read_delivered(ledger: Ledger) -> dict[str, Any]:
    """What lies in the folder: `epoch` (None while it is delivered), `ending` and the files' `names`."""
    if not ledger.store.has(DELIVERED):
        return {"epoch": None, "ending": "", "names": []}
    found: dict[str, Any] = json.loads(ledger.store.get(DELIVERED))
    return found


def _write_all(
    delivery: Delivery, ledger: Ledger, roster: Roster, facts: Mapping[str, Any], aside: Path
) -> dict[str, Any]:
    found, cpu_ms = gather_kinds(ledger, roster)
    kinds = {name: found.pop(name, set()) | own for name, own in _declare_kinds(delivery.job).items()} | found
    tables = _PieceTables(delivery, aside, kinds, _gather_kept(ledger, roster))
    summary = delivery.job.summary(delivery.options, delivery.prepared) if delivery.job.summary else None
    figures = _Figures()
    for piece in merge_pieces(ledger, roster):
        delivery.check()
        tables.write(piece)
        _count(figures, piece)
        if summary is not None:
            _feed(summary, piece)
    tables.close()
    n_not_tried = _write_not_tried(delivery, ledger, roster, aside)
    return {
        "job": delivery.job.name,
        "records": figures.done + figures.failed + n_not_tried,
        "done": figures.done,
        "failed": figures.failed,
        "not_tried": n_not_tried,
        "rows": tables.n_rows,
        **facts,
        "cpu_s": round(cpu_ms / 1000 + facts.get("cpu_s", 0.0), 3),
        "failures": dict(figures.kinds.most_common()),
        **({"text_columns": tables.text_columns} if tables.text_columns else {}),
        **(_write_summary(summary, delivery, aside) if summary is not None else {}),
    }


def _declare_kinds(job: Job) -> dict[str, set[str]]:
    """The kinds of value that a job's row type declares, by column: of simple types, empty for others."""
    declared: dict[str, set[str]] = {}
    for spec in read_fields(job.writes) if job.writes else ():
        parts = get_args(spec.type) or (spec.type,)
        declared[spec.name] = {part.__name__ for part in parts if part in (bool, int, float, str, bytes)}
    return declared


def _name_columns(rows: Iterable[str], kept: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The result's names of the rows' columns and of those kept: their own, with `_` where one is taken."""
    taken = {"record"}

    def choose(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    return {name: choose(name) for name in rows}, {name: choose(name) for name in kept}


class _PieceTables:
    """The tables that grow piece by piece: result, failures, and the records without rows."""

    def __init__(
        self, delivery: Delivery, aside: Path, kinds: Mapping[str, set[str]], kept: Mapping[str, set[str]]
    ) -> None:
        self._delivery = delivery
        self._names, self._kept = _name_columns(kinds, kept)
        fields = [make_field("record", {"int"})]
        fields += [make_field(self._names[name], found) for name, found in kinds.items()]
        fields += [make_field(self._kept[name], found) for name, found in kept.items()]
        self.text_columns = [each.name for each in fields if each.metadata == IS_JSON]
        ending = delivery.ending
        self._result = TableWriter(aside / "result" / "part", pa.schema(fields), ending, is_split=True)
        self._failures = TableWriter(aside / "failures", _schema_of(FAILURES), ending)
        self._id, self._line = _find_fields(delivery.job)
        self._without: TableWriter | None = None
        if delivery.job.without_rows:
            schema = _schema_of({"record": {"int"}, self._id: {"str"}, self._line: {"str"}})
            self._without = TableWriter(aside / delivery.job.without_rows, schema, ending)

    @property
    def n_rows(self) -> int:
        """Rows of the result so far."""
        return self._result.n_rows

    def write(self, piece: Piece) -> None:
        """Add a piece's rows, failures and records without rows."""
        block = piece.block
        columns: dict[str, Any] = {self._names[name]: values for name, values in block.columns.items()}
        if block.n_rows:
            columns["record"] = number_records(piece.first_record, block.counts)
            for name, shown in self._kept.items():
                if name in piece.chunk.kept_kinds:
                    kept = piece.chunk.kept(name)[block.first : block.first + len(block.counts)]
                    columns[shown] = repeat_values(kept, block.counts)
            self._result.write(columns)
        if piece.failures:
            self._failures.write(self._describe_failures(piece))
        if self._without is not None:
            self._write_without(self._without, piece)

    def close(self) -> None:
        """Finish the files."""
        for writer in (self._result, self._failures, self._without):
            if writer is not None:
                writer.close()

    def _describe_failures(self, piece: Piece) -> dict[str, list[Any]]:
        chunk, failures = piece.chunk, piece.failures
        bad = chunk.bad() if any(failure.kind == "parse" for failure in failures) else {}
        places = [chunk.locate(failure.index) for failure in failures]
        return {
            "record": [chunk.first + failure.index for failure in failures],
            "id": [_text(_value_at(chunk, self._id, failure.index)) for failure in failures],
            "source": [self._delivery.sources[source] for source, _ in places],
            "line": [line for _, line in places],
            "stage": [
                "read" if failure.index in bad else self._delivery.job.stage.name for failure in failures
            ],
            "kind": [failure.kind for failure in failures],
            "message": [failure.message for failure in failures],
            "traceback": [failure.traceback or None for failure in failures],
            "input": [
                bad[f.index].text if f.index in bad else _show_input(chunk, self._line, f.index)
                for f in failures
            ],
        }

    def _write_without(self, writer: TableWriter, piece: Piece) -> None:
        failed = {failure.index for failure in piece.failures}
        first = piece.block.first
        empty = [
            first + i for i, count in enumerate(piece.block.counts) if not count and first + i not in failed
        ]
        columns: dict[str, list[Any]] = {"record": [piece.chunk.first + index for index in empty]}
        for name in (self._id, self._line):
            columns[name] = [_text(_value_at(piece.chunk, name, index)) for index in empty]
        writer.write(columns)


def _find_fields(job: Job) -> tuple[str, str]:
    """The fields that hold a record's id and its line; `id` and none where records are dicts."""
    if job.reads is None:
        return "id", ""
    by_kind = {spec.column.kind: spec.name for spec in read_fields(job.reads)}
    return by_kind.get("id", "id"), by_kind.get("line", "")


def _gather_kept(ledger: Ledger, roster: Roster) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for chunk in roster.shares:
        reader = ChunkReader(ledger.store.get(chunk.key), chunk)
        if not reader.kept_kinds:
            break
        for name, found in reader.kept_kinds.items():
            kinds.setdefault(name, set()).update(found)
    return kinds


def _count(figures: _Figures, piece: Piece) -> None:
    figures.failed += len(piece.failures)
    figures.done += len(piece.block.counts) - len(piece.failures)
    figures.kinds.update(failure.kind for failure in piece.failures)


def _feed(summary: Summary, piece: Piece) -> None:
    """Give the summary each record that is done, with its rows as tuples."""
    block = piece.block
    failed = {failure.index for failure in piece.failures}
    rows = list(zip(*block.columns.values(), strict=True))
    at = 0
    for place, count in enumerate(block.counts):
        if block.first + place not in failed:
            note = block.notes[place] if block.notes else None
            summary.add(piece.first_record + place, rows[at : at + count], note)
        at += count


def _write_summary(summary: Summary, delivery: Delivery, aside: Path) -> dict[str, Any]:
    for name, columns in summary.tables().items():
        kinds = {column: name_kinds(values) for column, values in columns.items()}
        write_table(aside / name, columns, kinds, delivery.ending)
    return summary.figures()


def _write_not_tried(delivery: Delivery, ledger: Ledger, roster: Roster, aside: Path) -> int:
    """Write the ranges that nobody tried, if any, and give how many records they hold."""
    ranges: list[tuple[int, int, int]] = []
    for chunk, gap in roster.not_tried.items():
        for source, first, last in _locate_gap(ledger, chunk, gap):
            if ranges and ranges[-1][2] == source and ranges[-1][1] == first - 1:
                ranges[-1] = (ranges[-1][0], last, source)
            else:
                ranges.append((first, last, source))
    if ranges:
        columns: dict[str, list[Any]] = {
            "first": [first for first, _, _ in ranges],
            "last": [last for _, last, _ in ranges],
            "source": [delivery.sources[source] for _, _, source in ranges],
        }
        write_table(aside / "not_tried", columns, NOT_TRIED, delivery.ending)
    return sum(last - first + 1 for first, last, _ in ranges)


def _locate_gap(ledger: Ledger, chunk: ChunkId, gap: SpanSet) -> list[tuple[int, int, int]]:
    reader = ChunkReader(ledger.store.get(chunk.key), chunk)
    return [
        (source, reader.first + a, reader.first + b - 1)
        for first, end in gap.spans
        for source, a, b in reader.split_by_source(first, end)
    ]


def _swap(aside: Path, delivery: Delivery, ledger: Ledger) -> None:
    """Put what was written in the place of what was delivered before."""
    folder = delivery.folder
    names = sorted(path.name for path in aside.iterdir())
    before = set(read_delivered(ledger)["names"])
    note = {"epoch": None, "ending": delivery.ending, "names": sorted(before | set(names))}
    ledger.store.put(
        DELIVERED, json.dumps(note).encode()
    )  # until all is in place, nothing counts as delivered
    old_result = aside.parent / "old-result"
    shutil.rmtree(old_result, ignore_errors=True)
    if (folder / "result").exists():
        (folder / "result").rename(old_result)
    for name in names:
        (aside / name).replace(folder / name)
    for name in before - set(names):
        (folder / name).unlink(missing_ok=True)
    ledger.store.put(DELIVERED, json.dumps({**note, "epoch": delivery.epoch, "names": names}).encode())
    shutil.rmtree(old_result, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _schema_of(kinds: Mapping[str, set[str]]) -> pa.Schema:
    return pa.schema([make_field(name, found) for name, found in kinds.items() if name])


def _value_at(chunk: ChunkReader, name: str, index: int) -> Any:
    return chunk.column(name)[index] if name in chunk.column_names else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _show_input(chunk: ChunkReader, line_field: str, index: int) -> str | None:
    """What a record was made of: its line, or its columns as JSON; cut where it is long."""
    if line_field:
        shown = _text(_value_at(chunk, line_field, index))
    else:
        shown = json.dumps({name: chunk.column(name)[index] for name in chunk.column_names}, default=str)
    return shown and shown[:_LONGEST_INPUT]
