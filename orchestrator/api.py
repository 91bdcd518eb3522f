"""What Python users call: `plan`, `resume`, and the `Run` that they get.

A run goes on in a thread of its own; `wait` shows its progress and hands on its errors. Owns the public
names' behaviour. Imports the local backend and, when a plan is estimated, `estimate`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.errors import JobError
from aliquot.launch import IN_HOST
from orchestrator.local.folder import open_folder
from orchestrator.local.session import Resume, Session
from orchestrator.local.settings import Settings
from orchestrator.progress import show_progress
from orchestrator.request import Dataset, Request, make_request, restore_request
from orchestrator.results import Result, read_summary, read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.estimate import Estimate

_INTERRUPT_S = 0.2


@dataclass(frozen=True)
class RunPlan:
    """A job over a dataset, checked and ready to start; nothing has been run.

    Args:
        request: the job, its options and its dataset.
        settings: workers and limits.
    """

    request: Request
    settings: Settings

    @cached_property
    def estimate(self) -> Estimate:
        """Records, chunks, bytes, memory and time, from a probe: the dataset is read and some of it run.

        Raises BatchDependent where rows would depend on how the dataset is cut.
        """
        from orchestrator.estimate import estimate_run

        return estimate_run(self.request, self.settings)

    def __str__(self) -> str:
        return str(self.estimate)

    def start(self, out: str | Path) -> Run:
        """Begin the run in the folder `out`, or go on with it where it is this one; returns at once."""
        return Run(out).follow(Session(self.request, Path(out), self.settings))


def plan(
    job: str | Callable[[Any], Any],
    dataset: Dataset,
    *,
    column: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    workers: int | None = None,
    record_timeout: float = 60.0,
    memory: int | None = None,
    max_failed: str = "5%",
    format: str = "parquet",  # noqa: A002 - the command's word
    **options: Any,
) -> RunPlan:
    """The plan of running `job` over `dataset`: print it to be told what it takes, start it to run it.

    Args:
        job: a job's name, `MODULE:FUNCTION`, or a function of one record at the top level of a file.
        dataset: a file, glob or folder, a list of these, or an iterable of records.
        column: input column by field, where names do not tell.
        keep: input columns to carry to the result.
        workers: processes; the physical cores by default.
        record_timeout: seconds that one record may take.
        memory: MiB of private memory a worker; by default 80% of what is free, divided by the workers.
        max_failed: how many records may fail: "5%" or "12".
        format: "parquet" or "csv".
        options: the job's own options.
    Raises:
        UsageError: what was asked cannot be run; the message says why and what to do.
    """
    if os.environ.get(IN_HOST):
        guard = 'put it under `if __name__ == "__main__":`'
        raise JobError(str(job), f"a script made a plan while a host imported it: {guard}")
    settings = Settings(workers, record_timeout, memory, str(max_failed), format)
    request = make_request(job, dataset, options, column or {}, keep)
    return RunPlan(request, settings)


def resume(
    out: str | Path,
    *,
    retry_failed: bool = False,
    new_code: bool = False,
    workers: int | None = None,
    record_timeout: float | None = None,
    memory: int | None = None,
    max_failed: str | None = None,
    format: str | None = None,  # noqa: A002 - the command's word
) -> Run:
    """Go on with the run in the folder `out`; returns at once.

    Args:
        retry_failed: try the records that failed once more.
        new_code: go on although the job's code has changed; what is done stays as it is.
        workers, record_timeout, memory, max_failed, format: as of `plan`; as before where None.
    """
    folder = open_folder(Path(out))
    manifest = folder.ledger.read_manifest() or {}
    request = restore_request(manifest, folder.path)
    settings = Settings.from_plain(
        manifest["settings"],
        workers=workers,
        record_timeout_s=record_timeout,
        memory_mib=memory,
        max_failed=None if max_failed is None else str(max_failed),
        ending=format,
    )
    session = Session(request, folder.path, settings, Resume(retry_failed, new_code))
    return Run(folder.path).follow(session)


class Run:
    """A run in its folder, under way or over."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._session: Session | None = None
        # not `Thread.join`: Ctrl-C in it makes a running thread look ended (Python 3.11, cpython#90882);
        # test_interrupt_leaves_a_folder_that_resumes_only_what_is_missing fails with it
        self._is_over = threading.Event()
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def wait(self, *, quiet: bool = False) -> Run:
        """Wait for the run's end, with a progress bar; raises what ended it early.

        Ctrl-C ends the run so that it can be resumed (Interrupted).
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

    def follow(self, session: Session) -> Run:
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
