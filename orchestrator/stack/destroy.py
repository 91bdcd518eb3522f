"""The end of a stack: what would still be needed of it, and deleting the rest.

A run is needed while an execution of the state machine settles it, and as long as its result was published
and not fetched. Fetching leaves `results/<run>/fetched`; a result that was published after that mark (by a
resume) is unfetched again. The bucket is kept in any case: the template retains it.

Owns the decision that a stack may go. When it is wrong, a run under way loses its queues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.stack.aws import explained
from orchestrator.stack.errors import DeployFailed, DestroyRefused
from orchestrator.stack.outputs import StackOutputs, describe_stack, is_ours, read_outputs

RESULTS, PUBLISHED, FETCHED = "results/", "published/", "fetched"
_SHOWN = 10


@dataclass(frozen=True)
class Needs:
    """What a stack is still needed for.

    Args:
        running: executions of the state machine, `<run>-<epoch>`.
        unfetched: runs whose result nobody has fetched.
    """

    running: tuple[str, ...] = ()
    unfetched: tuple[str, ...] = ()


def find_own_stack(name: str, session: Any) -> StackOutputs | None:
    """The stack's outputs; None for one of ours that was never whole and so has none.

    Raises:
        NoSuchStack: none of that name, one of somebody else's, or one that is being changed.
        AwsRefused: CloudFormation was not reached.
    """
    described = describe_stack(name, session)
    status = described.get("StackStatus", "")
    if is_ours(described) and not described.get("Outputs") and not status.endswith("_IN_PROGRESS"):
        return None
    return read_outputs(described, session.region_name)


def find_needs(outputs: StackOutputs, session: Any) -> Needs:
    """What the stack is still needed for; raises AwsRefused."""
    return Needs(
        running=tuple(list_running(outputs.state_machine_arn, session.client("stepfunctions"))),
        unfetched=tuple(list_unfetched(outputs.bucket, session.client("s3"))),
    )


def list_running(state_machine: str, client: Any) -> list[str]:
    """The names of the executions that are under way; raises AwsRefused."""
    with explained("looking for runs under way"):
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=state_machine, statusFilter="RUNNING"
        )
        return sorted(each["name"] for page in pages for each in page["executions"])


def list_unfetched(bucket: str, client: Any) -> list[str]:
    """The runs with a result in the bucket that nobody has fetched, sorted; raises AwsRefused."""
    with explained(f"looking for results in bucket {bucket}"):
        return [run for run in _list_runs(bucket, client) if _is_unfetched(bucket, run, client)]


def refuse_needed(stack: str, needs: Needs, is_even_unfetched: bool) -> None:
    """Raise DestroyRefused where something is still needed of the stack."""
    if needs.running:
        raise DestroyRefused(
            stack,
            f"runs are under way ({_shorten(needs.running)}): wait for them, or `aliquot cancel` them",
        )
    if needs.unfetched and not is_even_unfetched:
        raise DestroyRefused(
            stack,
            f"results of {len(needs.unfetched)} runs were not fetched ({_shorten(needs.unfetched)}): "
            "fetch them, or say --even-unfetched: they stay in the bucket, where only S3 itself shows them",
        )


def delete_stack(name: str, session: Any, delay_s: float = 5.0, patience_s: float = 3600.0) -> None:
    """Delete a stack and wait until it is gone; raises DeployFailed with CloudFormation's own reason."""
    from botocore.exceptions import WaiterError

    client = session.client("cloudformation")
    with explained(f"deleting stack {name!r}"):
        client.delete_stack(StackName=name)
        try:
            client.get_waiter("stack_delete_complete").wait(
                StackName=name,
                WaiterConfig={"Delay": delay_s, "MaxAttempts": max(1, int(patience_s / delay_s))},
            )
        except WaiterError as err:
            raise DeployFailed(
                name, "deleting", f"{_find_reason(name, client) or err}; mend that and destroy again"
            ) from err


def describe_bucket(outputs: StackOutputs) -> str:
    """What is left of a stack that was deleted, and how it is removed."""
    buckets = [bucket for bucket in (outputs.bucket, outputs.inbox) if bucket]
    removals = [f"  aws s3 rb s3://{bucket} --force --region {outputs.region}" for bucket in buckets]
    kept = f"its buckets are kept, all results among them: {', '.join(buckets)}"
    return "\n".join([kept, "To remove them with everything in them:", *removals])


def _list_runs(bucket: str, client: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=RESULTS, Delimiter="/")
    found = (each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ()))
    return sorted(prefix.removeprefix(RESULTS).rstrip("/") for prefix in found)


def _is_unfetched(bucket: str, run: str, client: Any) -> bool:
    published = _list_times(bucket, f"{RESULTS}{run}/{PUBLISHED}", client)
    if not published:
        return False
    fetched = _list_times(bucket, f"{RESULTS}{run}/{FETCHED}", client)
    return not fetched or max(published) > max(fetched)


def _list_times(bucket: str, prefix: str, client: Any) -> list[Any]:
    """When each object was last written; a run has an object per epoch, so one page holds them."""
    found: Mapping[str, Any] = client.list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [each["LastModified"] for each in found.get("Contents", ())]


def _find_reason(name: str, client: Any) -> str:
    """Why CloudFormation could not delete something: the latest such event's words."""
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    failed = (each for each in events if each.get("ResourceStatus", "").endswith("FAILED"))
    return next(
        (f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed), ""
    )


def _shorten(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
