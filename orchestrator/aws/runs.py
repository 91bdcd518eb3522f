"""The runs that a stack holds, whoever began them: the newest, each with how it stands.

    prefixes under runs/ and results/ --find_names--> ids, which begin with their date
    a manifest, what was published, what drives it --> Listed

What has expired under runs/ still has its result. Owns these listings. boto3's clients are arguments. When it
is wrong, a result that nobody has fetched is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aliquot.cloud import RESULTS, RUNS
from aliquot.errors import AliquotError
from aliquot.ledger import SETTLED
from aliquot.notes import check_fields, is_text, read_note
from orchestrator.aws.executions import Execution
from orchestrator.aws.folder import CloudAddress
from orchestrator.aws.run import CloudRun, Link, Published
from orchestrator.aws.site import make_link
from orchestrator.listing import Listed
from orchestrator.results import check_object
from orchestrator.stack.aws import explained, make_session
from orchestrator.stack.outputs import StackOutputs, find_stack, parse_place

_AT_ONCE = 8


def list_runs_on(on: str, most: int, profile: str | None, region: str | None) -> tuple[list[Listed], int]:
    """The newest runs of the stack `aws:STACK`; raises BadOption, NoSuchStack, AwsRefused."""
    name, session = parse_place(on), make_session(profile, region)
    return list_stack_runs(find_stack(name, session), make_link(session), most)


def list_stack_runs(stack: StackOutputs, link: Link, most: int) -> tuple[list[Listed], int]:
    """The newest runs of a stack, and how many older ones there are; raises AwsRefused, StoreError."""
    names = find_names(link.s3, stack.bucket)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda name: _describe(_address(stack, name), link), names[:most]))
    return found, max(0, len(names) - most)


def find_names(client: Any, bucket: str) -> list[str]:
    """The ids of a bucket's runs, newest first."""
    pages = client.get_paginator("list_objects_v2")
    names: set[str] = set()
    with explained(f"listing the runs in {bucket}"):
        for prefix in (RUNS, RESULTS):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
                names |= {each["Prefix"].removeprefix(prefix)[:-1] for each in page.get("CommonPrefixes", ())}
    return sorted(names, reverse=True)


def _address(stack: StackOutputs, name: str) -> CloudAddress:
    return CloudAddress(
        stack.name, stack.region, None, stack.bucket, name, stack.state_machine_arn, "", stack.kms_key_arn
    )


def _describe(address: CloudAddress, link: Link) -> Listed:
    run, remote = CloudRun(address, link), f"s3://{address.bucket}/{RUNS}{address.run}"
    try:
        manifest, published = run.ledger.read_manifest(), run.find_published()
        execution = None if manifest is None else run.executions.find_latest(run.ledger.epoch)
        if published is not None and execution is not None and published.epoch < execution.epoch:
            published = None
        told = _read(run, published, "summary.json")
        invoice = _read(run, published, "invoice.json")
        state, said = judge_state(published, execution)
        begun = _tell(manifest, "created")
        job = _tell(manifest, "job") or _tell(told, "job")
    except AliquotError as err:
        return Listed(remote, address.on, "unreadable", str(err))
    records, failed = (told["records"], told["failed"]) if told else (None, None)
    cost = invoice["total"] if invoice else None
    return Listed(remote, address.on, state, said, job, begun, records, failed, cost)


def judge_state(published: Published | None, execution: Execution | None) -> tuple[str, str]:
    """How a run stands, in a word and in words.

    Args:
        published: since `execution` began, None where nothing was.
    """
    if published is not None:
        is_settled = published.reason == SETTLED
        return ("finished", "finished") if is_settled else ("stopped", f"stopped ({published.reason})")
    if execution is None:
        return "unfinished", "its submission is not complete"
    return ("running", "running") if execution.is_running else ("broken", f"broken ({execution.cause})")


def _read(run: CloudRun, published: Published | None, name: str) -> Mapping[str, Any] | None:
    """What was published of figures; None where nothing was."""
    if published is None or name not in published.files:
        return None
    note = read_note(name, run.results.get(published.prefix + name))
    check_object(name, note)
    return note


def _tell(note: Mapping[str, Any] | None, field: str) -> str:
    """A text of a note, empty where there is no note; raises Undecodable."""
    if note is None:
        return ""
    check_fields("manifest.json", note, **{field: is_text})
    return str(note[field])
