"""A request into a stack's bucket, in the order in which a kill at any line leaves something to go on with.

    first batch read -> job prepared and opened here -> DIR/cloud.json -> references, code, prepared files
      -> manifest, put once -> chunks, several at a time -> first one there: begin -> all there: sealed

Owns this order, and what of it is passed over when it is done again. Imports the run's objects and its
neighbours. When it is wrong, a submission that was cut begins a second run, or settles without its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aliquot.cutter import describe_reads
from aliquot.cutting import Cut, cut_chunks
from aliquot.errors import BadOption, DatasetError, FolderInUse, Interrupted
from aliquot.readers import Batch
from aliquot.told import TABLES, tell
from orchestrator.aws.folder import CloudAddress, make_token, name_run, write_address
from orchestrator.aws.package import Package, build_package
from orchestrator.aws.preparing import Preparing
from orchestrator.aws.reducing import check_summary
from orchestrator.aws.references import list_references, upload_any
from orchestrator.aws.room import check_room
from orchestrator.aws.run import CloudRun
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.site import Site
from orchestrator.local.folder import RunFolder
from orchestrator.local.tasks import Submission
from orchestrator.options import measure_references
from orchestrator.request import Request, check_frozen, check_same, make_manifest
from orchestrator.submit import PutsAtOnce, submit_chunks


class Submitting:
    """Gets one request into a bucket; any thread may interrupt it.

    Args:
        folder: of the run, locked.
        say: told the phase that begins.
        interrupt: set when the user wants to leave.
    """

    def __init__(
        self,
        request: Request,
        folder: RunFolder,
        say: Callable[[str], None],
        interrupt: threading.Event,
    ) -> None:
        self._request, self._folder, self._say, self._interrupt = request, folder, say, interrupt
        self._preparing: Preparing | None = None
        self._submission: Submission | None = None
        self._puts: PutsAtOnce | None = None
        self._is_sealed = False

    @property
    def n_total(self) -> int | None:
        """Records of the dataset, an estimate while it is being read."""
        submission = self._submission
        if submission is None or not submission.fraction:
            return None
        return int(submission.n_records / submission.fraction)

    @property
    def is_running(self) -> bool:
        """Whether chunks may still come."""
        return self._submission is not None and self._submission.is_running

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is there, and the run is sealed."""
        return self._is_sealed or self._request.is_in_s3

    def abort(self) -> None:
        """End what is under way in other threads; what was not begun yet stays so."""
        if self._preparing is not None:
            self._preparing.abort()
        if self._submission is not None:
            self._submission.stop()

    def read_first(self) -> None:
        """Read the dataset's first batch, so that its faults show at once; raises DatasetError.

        What lies in S3 is read there.
        """
        if self._request.is_in_s3:
            return
        self._say("reading")
        self._submission = Submission(self._request.read(), self._submit)
        if self._submission.is_empty(self._interrupt):
            raise DatasetError(", ".join(self._request.source_names[:3]), "holds no records")
        self._check_interrupt()

    def admit(
        self, site: Site, settings: CloudSettings, profile: str | None, before: CloudAddress | None
    ) -> CloudRun:
        """The run, with everything in its bucket but the chunks.

        Args:
            before: the address of the run in this folder, begun with the same request.
        Raises:
            UsageError: the job's own, JobError where reducers cannot import it, BadReference where workers
                have no room for what it carries, or FolderInUse where its code has changed since.
        """
        check_summary(self._request.known)
        package = self._build_package()
        sha256 = package.sha256 if package is not None else ""
        references = measure_references(self._request.options)
        check_room(site.stack.name, site.stack.tmp_mib, references)
        self._preparing = Preparing(
            self._request, settings.record_timeout_s, self._folder.ledger_path, self._say
        )
        with self._preparing.closing():
            self._check_interrupt()
            opened = self._preparing.open()
            check_room(site.stack.name, site.stack.tmp_mib, references, self._preparing.n_bytes)
            now = make_manifest(self._request, settings.freeze(site.stack), sha256)
            now |= {"code": opened.code, "versions": dict(opened.versions)}
            now["reads"] = describe_reads(self._request.known.job.reads)  # for a stack that cuts
            now[TABLES] = tell(self._request.known.job)  # for one that reduces
            address = before or make_address(site, profile, now)
            check_code(address.manifest, now, self._folder.path)
            write_address(self._folder.path, address)
            run = CloudRun(address, site.link)
            self._say("uploading")
            for path, digest in list_references(self._request.options):
                upload_any(run, path, digest, self._check_interrupt)
            if package is not None and not run.references.has(sha256):
                run.references.put(sha256, package.body)
            self._check_interrupt()
            self._preparing.upload(run)
        begin(run, self._folder.path)
        return run

    def begin_chunks(self, run: CloudRun) -> None:
        """Begin to put chunks, in a thread of its own; the stack does it for what lies in S3."""
        if self._submission is None:
            return
        self._puts = PutsAtOnce(run.ledger)
        self._ledger, self._has_chunks = run.ledger, bool(run.ledger.list_chunks())
        self._submission.go_on()

    def has_begun(self) -> bool:
        """Whether a chunk is there, or none will come any more; raises what the submission met."""
        if self._submission is None or self._puts is None:
            return True
        self._submission.check()
        return self._has_chunks or self._puts.has_any_arrived or not self._submission.is_running

    def check(self) -> None:
        """Raise what the submission met, if it did."""
        if self._submission is not None:
            self._submission.check()

    def close(self) -> None:
        """End what is under way; chunks that are on their way may still arrive."""
        if self._submission is not None:
            self._submission.stop()
        if self._puts is not None:
            self._puts.close()

    def _submit(self, batches: Iterable[Batch]) -> Iterator[Cut]:
        is_repeatable = self._request.is_repeatable
        yield from submit_chunks(
            self._ledger, cut_chunks(batches), is_repeatable=is_repeatable, puts=self._puts
        )
        self._is_sealed = True

    def _build_package(self) -> Package | None:
        """The code that travels with the run: not the dataset, the references and the run's own folder."""
        request = self._request
        if request.code is None:
            return None
        inputs = [Path(source.path) for source in request.sources if source.size_bytes is not None]
        references = [path for path, _ in list_references(request.options)]
        package = build_package(request.code, [*inputs, *references, self._folder.path])
        module = request.known.address.rpartition(":")[0].replace(".", "/")
        if not {f"{module}.py", f"{module}/__init__.py"} & set(package.names):
            raise BadOption("--code", f"{request.code} holds no {module}.py that can travel with the run")
        return package

    def _check_interrupt(self) -> None:
        if self._interrupt.is_set():
            raise Interrupted(str(self._folder.path))


def make_address(site: Site, profile: str | None, manifest: Mapping[str, Any]) -> CloudAddress:
    """The address of a new run on a stack."""
    stack, token = site.stack, make_token()
    place = {"name": stack.name, "region": stack.region, "state_machine": stack.state_machine_arn}
    return CloudAddress(
        stack=stack.name,
        region=stack.region,
        profile=profile,
        bucket=stack.bucket,
        run=name_run(manifest["job"], token),
        state_machine=stack.state_machine_arn,
        token=token,
        kms_key=stack.kms_key_arn,
        is_rehearsal=site.is_rehearsal,
        manifest={**manifest, "client_token": token, "stack": {**place, "kms_key": stack.kms_key_arn}},
    )


def check_code(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Raise FolderInUse where the job's code, or what it needs, is another than when the run was begun."""
    if before["package"] != now["package"]:
        raise FolderInUse(
            str(folder),
            "what --code names has changed since its run was begun: "
            f"`aliquot resume {folder}` goes on with what it was, a new --out begins afresh",
        )
    for name, said in (("code", "the job's code"), ("versions", "what the job needs")):
        if before[name] != now[name]:
            raise FolderInUse(
                str(folder), f"{said} has changed since its run was begun: a new --out begins afresh"
            )


def begin(run: CloudRun, folder: Path) -> None:
    """Put the manifest, once; raises FolderInUse where another command's run has the same name."""
    found = run.ledger.read_manifest() or run.ledger.begin(dict(run.address.manifest))
    if found["client_token"] != run.address.token:
        raise FolderInUse(str(folder), f"its run {run.address.run} was begun by another command: remove it")


def check_request(address: CloudAddress, request: Request, on: str, folder: Path) -> None:
    """Raise FolderInUse where the run in a folder is another than the request, or on another stack."""
    if address.on != on:
        raise FolderInUse(str(folder), f"{address.said}: choose another --out, or remove it")
    check_frozen(address.manifest, folder)
    check_same(address.manifest, request, folder)


def change_settings(run: CloudRun, settings: CloudSettings) -> None:
    """Write down limits that the user chose anew; whoever drives the run reads them at its next look."""
    manifest = run.ledger.read_manifest()
    if manifest is None:
        return
    frozen, stops = manifest["settings"], run.ledger.list_stops()
    spent_s = frozen["spent_s"]
    if stops and stops[-1].facts.get("at", 0.0) > frozen["begun_s"]:  # an epoch has ended since
        spent_s += stops[-1].facts["at"] - frozen["begun_s"]
    else:
        spent_s += time.time() - frozen["begun_s"]
    run.ledger.replace_manifest({**manifest, "settings": settings.go_on(frozen, spent_s)})
