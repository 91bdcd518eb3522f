"""From a part of a settled stage to tables: rows, failures, records without rows; and what is said of them.

    roster --gather_columns--> schema
    roster --write_tables--> tables in a folder, figures, the job's summary
    figures and summary of all parts --write_closing--> not tried, the job's tables, what summary.json says

Behind an exchange rows and records part: see `grouped_delivery`.

A local run delivers its whole roster as one part, a stack each group of it: figures, columns and summaries
merge in dataset order (`figures`), so that both say the same. Everything is read from the roster, piece by
piece in record order. Owns what is delivered. Imports `merge`, `figures` and `tables`. When it is wrong, a
right run gives a wrong table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aliquot.chunk import ChunkReader
from aliquot.columnar import has_type
from aliquot.figures import Columns, Figures, Gap
from aliquot.job import RECORD, Job, Summary, read_fields
from aliquot.ledger import Ledger
from aliquot.merge import Effort, Piece, gather_kinds, merge_pieces
from aliquot.outcome import Failure
from aliquot.roster import Roster
from aliquot.rows import name_kinds
from aliquot.spans import SpanSet
from aliquot.tables import (
    TableWriter,
    make_schema,
    number_records,
    repeat_values,
    write_table,
)
from aliquot.told import declare_kinds

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
_LONGEST_INPUT = 10_000


@dataclass(frozen=True)
class Subject:
    """What a delivery is of.

    Args:
        options, prepared: what the job's summary is begun with.
        sources: paths of the inputs, by their index in chunks.
    """

    job: Job
    options: Any
    prepared: Path
    sources: Sequence[str]

    def begin_summary(self) -> Summary | None:
        """The job's summary, empty; None where it has none."""
        return self.job.summary(self.options, self.prepared) if self.job.summary else None


def gather_columns(job: Job, ledger: Ledger, roster: Roster) -> tuple[Columns, Effort]:
    """The columns of a roster's result, and what its outcomes took; raises UnreadableOutcome."""
    found, effort = gather_kinds(ledger, roster)
    of_tables = any(map(has_type, chain.from_iterable(found.values())))
    declared = Columns(declare_kinds(job), {}, is_numbered=not (of_tables or _has_number(job, ledger)))
    return declared.merge(Columns(found, _gather_kept(ledger, roster))), effort


def write_tables(
    subject: Subject,
    ledger: Ledger,
    roster: Roster,
    columns: Columns,
    into: Path,
    ending: str,
    check: Callable[[], None] = lambda: None,
) -> tuple[Figures, Summary | None]:
    """Write the tables of a roster's records into a folder: `result/part-*`, `failures`, those without rows.

    Args:
        columns: of the result; they may be more than these records have.
        ending: "parquet" or "csv".
        check: called before each piece; raises where the user has interrupted.
    Raises:
        UnreadableOutcome: an outcome is damaged.
    """
    tables = _PieceTables(subject, columns, into, ending)
    summary, figures = subject.begin_summary(), Figures()
    for piece in merge_pieces(ledger, roster):
        check()
        tables.write(piece)
        _count(figures, piece)
        if summary is not None:
            _feed(summary, piece)
    tables.close()
    figures.rows = tables.n_rows
    for chunk, gap in roster.not_tried.items():
        for each in locate_gap(ledger.read_chunk(chunk), gap):
            figures.add_gap(each)
    return figures, summary


def write_closing(
    subject: Subject,
    columns: Columns,
    figures: Figures,
    summary: Summary | None,
    facts: Mapping[str, Any],
    into: Path,
    ending: str,
) -> dict[str, Any]:
    """Write what is of all records: the ranges not tried, the job's tables, `summary.json`; gives the last.

    Args:
        facts: wall seconds of the run (`elapsed_s`), and processor seconds besides the hosts' (`cpu_s`).
    """
    if figures.not_tried:
        gaps: dict[str, list[Any]] = {
            "first": [first for first, _, _ in figures.not_tried],
            "last": [last for _, last, _ in figures.not_tried],
            "source": [subject.sources[source] for _, _, source in figures.not_tried],
        }
        write_table(into / "not_tried", gaps, NOT_TRIED, ending)
    for name, table in summary.tables().items() if summary is not None else ():
        write_table(into / name, table, {col: name_kinds(values) for col, values in table.items()}, ending)
    said = {
        "job": subject.job.name,
        "records": figures.done + figures.failed + figures.n_not_tried,
        "done": figures.done,
        "failed": figures.failed,
        "not_tried": figures.n_not_tried,
        "rows": figures.rows,
        **facts,
        "cpu_s": round(figures.cpu_ms / 1000 + facts.get("cpu_s", 0.0), 3),
        "retries": figures.retries,
        "failures": dict(figures.kinds.most_common()),
        **({"text_columns": columns.text_columns} if columns.text_columns else {}),
        **(summary.figures() if summary is not None else {}),
    }
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    (into / "summary.json").write_text(text, encoding="utf-8")
    return said


class _PieceTables:
    """The tables that grow piece by piece: result, failures, and the records without rows."""

    def __init__(self, subject: Subject, columns: Columns, into: Path, ending: str) -> None:
        self._subject = subject
        (self._names, self._kept), self._is_numbered = columns.names, columns.is_numbered
        (into / "result").mkdir(parents=True, exist_ok=True)
        self._result = TableWriter(into / "result" / "part", columns.schema, ending, is_split=True)
        self._failures = TableWriter(into / "failures", make_schema(FAILURES), ending)
        self._id, self._line = find_fields(subject.job)
        self._without: TableWriter | None = None
        if subject.job.without_rows:
            shown = {name: {"str"} for name in (self._id, self._line) if name}
            schema = make_schema({"record": {"int"}, **shown})
            self._without = TableWriter(into / subject.job.without_rows, schema, ending)

    @property
    def n_rows(self) -> int:
        """Rows of the result so far."""
        return self._result.n_rows

    def write(self, piece: Piece) -> None:
        """Add a piece's rows, failures and records without rows."""
        block = piece.block
        columns: dict[str, Any] = {self._names[name]: values for name, values in block.columns.items()}
        if block.n_rows:
            if self._is_numbered:
                columns[RECORD] = number_records(piece.first_record, block.counts)
            for name, shown in self._kept.items():
                if name in piece.chunk.kept_kinds:
                    kept = piece.chunk.kept(name)[block.first : block.first + len(block.counts)]
                    columns[shown] = repeat_values(kept, block.counts)
            self._result.write(columns)
        if piece.failures:
            table = describe_failures(self._subject, piece.chunk, piece.failures, self._id, self._line)
            self._failures.write(table)
        if self._without is not None:
            self._write_without(self._without, piece)

    def close(self) -> None:
        """Finish the files."""
        for writer in (self._result, self._failures, self._without):
            if writer is not None:
                writer.close()

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


def _gather_kept(ledger: Ledger, roster: Roster) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for chunk in roster.shares:
        reader = ledger.read_chunk(chunk)
        if not reader.kept_kinds:
            break
        for name, found in reader.kept_kinds.items():
            kinds.setdefault(name, set()).update(found)
    return kinds


def find_fields(job: Job) -> tuple[str, str]:
    """The fields that hold a record's id and its line; `id` and none where records are dicts."""
    if job.reads is None:
        return "id", ""
    by_kind = {spec.column.kind: spec.name for spec in read_fields(job.reads)}
    return by_kind.get("id", "id"), by_kind.get("line", "")


def _count(figures: Figures, piece: Piece) -> None:
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


def _has_number(job: Job, ledger: Ledger) -> bool:
    """Whether the job's rows, behind an exchange, have a column `record` of their own."""
    return bool(ledger.prefix) and job.writes is not None and RECORD in job.writes._fields  # type: ignore[attr-defined]


def describe_failures(
    subject: Subject, chunk: ChunkReader, failures: Sequence[Failure], field: str, line: str
) -> dict[str, list[Any]]:
    """The rows of `failures` for some records of a chunk, of which these fields hold the id and the line."""
    bad = chunk.bad() if any(failure.kind == "parse" for failure in failures) else {}
    places = [chunk.locate(failure.index) for failure in failures]
    return {
        "record": [chunk.first + failure.index for failure in failures],
        "id": [_text(_value_at(chunk, field, failure.index)) for failure in failures],
        "source": [subject.sources[source] for source, _ in places],
        "line": [number for _, number in places],
        "stage": ["read" if failure.index in bad else failure.stage for failure in failures],
        "kind": [failure.kind for failure in failures],
        "message": [failure.message for failure in failures],
        "traceback": [failure.traceback or None for failure in failures],
        "input": [
            bad[f.index].text if f.index in bad else _show_input(chunk, line, f.index) for f in failures
        ],
    }


def locate_gap(reader: ChunkReader, gap: SpanSet) -> Iterable[Gap]:
    """The ranges of records of a gap in a chunk of the dataset, each of one source."""
    return [
        (reader.first + a, reader.first + b - 1, source)
        for first, end in gap.spans
        for source, a, b in reader.split_by_source(first, end)
    ]


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
