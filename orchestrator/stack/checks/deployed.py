"""Whether what is deployed is what this machine would deploy: the last change, versions, template, drift.

Owns these comparisons. Imports the core's versions and the catalog of jobs. When it is wrong, runs are
refused, or go by another release's queues, for a reason that nobody was told.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aliquot.errors import UnknownJob
from aliquot.job import Job
from aliquot.loading import read_versions
from orchestrator.catalog import find_job, list_jobs
from orchestrator.stack.aws import explained
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs, list_skew
from orchestrator.stack.parameters import read_template

_UNCHANGED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
# what SAM writes anew when it builds and packages
_REWRITTEN = frozenset({"CodeUri", "ContentUri", "DefinitionUri"})
_SHOWN = 5
_DRIFT_PATIENCE_S, _DRIFT_PAUSE_S = 300.0, 3.0


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


def check_jobs(outputs: StackOutputs, jobs: Iterable[Job | Finding]) -> Iterator[Finding]:
    """Whether the stack would give the same rows as this machine, for each job of this machine."""
    for job in jobs:
        if isinstance(job, Finding):
            yield job
            continue
        subject = f"job {job.name}"
        if job.name not in outputs.versions.get("jobs", {}):
            said = "is not on the stack: one of your own, `exec` and `sql` come with Jobs and JobLayer"
            yield Finding("ok", subject, said)
        elif different := list_skew(outputs, job, read_versions(job)):
            yield Finding(
                "fail",
                subject,
                "; ".join(different),
                f"runs are refused: install the stack's versions, or `aliquot deploy --stack {outputs.name}`",
            )
        else:
            yield Finding("ok", subject, "same versions on the stack and here")


def load_jobs() -> Iterator[Job | Finding]:
    """The jobs of this machine, or why one cannot be loaded."""
    for name in list_jobs():
        try:
            yield find_job(name).job
        except UnknownJob as err:
            yield Finding("warn", f"job {name}", "cannot be loaded here", err.reason)


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


def _wait_for_drift(client: Any, detection: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = {}
    for _ in range(int(_DRIFT_PATIENCE_S / _DRIFT_PAUSE_S)):
        answer = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        sleep(_DRIFT_PAUSE_S)
    return answer


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
