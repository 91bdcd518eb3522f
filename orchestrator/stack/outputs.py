"""What a deployed stack says of itself, and whether it would give the same rows as this machine.

    session = make_session(profile, region)
    outputs = find_stack(parse_place("aws:prod"), session)
    refuse_skew(outputs, job, read_versions(job))

Owns the names of the stack's outputs (Outputs of template.yaml) and the rule of equal versions. Imports the
core's `job` and `errors`. When it is wrong, a run goes to the wrong bucket, or gives rows of another RDKit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aliquot import __version__
from aliquot.errors import BadOption
from aliquot.job import Job
from aliquot.own_jobs import parse_own_jobs
from orchestrator.stack.aws import explained, make_session
from orchestrator.stack.errors import AwsRefused, NoSuchStack, VersionSkew

__all__ = ["StackOutputs", "find_stack", "list_skew", "make_session", "parse_place", "refuse_skew"]

PREFIX = "aws:"
NEEDED = ("Bucket", "Queues", "DeadLetterQueue", "StateMachineArn", "Versions", "Architecture", "AllowCode")
DESCRIPTION = "Aliquot: "  # how the template's description begins; a stack that failed has no outputs
_DEFAULT_RECORD_TIMEOUT_S = 60.0  # of stacks from before the output
_WORKERS_PER_POLLER = 10


@dataclass(frozen=True)
class StackOutputs:
    """A stack that runs can be sent to.

    Args:
        queues: URL by rung, smallest rung first.
        versions: of what may change rows: aliquot, python, rdkit, numpy; under "jobs" each job's.
        allow_code: whether runs may bring their own code.
        concurrency: most workers of a rung at a time.
        kms_key_arn: of the bucket's key; empty where S3's own encrypts it.
        inbox: the bucket that begins runs.
        is_provisioned: whether its pollers are.
        record_timeout_s: what one record may take at most.
        tmp_mib: of its workers' /tmp; 0 for stacks from before the output.
    """

    name: str
    region: str
    bucket: str
    queues: Mapping[str, str]
    dead_letter_queue: str
    state_machine_arn: str
    versions: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "arm64"
    allow_code: bool = False
    concurrency: int = 0
    kms_key_arn: str = ""
    record_timeout_s: float = _DEFAULT_RECORD_TIMEOUT_S
    inbox: str = ""
    is_provisioned: bool = False
    tmp_mib: int = 0


def parse_place(on: str) -> str:
    """The stack's name in `aws:STACK`; raises BadOption."""
    name = on.removeprefix(PREFIX)
    if name == on or not name:
        raise BadOption("--on", f"{on!r} is not of the form aws:STACK, for instance aws:aliquot")
    return name


def find_stack(name: str, session: Any) -> StackOutputs:
    """The stack of that name in the session's region; raises NoSuchStack, AwsRefused."""
    return read_outputs(describe_stack(name, session), session.region_name)


def describe_stack(name: str, session: Any) -> dict[str, Any]:
    """What CloudFormation says of a stack; raises NoSuchStack, naming those that are there, AwsRefused."""
    from botocore.exceptions import ClientError

    client = session.client("cloudformation")
    with explained(f"looking for stack {name!r}"):
        try:
            found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as err:
            if not _is_absent(err):
                raise
            raise NoSuchStack(name, session.region_name, _say_absent(client)) from err
    return found


def list_stacks(client: Any) -> list[str]:
    """The names of the region's stacks that have our outputs, sorted."""
    pages = client.get_paginator("describe_stacks").paginate()
    return sorted(each["StackName"] for page in pages for each in page["Stacks"] if is_ours(each))


def is_ours(described: Mapping[str, Any]) -> bool:
    """Whether a stack was made from our template: by its outputs, or where it has none by its description."""
    return set(NEEDED) <= _read_pairs(described).keys() or described.get("Description", "").startswith(
        DESCRIPTION
    )


def read_outputs(described: Mapping[str, Any], region: str) -> StackOutputs:
    """The outputs in what CloudFormation says of a stack; raises NoSuchStack where they are not ours."""
    name, found = described["StackName"], _read_pairs(described)
    missing = [each for each in NEEDED if each not in found]
    if missing:
        raise NoSuchStack(name, region, _say_why_not_ours(described, missing))
    return StackOutputs(
        name=name,
        region=region,
        bucket=found["Bucket"],
        queues=json.loads(found["Queues"]),
        dead_letter_queue=found["DeadLetterQueue"],
        state_machine_arn=found["StateMachineArn"],
        versions=_add_own_jobs(json.loads(found["Versions"]), found.get("Jobs", "")),
        architecture=found["Architecture"],
        allow_code=found["AllowCode"] == "true",
        concurrency=_read_concurrency(found.get("Concurrency", "0")),
        kms_key_arn=found.get("KmsKeyArn", ""),
        record_timeout_s=float(found.get("RecordTimeout", _DEFAULT_RECORD_TIMEOUT_S)),
        inbox=found.get("InboxBucket", ""),
        is_provisioned="pollers" in found.get("Concurrency", ""),
        tmp_mib=int(found.get("TmpMiB", 0)),
    )


def list_skew(outputs: StackOutputs, job: Job, own_versions: Mapping[str, str]) -> list[str]:
    """What differs between a stack and a machine that may change a job's rows; empty where nothing does.

    A job that the stack does not know is not compared: its code travels with the run.

    Args:
        own_versions: as `aliquot.loading.read_versions` gives them, `aliquot` at will.
    """
    stack: dict[str, Any] = {**outputs.versions, **outputs.versions.get("jobs", {})}
    own: dict[str, Any] = {"aliquot": __version__, **own_versions, job.name: job.version}
    names = ["aliquot", *job.needs, *([job.name] if job.name in outputs.versions.get("jobs", {}) else [])]
    return [
        f"{f'job {name}' if name == job.name else name} is {stack.get(name, 'absent')} on the stack "
        f"and {own.get(name, 'absent')} here"
        for name in names
        if _normalise(stack.get(name)) != _normalise(own.get(name))
    ]


def refuse_skew(outputs: StackOutputs, job: Job, own_versions: Mapping[str, str]) -> None:
    """Raise VersionSkew where a stack might give other rows for a job than this machine."""
    different = list_skew(outputs, job, own_versions)
    if different:
        raise VersionSkew(outputs.name, tuple(different), _say_remedy(outputs, job))


def _normalise(version: Any) -> str:
    """A version without the zeros that packages spell or leave out: RDKit says 2026.09.1, pip 2026.9.1."""
    return ".".join(part.lstrip("0") or "0" for part in str(version).split("."))


def _say_remedy(outputs: StackOutputs, job: Job) -> str:
    names = [name for name in ("aliquot", *job.needs) if name in outputs.versions]
    pins = " ".join(f"{name}=={outputs.versions[name]}" for name in names)
    return (
        f"install the stack's versions here (pip install {pins}), "
        f"or deploy this release: aliquot deploy --stack {outputs.name}"
    )


def _say_absent(client: Any) -> str:
    try:
        with explained("listing stacks"):
            others = list_stacks(client)
    except AwsRefused as err:  # a policy may allow this one stack and no look at others
        return (
            f"there is none of that name, nor others to be seen ({err.reason}): check --region and the name"
        )
    if others:
        return f"there is none of that name; Aliquot's stacks in this region: {', '.join(others)}"
    return (
        "there is none of that name, and no other of Aliquot's in this region: "
        "give the right --region or --profile, or make it with `aliquot deploy --stack NAME`"
    )


def _say_why_not_ours(described: Mapping[str, Any], missing: list[str]) -> str:
    if not is_ours(described):
        return f"is not Aliquot's (it has no output {', '.join(missing)}): name another stack"
    status = described.get("StackStatus", "unknown")
    if status.endswith("_IN_PROGRESS"):
        return f"is not ready ({status}): wait until it is"
    if described.get("Outputs"):
        return f"is of another release (it has no output {', '.join(missing)}): run `aliquot deploy` again"
    return f"was not made whole ({status}): remove it with `aliquot destroy`, then `aliquot deploy` again"


def _is_absent(err: Any) -> bool:
    error = err.response["Error"]
    return error["Code"] == "ValidationError" and "does not exist" in error.get("Message", "")


def _read_pairs(described: Mapping[str, Any]) -> dict[str, str]:
    return {each["OutputKey"]: each.get("OutputValue", "") for each in described.get("Outputs") or ()}


def _add_own_jobs(versions: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Versions with those of the jobs that the stack was given; its own come first."""
    own = parse_own_jobs(text)
    return {**own.packages, **versions, "jobs": {**own.versions, **versions.get("jobs", {})}}


def _read_concurrency(text: str) -> int:
    """Workers at a time; `100 pollers` are provisioned ones, each of ten workers."""
    number, _, unit = text.partition(" ")
    return int(number) * (_WORKERS_PER_POLLER if unit else 1)
