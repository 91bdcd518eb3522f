"""When and where the report is written: at a run's end, when it is asked for, and while a run is watched.

    a session's end --write_softly--> DIR/report.html       what stands against it is logged, no more
    aliquot show --html --write_report-->
    aliquot watch --html --Rewriting--> again and again

Owns the file and the order of what it is made of. Imports all of this package. When it is wrong, a run ends
badly for its report, or a reader sees half a page.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from aliquot.errors import AliquotError, StoreError
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec
from orchestrator.catalog import find_job_at
from orchestrator.explain import Explained
from orchestrator.report.drawn import Drawn
from orchestrator.report.gather import Findings, Headers, gather
from orchestrator.report.page import AGAIN_S, make_page
from orchestrator.report.sections import Reported, list_sections
from orchestrator.results import find_kind, list_failures, pick_few

REPORT = "report.html"
_MOST_READ, _OF_EACH, _MOST_SHOWN = 20_000, 60, 240
_UNWRITTEN = "the report was not written (`aliquot show %s --html` tries again): %s"
_REST = 10.0  # times what writing took
_log = logging.getLogger(__name__)


def write_report(
    told: Explained, ledger: Ledger | None, *, is_live: bool = False, known: Headers | None = None
) -> Path:
    """Write the report of a run into its folder; gives its path. Raises StoreError.

    Args:
        told: what its folder tells.
        ledger: its objects; None where they are not at hand.
        is_live: the run goes on, and this is written again.
        known: headers that were read before.
    """
    found = Findings() if ledger is None else gather(ledger, told.manifest["source_names"], known)
    failures = (
        pick_few(list_failures(told.folder, _MOST_READ), find_kind, _OF_EACH, _MOST_SHOWN)
        if told.summary is not None and told.summary["failed"]
        else []
    )
    drawn = draw(told, ledger) if told.summary is not None else Drawn()
    sections = list(list_sections(Reported(told, found, failures, drawn)))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    path = told.folder / REPORT
    aside = told.folder / f".{REPORT}.{os.getpid()}"
    try:
        with aside.open("wb") as file:
            file.writelines(make_page(told, sections, made, is_live=is_live))
        aside.replace(path)
    except OSError as err:
        raise StoreError(str(path), f"cannot be written: {err.strerror or err}") from err
    finally:
        with suppress(OSError):  # a folder that is read-only says so of a file that is not there, too
            aside.unlink(missing_ok=True)
    return path


def write_softly(folder: Path, tell: Callable[[], Explained | None], ledger: Ledger) -> None:
    """As `write_report`, at a run's end: whatever stands against it is no failure of the run.

    Args:
        tell: what its folder tells; None where there is nothing to report.
    """
    try:
        told = tell()
        if told is not None:
            write_report(told, ledger)
    except Exception as err:  # noqa: BLE001 - a boundary: the run is delivered, or has its own error to tell
        _warn(folder, err)


class Rewriting:
    """The report of a run that goes on, written anew from time to time.

    Args:
        folder: of the run.
        ledger: the run's objects.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._known: Headers = {}
        self._due_s = 0.0

    def rewrite(self, tell: Callable[[], Explained]) -> None:
        """Write the report, unless that was done a while ago: it takes a small part of the time."""
        began_s = time.monotonic()
        if began_s < self._due_s:
            return
        try:
            write_report(tell(), self._ledger, is_live=True, known=self._known)
        except (AliquotError, OSError) as err:
            _warn(self._folder, err)
        ended_s = time.monotonic()
        self._due_s = ended_s + max(AGAIN_S, _REST * (ended_s - began_s))


def _warn(folder: Path, err: Exception) -> None:
    """Say in one line why there is no report; of an error that nobody foresaw its class too."""
    said = " ".join(str(err).split())[:300]
    is_foreseen = isinstance(err, AliquotError | OSError)
    _log.warning(_UNWRITTEN, quote(str(folder)), said if is_foreseen else f"{type(err).__name__}: {said}")


def draw(told: Explained, ledger: Ledger | None) -> Drawn:
    """What the run's job draws of what was delivered, where the job is here."""
    manifest = told.manifest
    if manifest.get("is_function"):
        return Drawn()
    address, paths = manifest["identity"]["job"], tuple(manifest["search_path"])
    try:
        job = find_job_at(address, paths).job
    except AliquotError as err:
        return Drawn(why=f"There are no pictures, since the job is not here: {err}")
    if job.pictures is None:
        return Drawn()
    from orchestrator.report.pictures import draw_pictures

    return draw_pictures(told.folder, job, JobSpec(address, paths, manifest["options"]), ledger)
