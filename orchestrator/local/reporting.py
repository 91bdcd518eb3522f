"""The report at the end of a session on this machine, whatever that end is.

Owns which ends are reported. Imports the report when a session ends. When it is wrong, a run has no report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aliquot.errors import BudgetReached, Interrupted, TooManyFailed
from aliquot.ledger import Ledger

if TYPE_CHECKING:
    from orchestrator.explain import Explained


@contextmanager
def reporting(folder: Path, ledger: Ledger) -> Iterator[None]:
    """Write the report of a run in its folder after what is done here, unless nothing could be begun."""
    try:
        yield
    except (BudgetReached, Interrupted, TooManyFailed):
        _report(folder, ledger)
        raise
    _report(folder, ledger)


def _report(folder: Path, ledger: Ledger) -> None:
    from orchestrator.explain import explain_local
    from orchestrator.report.writing import write_softly

    def tell() -> Explained | None:
        told = explain_local(folder, ledger, None)
        return (
            told if told.manifest.get("code") else None
        )  # its job was not opened: there is nothing to report

    write_softly(folder, tell, ledger)
