"""A request that was dropped into the inbox becomes a run, or is refused in words.

    event --read--> request --admit--> job, options, sources, limits --freeze--> manifest, put once
      -> references copied under their digests -> execution `<run>-0` started -> `<name>.accepted.json`
    refused anywhere on the way -> `<name>.rejected.json`

A run's id is the hash of where and as which version its request arrived, so that an event that comes again
finds the run begun and does no more. Nobody's code is imported here, and no record is read. Owns this order
and what a stack allows a request. Clients are arguments. Imports the core only. When it is wrong, a run is
begun twice, or by somebody who may not.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aliquot.aws import S3Objects, S3Store
from aliquot.carried import REFERENCES
from aliquot.cloud import RESULTS, RUNS
from aliquot.cutter import describe_reads
from aliquot.errors import BadOption, DatasetError, StoreError, Undecodable
from aliquot.inbox import ACCEPTED, REJECTED, Dropped, Inbox
from aliquot.job import Job
from aliquot.keys import PaidKey, spell_word
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec, describe_function, load_job
from aliquot.manifest import Frozen, check_columns, freeze, resolve_options, start_clock
from aliquot.prices import Prices
from aliquot.processes import read_own_age_s
from aliquot.readers import Source
from aliquot.readers.objects import SCHEME, find_objects, split_url
from aliquot.references import walk_references
from aliquot.request_file import RequestRefused, RunRequest, check_size
from aliquot.request_references import RequestReferences, spell_option, spell_url
from aliquot.spending import MOST_TASKS, Tariff, afford_window, estimate_least_usd
from aliquot.stages import find_late_rate
from aliquot.surroundings import Surroundings
from aliquot.told import TABLES, tell

MOST_OBJECTS = 10_000  # of a dataset: every worker reads the manifest that lists them
_ADDRESS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ROOM = 2.0  # over the least budget, in the advice
_TAIL_MS, _PUTS = 1000, 3  # after a run was begun: it is started, and the request answered; with its manifest


@dataclass(frozen=True)
class Permits:
    """What a stack tells the function that takes requests in.

    Args:
        stack, region, state_machine: where runs are driven.
        inbox: the bucket of requests.
        data_buckets: others whose objects may be a dataset.
        record_timeout_s: the most that a record may be given.
        concurrency: workers at a time.
        architecture: of the stack's functions.
    """

    stack: str
    region: str
    state_machine: str
    inbox: str
    data_buckets: frozenset[str]
    record_timeout_s: float
    concurrency: int
    architecture: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Permits:
        """From the function's environment variables."""
        arns = filter(None, environ["ALIQUOT_DATA_BUCKETS"].split(","))
        return cls(
            stack=environ["ALIQUOT_STACK"],
            region=environ["AWS_REGION"],
            state_machine=environ["ALIQUOT_STATE_MACHINE"],
            inbox=environ["ALIQUOT_INBOX"],
            data_buckets=frozenset(arn.strip().rpartition(":")[2] for arn in arns),
            record_timeout_s=float(environ["ALIQUOT_RECORD_TIMEOUT_S"]),
            concurrency=int(environ["ALIQUOT_CONCURRENCY"]),
            architecture=environ["ALIQUOT_ARCHITECTURE"],
        )


@dataclass(frozen=True)
class Taken:
    """What became of a request.

    Args:
        run: its id, empty where none was begun.
        field: of the request that was refused; empty too where another request has taken its place.
    """

    run: str = ""
    field: str = ""


class Intake:
    """Takes requests in.

    Args:
        s3, states: boto3 clients of S3 and Step Functions.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        around: Surroundings,
        permits: Permits,
        s3: Any,
        states: Any,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._around, self._permits, self._s3, self._states = around, permits, s3, states
        self._now_s, self._init_s = now_s, 0.0
        self._inbox = Inbox(s3, permits.inbox, around.encryption)
        self._references = self._store(REFERENCES)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], make_client: Callable[[str], Any]) -> Intake:
        """Made once per environment, outside the handler."""
        clients = make_client("s3"), make_client("stepfunctions")
        made = cls(Surroundings.read(environ), Permits.read(environ), *clients)
        made._init_s = read_own_age_s()  # billed, as INIT
        return made

    def take(self, event: Mapping[str, Any]) -> Taken:
        """Begin the run that a dropped request asks for, and answer beside it.

        Raises:
            Undecodable: the event is none of a request in this inbox.
            StoreError: S3 could not be asked; the same event again goes on from there.
        """
        began_s, self._init_s = time.monotonic() - self._init_s, 0.0
        dropped = Dropped.read(event)
        if dropped.bucket != self._permits.inbox:
            raise Undecodable(
                "event", f"is of the bucket {dropped.bucket!r}, which is not this stack's inbox"
            )
        run = name_run(dropped)
        ledger = Ledger(self._store(f"{RUNS}{run}/"))
        manifest = ledger.read_manifest()
        try:
            if manifest is None:
                body = self._read(dropped)
                if body is None:
                    return Taken()
                manifest = ledger.begin(self._freeze(RunRequest.from_bytes(body), dropped))
                billed_ms = int(1000 * (time.monotonic() - began_s)) + _TAIL_MS
                ledger.note_paid(PaidKey("intake", uuid.uuid4().hex, billed_ms, 0, _PUTS))
        except RequestRefused as err:
            self._inbox.answer(dropped, REJECTED, {"field": err.field, "reason": str(err)})
            return Taken(field=err.field)
        self._start(run)
        self._inbox.answer(dropped, ACCEPTED, self._describe(run, manifest))
        return Taken(run)

    def _read(self, dropped: Dropped) -> bytes | None:
        """A request's content; None where it was replaced, which has an event of its own, or taken away.

        Raises RequestRefused for what is too large to be one, unread.
        """
        check_size(dropped.size_bytes)
        try:
            return self._inbox.read(dropped)
        except DatasetError:
            return None

    def _freeze(self, request: RunRequest, dropped: Dropped) -> dict[str, Any]:
        """The manifest of a request, all that it names found, and allowed; raises RequestRefused."""
        permits, around = self._permits, self._around
        references = RequestReferences(around.bucket, self._references, self._inbox, around.tmp_mib)
        job, address = self._find_job(request)
        try:
            check_columns(job, request.columns, request.keep, str)
            settings = choose_settings(request, permits, around.timeout_s, self._now_s())
            sources = self._find_sources(request)
            options = resolve_options(job, request.options, references.find, spell_option)
            references.check_room(options)
        except BadOption as err:
            raise RequestRefused(err.option, err.reason) from err
        frozen = Frozen(
            job=job,
            address=address,
            options=options,
            sources=sources,
            source_names=[source.path for source in sources],
            chosen=request.columns,
            keep=request.keep,
            package=request.package,
        )
        late = find_late_rate(frozen.stages)
        if late:
            raise RequestRefused(
                "job", f"its stage {late!r} has a rate, which stacks keep where a leg begins"
            )
        manifest = freeze(
            frozen,
            settings,
            architecture=platform.machine(),
            client_token=_digest(dropped)[:32],
            created=datetime.fromtimestamp(self._now_s(), UTC).isoformat(timespec="seconds"),
        )
        place = {"name": permits.stack, "region": permits.region, "state_machine": permits.state_machine}
        place["kms_key"] = around.encryption.get("SSEKMSKeyId", "")
        told = {"reads": describe_reads(job.reads), TABLES: tell(job)}
        return {**manifest, **told, "stack": place, "request": dropped.url}

    def _find_job(self, request: RunRequest) -> tuple[Job, str]:
        """The job that a request names and its address; raises RequestRefused where this stack has it not."""
        around, name = self._around, request.job
        if not request.package:
            if name not in around.jobs:
                allowed = ", ".join(around.jobs) or "none"
                raise RequestRefused("job", f"{name!r} is not on this stack's allow-list ({allowed})")
            return load_job(JobSpec(around.jobs[name])), around.jobs[name]
        if not around.allows_code:
            raise RequestRefused(
                "package", "the request brings its own code, and this stack was deployed without AllowCode"
            )
        if not _ADDRESS.fullmatch(name):
            raise RequestRefused("job", f"{name!r} is not MODULE:FUNCTION, as a job in a package is named")
        if not self._references.has(request.package):
            raise RequestRefused("package", f"{REFERENCES}{request.package} is not in this stack's bucket")
        return describe_function(name), name

    def _find_sources(self, request: RunRequest) -> tuple[Source, ...]:
        """The objects of the dataset, pinned; raises RequestRefused."""
        urls = [spell_url(item, self._permits.inbox) for item in request.data]
        for url in urls:
            self._check_place(url)
        try:
            sources = find_objects(urls, S3Objects(self._s3).list_objects)
        except DatasetError as err:
            raise RequestRefused("data", str(err)) from err
        except StoreError as err:
            if not _is_final(err):
                raise
            raise RequestRefused("data", str(err)) from err
        if len(sources) > MOST_OBJECTS:
            raise RequestRefused(
                "data", f"names {len(sources):,} objects; a run has {MOST_OBJECTS:,} at most: join them"
            )
        return sources

    def _check_place(self, url: str) -> None:
        """Raise RequestRefused where an object lies in a bucket that no dataset may be of."""
        try:
            bucket, key = split_url(url)
        except DatasetError as err:
            raise RequestRefused("data", str(err)) from err
        permits = self._permits
        is_result = bucket == self._around.bucket and key.startswith(RESULTS)
        if not is_result and bucket not in {permits.inbox, *permits.data_buckets}:
            others = "".join(f", {name}" for name in sorted(permits.data_buckets))
            raise RequestRefused(
                "data",
                f"{url} lies where this stack reads no datasets; it reads the inbox {permits.inbox}, "
                f"s3://{self._around.bucket}/{RESULTS}, and its DataBuckets{others or ' (none)'}",
            )

    def _start(self, run: str) -> None:
        """Have the run driven; one that was started already stays as it is."""
        given = {"run": run, "epoch": 0, "cut": True, "prepare": True}
        try:
            self._states.start_execution(
                stateMachineArn=self._permits.state_machine, name=f"{run}-0", input=json.dumps(given)
            )
        except self._states.exceptions.ExecutionAlreadyExists:
            return

    def _describe(self, run: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """What whoever dropped a request is told of its run."""
        sources, bucket = manifest["identity"]["sources"], self._around.bucket
        options, settings = manifest["options"], manifest["settings"]
        references = {name: value["sha256"] for name, value in walk_references(options)}
        return {
            "run": run,
            "ledger": f"{SCHEME}{bucket}/{RUNS}{run}",
            "results": f"{SCHEME}{bucket}/{RESULTS}{run}/",
            "objects": len(sources),
            "bytes": sum(source["size_bytes"] for source in sources),
            "references": references,
            "window": settings["window"],
            "budget_usd": settings["budget_usd"],
        }

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self._s3, self._around.bucket, prefix, self._around.encryption)


def name_run(dropped: Dropped) -> str:
    """The id of the run that a request asks for: the request's own name, and what tells its arrival apart."""
    return f"{spell_word(dropped.name.rpartition('/')[2])}-{_digest(dropped)[:16]}"


def choose_settings(request: RunRequest, permits: Permits, timeout_s: float, now_s: float) -> dict[str, Any]:
    """The limits of a run, as they stand in its manifest; raises RequestRefused where they cannot be.

    Args:
        timeout_s: of a worker's function.
        now_s: when the run begins, in seconds since 1970.
    """
    if request.record_timeout_s > permits.record_timeout_s:
        raise RequestRefused(
            "record_timeout_s",
            f"{request.record_timeout_s:g} s are more than the {permits.record_timeout_s:g} s that this "
            "stack allows a record: deploy it with a larger RecordTimeout",
        )
    tariff = Tariff(Prices(), permits.architecture, timeout_s)
    window = min(request.window or permits.concurrency, MOST_TASKS)
    budget_usd = request.budget_usd
    if budget_usd is not None:
        least_usd = estimate_least_usd(tariff, is_cut=True, is_prepared=True)
        if budget_usd <= least_usd:
            raise RequestRefused(
                "budget_usd",
                f"${budget_usd:g} would be reached before a first task has ended: "
                f"give ${_ROOM * least_usd:.1g} or more",
            )
        window = afford_window(tariff, budget_usd, window)
    return {
        "window": window,
        "record_timeout_s": request.record_timeout_s,
        "max_failed": request.max_failed,
        "ending": "parquet",
        "threads": None,  # as the job declares
        "rate": None,
        "retries": None,
        "budget_usd": budget_usd,
        "budget_time_s": request.budget_time_s,
        "estimated_usd": None,
        "estimated_s": None,
        "tariff": tariff.to_plain(),
        "concurrency": permits.concurrency,
        **start_clock(now_s, request.budget_time_s),
    }


def _digest(dropped: Dropped) -> str:
    return hashlib.sha256(json.dumps([dropped.bucket, dropped.key, dropped.version]).encode()).hexdigest()


def _is_final(err: StoreError) -> bool:
    """Whether asking again would not help: there is no such bucket, or it may not be listed."""
    said = getattr(err.__cause__, "response", {}).get("Error", {}).get("Code", "")
    return said in {"AccessDenied", "NoSuchBucket", "403", "404"}
