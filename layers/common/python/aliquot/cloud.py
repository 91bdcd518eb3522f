"""What the Lambda handlers do, without Lambda: one method for each, over a bucket, queues and hosts.

    work    a task of a queue: one slice on hosts of the run's job
    tick    a tally: what is answered, then dispatch, repair or settle
    bury    a dead letter: its gaps again, halved; of one record a tombstone

A `Cloud` is made once per environment and keeps the job of the last run open, so that a warm environment
starts with a fork. Only jobs on the allow-list are opened; a message can name nothing else.

Owns which objects of a run each handler reads and writes. Clients are arguments. Imports the core only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aliquot.aws import S3Store
from aliquot.errors import OpenFailed, Undecodable
from aliquot.host import HostLimits
from aliquot.keys import TOMBSTONE, name_roster
from aliquot.launch import ZygoteLauncher
from aliquot.ledger import SETTLED, Ledger
from aliquot.loading import JobSpec
from aliquot.message import TaskMessage
from aliquot.outcome import Failure, Outcome
from aliquot.page import Page
from aliquot.spans import SpanSet
from aliquot.supervisor import Limits
from aliquot.tally import TickState, plan_tick
from aliquot.worker import Worked, WorkLimits, find_answered, work_slice

RUNS, REFERENCES = "runs/", "references/"
OPEN_FAILED = "open_failed/"
_MOST_OPEN_FAILED = 2
_SLICE_ROOM_S = 10.0  # kept of an invocation's time for putting outcomes and sending follow-ups
_CACHE = Path("/tmp/aliquot")  # noqa: S108 - the only place that a function may write to


@dataclass(frozen=True)
class Surroundings:
    """What a stack tells its functions.

    Args:
        bucket: of runs.
        queues: URL of each rung's queue.
        rung, n_hosts, memory_mib, slice_s: of this worker.
        jobs: the allow-list: address by name.
        encryption: arguments of every put.
    """

    bucket: str
    queues: Mapping[str, str]
    rung: str
    n_hosts: int
    memory_mib: int
    slice_s: float
    jobs: Mapping[str, str]
    encryption: Mapping[str, str]

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
        )


class Cloud:
    """The handlers' work over one stack."""

    def __init__(self, around: Surroundings, s3: Any, sqs: Any, cache: Path = _CACHE) -> None:
        self._around, self._s3, self._sqs, self._cache = around, s3, sqs, cache
        self._open_run = ""
        self._launcher: ZygoteLauncher | None = None
        self._page: Page | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], make_client: Callable[[str], Any]) -> Cloud:
        """Made once per environment, outside the handler."""
        return cls(Surroundings.read(environ), make_client("s3"), make_client("sqs"))

    def ledger_of(self, run: str) -> Ledger:
        """The ledger of a run of this stack."""
        return Ledger(S3Store(self._s3, self._around.bucket, f"{RUNS}{run}/", self._around.encryption))

    def work(self, body: str, receives: int, remaining_s: float) -> Worked:
        """One slice on the task in a message.

        Args:
            body: the message's text.
            receives: how often it was delivered.
            remaining_s: of the invocation.
        Raises:
            Undecodable: the message is not a task of ours; it was filed under `unclaimed/`.
        """
        message = self._read_message(body)
        ledger = self.ledger_of(message.run)
        if ledger.is_stopped(message.epoch):
            return Worked()
        manifest = self._read_manifest(message.run, ledger)
        try:
            launcher = self._open(message.run, manifest)
        except OpenFailed as err:
            ledger.store.put(f"{OPEN_FAILED}{uuid.uuid4().hex}", str(err).encode())
            raise
        timeout_s = manifest["settings"]["record_timeout_s"]
        slice_s = max(0.0, min(self._around.slice_s, remaining_s - timeout_s - _SLICE_ROOM_S))
        limits = Limits(timeout_s, self._around.memory_mib, self._around.slice_s)
        allowed = WorkLimits(self._around.rung, self._around.n_hosts, slice_s, limits)
        return work_slice(message, receives, ledger, launcher, allowed, self._send)

    def tick(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One tally: what is answered, then dispatch, repair, or settle."""
        run = event["run"]
        ledger = self.ledger_of(run)
        manifest = self._read_manifest(run, ledger)
        stage = manifest["stage"]
        state = TickState(**event["state"]) if event.get("state") else TickState(epoch=ledger.epoch)
        failed = ledger.store.list_keys(OPEN_FAILED)
        if len(failed) >= _MOST_OPEN_FAILED:
            ledger.stop(state.epoch, "open failed", {"message": ledger.store.get(failed[0]).decode()})
        if ledger.is_stopped(state.epoch):
            return self._settle(run, ledger, stage, state)
        plan = plan_tick(
            run=run,
            stage=stage,
            chunks=ledger.list_chunks(),
            is_sealed=ledger.is_sealed,
            coverage=ledger.measure(stage),
            queue_depth=self._measure_queue(),
            window=manifest["settings"]["window"],
            state=state,
        )
        if plan.is_complete:
            return self._settle(run, ledger, stage, state)
        self._send(list(plan.send))
        return _answer(run, plan.state, "running", plan.wait_s)

    def bury(self, body: str) -> int:
        """Send the gaps of a dead letter again, halved; of a single record file a tombstone.

        Gives the number of messages sent. Raises Undecodable as `work` does.
        """
        message = self._read_message(body)
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
        """Freeze the roster, and end the epoch where nothing else did."""
        ledger.settle(stage, state.epoch)
        if not ledger.is_stopped(state.epoch):
            ledger.stop(state.epoch, SETTLED, {"roster": name_roster(stage, state.epoch)})
        return _answer(run, state, "done", 0)

    def _open(self, run: str, manifest: Mapping[str, Any]) -> ZygoteLauncher:
        """The launcher of a run's job, kept while the environment works on the same run."""
        if self._launcher is not None and self._open_run == run:
            return self._launcher
        if manifest["job"] not in self._around.jobs:
            allowed = ", ".join(self._around.jobs) or "none"
            raise OpenFailed(manifest["job"], f"is not on this stack's allow-list ({allowed})")
        if self._launcher is not None and self._page is not None:
            self._launcher.close()
            self._page.close()
            self._launcher = None
        options = {name: self._localize(value) for name, value in manifest["options"].items()}
        spec = JobSpec(self._around.jobs[manifest["job"]], (), options, str(self._fetch_prepared(run)))
        self._page = Page.create()
        limits = HostLimits(manifest["settings"]["record_timeout_s"], self._around.memory_mib)
        launcher = ZygoteLauncher(spec, limits, self._page)
        launcher.open()
        self._launcher, self._open_run = launcher, run
        return launcher

    def _localize(self, value: Any) -> Any:
        """A reference's option with the path at which its content lies here; other values as they are."""
        if not isinstance(value, Mapping) or "sha256" not in value:
            return value
        path = self._cache / "references" / value["sha256"]
        if not path.exists():
            store = S3Store(self._s3, self._around.bucket, REFERENCES)
            _write_aside(path, store.get(value["sha256"]))
        return {"path": str(path), "sha256": value["sha256"]}

    def _fetch_prepared(self, run: str) -> Path:
        """The folder that the job's `prepare` wrote, fetched once."""
        folder = self._cache / "prepared" / run
        folder.mkdir(parents=True, exist_ok=True)
        store = self.ledger_of(run).store
        for key in store.list_keys("prepared/"):
            path = folder / Path(key).name
            if not path.exists():
                _write_aside(path, store.get(key))
        return folder

    def _read_message(self, body: str) -> TaskMessage:
        try:
            return TaskMessage.from_text(body)
        except Undecodable:
            unclaimed = S3Store(self._s3, self._around.bucket, "unclaimed/", self._around.encryption)
            unclaimed.put(uuid.uuid4().hex, body.encode(errors="replace"))
            raise

    def _read_manifest(self, run: str, ledger: Ledger) -> dict[str, Any]:
        manifest = ledger.read_manifest()
        if manifest is None:
            raise Undecodable("message", f"names the run {run!r}, which is not there")
        return manifest

    def _send(self, messages: list[TaskMessage]) -> None:
        url = self._around.queues[self._around.rung]  # a rung's rest stays on it
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(place), "MessageBody": message.to_text(), "MessageGroupId": message.run}
                for place, message in enumerate(messages[start : start + 10])
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
    return {"run": run, "state": asdict(state), "epoch": state.epoch, "phase": phase, "wait_s": wait_s}


def _with_spans(message: TaskMessage, spans: SpanSet) -> TaskMessage:
    return TaskMessage(
        message.run, message.stage, message.chunk, spans, message.epoch, message.hops + 1, message.share
    )


def _write_aside(path: Path, body: bytes) -> None:
    """Write a file whole or not at all: a warm environment may have been stopped half way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    temporary.write_bytes(body)
    temporary.replace(path)
