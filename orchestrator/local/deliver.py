"""From a settled stage to the files in a run's folder: result, failures, not tried, tables, summary.

Everything is written aside by the core's `delivery`; then `placing` puts it in the old files' places. Owns
their order. Imports pyarrow. When it is wrong, what was delivered before is gone before the new is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aliquot.crossing import SettledLeg
from aliquot.delivery import Subject, gather_columns, write_closing, write_tables
from aliquot.exchange import tell_exchanges
from aliquot.fates import gather_legs
from aliquot.figures import Columns, Figures
from aliquot.grouped_delivery import write_fates, write_rows
from aliquot.job import Summary
from aliquot.merge import count_effort
from aliquot.roster import Roster
from orchestrator.local.folder import LEDGER, explained
from orchestrator.placing import place_delivery


@dataclass(frozen=True)
class Delivery:
    """What is delivered and where.

    Args:
        folder: the run's folder.
        ending: "parquet" or "csv".
        epoch: whose roster it is.
        check: called before each piece; raises where the user has interrupted.
    """

    folder: Path
    subject: Subject
    ending: str
    epoch: int
    check: Callable[[], None]


def deliver(
    delivery: Delivery, settled: Sequence[SettledLeg], n_legs: int, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Write all files of a run; gives the summary, `facts` included. Raises UnreadableOutcome, StoreError.

    What was delivered before is replaced only after everything new is written.

    Args:
        settled: the legs that were reached, of `n_legs`.
    """
    aside = delivery.folder / LEDGER / "delivery"
    with explained(delivery.folder):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write = _write_one_leg if n_legs == 1 else partial(_write_legs, n_legs)
        columns, figures, summary = write(delivery, settled, aside)
        exchanges = tell_exchanges(ledger for _, ledger, _ in settled[1:])
        facts = {**facts, **({"exchanges": exchanges} if exchanges else {})}
        said = write_closing(delivery.subject, columns, figures, summary, facts, aside, delivery.ending)
        place_delivery(aside, delivery.folder, delivery.epoch, delivery.ending)
    return said


def _write_one_leg(
    delivery: Delivery, settled: Sequence[SettledLeg], aside: Path
) -> tuple[Columns, Figures, Summary | None]:
    ((_, ledger, roster),) = settled
    columns, effort = gather_columns(delivery.subject.job, ledger, roster)
    written = delivery.subject, ledger, roster, columns, aside, delivery.ending, delivery.check
    figures, summary = write_tables(*written)
    figures.cpu_ms, figures.retries = effort.cpu_ms, effort.retries
    return columns, figures, summary


def _write_legs(
    n_legs: int, delivery: Delivery, settled: Sequence[SettledLeg], aside: Path
) -> tuple[Columns, Figures, Summary | None]:
    """Rows of the last leg, of which there are none where it was not reached; what became of the records."""
    subject, ending, check = delivery.subject, delivery.ending, delivery.check
    fates = gather_legs(settled, n_legs)
    leg, ledger, roster = settled[-1]
    if fates.is_cut:
        roster = Roster({}, {})
    columns, effort = gather_columns(subject.job, ledger, roster)
    rows, summary = write_rows(subject, ledger, leg, roster, fates, columns, aside, ending, check)
    _, ledger, roster = settled[0]
    figures, notes = write_fates(subject, ledger, roster, fates, aside, ending, check)
    if summary is not None and notes is not None:
        summary.merge(notes.partial())
    others = settled if fates.is_cut else settled[:-1]
    for _, ledger, roster in others:
        effort += count_effort(ledger, roster)
    figures.rows, figures.cpu_ms, figures.retries = rows.rows, effort.cpu_ms, effort.retries
    return columns, figures, summary
