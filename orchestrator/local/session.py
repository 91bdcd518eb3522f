"""One session of a local run: from a request, or a folder to resume, to delivered files.

    lock the folder -> same run? -> manifest -> first batch of the dataset -> prepare and open the job
      -> its code -> submit chunks (a thread) | run the first leg -> covered? -> exchange -> run the next leg
      -> rosters -> deliver -> settled

Everything is in the ledger before it is relied on, so a session may be killed between any two lines and the
next one goes on. Owns the order of these steps; its neighbours do them. When it is wrong, a run that was
killed does work twice or not at all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from aliquot.bounds import Counts
from aliquot.cutting import Cut, cut_chunks
from aliquot.errors import AliquotError, DatasetError, FolderInUse, Interrupted
from aliquot.failure_limit import FailureLimit
from aliquot.keys import ChunkId
from aliquot.launch import Opened
from aliquot.ledger import TIME_REACHED, TOO_MANY_FAILED, Ledger
from aliquot.merge import UnreadableOutcome
from aliquot.open_work import OpenWork, find_open_work
from aliquot.readers import Batch
from aliquot.roster import decide_roster
from aliquot.spans import SpanSet
from aliquot.stages import Leg
from aliquot.supervisor import TaskSource
from orchestrator.local.closing import Closing
from orchestrator.local.crossing import cross
from orchestrator.local.folder import RunFolder
from orchestrator.local.hosting import LegHosts
from orchestrator.local.legwork import Ends, run_leg
from orchestrator.local.opening import name_prepared
from orchestrator.local.reporting import reporting
from orchestrator.local.settings import Settings
from orchestrator.local.tasks import LocalTasks, Submission
from orchestrator.options import check_references
from orchestrator.progress import RUNNING, Progress, StageProgress
from orchestrator.request import Request, check_frozen, check_same, check_sources, make_manifest
from orchestrator.submit import submit_chunks

_CODE = ("code", "versions", "architecture")


@dataclass(frozen=True)
class Resume:
    """How a run is taken up from its folder alone: failed records once more, code that has changed."""

    is_retrying: bool = False
    is_new_code: bool = False


class Session:
    """Runs a request in a folder, in the thread that calls `run`; others may watch and interrupt.

    Args:
        resume: None where the user gave the request anew, with its dataset.
    """

    def __init__(
        self, request: Request, folder: Path, settings: Settings, resume: Resume | None = None
    ) -> None:
        self._request, self._settings = request, settings
        self._is_resumed, self._resume = resume is not None, resume or Resume()
        self._resolved = settings.resolve()
        self._folder = RunFolder(folder)
        self._ledger = self._folder.ledger
        self._limit = FailureLimit.parse(settings.max_failed)
        self._interrupt = threading.Event()
        self._until_s = float("inf")  # on the monotonic clock
        self._started_s = self._running_s = time.monotonic()
        self._started_cpu_s = _read_own_cpu_s()
        self._phase = "starting"
        self._submission: Submission | None = None
        self._hosts: LegHosts | None = None
        self._leg, self._legs = request.legs[0], request.legs
        self._closed_cpu_s = 0.0  # of legs that are over
        self._counts = Counts()
        self._stages: list[tuple[str, int, Counts]] = []
        self._n_known = 0  # records of chunks that were there when the session began
        self._n_before = 0  # of those, answered and not to be tried again
        self._n_failed_before = 0  # of these, failed
        self._is_redoing = False  # what turned out damaged

    @property
    def progress(self) -> Progress:
        """How far the session is; any thread may ask."""
        counts, n_total = self._counts, self._estimate_total()
        n_answered = self._n_before + counts.n_answered
        n_failed = self._n_failed_before + counts.n_failed
        return Progress(
            phase=self._phase,
            n_done=n_answered - n_failed,
            n_failed=n_failed,
            n_total=n_total,
            n_session=counts.n_answered,
            stage=self._leg.last.name if self._leg.number else "",
            running_s=time.monotonic() - self._running_s,
            kinds=counts.kinds.copy(),
            stages=[
                StageProgress(name, begun + each.n_answered, n_total) for name, begun, each in self._stages
            ],
        )

    def interrupt(self) -> None:
        """End soon, leaving a folder that can be resumed; any thread may ask, and ask again."""
        self._interrupt.set()
        if self._hosts is not None and self._phase != RUNNING:
            self._hosts.abort()

    def run(self) -> dict[str, Any]:
        """Work until the run is settled and delivered; gives the summary.

        Raises:
            UsageError: the request cannot be run as it is.
            StoreError: the folder's disk is full or gone.
            TooManyFailed: beyond the limit; what finished is delivered.
            Interrupted: after `interrupt`.
        """
        with self._folder, reporting(self._folder.path, self._ledger):
            manifest = self._admit()
            try:
                self._submission = self._read_dataset()
                self._freeze_code(manifest, self._open_job())
                return self._work()
            except AliquotError as err:
                if self._interrupt.is_set():  # whatever it broke
                    raise Interrupted(str(self._folder.path)) from err
                raise
            finally:
                if self._submission is not None:
                    self._submission.stop()
                self._close_hosts()

    def _admit(self) -> dict[str, Any]:
        """The manifest: put now, or found and held against the request.

        Until its job has been opened once nothing has been done, and another request may take its place.
        """
        manifest = self._ledger.read_manifest()
        if manifest is not None:
            check_frozen(manifest, self._folder.path)
        if manifest is None or not (manifest["code"] or self._is_resumed):
            manifest = make_manifest(self._request, self._settings.to_plain())
            self._ledger.replace_manifest(manifest)
        else:
            check_same(manifest, self._request, self._folder.path)
            check_references(self._request.known.job, self._request.options)
        return manifest

    def _read_dataset(self) -> Submission | None:
        """The dataset's first batch read, so that its faults show at once; None where it need not be read.

        A pipe and an iterable given anew are read even when they were submitted whole: they may be others.
        """
        request = self._request
        if self._ledger.is_sealed and (self._is_resumed or request.is_repeatable):
            return None
        if request.records is None and not request.sources:
            raise FolderInUse(
                str(self._folder.path), "was not submitted whole: start it again with the same records"
            )
        if self._is_resumed:
            check_sources(request)
        self._phase = "reading"
        submission = Submission(request.read(), self._submit)
        if submission.is_empty(self._interrupt):
            raise DatasetError(", ".join(request.source_names[:3]), "holds no records")
        return submission

    def _submit(self, batches: Iterable[Batch]) -> Iterator[Cut]:
        return submit_chunks(self._ledger, cut_chunks(batches), is_repeatable=self._request.is_repeatable)

    def _open_job(self) -> Opened:
        """Open the stages of the first leg."""
        threading.Thread(target=_import_delivery, name="aliquot-import", daemon=True).start()
        self._open_leg(self._legs[0])
        assert self._hosts is not None  # noqa: S101 - they were opened
        return self._hosts.stages[0].opened

    def _open_leg(self, leg: Leg) -> None:
        """Open the stages of a leg; those of another are closed first: both might not fit."""
        if self._hosts is not None and self._leg == leg:
            return
        self._close_hosts()
        self._check_interrupt()
        names = {each.name for each in leg.stages}
        stages = [stage for stage in self._request.stages if stage.name in names]
        is_anew, ledger = self._resume.is_new_code and leg.number == 0, self._folder.ledger_path
        self._hosts = LegHosts(self._request, stages, self._resolved, ledger, is_anew=is_anew, say=self._say)
        self._leg = leg
        self._hosts.open()

    def _close_hosts(self) -> None:
        if self._hosts is not None:
            self._closed_cpu_s += self._hosts.cpu_s
            self._hosts.close()
        self._hosts = None

    def _freeze_code(self, manifest: Mapping[str, Any], opened: Opened) -> None:
        """Write down the code that the job opened with, or hold it against the one that is there."""
        now = {**make_manifest(self._request, self._settings.to_plain()), "code": opened.code}
        now["versions"] = dict(opened.versions)
        changed = [name for name in _CODE if manifest[name] != now[name]] if manifest["code"] else []
        if changed and not self._resume.is_new_code:
            said = "; ".join(
                f"{name} was {manifest[name]}, now {now[name]}" for name in changed if name != "code"
            )
            raise FolderInUse(
                str(self._folder.path),
                f"was begun with other code than is here now{f' ({said})' if said else ''}: "
                f"`aliquot resume {self._folder.path} --new-code` goes on with the new, "
                "keeping the rows that are done; a new --out begins afresh",
            )
        kept = {name: now[name] for name in (*_CODE, "settings")}
        self._ledger.replace_manifest({**manifest, **kept})

    def _work(self) -> dict[str, Any]:
        prepared = name_prepared(self._request, self._folder.ledger_path)
        closing = Closing(
            self._folder, self._request, self._settings, prepared, self._tell_facts, self._check_interrupt
        )
        if closing.is_settled and not self._resume.is_retrying:
            summary = self._finish_settled(closing)
            if summary is not None:
                return summary
        if self._settings.budget_time_s is not None:
            self._until_s = self._started_s + self._settings.budget_time_s - closing.elapsed_s
        epoch = closing.open_epoch(is_retrying=self._resume.is_retrying and closing.is_settled)
        while True:
            try:
                return self._run_legs(closing, epoch)
            except Interrupted:
                closing.interrupt(epoch)
                raise
            except UnreadableOutcome as err:
                epoch = closing.void(err, epoch)

    def _run_legs(self, closing: Closing, epoch: int) -> dict[str, Any]:
        """Run leg after leg and deliver; raises UnreadableOutcome where some is to be done again."""
        is_whole, ledger = True, self._ledger
        for place, leg in enumerate(self._legs):
            if place:
                self._say("exchanging")
                ledger = cross(ledger, self._legs[place - 1], leg, epoch, self._check_interrupt)
                ledger.note_leg(epoch, leg.number, ledger.prefix)
            is_whole = self._do_open_records(leg, ledger)
            if not is_whole:
                break
        self._say("delivering")
        if is_whole:
            self._is_redoing = True  # what may still turn out damaged was answered once
            return closing.settle(epoch)
        return closing.give_up(epoch, TIME_REACHED if self._is_time_up() else TOO_MANY_FAILED)

    def _finish_settled(self, closing: Closing) -> dict[str, Any] | None:
        """The summary of a run that is settled already; None where its outcomes turn out damaged."""
        if self._submission is not None:
            self._submission.go_on()
            self._submission.finish(self._interrupt)
            self._check_interrupt()
        try:
            return closing.deliver_again()
        except UnreadableOutcome as err:
            closing.void(err, self._ledger.epoch)
            return None

    def _do_open_records(self, leg: Leg, ledger: Ledger) -> bool:
        """Submit what is not there and run what is not answered of a leg; gives whether all is answered.

        Raises:
            Interrupted: after `interrupt`.
            UnreadableOutcome: an outcome that is counted on is damaged.
        """
        known = ledger.list_chunks()
        self._n_known = sum(chunk.n_records for chunk in known)
        work = self._find_open_work(leg, ledger, known)
        submission = None if leg.number else self._submission
        if submission is None and not work.n_records:
            return True
        self._open_leg(leg)
        if submission is not None:
            submission.go_on()
        self._phase, self._running_s = RUNNING, time.monotonic()
        is_whole = self._supervise(ledger, LocalTasks(work.todo[0], known, submission), work)
        if submission is not None:
            submission.finish(self._interrupt)
        self._check_interrupt()
        return is_whole or ledger.measure(leg.last.name).is_complete

    def _find_open_work(self, leg: Leg, ledger: Ledger, known: list[ChunkId]) -> OpenWork:
        """What is not answered of the chunks that are there, and what failed where that is tried again."""
        stage, is_retrying = leg.last.name, self._resume.is_retrying and not self._is_redoing
        again = self._find_failed(ledger, stage, known) if is_retrying else {}
        work = find_open_work(ledger, [each.name for each in leg.stages], known, again)
        self._n_failed_before = 0
        if not is_retrying:
            self._n_failed_before = sum(outcome.n_failed for outcome in ledger.list_outcomes(stage))
        self._n_before = self._n_known - work.n_records
        return work

    def _find_failed(self, ledger: Ledger, stage: str, known: list[ChunkId]) -> dict[ChunkId, SpanSet]:
        """The records that failed in every attempt so far; damaged outcomes are voided."""
        while True:
            try:
                return _find_failed(ledger, stage, known)
            except UnreadableOutcome as err:
                ledger.void(err.key)

    def _supervise(self, ledger: Ledger, tasks: TaskSource, work: OpenWork) -> bool:
        """Run a leg until nothing is left (True), or until a limit, an interrupt or the end of its time."""
        assert self._hosts is not None  # noqa: S101 - its job is open
        counts = [Counts() for _ in work.todo]
        self._stages, self._counts = self._begin_stages(work, counts), counts[-1]
        ends = Ends(self._should_stop, self._is_time_up)
        return run_leg(ledger, self._hosts.stages, tasks, work.todo[1:], counts, ends)

    def _begin_stages(self, work: OpenWork, counts: Sequence[Counts]) -> list[tuple[str, int, Counts]]:
        """The stages of a leg of several: name, units answered before, and what is counted from now on."""
        names = [stage.name for stage in self._leg.stages]
        open_units = accumulate(sum(len(task.spans) for task in tasks) for tasks in work.todo)
        begun = [self._n_known - n_open for n_open in open_units]
        return list(zip(names, begun, counts, strict=True)) if len(names) > 1 else []

    def _should_stop(self, counts: Counts) -> bool:
        """Whether to end early, by what is tried now; what is tried again counts beside what is done."""
        if self._interrupt.is_set():
            return True
        if self._is_redoing:  # these were answered once: whatever fails of them now
            return False
        n_tried = counts.n_answered + (self._n_before if self._resume.is_retrying else 0)
        n_submitted = self._submission.n_records if self._submission is not None else 0
        return self._limit.stops(counts.n_failed, n_tried, max(self._n_known, n_submitted))

    def _is_time_up(self) -> bool:
        return time.monotonic() >= self._until_s and not self._is_redoing

    def _check_interrupt(self) -> None:
        if self._interrupt.is_set():
            raise Interrupted(str(self._folder.path))

    def _say(self, phase: str) -> None:
        self._phase = phase

    def _tell_facts(self) -> dict[str, float]:
        """Wall time of this session, and its processor time beside that on records, which outcomes hold."""
        opening_cpu_s = self._closed_cpu_s + (self._hosts.cpu_s if self._hosts is not None else 0.0)
        return {
            "elapsed_s": round(time.monotonic() - self._started_s, 3),
            "cpu_s": round(_read_own_cpu_s() - self._started_cpu_s + opening_cpu_s, 3),
        }

    def _estimate_total(self) -> int | None:
        submission = None if self._leg.number else self._submission
        if submission is None:
            return self._n_known or None
        if submission.fraction == 1.0 and not submission.is_running:
            return submission.n_records
        return int(submission.n_records / submission.fraction) if submission.fraction else None


def _find_failed(ledger: Ledger, stage: str, chunks: Iterable[ChunkId]) -> dict[ChunkId, SpanSet]:
    """The records that failed in every attempt so far; raises UnreadableOutcome."""
    roster = decide_roster(chunks, ledger.list_outcomes(stage), ledger.read_failed, ledger.list_voids())
    failed: dict[ChunkId, SpanSet] = {}
    for chunk, shares in roster.shares.items():
        for share in shares:
            if share.outcome.n_failed:
                failed[chunk] = failed.get(chunk, SpanSet()) | (
                    ledger.read_failed(share.outcome) & share.spans
                )
    return {chunk: spans for chunk, spans in failed.items() if spans}


def _read_own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _import_delivery() -> None:
    """Load what delivers and reports while hosts work: pyarrow takes as long as a hundred records."""
    import orchestrator.local.deliver
    import orchestrator.report.writing  # noqa: F401 - for whoever delivers, and reports
