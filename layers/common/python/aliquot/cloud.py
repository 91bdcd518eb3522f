"""What the Lambda handlers do, without Lambda: one method for each, over a bucket, queues and hosts.

    work          a task of a queue: one slice on hosts of the run's job
    tick          a tally: what is answered, then dispatch, repair, drain or settle
    reduce_group  the tables of one group of a settled roster
    publish       what is of all groups, and the pointer that readers follow
    bury          a dead letter: its gaps again, halved; of one record a tombstone

A `Cloud` is made once per environment and keeps the job of the last run open, so that a warm environment
starts with a fork. Only jobs on the allow-list are opened; a message can name nothing else.

Owns which objects of a run each handler reads and writes. Clients are arguments. Imports the core only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.aws import S3Store
from aliquot.carried import Carried
from aliquot.coverage import measure_coverage
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.failure_limit import FailureLimit
from aliquot.host import HostLimits
from aliquot.keys import TOMBSTONE, name_roster
from aliquot.launch import Opened, ZygoteLauncher
from aliquot.ledger import (
    ABANDONED,
    OPEN_FAILED,
    SETTLED,
    STUCK,
    TOO_MANY_FAILED,
    UNREADABLE,
    Ledger,
    UnreadableOutcome,
)
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.page import Page
from aliquot.reducer import Reducer
from aliquot.spans import SpanSet
from aliquot.supervisor import Limits
from aliquot.tally import TickPlan, TickState, plan_drain, plan_tick
from aliquot.worker import Worked, WorkLimits, find_answered, work_slice

if TYPE_CHECKING:
    from aliquot.delivery import Subject

RUNS, RESULTS, UNCLAIMED = "runs/", "results/", "unclaimed/"
OPEN_FAILURES = "open_failed/"
_MOST_OPEN_FAILED = {"job": 2, "store": 10}  # a store may refuse for a moment, to many at once
_BATCH = 10  # messages that SQS takes at once
_SLICE_ROOM_S = 10.0  # kept of an invocation's time for putting outcomes and sending follow-ups
CACHE = Path(tempfile.gettempdir(), "aliquot")  # the only place that a function may write to


@dataclass(frozen=True)
class Surroundings:
    """What a stack tells its functions.

    Args:
        bucket: of runs.
        queues: URL of each rung's queue, the lowest first.
        rung, n_hosts, memory_mib, slice_s: of this worker.
        jobs: the allow-list: address by name.
        encryption: arguments of every put.
        allows_code: whether runs may bring their own code.
        lease_s: after which no worker that began before can be at work.
    """

    bucket: str
    queues: Mapping[str, str]
    rung: str
    n_hosts: int
    memory_mib: int
    slice_s: float
    jobs: Mapping[str, str]
    encryption: Mapping[str, str]
    allows_code: bool = False
    lease_s: int = 180

    @property
    def next_rung(self) -> str:
        """The rung above this worker's, empty where there is none."""
        rungs = list(self.queues)
        return "".join(rungs[rungs.index(self.rung) + 1 :][:1])

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Surroundings:
        """From a function's environment variables."""
        return cls(
            bucket=environ["ALIQUOT_BUCKET"],
            queues=json.loads(environ["ALIQUOT_QUEUES"]),
            rung=environ.get("ALIQUOT_RUNG", "small"),
            n_hosts=int(environ.get("ALIQUOT_HOSTS", "1")),
            memory_mib=int(environ.get("ALIQUOT_MEMORY_MIB", "1400")),
            slice_s=float(environ.get("ALIQUOT_SLICE_S", "30")),
            jobs=json.loads(environ.get("ALIQUOT_JOBS", "{}")),
            encryption=json.loads(environ.get("ALIQUOT_ENCRYPTION", "{}")),
            allows_code=environ.get("ALIQUOT_ALLOW_CODE") == "true",
            lease_s=int(environ.get("ALIQUOT_LEASE_S", "180")),
        )


class Cloud:
    """The handlers' work over one stack."""

    def __init__(self, around: Surroundings, s3: Any, sqs: Any, cache: Path = CACHE) -> None:
        self._around, self._s3, self._sqs = around, s3, sqs
        self._carried = Carried(self._store, around.jobs, cache, allows_code=around.allows_code)
        self._open_run = ""
        self._launcher: ZygoteLauncher | None = None
        self._page: Page | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], make_client: Callable[[str], Any]) -> Cloud:
        """Made once per environment, outside the handler."""
        return cls(Surroundings.read(environ), make_client("s3"), make_client("sqs"))

    def ledger_of(self, run: str) -> Ledger:
        """The ledger of a run of this stack."""
        return Ledger(self._store(f"{RUNS}{run}/"))

    def work(self, body: str, receives: int, remaining_s: float) -> Worked:
        """One slice on the task in a message.

        Args:
            body: the message's text.
            receives: how often it was delivered.
            remaining_s: of the invocation.
        Raises:
            Undecodable: the message is not a task of a run that is here; it was filed under `unclaimed/`.
            OpenFailed: the run's job cannot be opened here.
        """
        message, manifest = self._read_message(body)
        ledger = self.ledger_of(message.run)
        if ledger.is_stopped(message.epoch):
            return Worked()
        try:
            launcher = self._open(message.run, manifest)
        except (OpenFailed, StoreError) as err:
            kind = "job" if isinstance(err, OpenFailed) else "store"
            note = f"{OPEN_FAILURES}{message.epoch:04d}/{kind}-{uuid.uuid4().hex}"
            ledger.store.put(note, str(err).encode())
            raise
        timeout_s = manifest["settings"]["record_timeout_s"]
        slice_s = max(0.0, min(self._around.slice_s, remaining_s - timeout_s - _SLICE_ROOM_S))
        limits = Limits(timeout_s, self._around.memory_mib, self._around.slice_s)
        around = self._around
        allowed = WorkLimits(around.rung, around.n_hosts, slice_s, limits, around.next_rung)
        return work_slice(message, receives, ledger, launcher, allowed, self._send)

    def tick(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One tally: what is answered, then dispatch, repair, drain or settle.

        Gives the next tick's `state`, the `phase` ("running", "settling", "done"), how long to wait, and for
        "settling" the key of the list of groups to merge.
        """
        run = event["run"]
        ledger = self.ledger_of(run)
        manifest = self._read_manifest(run, ledger)
        stage = manifest["stage"]
        if event.get("state"):
            state = TickState(**event["state"])
        else:
            stops = ledger.list_stops()
            if stops and stops[-1].reason == SETTLED:
                return _answer(run, TickState(epoch=stops[-1].epoch), "done", 0)
            state = TickState(epoch=ledger.epoch)
        stop = ledger.read_stop(state.epoch)
        if stop is not None and stop.reason == UNREADABLE:
            state, stop = TickState(epoch=ledger.epoch), None
        if stop is not None:
            plan = plan_drain(state, self._measure_queue(), self._around.lease_s)
            return self._settle(run, ledger, stage, plan.state) if plan.is_complete else _wait(run, plan)
        is_sealed, chunks = ledger.is_sealed, ledger.list_chunks()
        coverage = measure_coverage(chunks, ledger.list_outcomes(stage), ledger.list_voids())
        plan = plan_tick(
            run=run,
            stage=stage,
            chunks=chunks,
            is_sealed=is_sealed,
            coverage=coverage,
            queue_depth=self._measure_queue(),
            window=manifest["settings"]["window"],
            rung=manifest["settings"].get("rung", self._around.rung),
            state=state,
        )
        if plan.is_complete:
            return self._settle(run, ledger, stage, plan.state)
        limit = FailureLimit.parse(manifest["settings"]["max_failed"])
        n_records = coverage.n_records if is_sealed else sys.maxsize
        if limit.stops(coverage.n_failed, coverage.n_answered, n_records):
            ledger.stop(state.epoch, TOO_MANY_FAILED, {})
        elif plan.is_abandoned or plan.is_stuck:
            ledger.stop(state.epoch, ABANDONED if plan.is_abandoned else STUCK, {})
        elif reason := self._find_open_failure(ledger, state.epoch):
            ledger.stop(state.epoch, OPEN_FAILED, {"message": reason})
        else:
            self._send(plan.send)
        return _wait(run, plan)

    def reduce_group(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Write the tables of a group: its figures.

        Raises:
            UnreadableOutcome: an outcome is damaged; it was voided, and the epoch ended for it.
        """
        run, epoch, number = event["run"], event["epoch"], event["group"]
        ledger = self.ledger_of(run)
        subject = self._describe_subject(run, self._read_manifest(run, ledger))
        try:
            figures = self._reducer(run, epoch, ledger).reduce(number, subject)
        except UnreadableOutcome as err:
            ledger.give_up_outcome(err, epoch)
            raise
        return {"rows": figures.rows, "done": figures.done, "failed": figures.failed}

    def publish(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Publish what the groups wrote, and end the epoch where nothing else did.

        Gives the `phase`: "done", "again" with the key of a list of groups to write once more, or "torn"
        where an outcome was voided and the run goes on in the next epoch.
        """
        run, epoch = event["run"], event["epoch"]
        ledger = self.ledger_of(run)
        stop = ledger.read_stop(epoch)
        if stop is not None and stop.reason == UNREADABLE:
            return {"phase": "torn", "groups_key": ""}
        manifest = self._read_manifest(run, ledger)
        subject = self._describe_subject(run, manifest)

        def tell_facts() -> dict[str, float]:
            elapsed = datetime.now(UTC) - datetime.fromisoformat(manifest["created"])
            return {"elapsed_s": round(elapsed.total_seconds(), 3)}

        reason = stop.reason if stop is not None else SETTLED
        again = self._reducer(run, epoch, ledger).publish(subject, tell_facts, reason)
        if again:
            return {"phase": "again", "groups_key": f"{RUNS}{run}/{again}"}
        ledger.stop(epoch, SETTLED, {"roster": name_roster(manifest["stage"], epoch)})
        return {"phase": "done", "groups_key": ""}

    def bury(self, body: str) -> int:
        """Send the gaps of a dead letter again, halved; of a single record file a tombstone.

        Gives the number of messages sent. Raises Undecodable as `work` does.
        """
        message, _ = self._read_message(body)
        ledger = self.ledger_of(message.run)
        if ledger.is_stopped(message.epoch):
            return 0
        gap = message.spans - find_answered(ledger, message.stage, message.chunk)
        if len(gap) == 1:
            reason = "its environment was killed each time that it was tried"
            failure = Failure(gap.spans[0][0], "environment", reason)
            ledger.put_outcome(
                message.stage, message.chunk, gap, Outcome({}, {}, 0, [failure]), 0, rung=TOMBSTONE
            )
            return 0
        halves = [half for half in gap.take(len(gap) // 2) if half]
        self._send([_with_spans(message, half) for half in halves])
        return len(halves)

    def _settle(self, run: str, ledger: Ledger, stage: str, state: TickState) -> dict[str, Any]:
        """Freeze the roster and list its groups; a damaged outcome is voided, and the run goes on."""
        try:
            roster = ledger.settle(stage, state.epoch)
        except UnreadableOutcome as err:
            ledger.give_up_outcome(err, state.epoch)
            return _answer(run, TickState(epoch=ledger.epoch), "running", 0)
        key = self._reducer(run, state.epoch, ledger).begin(roster)
        return {**_answer(run, state, "settling", 0), "groups_key": f"{RUNS}{run}/{key}"}

    def _find_open_failure(self, ledger: Ledger, epoch: int) -> str:
        """Why the job cannot be opened, once several environments have found so; else nothing."""
        for kind, most in _MOST_OPEN_FAILED.items():
            failed = ledger.store.list_keys(f"{OPEN_FAILURES}{epoch:04d}/{kind}-")
            if len(failed) >= most:
                return ledger.store.get(failed[0]).decode()
        return ""

    def _open(self, run: str, manifest: Mapping[str, Any]) -> ZygoteLauncher:
        """The launcher of a run's job, kept while the environment works on the same run."""
        if self._launcher is not None and self._open_run == run:
            return self._launcher
        self._close()
        spec = self._carried.localize(run, manifest)
        self._page = Page.create()
        limits = HostLimits(manifest["settings"]["record_timeout_s"], self._around.memory_mib)
        self._launcher, self._open_run = ZygoteLauncher(spec, limits, self._page), run
        try:
            _refuse_versions(manifest, self._launcher.open())
        except BaseException:
            self._close()
            raise
        return self._launcher

    def _close(self) -> None:
        """End the processes that the last run's job lives in."""
        if self._launcher is not None and self._page is not None:
            self._launcher.close()
            self._page.close()
        self._launcher, self._open_run = None, ""

    def _describe_subject(self, run: str, manifest: Mapping[str, Any]) -> Subject:
        from aliquot.delivery import Subject

        job, options, prepared = self._carried.describe(run, manifest)
        return Subject(job, options, prepared, manifest["source_names"])

    def _reducer(self, run: str, epoch: int, ledger: Ledger) -> Reducer:
        return Reducer(run, epoch, ledger, self._store(f"{RESULTS}{run}/"))

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self._s3, self._around.bucket, prefix, self._around.encryption)

    def _read_message(self, body: str) -> tuple[TaskMessage, dict[str, Any]]:
        """A message and its run's manifest; what is not ours, or of no run that is here, is filed."""
        try:
            message = TaskMessage.from_text(body)
            if message.rung not in self._around.queues:
                raise Undecodable("message", f"is for the rung {message.rung!r}, which this stack has not")  # noqa: TRY301 - filed as all others
            return message, self._read_manifest(message.run, self.ledger_of(message.run))
        except Undecodable:
            self._store(UNCLAIMED).put(uuid.uuid4().hex, body.encode(errors="replace"))
            raise

    def _read_manifest(self, run: str, ledger: Ledger) -> dict[str, Any]:
        manifest = ledger.read_manifest()
        if manifest is None:
            raise Undecodable("message", f"names the run {run!r}, which is not there")
        return manifest

    def _send(self, messages: Sequence[TaskMessage]) -> None:
        """Put tasks into their rungs' queues; returns when all are acknowledged."""
        by_rung: dict[str, list[TaskMessage]] = {}
        for message in messages:
            by_rung.setdefault(message.rung, []).append(message)
        for rung, tasks in by_rung.items():
            for start in range(0, len(tasks), _BATCH):
                self._send_batch(self._around.queues[rung], tasks[start : start + _BATCH])

    def _send_batch(self, url: str, tasks: Sequence[TaskMessage]) -> None:
        entries = [
            {"Id": str(place), "MessageBody": task.to_text(), "MessageGroupId": task.run}
            for place, task in enumerate(tasks)
        ]
        said = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
        if said.get("Failed"):
            raise ConnectionError(f"SQS refused {len(said['Failed'])} of {len(entries)} messages")

    def _measure_queue(self) -> int:
        """Messages that wait or are in flight, over all rungs."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        depth = 0
        for url in self._around.queues.values():
            said = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            depth += sum(int(said[name]) for name in names)
        return depth


def _answer(run: str, state: TickState, phase: str, wait_s: int) -> dict[str, Any]:
    return {
        "run": run,
        "state": asdict(state),
        "epoch": state.epoch,
        "phase": phase,
        "wait_s": wait_s,
        "groups_key": "",
    }


def _wait(run: str, plan: TickPlan) -> dict[str, Any]:
    return _answer(run, plan.state, "running", plan.wait_s)


def _refuse_versions(manifest: Mapping[str, Any], opened: Opened) -> None:
    """Raise OpenFailed where what may change rows is not of the version that the run was begun with."""
    wanted = {name: said for name, said in manifest["versions"].items() if name != "python"}
    other = [
        f"{name} is {opened.versions.get(name)} here and {said} where the run was begun"
        for name, said in wanted.items()
        if opened.versions.get(name) != said
    ]
    if other:
        raise OpenFailed(manifest["job"], "; ".join(other))


def _with_spans(message: TaskMessage, spans: SpanSet) -> TaskMessage:
    return replace(message, spans=spans, hops=message.hops + 1)
