"""The tables of a run with exchanges: rows of the last leg, and what became of the dataset's records.

    roster of the last leg   --write_rows--> result/part-*
    roster of the first leg, fates of the others --write_fates--> failures, figures

Owns which rows are left out because their record is not done. Imports `delivery`'s tables, `fates` and
`grouped`. When it is wrong, rows of failed records pass for results, or records are counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

from aliquot.delivery import FAILURES, Subject, describe_failures, find_fields, locate_gap
from aliquot.fates import Fates
from aliquot.figures import Columns, Figures
from aliquot.grouped import list_records, trace_groups
from aliquot.job import RECORD, NoteSummary, Summary
from aliquot.ledger import Ledger
from aliquot.merge import Piece, merge_pieces, read_failures
from aliquot.outcome import Failure
from aliquot.roster import Roster
from aliquot.spans import SpanSet
from aliquot.stages import Leg
from aliquot.tables import TableWriter, make_schema


def write_rows(
    subject: Subject,
    ledger: Ledger,
    leg: Leg,
    roster: Roster,
    fates: Fates,
    columns: Columns,
    into: Path,
    ending: str,
    check: Callable[[], None] = lambda: None,
) -> tuple[Figures, Summary | None]:
    """Write `result/part-*` of a roster of the last leg, which reads groups.

    Args:
        leg: the last, whose stages say which record a row counts to.
        fates: of the dataset's records; where rows belong to one, those of a record that is not done are left
            out.
        columns, into, ending, check: as of `write_tables`.
    Raises:
        UnreadableOutcome: an outcome is damaged.
    """
    table = _RowTable(columns, into, ending)
    summary = subject.begin_summary()
    for piece in merge_pieces(ledger, roster):
        check()
        records = list(trace_groups(piece.chunk, piece.block, leg.last))
        kept = [not leg.tells_records or fates.is_whole(record) for record in records]
        table.write(piece, records, kept)
        if summary is not None:
            _feed_groups(summary, piece, records, kept)
    table.close()
    return Figures(rows=table.n_rows), summary


def write_fates(
    subject: Subject,
    ledger: Ledger,
    roster: Roster,
    fates: Fates,
    into: Path,
    ending: str,
    check: Callable[[], None] = lambda: None,
) -> tuple[Figures, Summary | None]:
    """Write `failures` of a roster of the first leg: what failed there, and in later legs.

    The summary is of the notes of records that are done; None for jobs whose summaries are not told them.

    Raises:
        UnreadableOutcome: an outcome is damaged.
    """
    figures = Figures()
    writer = TableWriter(into / "failures", make_schema(FAILURES), ending)
    field, line = find_fields(subject.job)
    summary = subject.begin_summary()
    listener = summary if isinstance(summary, NoteSummary) else None
    is_whole = subject.job.list_stages(subject.options)[0].whole
    for chunk, shares in roster.shares.items():
        check()
        if listener is not None:
            _feed_notes(listener, merge_pieces(ledger, Roster({chunk: shares}, {})), fates)
        reader = ledger.read_chunk(chunk)
        ends = reader.first, reader.first + chunk.n_records
        failed = {failure.index: failure for failure in fates.find_failed(*ends)}
        failed |= {failure.index: failure for failure in read_failures(ledger, shares)}
        if failed and is_whole:
            failed = spread_failures(failed, chunk.n_records)
        gap = roster.not_tried.get(chunk, SpanSet()) | fates.find_untried(*ends)
        gap -= SpanSet.of_indices(failed)
        if failed:
            listed = [failed[index] for index in sorted(failed)]
            writer.write(describe_failures(subject, reader, listed, field, line))
            figures.kinds.update(failure.kind for failure in listed)
        figures.failed += len(failed)
        figures.done += chunk.n_records - len(failed) - len(gap)
        for each in locate_gap(reader, gap):
            figures.add_gap(each)
    writer.close()
    return figures, listener


def spread_failures(failed: Mapping[int, Failure], n_records: int) -> dict[int, Failure]:
    """The failures of a chunk that was taken whole: what failed behind the first stage failed all of it."""
    behind = next((failure for failure in failed.values() if failure.kind != "parse"), None)
    others = {} if behind is None else {index: replace(behind, index=index) for index in range(n_records)}
    return {**others, **failed}


class _RowTable:
    """The result of a leg that reads groups."""

    def __init__(self, columns: Columns, into: Path, ending: str) -> None:
        (into / "result").mkdir(parents=True, exist_ok=True)
        self._names, self._is_numbered = columns.names[0], columns.is_numbered
        self._result = TableWriter(into / "result" / "part", columns.schema, ending, is_split=True)

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return self._result.n_rows

    def write(self, piece: Piece, records: Sequence[int], kept: Sequence[bool]) -> None:
        """Add the rows of a piece that are to be kept."""
        if not any(kept):
            return
        columns: dict[str, Any] = {
            self._names[name]: values if all(kept) else list(compress(values, kept))
            for name, values in piece.block.columns.items()
        }
        if self._is_numbered:
            columns[RECORD] = list(compress(records, kept))
        self._result.write(columns)

    def close(self) -> None:
        """Finish the files."""
        self._result.close()


def _feed_notes(listener: NoteSummary, pieces: Iterable[Piece], fates: Fates) -> None:
    """Tell a summary the notes of records that are done."""
    for piece in pieces:
        failed = {failure.index for failure in piece.failures}
        for place, note in enumerate(piece.block.notes or ()):
            record = piece.first_record + place
            if note and piece.block.first + place not in failed and fates.is_whole(record):
                listener.add_note(record, note)


def _feed_groups(summary: Summary, piece: Piece, records: Sequence[int], kept: Sequence[bool]) -> None:
    """Give the summary each group that is done, by the first record of its rows."""
    failed = {failure.index for failure in piece.failures}
    rows = list(zip(*piece.block.columns.values(), strict=True))
    notes, at = piece.block.notes, 0
    for place, count in enumerate(piece.block.counts):
        unit, held = piece.block.first + place, slice(at, at + count)
        if unit not in failed and all(kept[held]):
            record = records[at] if count else list_records(piece.chunk, unit)[0]
            summary.add(record, rows[held], notes[place] if notes else None)
        at += count
