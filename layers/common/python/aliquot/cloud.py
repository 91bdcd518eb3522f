"""What the Lambda handlers do, without Lambda: one method for each, over a bucket, queues and hosts.

    cut           a step of cutting a dataset that lies in S3
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
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.aws import S3Objects, S3Store
from aliquot.carried import Carried
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.host import HostLimits
from aliquot.keys import TOMBSTONE, name_roster
from aliquot.launch import Opened, ZygoteLauncher
from aliquot.ledger import (
    SETTLED,
    UNREADABLE,
    Ledger,
    UnreadableOutcome,
)
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.page import Page
from aliquot.processes import read_own_age_s
from aliquot.queues import TaskQueues
from aliquot.reducer import Reducer
from aliquot.spans import SpanSet
from aliquot.supervisor import Limits
from aliquot.tally import TickState
from aliquot.ticks import Ticker, write_run_invoice
from aliquot.worker import Worked, WorkLimits, find_answered, work_slice

if TYPE_CHECKING:
    from aliquot.delivery import Subject

RUNS, RESULTS, UNCLAIMED = "runs/", "results/", "unclaimed/"
_PUBLISH_TAIL_MS = 1000  # billed after the invoice is written
_SLICE_ROOM_S = 10.0  # kept of an invocation's time for putting outcomes and sending follow-ups
CACHE = Path(tempfile.gettempdir(), "aliquot")  # the only place that a function may write to


@dataclass(frozen=True)
class Surroundings:
    """What a stack tells its functions.

    Args:
        bucket: of runs.
        queues: URL of each rung's queue, the lowest first.
        rung, n_hosts, memory_mib, slice_s, timeout_s: of this worker.
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
    timeout_s: float
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
            timeout_s=float(environ.get("ALIQUOT_TIMEOUT_S", "150")),
            jobs=json.loads(environ.get("ALIQUOT_JOBS", "{}")),
            encryption=json.loads(environ.get("ALIQUOT_ENCRYPTION", "{}")),
            allows_code=environ.get("ALIQUOT_ALLOW_CODE") == "true",
            lease_s=int(environ.get("ALIQUOT_LEASE_S", "180")),
        )


class Cloud:
    """The handlers' work over one stack."""

    def __init__(self, around: Surroundings, s3: Any, sqs: Any, cache: Path = CACHE) -> None:
        self._around, self._s3 = around, s3
        self._queues = TaskQueues(sqs, around.queues)
        self._carried = Carried(self._store, around.jobs, cache, allows_code=around.allows_code)
        self._open_run = ""
        self._init_ns = 0
        self._launcher: ZygoteLauncher | None = None
        self._page: Page | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], make_client: Callable[[str], Any]) -> Cloud:
        """Made once per environment, outside the handler."""
        made = cls(Surroundings.read(environ), make_client("s3"), make_client("sqs"))
        made._init_ns = int(read_own_age_s() * 1e9)  # billed, as INIT
        return made

    def ledger_of(self, run: str) -> Ledger:
        """The ledger of a run of this stack."""
        return Ledger(self._store(f"{RUNS}{run}/"))

    def cut(self, event: Mapping[str, Any], remaining_s: float) -> dict[str, Any]:
        """One step of cutting a dataset that lies in S3; see `cutter.Cutter.take`."""
        from aliquot.cutter import Cutter

        run = event["run"]
        cutter = Cutter(self.ledger_of(run), run, f"{RUNS}{run}/", S3Objects(self._s3).open)
        return cutter.take(event, remaining_s)

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
        ends_s, billed_from_ns = time.monotonic() + remaining_s, self._find_bill_ns(remaining_s)
        message, manifest = self._read_message(body)
        ledger = self.ledger_of(message.run)
        if ledger.is_stopped(message.epoch):
            return Worked()
        try:
            launcher = self._open(message.run, manifest)
        except (OpenFailed, StoreError) as err:
            kind = "job" if isinstance(err, OpenFailed) else "store"
            ledger.note_open_failure(message.epoch, kind, str(err))
            raise
        allowed = self._choose_limits(manifest["settings"], ends_s - time.monotonic())
        return work_slice(message, receives, ledger, launcher, allowed, self._queues.send, billed_from_ns)

    def tick(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One tally: what is answered, then dispatch, repair, drain or settle.

        Gives the next tick's `state`, the `phase` ("running", "settling", "done"), how long to wait, and for
        "settling" the key of the list of groups to merge.
        """
        run = event["run"]
        ledger = self.ledger_of(run)
        manifest = self._read_manifest(run, ledger)

        def make_reducer(epoch: int) -> Reducer:
            return self._reducer(run, epoch, ledger)

        ticker = Ticker(run, ledger, manifest, self._queues, make_reducer, self._around.lease_s)
        said = ticker.tick(TickState(**event["state"]) if event.get("state") else None)
        return {**said, "groups_key": said["groups_key"] and f"{RUNS}{run}/{said['groups_key']}"}

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
        began_ns = time.monotonic_ns()
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

        def tell_invoice(n_groups: int, reduce_ms: int) -> dict[str, Any]:
            own_ms = (time.monotonic_ns() - began_ns) // 1_000_000 + _PUBLISH_TAIL_MS
            state = TickState(**event.get("state") or {})
            return write_run_invoice(ledger, manifest, epoch, state, n_groups, reduce_ms + own_ms)

        reason = stop.reason if stop is not None else SETTLED
        again = self._reducer(run, epoch, ledger).publish(subject, tell_facts, tell_invoice, reason)
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
        self._queues.send([_with_spans(message, half) for half in halves])
        return len(halves)

    def _choose_limits(self, settings: Mapping[str, Any], remaining_s: float) -> WorkLimits:
        """What a slice may take of the invocation, of the run's time and of this worker's memory."""
        around, record_s = self._around, settings["record_timeout_s"]
        slice_s = min(around.slice_s, remaining_s - record_s - _SLICE_ROOM_S)
        if settings.get("until_s") is not None:
            slice_s = min(slice_s, settings["until_s"] - time.time())
        limits = Limits(record_s, around.memory_mib, around.slice_s)
        return WorkLimits(around.rung, around.n_hosts, max(0.0, slice_s), limits, around.next_rung)

    def _find_bill_ns(self, remaining_s: float) -> int:
        """When this invocation's bill began, on the monotonic clock; a cold start's INIT is part of it."""
        began_ns = time.monotonic_ns() - int((self._around.timeout_s - remaining_s) * 1e9)
        began_ns, self._init_ns = began_ns - self._init_ns, 0
        return began_ns

    def _open(self, run: str, manifest: Mapping[str, Any]) -> ZygoteLauncher:
        """The launcher of a run's job, kept while the environment works on the same run."""
        if self._launcher is not None and self._open_run == run:
            return self._launcher
        self._close()
        spec = self._carried.localize(run, manifest)
        self._page = Page.create()
        limits = HostLimits(manifest["settings"]["record_timeout_s"], self._around.memory_mib)
        self._launcher, self._open_run = ZygoteLauncher(spec, limits, self._page, is_silent=True), run
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
