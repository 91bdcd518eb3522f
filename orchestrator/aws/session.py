"""One session of a run on a stack: what is missing submitted, begun, watched, fetched.

    lock the folder -> its address, or a new one -> submit -> begin -> watch -> published? -> fetch -> judge

The run goes on without a session, and another session may take it up at any line: what is decided is in the
bucket, and DIR/cloud.json says where. Owns the order of these steps; its neighbours do them. When it is
wrong, a run is paid twice, or its result never arrives.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aliquot.errors import (
    AliquotError,
    BudgetReached,
    Detached,
    FolderInUse,
    Interrupted,
    OpenFailed,
    Stopped,
)
from aliquot.failure_limit import FailureLimit
from aliquot.ledger import BUDGET_REACHED, OPEN_FAILED, SETTLED, TIME_REACHED, TOO_MANY_FAILED, UNREADABLE
from aliquot.readers.objects import is_object
from aliquot.stages import read_legs
from orchestrator.aws.commands import read_manifest
from orchestrator.aws.executions import Execution
from orchestrator.aws.folder import CloudAddress, find_address, read_address
from orchestrator.aws.noticing import Noticing
from orchestrator.aws.run import CloudRun, Published
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.site import Pace, open_site, reach
from orchestrator.aws.submission import Submitting, change_settings, check_request
from orchestrator.aws.target import Target
from orchestrator.aws.watching import Watch
from orchestrator.judging import judge, too_many
from orchestrator.local.closing import TAKEN_UP
from orchestrator.local.folder import RunFolder
from orchestrator.placing import read_delivered
from orchestrator.progress import Progress, describe_progress
from orchestrator.request import Request, check_sources, restore_request
from orchestrator.stack.aws import make_session
from orchestrator.stack.outputs import find_stack

_GOING_ON = frozenset({UNREADABLE, TAKEN_UP})  # why an epoch ends and its run does not
_NOT_BEGUN = "its run was not begun yet: the same command goes on"
_LOOK_S = 0.05
_FETCHING, _REPORTING = "fetching", "writing the report"
_REHEARSED = "a rehearsal leaves nothing to go on with: the same command begins another"


def _do_nothing() -> None:
    """What is looked at besides a run on AWS: nothing."""


class WatchSession:
    """Waits for a run on a stack and fetches its result, in the thread that calls `run`.

    Args:
        folder: of the run.
        ending: "parquet" or "csv"; None for what was asked when it was begun.
        profile: of AWS, where another one is to be used than before.
        is_reporting: write the run's report again and again while it is watched.
    """

    def __init__(
        self,
        folder: Path,
        ending: str | None = None,
        profile: str | None = None,
        *,
        is_reporting: bool = False,
    ) -> None:
        self._path, self._ending, self._profile = folder, ending, profile
        self._is_reporting = is_reporting
        self._folder = RunFolder(folder)
        self._interrupt = threading.Event()
        self._phase = "starting"
        self._watch: Watch | None = None
        self._submitting: Submitting | None = None
        self._run: CloudRun | None = None

    @property
    def progress(self) -> Progress:
        """How far the session is; any thread may ask."""
        if self._phase or self._watch is None:
            return Progress(self._phase or "starting", 0, 0, None, 0, 0.0)
        return self._watch.tell_progress(self._submitting.n_total if self._submitting is not None else None)

    def interrupt(self) -> None:
        """End soon; the run goes on. Any thread may ask, and ask again."""
        self._interrupt.set()
        if self._submitting is not None:
            self._submitting.abort()

    def run(self) -> dict[str, Any]:
        """Work until the result is in the folder; gives the summary.

        Raises:
            UsageError: what was asked cannot be done.
            StoreError: AWS or the disk refused.
            TooManyFailed: beyond the limit; what finished is fetched.
            SettlingFailed: nothing drives the run any more.
            Detached, Interrupted: after `interrupt`, or where the run was cancelled.
        """
        with self._folder:
            try:
                return self._work()
            except AliquotError as err:
                if self._interrupt.is_set():  # whatever it broke
                    raise self._explain_interrupt() from err
                raise
            finally:
                if self._submitting is not None:
                    self._submitting.close()

    def _work(self) -> dict[str, Any]:
        address = read_address(self._path, "watch")
        run = CloudRun(address, reach(self._profile or address.profile, address.region))
        self._run = run
        manifest = read_manifest(run, self._path)
        execution = run.executions.find_latest(run.ledger.epoch)
        if execution is None:
            raise FolderInUse(str(self._path), f"its submission was cut: aliquot resume {self._path}")
        published = self._watch_run(run, manifest, Pace(), _do_nothing).wait(execution)
        assert published is not None  # noqa: S101 - `wait` ends by nothing else
        return self._fetch(run, manifest, published)

    def _watch_run(
        self, run: CloudRun, manifest: Mapping[str, Any], pace: Pace, check: Callable[[], None]
    ) -> Watch:
        legs = read_legs(manifest)
        noticing = Noticing(run.ledger, manifest)
        looked = self._tell_live(run, manifest) if self._is_reporting else _do_nothing
        self._watch = Watch(run, legs, str(self._path), pace, self._interrupt, check, noticing, looked)
        self._say("")
        return self._watch

    def _fetch(self, run: CloudRun, manifest: Mapping[str, Any], published: Published) -> dict[str, Any]:
        """The result in the folder; raises what the run's end means."""
        from orchestrator.aws.fetch import Fetching, fetch, mark_fetched

        self._say(_FETCHING)
        ending = self._ending or manifest["settings"]["ending"]
        summary = fetch(Fetching(run, published, self._path, ending, self._check_interrupt))
        mark_fetched(run, published)
        self._report(run, manifest, published)
        stop = run.ledger.read_stop(published.epoch)
        said = stop.facts.get("message", "") if stop is not None else ""
        if published.reason == OPEN_FAILED:
            raise OpenFailed(manifest["job"], said)
        limit = FailureLimit.parse(manifest["settings"]["max_failed"])
        if published.reason == TOO_MANY_FAILED:
            raise too_many(self._path, summary, limit, is_stopped=True)
        judge(self._path, summary, limit)
        if published.reason in (BUDGET_REACHED, TIME_REACHED):
            raise BudgetReached(str(self._path), published.reason)
        if published.reason != SETTLED:
            raise Stopped(str(self._path), f"{published.reason}: {said}" if said else published.reason)
        return summary

    def _report(self, run: CloudRun, manifest: Mapping[str, Any], published: Published) -> None:
        """Write the report of what was fetched."""
        from orchestrator.explain import explain_fetched
        from orchestrator.report.writing import write_softly

        self._say(_REPORTING)
        folder, reason = self._path, published.reason
        write_softly(folder, lambda: explain_fetched(folder, run.address, manifest, reason), run.ledger)

    def _tell_live(self, run: CloudRun, manifest: Mapping[str, Any]) -> Callable[[], None]:
        """What writes the report anew after a look, from time to time."""
        from orchestrator.explain import Explained, State
        from orchestrator.report.writing import Rewriting

        rewriting = Rewriting(self._path, run.ledger)

        def looked() -> None:
            state = State("running", describe_progress(self.progress))
            rewriting.rewrite(lambda: Explained(self._path, manifest, state, run.address))

        return looked

    def _explain_interrupt(self) -> AliquotError:
        """What is true after the user has left, and what to type next."""
        folder = str(self._path)
        if self._run is None:
            return Interrupted(folder, _NOT_BEGUN)
        if self._phase == _FETCHING:
            return Interrupted(folder, f"`aliquot watch {folder}` fetches the result")
        if self._submitting is not None and not self._submitting.is_complete:
            return Interrupted(
                folder,
                f"the submission is not complete; what is there is kept, and worked on once it is begun: "
                f"`aliquot resume {folder}` goes on with it, `aliquot cancel {folder}` gives it up",
            )
        return Detached(folder, self._run.address.run)

    def _wait_while(self, is_so: Callable[[], bool]) -> None:
        while is_so():
            if self._interrupt.wait(_LOOK_S):
                raise Interrupted(str(self._path))

    def _check_interrupt(self) -> None:
        if self._interrupt.is_set():
            raise Interrupted(str(self._path))

    def _say(self, phase: str) -> None:
        """The phase that begins; empty while records are worked on."""
        self._phase = phase


class CloudSession(WatchSession):
    """Begins a run on a stack or goes on with it, then waits for it and fetches its result.

    Args:
        request: what was asked; None to go on with the folder's run.
        target: where; with a request.
        settings: limits; with a request.
        chosen: limits that are chosen anew; without one.
    """

    def __init__(
        self,
        folder: Path,
        request: Request | None,
        target: Target,
        settings: CloudSettings,
        chosen: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, settings.ending if request is not None else None, target.profile)
        self._request, self._target, self._settings = request, target, settings
        self._chosen = {name: value for name, value in (chosen or {}).items() if value is not None}

    def _work(self) -> dict[str, Any]:
        if self._request is None:
            return self._go_on()
        before = self._find_before()
        self._say("starting the rehearsal" if self._target.is_rehearsal else "looking for the stack")
        with open_site(self._target, self._request) as site:
            settings = self._settings.fit(site.stack, is_cut=self._request.is_in_s3)
            if before is not None and self._is_submitted(CloudRun(before, site.link)):
                self._run = CloudRun(before, site.link)
            else:
                self._submitting = Submitting(self._request, self._folder, self._say, self._interrupt)
                self._submitting.read_first()
                self._run = self._submitting.admit(site, settings, self._target.profile, before)
            return self._finish(self._run, site.pace, site.check)

    def _is_submitted(self, run: CloudRun) -> bool:
        """Whether the dataset need not be read; a pipe given anew is, for it may be another."""
        return self._request is not None and self._request.is_repeatable and run.ledger.is_sealed

    def _explain_interrupt(self) -> AliquotError:
        if self._target.is_rehearsal:
            return Interrupted(str(self._path), _REHEARSED)
        return super()._explain_interrupt()

    def _find_before(self) -> CloudAddress | None:
        """The address of the run that this folder holds, if the request is the same; raises FolderInUse."""
        assert self._request is not None  # noqa: S101 - the caller has looked
        if self._folder.has_run:
            raise FolderInUse(str(self._path), "holds a local run: choose another --out, or remove it")
        before = find_address(self._path)
        if before is not None and before.is_rehearsal and self._target.is_rehearsal:
            return None
        if before is not None:
            check_request(before, self._request, self._target.on, self._path)
        return before

    def _go_on(self) -> dict[str, Any]:
        """Go on with the folder's run: submit what is missing, begin it again where nothing drives it."""
        address = read_address(self._path, "resume")
        run = self._run = CloudRun(address, reach(self._profile or address.profile, address.region))
        manifest = read_manifest(run, self._path)
        settings = CloudSettings.from_plain(manifest["settings"], **self._chosen)
        if "record_timeout_s" in self._chosen:
            settings.fit(find_stack(address.stack, make_session(address.profile, address.region)))
        change_settings(run, settings)
        self._ending = settings.ending
        if not run.ledger.is_sealed:
            request = restore_request(manifest, self._path)
            if not request.sources:
                raise FolderInUse(
                    str(self._path), "was not submitted whole: start it again with the same records"
                )
            if not request.is_in_s3:
                check_sources(request)
            self._submitting = Submitting(request, self._folder, self._say, self._interrupt)
            self._submitting.read_first()
        return self._finish(run, Pace(), _do_nothing)

    def _take_up(self, run: CloudRun, manifest: Mapping[str, Any], pace: Pace) -> Execution:
        """What drives the run; one that was cancelled comes to its stop first."""
        fetched = read_delivered(self._path).epoch
        known = -1 if fetched is None else fetched
        told = sys.maxsize if self._request is None else known
        sources = manifest["identity"]["sources"]
        is_cutting = bool(sources) and is_object(sources[0]["path"]) and not run.ledger.is_sealed
        while (execution := take_up(run, told, is_cutting=is_cutting)) is None:
            self._say("waiting for the stop that was asked for")
            if self._interrupt.wait(pace.shortest_s):
                raise Interrupted(str(self._path))
        self._say("")
        return execution

    def _finish(self, run: CloudRun, pace: Pace, check: Callable[[], None]) -> dict[str, Any]:
        """Put the chunks that are missing, begin, watch and fetch."""
        manifest = read_manifest(run, self._path)
        watch = self._watch_run(run, manifest, pace, check)
        submitting = self._submitting
        if submitting is not None:
            submitting.begin_chunks(run)
            self._wait_while(lambda: not submitting.has_begun())
        execution = self._take_up(run, manifest, pace)
        published = None
        if submitting is not None:
            published = watch.wait(execution, lambda: not submitting.is_running)
            if published is None or published.reason == SETTLED:  # then records given anew are compared
                self._wait_while(lambda: submitting.is_running)
                submitting.check()
        published = published or watch.wait(execution)
        assert published is not None  # noqa: S101 - `wait` ends by nothing else
        return self._fetch(run, manifest, published)


def _will_tell(run: CloudRun, execution: Execution, epoch: int) -> bool:
    """Whether the end of an epoch was published, or may yet be: its execution has not broken."""
    published = run.find_published()
    return execution.is_running or (published is not None and published.epoch >= epoch)


def take_up(run: CloudRun, told: int, *, is_cutting: bool = False) -> Execution | None:
    """What drives the run: found, or begun now in an epoch of its own; None while it comes to a stop.

    Args:
        told: the last epoch whose end the user knows of; of a later one they are told before it goes on.
        is_cutting: the stack has the dataset still to cut.
    """
    ledger, stops = run.ledger, run.ledger.list_stops()
    epoch = stops[-1].epoch + 1 if stops else 0
    execution = run.executions.find_latest(epoch)
    if execution is None:
        return run.executions.begin(epoch, is_cutting=is_cutting)
    if stops and stops[-1].epoch >= execution.epoch:
        is_end = stops[-1].reason not in _GOING_ON
        is_untold = is_end and stops[-1].epoch > told and _will_tell(run, execution, stops[-1].epoch)
        if stops[-1].reason == SETTLED or is_untold:
            return execution
        if is_end and execution.is_running:
            return None
    if execution.is_running:
        return execution
    if execution.epoch == epoch:  # it broke, and its name is taken
        ledger.stop(epoch, TAKEN_UP, {})
    return run.executions.begin(ledger.epoch, is_cutting=is_cutting)
