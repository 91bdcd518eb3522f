"""What the Lambda handlers do, without Lambda: one method for each, over a bucket, queues and hosts.

    prepare       the job of a run that no orchestrator submitted, prepared and opened once
    cut           a step of cutting a dataset that lies in S3
    work          a task of a queue: one slice on hosts of the run's job
    tick          a tally: what is answered, then dispatch, repair, drain or settle
    exchange      a part, or a partition, of an exchange between two legs
    reduce_group  the tables of one group of a settled roster
    publish       what is of all groups, and the pointer that readers follow
    bury          a dead letter: its gaps again, halved; of one record a tombstone

A `Cloud` is made once per environment and keeps the job of the last run open, and its manifest, so that a
warm environment starts with a fork. Only jobs on the allow-list are opened; a message can name nothing else.

Owns which objects of a run each handler reads and writes. Clients are arguments. Imports the core only, and
what one handler alone needs when that is called: each cold start pays for its imports.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.aws import S3Objects, S3Store
from aliquot.bounds import Limits
from aliquot.cache import Cache
from aliquot.carried import Carried
from aliquot.envelope import is_count
from aliquot.errors import OpenFailed, StoreError, Undecodable
from aliquot.host import HostLimits
from aliquot.keys import MANIFEST, is_name, name_roster
from aliquot.ledger import (
    SETTLED,
    UNREADABLE,
    Ledger,
    UnreadableOutcome,
)
from aliquot.manifest import check_manifest
from aliquot.message import TaskMessage
from aliquot.notes import check_event, decoding, is_epoch
from aliquot.opened import OpenStage, OpenStages
from aliquot.processes import choose_reader, read_own_age_s
from aliquot.queues import TaskQueues
from aliquot.stages import (
    choose_rung,
    count_stages,
    find_next,
    find_stage_note,
    find_threads,
    read_legs,
    share_rate,
)
from aliquot.surroundings import Surroundings
from aliquot.warm import ManifestMemory
from aliquot.worker import Forward, Worked, WorkLimits, bury_task, supervise_hosts, work_slice

if TYPE_CHECKING:
    from aliquot.delivery import Subject
    from aliquot.paying import Purse
    from aliquot.reducer import Reducer

RUNS, RESULTS, UNCLAIMED = "runs/", "results/", "unclaimed/"
_PUBLISH_TAIL_MS = 1000  # billed after the invoice is written
_AGAIN = 2  # the delivery from which on a task's chunk is looked for before anything is done
_LAST_STEP_S = 2.0  # past a slice's end: its outcome is put with the last step, unless a record holds that up
_SLICE_ROOM_S = 10.0  # kept of an invocation's time for putting outcomes and sending follow-ups
CACHE = Path(tempfile.gettempdir(), "aliquot")  # the only place that a function may write to


class Cloud:
    """The handlers' work over one stack."""

    def __init__(self, around: Surroundings, s3: Any, sqs: Any, cache: Path = CACHE) -> None:
        self._around, self._s3 = around, s3
        self._queues = TaskQueues(sqs, around.queues)
        kept = Cache(cache, around.tmp_mib << 20)
        self._carried = Carried(self._store, around.jobs, kept, allows_code=around.allows_code)
        self._init_ns = 0
        self._opened = OpenStages(choose_reader(), around.memory_mib * around.n_hosts)
        self._manifests = ManifestMemory()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], make_client: Callable[[str], Any]) -> Cloud:
        """Made once per environment, outside the handler."""
        made = cls(Surroundings.read(environ), make_client("s3"), make_client("sqs"))
        made._init_ns = int(read_own_age_s() * 1e9)  # billed, as INIT
        return made

    @cached_property
    def _purse(self) -> Purse:
        from aliquot.paying import Purse

        return Purse()

    def ledger_of(self, run: object) -> Ledger:
        """The ledger of a run of this stack; raises Undecodable where nothing can be called so."""
        if not is_name(run):
            raise Undecodable("event", f"names the run {str(run)[:80]!r}, which cannot be")
        return Ledger(self._store(f"{RUNS}{run}/"))

    def prepare(self, event: Mapping[str, Any], remaining_s: float) -> dict[str, Any]:
        """Prepare and open a run's job, once; see `preparing.Preparing.take`."""
        from aliquot.preparing import Preparing

        billed_from_ns = self._find_bill_ns(remaining_s)
        run, ledger = self._find_ledger(event, "prepare", epoch=is_epoch)
        epoch, manifest = event["epoch"], {"code": "", **self._read_manifest(run, ledger)}
        self._opened.close()  # two jobs might not fit
        limits = HostLimits(manifest["settings"]["record_timeout_s"], self._around.memory_mib)
        with self._purse.pay(ledger, manifest["settings"], "prepare", epoch, billed_from_ns) as bill:
            preparing = Preparing(run, bill.ledger, self._carried, limits)
            return preparing.take(manifest, epoch, remaining_s)

    def cut(self, event: Mapping[str, Any], remaining_s: float) -> dict[str, Any]:
        """One step of cutting a dataset that lies in S3; see `cutter.Cutter.take`."""
        from aliquot.cutter import ITEMS, Cutter, check_step

        billed_from_ns = self._find_bill_ns(remaining_s)
        run, ledger = self._find_ledger(event, "run")
        check_step(event)
        settings = self._read_manifest(run, ledger)["settings"]
        epoch = ledger.epoch if event.get("epoch") is None else event["epoch"]
        event = {**event, "epoch": epoch}
        place = (run, event["step"], event.get("round")) if event["step"] in ITEMS else None
        with self._purse.pay(ledger, settings, "cut", epoch, billed_from_ns, place) as bill:
            cutter = Cutter(bill.ledger, run, f"{RUNS}{run}/", S3Objects(self._s3).open)
            answer = cutter.take(event, remaining_s)
            bill.n_items = cutter.n_items
        if cutter.n_items and self._purse.hold(ledger, settings, epoch):
            return cutter.take(event, remaining_s)  # the epoch has ended: nothing is handed out
        return answer

    def work(self, body: str, receives: int, remaining_s: float) -> Worked:
        """One slice on the task in a message.

        Args:
            body: the message's text.
            receives: how often it was delivered.
            remaining_s: of the invocation.
        Raises:
            Undecodable: the message is not a task of a run that is here; it was filed under `unclaimed/`.
            OpenFailed: the run's job cannot be opened here.
            StoreError: the chunk is not there, or damaged.
        """
        ends_s, billed_from_ns = time.monotonic() + remaining_s, self._find_bill_ns(remaining_s)
        message, manifest = self._read_message(body, receives)
        ledger = self.ledger_of(message.run).enter(message.leg)
        # opening may take long: nothing is opened for an epoch that has ended, and the slice looks once more
        if self._opened.run != message.run and ledger.is_stopped(message.epoch):
            return Worked()
        try:
            stage = self._open(message, manifest)
        except (OpenFailed, StoreError) as err:
            kind = "job" if isinstance(err, OpenFailed) else "store"
            ledger.note_open_failure(message.epoch, kind, str(err))
            raise
        allowed = self._choose_limits(message, manifest, ends_s - time.monotonic(), stage.threads)
        supervise, forward = supervise_hosts(stage.launcher, ledger), self._find_forward(message, manifest)
        try:
            return work_slice(
                message, receives, ledger, supervise, allowed, self._queues.send, billed_from_ns, forward
            )
        except Undecodable as err:
            if message.source is not None:  # an outcome of the stage before: it is to be done again
                ledger.void(message.source)
                return Worked()
            # its chunk is damaged: nobody can do it, however often it is tried
            ledger.note_open_failure(message.epoch, "job", f"{message.chunk.key}: {err.reason}")
            raise StoreError(message.chunk.key, err.reason) from err

    def tick(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One tally: what is answered, then dispatch, repair, drain or settle.

        Gives the next tick's `state`, the `phase` ("running", "exchanging", "settling", "done"), how long to
        wait, and for "exchanging" and "settling" the key of the list of items or groups to work on.
        """
        from aliquot.tally import TickState, is_state
        from aliquot.ticks import Ticker

        run, ledger = self._find_ledger(event, "run", state=is_state)
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
        run, ledger = self._find_ledger(event, "run", epoch=is_epoch, group=is_count)
        epoch, number = event["epoch"], event["group"]
        manifest = self._read_manifest(run, ledger)
        subject = self._describe_subject(run, manifest)
        try:
            figures = self._reducer(run, epoch, ledger).reduce(number, subject, read_legs(manifest))
        except UnreadableOutcome as err:
            ledger.give_up_outcome(err, epoch)
            raise
        return {"rows": figures.rows, "done": figures.done, "failed": figures.failed}

    def exchange(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One item of an exchange between two legs; see `exchanging.Exchanging.take`.

        Raises:
            UnreadableOutcome: an outcome is damaged; it was voided, and the epoch ended for it.
        """
        from aliquot.exchanging import Exchanging

        run, ledger = self._find_ledger(event, "run", epoch=is_epoch)
        exchanging = Exchanging(run, ledger, read_legs(self._read_manifest(run, ledger)))
        try:
            return exchanging.take(event)
        except UnreadableOutcome as err:
            ledger.give_up_outcome(err, event["epoch"])
            raise

    def publish(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Publish what the groups wrote, and end the epoch where nothing else did.

        Gives the `phase`: "done" with the `detail` of the event that tells of it, "again" with the key of a
        list of groups to write once more, or "torn" where an outcome was voided and the run goes on in the
        next epoch.
        """
        from aliquot.announcement import describe_published
        from aliquot.reached import Reached
        from aliquot.tally import TickState, is_state
        from aliquot.ticks import write_run_invoice

        began_ns = time.monotonic_ns()
        run, ledger = self._find_ledger(event, "run", epoch=is_epoch, state=is_state)
        epoch = event["epoch"]
        stop = ledger.read_stop(epoch)
        if stop is not None and stop.reason == UNREADABLE:
            return {"phase": "torn", "groups_key": "", "detail": None}
        manifest = self._read_manifest(run, ledger)
        subject = self._describe_subject(run, manifest)

        state = TickState(**event.get("state") or {})

        def tell_facts() -> dict[str, Any]:
            with decoding(MANIFEST):
                elapsed = datetime.now(UTC) - datetime.fromisoformat(manifest["created"])
            told = Reached.up_to(ledger, read_legs(manifest), epoch, state.leg).tell_exchanges()
            return {"elapsed_s": round(elapsed.total_seconds(), 3), **({"exchanges": told} if told else {})}

        def tell_invoice(n_groups: int, reduce_ms: int) -> dict[str, Any]:
            own_ms = (time.monotonic_ns() - began_ns) // 1_000_000 + _PUBLISH_TAIL_MS
            return write_run_invoice(ledger, manifest, epoch, state, n_groups, reduce_ms + own_ms)

        reason = stop.reason if stop is not None else SETTLED
        again = self._reducer(run, epoch, ledger).publish(subject, tell_facts, tell_invoice, reason)
        if again:
            return {"phase": "again", "groups_key": f"{RUNS}{run}/{again}", "detail": None}
        ledger.stop(epoch, SETTLED, {"roster": name_roster(read_legs(manifest)[0].last.name, epoch)})
        address = f"s3://{self._around.bucket}/{RESULTS}{run}/"
        results = self._store(f"{RESULTS}{run}/")
        detail = describe_published(run, epoch, self._around.stack, manifest, results, address)
        return {"phase": "done", "groups_key": "", "detail": detail}

    def bury(self, body: str) -> int:
        """Send the gaps of a dead letter again, halved; of a single record file a tombstone.

        Gives the number of messages sent. Raises Undecodable as `work` does, and StoreError where an object
        of the run cannot be read.
        """
        message, manifest = self._read_message(body, receives=_AGAIN)
        ledger, legs = self.ledger_of(message.run).enter(message.leg), read_legs(manifest)
        try:
            forward, note = self._find_forward(message, manifest), find_stage_note(legs, message.stage)
            return bury_task(message, ledger, self._queues.send, forward, is_whole=note.whole)
        except Undecodable as err:  # the task is sound, and stays until its run is
            raise StoreError(err.what, err.reason) from err

    def close(self) -> None:
        """End the processes that the last run's stages live in; an environment does so at its end."""
        self._opened.close()
        self._carried.close()

    def _find_forward(self, message: TaskMessage, manifest: Mapping[str, Any]) -> Forward | None:
        """The stage that a task's outcomes go on to, None from the last of a leg."""
        behind = find_next(read_legs(manifest), message.stage)
        if behind is None:
            return None
        rungs = list(self._around.queues)
        return Forward(behind.name, choose_rung(behind, manifest["settings"].get("rung", rungs[0]), rungs))

    def _choose_limits(
        self, message: TaskMessage, manifest: Mapping[str, Any], remaining_s: float, threads: int
    ) -> WorkLimits:
        """What a slice may take of the invocation, of the run's time, its rate, and this worker's memory."""
        around, settings = self._around, manifest["settings"]
        record_s = settings["record_timeout_s"]
        slice_s = min(around.slice_s, remaining_s - record_s - _SLICE_ROOM_S)
        if settings.get("until_s") is not None:
            slice_s = min(slice_s, settings["until_s"] - time.time())
        legs = read_legs(manifest)
        limits = Limits(
            record_s,
            around.memory_mib,
            around.slice_s + _LAST_STEP_S,
            threads=find_threads(count_stages(legs), threads, settings.get("threads")),
            rate_per_s=share_rate(legs, message.stage, message.share, settings),
            retries=settings.get("retries"),
            is_whole=find_stage_note(legs, message.stage).whole,
        )
        return WorkLimits(around.rung, around.n_hosts, max(0.0, slice_s), limits, around.next_rung)

    def _find_bill_ns(self, remaining_s: float) -> int:
        """When this invocation's bill began, on the monotonic clock; a cold start's INIT is part of it."""
        began_ns = time.monotonic_ns() - int((self._around.timeout_s - remaining_s) * 1e9)
        began_ns, self._init_ns = began_ns - self._init_ns, 0
        return began_ns

    def _open(self, message: TaskMessage, manifest: Mapping[str, Any]) -> OpenStage:
        """The stage of a task's run, kept open while the environment works on the same run."""
        run = message.run
        found = self._opened.find(run, message.stage)
        if found is not None:
            return found
        from aliquot.preparing import find_versions

        if run != self._opened.run:
            self._opened.close()
        spec = replace(self._carried.localize(run, manifest), stage=message.stage)
        limits = HostLimits(manifest["settings"]["record_timeout_s"], self._around.memory_mib)
        versions = find_versions(self.ledger_of(run), manifest)
        return self._opened.open(run, spec, limits, manifest["job"], versions)

    def _describe_subject(self, run: str, manifest: Mapping[str, Any]) -> Subject:
        from aliquot.delivery import Subject

        job, options, prepared = self._carried.describe(run, manifest)
        with decoding(MANIFEST):
            return Subject(job, options, prepared, manifest["source_names"])

    def _reducer(self, run: str, epoch: int, ledger: Ledger) -> Reducer:
        from aliquot.reducer import Reducer

        return Reducer(run, epoch, ledger, self._store(f"{RESULTS}{run}/"))

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self._s3, self._around.bucket, prefix, self._around.encryption)

    def _find_ledger(
        self, event: Mapping[str, Any], field: str, **wanted: Callable[[Any], bool]
    ) -> tuple[str, Ledger]:
        """The run that an event is of, and its ledger; raises Undecodable where it is none of ours."""
        check_event(event)
        run = event.get(field)
        ledger = self.ledger_of(run)
        check_event(event, **wanted)
        return str(run), ledger

    def _read_message(self, body: str, receives: int) -> tuple[TaskMessage, Mapping[str, Any]]:
        """A message and its run's manifest; what is not ours, or of no run that is here, is filed."""
        try:
            message = TaskMessage.from_text(body)
            return message, self._find_run(message, receives)
        except Undecodable:
            self._store(UNCLAIMED).put(uuid.uuid4().hex, body.encode(errors="replace"))
            raise

    def _find_run(self, message: TaskMessage, receives: int) -> Mapping[str, Any]:
        """The manifest of the run that a message is of; raises Undecodable where it asks for what is not."""
        ledger = self.ledger_of(message.run)
        manifest = self._manifests.recall(
            message.run, message.epoch, lambda: self._read_manifest(message.run, ledger)
        )
        if message.rung not in self._around.queues:
            raise Undecodable("message", f"is for the rung {message.rung!r}, which this stack has not")
        names = [stage.name for leg in read_legs(manifest) for stage in leg.stages]
        if message.stage not in names:
            raise Undecodable("message", f"is for the stage {message.stage!r}, which its run has not")
        # a task of a chunk that is not there would be split, and split again, into as many as it has records
        if receives >= _AGAIN and not ledger.enter(message.leg).leg.has(message.chunk.key):
            raise Undecodable("message", f"is for {message.chunk.key}, which its run has not")
        return manifest

    def _read_manifest(self, run: str, ledger: Ledger) -> dict[str, Any]:
        manifest = ledger.read_manifest()
        if manifest is None:
            raise Undecodable("message", f"names the run {run!r}, which is not there")
        check_manifest(manifest)
        return manifest
