"""What the roles of a rehearsed stack may do, beside what was done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.rehearsal import Stack
from orchestrator.rehearsal.describe import describe_roles
from orchestrator.rehearsal.policies import is_allowed

OWN = {"Bury", "Cut", "Intake", "Reduce", "SmallWorker", "Tally"}

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
