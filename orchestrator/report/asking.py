"""The report as it was asked for: of whatever a folder holds, wherever its run is.

Owns where the run's objects are found. Imports `explain`, and of the cloud what a look at it takes. When it
is wrong, `aliquot show --html` tells less than `aliquot show`.
"""

from __future__ import annotations

from pathlib import Path

from aliquot.errors import AliquotError
from aliquot.ledger import Ledger
from orchestrator.explain import Explained, explain_run
from orchestrator.local.folder import open_folder
from orchestrator.report.writing import write_report


def write_now(folder: Path, profile: str | None = None, region: str | None = None) -> Path:
    """Write the report of the run in a folder; gives its path.

    Args:
        profile, region: as of `explain_run`.
    Raises:
        FolderInUse: there is no run. StoreError: what was delivered is damaged, or the page cannot be
        written.
    """
    told = explain_run(folder, profile, region)
    return write_report(told, find_ledger(told, profile), is_live=told.state.word == "running")


def find_ledger(told: Explained, profile: str | None) -> Ledger | None:
    """The run's objects; None where they are not at hand (any more)."""
    if told.address is None:
        return open_folder(told.folder).ledger
    if told.address.is_rehearsal or told.state.word == "unknown":
        return None
    from orchestrator.aws.commands import look

    try:
        return look(told.folder, profile).ledger
    except (AliquotError, ModuleNotFoundError):
        return None
