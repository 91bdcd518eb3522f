"""A run in its folder, under way or over: waited for, shown, and read.

A session goes on in a thread of its own; `wait` shows its progress and hands on its errors. Owns that thread.
Imports `progress` and `results`. When it is wrong, Ctrl-C loses what a run could have kept, or an error goes
unheard.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.progress import Watched, show_progress
from orchestrator.results import Result, read_invoice, read_summary, read_table

if TYPE_CHECKING:
    import pyarrow as pa

_INTERRUPT_S = 0.2


class Followed(Watched, Protocol):
    """A session of any backend: it works in the thread that calls `run`, and any other may interrupt it."""

    def run(self) -> Any:
        """Work until the result is in the folder; raises what ended it early."""

    def interrupt(self) -> None:
        """End soon; may be asked again."""


class Run:
    """A run in its folder, under way or over."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._session: Followed | None = None
        # not `Thread.join`: Ctrl-C in it makes a running thread look ended (Python 3.11, cpython#90882);
        # test_interrupt_leaves_a_folder_that_resumes_only_what_is_missing fails with it
        self._is_over = threading.Event()
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        from orchestrator.notebook import show_run

        return show_run(self.folder)

    def wait(self, *, quiet: bool = False) -> Run:
        """Wait for the run's end, with a progress bar, in a notebook too; raises what ended it early.

        Ctrl-C ends the run so that it can be resumed (Interrupted); a run on a stack goes on (Detached).
        """
        if self._session is None:
            return self
        try:
            show_progress(self._session, self._is_over, quiet=quiet)
        except KeyboardInterrupt:
            self._session.interrupt()
            while not self._is_over.wait(_INTERRUPT_S):
                self._session.interrupt()
        if self._failure is not None:
            raise self._failure
        return self

    @property
    def result(self) -> Result:
        """The rows and the tables beside them, of as much as is delivered."""
        return Result(self.folder)

    @property
    def failures(self) -> pa.Table | None:
        """The records that failed, with their reasons; None while nothing is delivered."""
        return read_table(self.folder, "failures")

    @property
    def not_tried(self) -> pa.Table | None:
        """The ranges of records that a stopped run did not try; None where there are none."""
        return read_table(self.folder, "not_tried")

    @property
    def summary(self) -> dict[str, Any] | None:
        """The run's figures; None while nothing is delivered."""
        return read_summary(self.folder)

    @property
    def invoice(self) -> dict[str, Any]:
        """What the run has cost: `total` in dollars, by stage, and what of it was wasted."""
        return read_invoice(self.folder)

    def follow(self, session: Followed) -> Run:
        """Start the session in a thread; this run waits for it and shows it."""
        self._session = session
        threading.Thread(target=self._work, name="aliquot-run", daemon=True).start()
        return self

    def _work(self) -> None:
        assert self._session is not None  # noqa: S101 - `follow` set it
        try:
            self._session.run()
        except BaseException as err:  # noqa: BLE001 - carried to whoever waits
            self._failure = err
        finally:
            self._is_over.set()
