"""Watching a run on this machine that another process is at: its report is written anew until that ends.

Owns this loop; nothing of the run is touched. Imports `explain` and the report. When it is wrong, a page
that is left open tells of yesterday.
"""

from __future__ import annotations

import threading
import time

from aliquot.errors import FolderInUse, Interrupted
from orchestrator.explain import Explained, explain_local
from orchestrator.local.folder import RunFolder, find_worker
from orchestrator.progress import RUNNING, Progress
from orchestrator.report.writing import Rewriting, write_report

_LOOK_S = 0.5


class LocalWatch:
    """A session that only looks.

    Args:
        run: the folder of a run that was begun.
    """

    def __init__(self, run: RunFolder) -> None:
        self._path, self._ledger = run.path, run.ledger
        self._interrupt = threading.Event()
        self._began_s = time.monotonic()
        self._told: Explained | None = None
        self._n_before: int | None = None

    @property
    def progress(self) -> Progress:
        """How far the run was at the last look."""
        if self._told is None or not self._told.state.n_answered:
            return Progress("waiting for its first records", 0, 0, None, 0, 0.0)
        state = self._told.state
        n_answered = state.n_answered or 0
        n_session = n_answered - (self._n_before or 0)
        running_s = time.monotonic() - self._began_s
        return Progress(RUNNING, n_answered, 0, state.n_records, n_session, running_s)

    def interrupt(self) -> None:
        """End soon; the run goes on."""
        self._interrupt.set()

    def run(self) -> None:
        """Look until nobody works in the folder.

        Raises:
            FolderInUse: the run is not finished then. StoreError: its last report cannot be written.
        """
        rewriting = Rewriting(self._path, self._ledger)
        while find_worker(self._path) is not None:
            rewriting.rewrite(self._look)
            if self._interrupt.wait(_LOOK_S):
                raise Interrupted(str(self._path), "the run goes on; so does its report, at its end")
        self._told = explain_local(self._path, self._ledger, None)
        write_report(self._told, self._ledger)
        if self._told.summary is None:
            reason = f"is not finished, and nobody works in it: `aliquot resume {self._path}` goes on with it"
            raise FolderInUse(str(self._path), reason)

    def _look(self) -> Explained:
        self._told = explain_local(self._path, self._ledger, find_worker(self._path))
        if self._n_before is None:
            self._n_before = self._told.state.n_answered
        return self._told
