"""From a settled stage to the files in a run's folder: result, failures, not tried, tables, summary.

Everything is written aside by the core's `delivery`; then `placing` puts it in the old files' places. Owns
their order. Imports pyarrow. When it is wrong, what was delivered before is gone before the new is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aliquot.delivery import Subject, gather_columns, write_closing, write_tables
from aliquot.ledger import Ledger
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


def deliver(delivery: Delivery, ledger: Ledger, roster: Roster, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files of a run; gives the summary, `facts` included. Raises UnreadableOutcome, StoreError.

    What was delivered before is replaced only after everything new is written.
    """
    aside = delivery.folder / LEDGER / "delivery"
    with explained(delivery.folder):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        columns, cpu_ms = gather_columns(delivery.subject.job, ledger, roster)
        subject, ending = delivery.subject, delivery.ending
        figures, summary = write_tables(subject, ledger, roster, columns, aside, ending, delivery.check)
        figures.cpu_ms = cpu_ms
        said = write_closing(subject, columns, figures, summary, facts, aside, ending)
        place_delivery(aside, delivery.folder, delivery.epoch, ending)
    return said
