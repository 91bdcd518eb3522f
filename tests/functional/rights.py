"""What the roles of a rehearsed stack, and people who submit to it, may do, beside what was done by them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.rehearsal import Stack
from orchestrator.rehearsal.describe import describe_roles
from orchestrator.rehearsal.policies import is_allowed

OWN = {"Bury", "Cut", "Intake", "Reduce", "SmallWorker", "Tally"}

# what only tests, or the rehearsal as it deploys, call with a user's key
OF_TESTS = {
    "s3:CreateBucket",
    "s3:PutBucketNotificationConfiguration",
    "states:CreateStateMachine",
    "states:GetExecutionHistory",
    "states:ListExecutions",
    "states:StopExecution",
}

Call = tuple[str, str]  # an action and the resource that it touched


def find_roles(stack: Stack) -> dict[str, tuple[list[Mapping[str, Any]], set[Call]]]:
    """The statements of each of the stack's own roles by who has it, and what that one has called so far."""
    statements, calls = describe_roles(stack._deployment), stack.calls
    callers = {name: spec.role_arn for name, spec in stack.functions.items() if name in OWN}
    callers["states"] = str(stack._deployment.resolve({"Fn::GetAtt": ["SettleRole", "Arn"]}))
    return {
        caller: (
            list(statements[arn]),
            {(each.action, each.resource) for each in calls if each.caller == caller},
        )
        for caller, arn in callers.items()
    }


def list_missing(stack: Stack) -> dict[str, set[Call]]:
    """The calls that AWS would have refused, by who made them."""
    return {
        caller: refused
        for caller, (statements, calls) in find_roles(stack).items()
        if (refused := {call for call in calls if not is_allowed(statements, *call)})
    }


def read_policy_of_submitters(bucket: str) -> list[dict[str, Any]]:
    """The statements that docs/security.md gives to who submits to a stack, for the rehearsal's."""
    page = (Path(__file__).parents[2] / "docs/security.md").read_text()
    text = re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0]
    return list(json.loads(text.replace("STACK", "rehearsal").replace("BUCKET", bucket))["Statement"])


def list_missing_of_submitters(stack: Stack, data_buckets: Iterable[str] = ()) -> set[Call]:
    """The orchestrator's calls that the documented policy does not allow.

    Args:
        data_buckets: of datasets, for which who submits has rights of their own.
    """
    statements = read_policy_of_submitters(stack.outputs["Bucket"])
    own = tuple(f"arn:aws:s3:::{each}" for each in data_buckets)
    return {
        (each.action, each.resource)
        for each in stack.calls
        if each.caller == "client"
        and each.action not in OF_TESTS
        and each.action != "cloudformation:DescribeStacks"  # no ARN is in its request
        and not each.resource.startswith(own)
        and not is_allowed(statements, each.action, each.resource)
    }
