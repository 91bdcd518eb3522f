"""One session of a local run: from a request, or a folder to resume, to delivered files.

    lock the folder -> same run? -> manifest -> first batch of the dataset -> prepare and open the job
      -> its code -> submit chunks (a thread) | supervise hosts -> covered? -> roster -> deliver -> settled

Everything is in the ledger before it is relied on, so a session may be killed between any two lines and the
next one goes on. Owns the order of these steps; its neighbours do them. When it is wrong, a run that was
killed does work twice or not at all.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aliquot.cutting import Cut, cut_chunks
from aliquot.errors import AliquotError, DatasetError, FolderInUse, Interrupted, StoreError, Undecodable
from aliquot.failure_limit import FailureLimit
from aliquot.host import HostLimits
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.launch import Opened
from aliquot.ledger import TIME_REACHED, TOO_MANY_FAILED, Ledger
from aliquot.merge import UnreadableOutcome
from aliquot.page import Page
from aliquot.processes import choose_reader
from aliquot.readers import Batch
from aliquot.roster import decide_roster
from aliquot.spans import SpanSet
from aliquot.supervisor import Counts, Limits, Supervisor, TaskSource
from orchestrator.local.closing import Closing
from orchestrator.local.folder import RunFolder, explained
from orchestrator.local.opening import Opening, name_prepared
from orchestrator.local.settings import Settings
from orchestrator.local.tasks import LocalTasks, Submission
from orchestrator.local.writing import OutcomeWriter
from orchestrator.options import check_references
from orchestrator.progress import RUNNING, Progress
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
        self._threads = 1  # of a host
        self._until_s = float("inf")  # on the monotonic clock
        self._started_s = self._running_s = time.monotonic()
        self._started_cpu_s = _read_own_cpu_s()
        self._phase = "starting"
        self._submission: Submission | None = None
        self._opening: Opening | None = None
        self._counts = Counts()
        self._n_known = 0  # records of chunks that were there when the session began
        self._n_before = 0  # of those, answered and not to be tried again
        self._n_failed_before = 0  # of these, failed

    @property
    def progress(self) -> Progress:
        """How far the session is; any thread may ask."""
        counts = self._counts
        n_answered = self._n_before + counts.n_answered
        n_failed = self._n_failed_before + counts.n_failed
        return Progress(
            phase=self._phase,
            n_done=n_answered - n_failed,
            n_failed=n_failed,
            n_total=self._estimate_total(),
            n_session=counts.n_answered,
            running_s=time.monotonic() - self._running_s,
        )

    def interrupt(self) -> None:
        """End soon, leaving a folder that can be resumed; any thread may ask, and ask again."""
        self._interrupt.set()
        if self._opening is not None and self._phase != RUNNING:
            self._opening.abort()

    def run(self) -> dict[str, Any]:
        """Work until the run is settled and delivered; gives the summary.

        Raises:
            UsageError: the request cannot be run as it is.
            StoreError: the folder's disk is full or gone.
            TooManyFailed: beyond the limit; what finished is delivered.
            Interrupted: after `interrupt`.
        """
        with self._folder:
            manifest = self._admit()
            with explained(Path(tempfile.gettempdir())):
                page = Page.create()
            try:
                self._submission = self._read_dataset()
                opened = self._open_job(page)
                self._freeze_code(manifest, opened)
                return self._work()
            except AliquotError as err:
                if self._interrupt.is_set():  # whatever it broke
                    raise Interrupted(str(self._folder.path)) from err
                raise
            finally:
                if self._submission is not None:
                    self._submission.stop()
                if self._opening is not None:
                    self._opening.close()
                page.close()

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

    def _open_job(self, page: Page) -> Opened:
        limits = HostLimits(self._resolved.record_timeout_s, self._resolved.memory_mib)
        ledger = self._folder.ledger_path
        is_anew = self._resume.is_new_code
        self._opening = Opening(self._request, limits, ledger, page, is_anew=is_anew, say=self._say)
        self._check_interrupt()
        threading.Thread(target=_import_delivery, name="aliquot-import", daemon=True).start()
        opened = self._opening.open()
        self._threads = self._resolved.threads or opened.threads
        return opened

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
        try:
            is_whole = self._do_open_records()
            self._say("delivering")
            if is_whole:
                return closing.settle(epoch, self._redo)
            return closing.give_up(epoch, TIME_REACHED if self._is_time_up() else TOO_MANY_FAILED)
        except Interrupted:
            closing.interrupt(epoch)
            raise

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

    def _do_open_records(self) -> bool:
        """Submit what is not there and run what is not answered; gives whether all is answered.

        Raises:
            Interrupted: after `interrupt`.
        """
        known = self._ledger.list_chunks()
        self._n_known = sum(chunk.n_records for chunk in known)
        tasks = LocalTasks(self._list_open_tasks(known), known, self._submission)
        if self._submission is not None:
            self._submission.go_on()
        self._phase, self._running_s = RUNNING, time.monotonic()
        is_whole = self._supervise(tasks)
        if self._submission is not None:
            self._submission.finish(self._interrupt)
        self._check_interrupt()
        return is_whole or self._ledger.measure(self._stage).is_complete

    def _list_open_tasks(self, known: list[ChunkId]) -> list[Task]:
        """What is not answered of the chunks that are there, and what failed where that is tried again."""
        failed = self._find_failed(known) if self._resume.is_retrying else {}
        todo = dict(self._ledger.measure(self._stage).gaps)
        for chunk, spans in failed.items():
            todo[chunk] = todo.get(chunk, SpanSet()) | spans
        if not self._resume.is_retrying:
            self._n_failed_before = sum(
                outcome.n_failed for outcome in self._ledger.list_outcomes(self._stage)
            )
        self._n_before = self._n_known - sum(map(len, todo.values()))
        return [Task(chunk, todo[chunk]) for chunk in sorted(todo)]

    def _find_failed(self, known: list[ChunkId]) -> dict[ChunkId, SpanSet]:
        """The records that failed in every attempt so far; damaged outcomes are voided."""
        while True:
            try:
                return _find_failed(self._ledger, self._stage, known)
            except UnreadableOutcome as err:
                self._ledger.void(err.key)

    def _supervise(self, tasks: TaskSource) -> bool:
        """Run tasks until none is left (True), or until the failure limit or an interrupt (False).

        Records that ran out of memory, and they alone, are run again one by one, by a host with all that may
        be had.
        """
        resolved, threads = self._resolved, self._threads
        can_climb = resolved.most_memory_mib > resolved.memory_mib
        self._counts = Counts()
        with OutcomeWriter(partial(self._ledger.put_outcome, self._stage)) as writer:
            first = self._make_supervisor(
                writer, resolved.workers, resolved.memory_mib, threads, defers_memory=can_climb
            )
            is_whole = first.run(tasks, self._should_stop, self._is_time_up)
            if is_whole and first.deferred:
                last = self._make_supervisor(writer, 1, resolved.most_memory_mib, 1, defers_memory=False)
                is_whole = last.run(LocalTasks(first.deferred), self._should_stop, self._is_time_up)
        return is_whole

    def _make_supervisor(
        self, writer: OutcomeWriter, n_lanes: int, memory_mib: int, threads: int, *, defers_memory: bool
    ) -> Supervisor:
        assert self._opening is not None  # noqa: S101 - its job is open
        timeout_s = self._resolved.record_timeout_s
        self._opening.launcher.limit(HostLimits(timeout_s, memory_mib, threads))
        return Supervisor(
            launcher=self._opening.launcher,
            n_lanes=n_lanes,
            limits=Limits(timeout_s, memory_mib, defers_memory=defers_memory, threads=threads),
            reader=choose_reader(),
            read_chunk=lambda chunk: self._ledger.store.get(chunk.key),
            put_outcome=writer.put,
            counts=self._counts,
        )

    def _redo(self, tasks: list[Task]) -> None:
        """Run tasks of records that were answered once, whatever fails of them."""
        limit, self._limit = self._limit, FailureLimit(1.0)
        self._until_s = float("inf")
        self._supervise(LocalTasks(tasks))
        self._limit = limit
        self._check_interrupt()

    def _should_stop(self, counts: Counts) -> bool:
        """Whether to end early, by what is tried now; what is tried again counts beside what is done."""
        if self._interrupt.is_set():
            return True
        n_tried = counts.n_answered + (self._n_before if self._resume.is_retrying else 0)
        n_submitted = self._submission.n_records if self._submission is not None else 0
        return self._limit.stops(counts.n_failed, n_tried, max(self._n_known, n_submitted))

    def _is_time_up(self) -> bool:
        return time.monotonic() >= self._until_s

    def _check_interrupt(self) -> None:
        if self._interrupt.is_set():
            raise Interrupted(str(self._folder.path))

    def _say(self, phase: str) -> None:
        self._phase = phase

    def _tell_facts(self) -> dict[str, float]:
        """Wall time of this session, and its processor time beside that on records, which outcomes hold."""
        opening_cpu_s = self._opening.cpu_s if self._opening is not None else 0.0
        return {
            "elapsed_s": round(time.monotonic() - self._started_s, 3),
            "cpu_s": round(_read_own_cpu_s() - self._started_cpu_s + opening_cpu_s, 3),
        }

    @property
    def _stage(self) -> str:
        return self._request.known.job.stage.name

    def _estimate_total(self) -> int | None:
        submission = self._submission
        if submission is None:
            return self._n_known or None
        if submission.fraction == 1.0 and not submission.is_running:
            return submission.n_records
        return int(submission.n_records / submission.fraction) if submission.fraction else None


def _find_failed(ledger: Ledger, stage: str, chunks: Iterable[ChunkId]) -> dict[ChunkId, SpanSet]:
    """The records that failed in every attempt so far; raises UnreadableOutcome."""

    def read_failed(key: OutcomeKey) -> SpanSet:
        try:
            return ledger.read_outcome(key).failed
        except (Undecodable, StoreError) as err:
            raise UnreadableOutcome(key, str(err)) from err

    roster = decide_roster(chunks, ledger.list_outcomes(stage), read_failed, ledger.list_voids())
    failed: dict[ChunkId, SpanSet] = {}
    for chunk, shares in roster.shares.items():
        for share in shares:
            if share.outcome.n_failed:
                failed[chunk] = failed.get(chunk, SpanSet()) | (read_failed(share.outcome) & share.spans)
    return {chunk: spans for chunk, spans in failed.items() if spans}


def _read_own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _import_delivery() -> None:
    """Load pyarrow while hosts work: it takes as long as a hundred records."""
    import orchestrator.local.deliver  # noqa: F401 - for whoever delivers
