"""Whether runs can be sent to a stack: what `aliquot doctor --on aws:STACK` says, a line for each check.

Checks go on past what fails; only without credentials or without the stack there is nothing more to ask. A
check that AWS does not let us make is a warning. Findings come as they are made, since detecting drift takes
CloudFormation up to a minute.

Owns what is checked. Imports the core's versions and the catalog of jobs. When it is wrong, a run is refused
or stands still for a reason that nobody was told.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aliquot.errors import UnknownJob, UsageError
from aliquot.job import Job
from aliquot.loading import read_versions
from orchestrator.catalog import find_job, list_jobs
from orchestrator.stack.aws import explained
from orchestrator.stack.destroy import list_running
from orchestrator.stack.errors import AwsRefused
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs, describe_stack, list_skew, read_outputs
from orchestrator.stack.parameters import read_template

_NEW_ACCOUNT = 10  # concurrent executions that a new account starts with; 3,008 MB functions go with it
_UNCHANGED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
# what SAM writes anew when it builds and packages
_REWRITTEN = frozenset({"CodeUri", "ContentUri", "DefinitionUri"})
_SHOWN = 5
_DRIFT_PATIENCE_S, _DRIFT_PAUSE_S = 300.0, 3.0
_QUOTA = "ask for more in Service Quotas: Lambda, concurrent executions (L-B99A9384)"


def examine_stack(
    name: str, session: Any, template: Callable[[], Mapping[str, Any]], sleep: Callable[[float], None]
) -> Iterator[Finding]:
    """A finding for each check, in the order in which one needs the other.

    Args:
        template: reads this release's template.
    """
    found = _try("credentials", check_credentials, session)
    yield found
    if found.level == "fail":
        return
    yield check_region(session)
    try:
        described = describe_stack(name, session)
        outputs = read_outputs(described, session.region_name)
    except UsageError as err:
        yield Finding("fail", "stack", str(err))
        return
    yield check_status(described)
    yield from _try_each("concurrency", check_quotas, outputs, session)
    yield from check_jobs(outputs, _load_jobs())
    yield _try("template", check_template, name, session, template)
    yield _try("drift", check_drift, name, session, sleep)
    yield from _try_each("queues", check_queues, outputs, session)


def check_credentials(session: Any) -> Finding:
    """Who AWS says that we are; a failure where it does not know us."""
    try:
        with explained("asking AWS who we are"):
            answer = session.client("sts").get_caller_identity()
    except AwsRefused as err:
        return Finding("fail", "credentials", f"{err.action}: {err.reason}", err.remedy)
    return Finding("ok", "credentials", f"{answer['Arn']} of account {answer['Account']}")


def check_region(session: Any) -> Finding:
    """Whether there is such a region, as far as this boto3 knows."""
    region, known = session.region_name, session.get_available_regions("lambda")
    if region not in known:
        return Finding("warn", "region", f"{region} is not known to this boto3", "check --region")
    return Finding("ok", "region", region)


def check_status(described: Mapping[str, Any]) -> Finding:
    """Whether the stack's last change went through."""
    status = described.get("StackStatus", "unknown")
    said = f"{described['StackName']} is {status}"
    if status in _UNCHANGED:
        return Finding("ok", "stack", said)
    if status.endswith("_IN_PROGRESS"):
        return Finding("warn", "stack", said, "wait until it is done")
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return Finding(
            "warn", "stack", said, "the last change was undone; its events say why: `aliquot deploy` again"
        )
    reason = described.get("StackStatusReason") or "its events in CloudFormation's console say why"
    return Finding("fail", "stack", said, f"{reason}; mend that, then `aliquot deploy`")


def check_quotas(outputs: StackOutputs, session: Any) -> Iterator[Finding]:
    """How many functions the account may run at a time, and how large they may be."""
    with explained("asking for the account's quotas"):
        limits = session.client("lambda").get_account_settings()["AccountLimit"]
    yield judge_concurrency(outputs, limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"])
    yield judge_memory(outputs, limits["ConcurrentExecutions"])


def judge_concurrency(outputs: StackOutputs, limit: int, n_left: int) -> Finding:
    """Whether the account has room for as many workers as the stack would start."""
    said = f"{limit:,} executions at a time in this account, {n_left:,} not reserved"
    if n_left <= _NEW_ACCOUNT:
        return Finding("warn", "concurrency", f"{said}: runs are slow", _QUOTA)
    if n_left < outputs.concurrency:
        return Finding(
            "warn",
            "concurrency",
            f"{said}, and the stack would start {outputs.concurrency:,} workers of a rung",
            f"{_QUOTA}, or deploy with --parameter Concurrency={n_left}",
        )
    return Finding("ok", "concurrency", f"{said}; the stack starts up to {outputs.concurrency:,} of a rung")


def judge_memory(outputs: StackOutputs, limit: int) -> Finding:
    """Which rungs there are, and whether the account would take more. AWS tells nobody the quota itself."""
    rungs = ", ".join(outputs.queues)
    if set(outputs.queues) != {"small"}:
        return Finding("ok", "memory", f"rungs {rungs}: functions beyond 3,008 MB are allowed here")
    if limit <= _NEW_ACCOUNT:
        return Finding("ok", "memory", f"rung {rungs}; an account this new is refused functions of 3,538 MB")
    return Finding(
        "ok",
        "memory",
        f"rung {rungs}; records that need more than 1.4 GiB fail: --parameter Rungs=all gives them 10 GB",
    )


def check_jobs(outputs: StackOutputs, jobs: Iterable[Job | Finding]) -> Iterator[Finding]:
    """Whether the stack would give the same rows as this machine, for each job of this machine."""
    for job in jobs:
        if isinstance(job, Finding):
            yield job
            continue
        subject = f"job {job.name}"
        different = list_skew(outputs, job, read_versions(job))
        if different:
            yield Finding(
                "fail",
                subject,
                "; ".join(different),
                f"runs are refused: install the stack's versions, or `aliquot deploy --stack {outputs.name}`",
            )
        elif job.name not in outputs.versions.get("jobs", {}):
            yield Finding("warn", subject, "is not on the stack", f"`aliquot deploy --stack {outputs.name}`")
        else:
            yield Finding("ok", subject, "same versions on the stack and here")


def check_template(name: str, session: Any, template: Callable[[], Mapping[str, Any]]) -> Finding:
    """Whether the stack was deployed from this release's template."""
    with explained("reading the stack's template"):
        body = session.client("cloudformation").get_template(StackName=name, TemplateStage="Original")
    different = list_differences(_parse(body["TemplateBody"]), template())
    if different:
        return Finding(
            "warn",
            "template",
            f"is not this release's: {_shorten(different)}",
            f"`aliquot deploy --stack {name}`",
        )
    return Finding("ok", "template", "is this release's")


def list_differences(deployed: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """The parts and resources in which two templates differ, but for what SAM rewrites."""
    one, other = strip_rewritten(deployed), strip_rewritten(own)
    resources = (one.pop("Resources"), other.pop("Resources"))
    return [
        name
        for left, right in ((one, other), resources)
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]


def strip_rewritten(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template without the places of code and the notes that `sam build` and `sam deploy` write into it."""
    resources = {
        name: {
            key: _drop_places(part) if key == "Properties" else part
            for key, part in each.items()
            if key != "Metadata"
        }
        for name, each in template["Resources"].items()
    }
    return {**template, "Resources": resources}


def check_drift(name: str, session: Any, sleep: Callable[[float], None] = time.sleep) -> Finding:
    """Whether somebody has changed the stack's resources past its template."""
    client = session.client("cloudformation")
    with explained("looking for drift"):
        detection = client.detect_stack_drift(StackName=name)["StackDriftDetectionId"]
        answer = _wait_for_drift(client, detection, sleep)
        if answer["DetectionStatus"] != "DETECTION_COMPLETE":
            reason = answer.get("DetectionStatusReason", answer["DetectionStatus"])
            return Finding(
                "warn", "drift", f"could not be told: {reason}", "look in CloudFormation's console"
            )
        if answer["StackDriftStatus"] == "IN_SYNC":
            return Finding("ok", "drift", "resources are as they were deployed")
        drifted = client.describe_stack_resource_drifts(
            StackName=name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )["StackResourceDrifts"]
    names = ", ".join(
        f"{each['LogicalResourceId']} ({each['StackResourceDriftStatus'].lower()})" for each in drifted
    )
    return Finding(
        "warn",
        "drift",
        f"changed past the template: {names}",
        "undo it by hand, or destroy and deploy the stack: a deployment mends only what the template changes",
    )


def check_queues(outputs: StackOutputs, session: Any) -> Iterator[Finding]:
    """Whether tasks wait without a run, and whether any of them ended up among the dead letters."""
    sqs = session.client("sqs")
    running = list_running(outputs.state_machine_arn, session.client("stepfunctions"))
    with explained("asking how many tasks wait"):
        waiting = {rung: count_messages(url, sqs) for rung, url in outputs.queues.items()}
        n_dead = count_messages(outputs.dead_letter_queue, sqs)
    yield judge_queues(waiting, len(running))
    if n_dead:
        yield Finding(
            "warn",
            "dead letters",
            f"{n_dead:,} tasks ended their environment time and again",
            "`bury` tries their records apart within minutes; if they stay, its log says why",
        )
    else:
        yield Finding("ok", "dead letters", "none")


def judge_queues(waiting: Mapping[str, int], n_running: int) -> Finding:
    """Tasks belong to runs under way; of others the workers dispose by themselves."""
    said = ", ".join(f"{n:,} {rung}" for rung, n in waiting.items())
    said = f"{said} tasks at hand, {n_running:,} runs under way"
    if any(waiting.values()) and not n_running:
        return Finding(
            "warn",
            "queues",
            said,
            "left over from runs that ended, and workers clear them; if they stay, the workers' log says why",
        )
    return Finding("ok", "queues", said)


def count_messages(url: str, client: Any) -> int:
    """Messages of a queue, hidden and delayed ones too, about."""
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found.get(name, 0)) for name in names)


def _wait_for_drift(client: Any, detection: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = {}
    for _ in range(int(_DRIFT_PATIENCE_S / _DRIFT_PAUSE_S)):
        answer = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        sleep(_DRIFT_PAUSE_S)
    return answer


def _load_jobs() -> Iterator[Job | Finding]:
    for name in list_jobs():
        try:
            yield find_job(name).job
        except UnknownJob as err:
            yield Finding("warn", f"job {name}", "cannot be loaded here", err.reason)


def _try(subject: str, check: Callable[..., Finding], *arguments: Any) -> Finding:
    """The check's finding, a warning where AWS or this machine does not let us make it."""
    try:
        return check(*arguments)
    except UsageError as err:
        return Finding("warn", subject, f"not checked: {err}")


def _try_each(subject: str, check: Callable[..., Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    try:
        yield from check(*arguments)
    except UsageError as err:
        yield Finding("warn", subject, f"not checked: {err}")


def _parse(body: Any) -> Mapping[str, Any]:
    """A template as CloudFormation gives it back: JSON as a dict, YAML as text."""
    if isinstance(body, Mapping):
        return body
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "template.yaml").write_text(body, encoding="utf-8")
        return read_template(Path(folder))


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _drop_places(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in _REWRITTEN}
