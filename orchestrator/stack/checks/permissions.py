"""Whether who asks may submit runs, and whether the functions' roles may do what runs need of them.

IAM simulates the policies, boundaries and the organisation's among them: nothing is called. A bucket's own
policy is not part of it. Owns the calls that runs need; tests hold those of people to docs/security.md, those
of roles to the template. When it is wrong, a run is submitted halfway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.stack.aws import explained
from orchestrator.stack.checks.functions import FunctionFacts
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs

_ALLOWED = "allowed"
_BUCKET, _QUEUE = "arn:{partition}:s3:::{bucket}", "arn:{partition}:sqs:{region}:{account}:{queue}"
_MACHINE = "arn:{partition}:states:{region}:{account}:{kind}:{stack}-settle"

# what docs/security.md gives to people who submit; an object's name stands for all with its beginning
SUBMITTER: tuple[tuple[str, str], ...] = (
    ("s3:ListBucket", _BUCKET),
    ("s3:GetObject", f"{_BUCKET}/references/any"),
    ("s3:GetObject", f"{_BUCKET}/results/any"),
    ("s3:GetObject", f"{_BUCKET}/runs/any"),
    ("s3:PutObject", f"{_BUCKET}/references/any"),
    ("s3:PutObject", f"{_BUCKET}/results/any/fetched"),
    ("s3:PutObject", f"{_BUCKET}/runs/any"),
    ("states:StartExecution", _MACHINE.replace("{kind}", "stateMachine")),
    ("states:DescribeExecution", f"{_MACHINE.replace('{kind}', 'execution')}:any"),
)
_READS = (("s3:ListBucket", _BUCKET), ("s3:GetObject", f"{_BUCKET}/runs/any/chunks/any"))
# by the end of a function's name: without one of these no run gets through it
ROLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Worker": (
        *_READS,
        ("s3:GetObject", f"{_BUCKET}/references/any"),
        ("s3:PutObject", f"{_BUCKET}/runs/any/outcomes/any"),
        ("sqs:SendMessage", _QUEUE),
        ("sqs:ReceiveMessage", _QUEUE),
        ("sqs:DeleteMessage", _QUEUE),
        ("sqs:ChangeMessageVisibility", _QUEUE),
    ),
    "Tally": (*_READS, ("s3:PutObject", f"{_BUCKET}/runs/any/stop/any"), ("sqs:SendMessage", _QUEUE)),
    "Reduce": (*_READS, ("s3:PutObject", f"{_BUCKET}/results/any/any")),
    "Cut": (*_READS, ("s3:PutObject", f"{_BUCKET}/runs/any/chunks/any")),
    "Bury": (*_READS, ("sqs:SendMessage", _QUEUE)),
}


@dataclass(frozen=True)
class Principal:
    """Whose policies are simulated.

    Args:
        arn: of a user or a role.
    """

    partition: str
    account: str
    arn: str


def find_principal(caller_arn: str) -> Principal | None:
    """The user or role behind a caller's ARN; None for an account's root, who may do all.

    A session of a role is simulated by its role. A path is not in a session's ARN: such a role is not found.
    """
    _, partition, _, _, account, who = caller_arn.split(":", 5)
    if who == "root":
        return None
    if who.startswith("assumed-role/"):
        role = who.split("/")[1]
        return Principal(partition, account, f"arn:{partition}:iam::{account}:role/{role}")
    return Principal(partition, account, caller_arn)


def check_submitter(outputs: StackOutputs, caller_arn: str, session: Any) -> Iterator[Finding]:
    """What runs need and this caller may not."""
    principal = find_principal(caller_arn)
    if principal is None:
        yield Finding("ok", "permissions", "the account's root may do all")
        return
    with explained("asking IAM what you may do"):
        denied = simulate(principal.arn, spell_calls(SUBMITTER, outputs, principal), session)
    yield judge_submitter(principal.arn, denied)


def judge_submitter(arn: str, denied: Sequence[tuple[str, str]]) -> Finding:
    """Whether somebody may submit runs.

    Args:
        denied: actions, each with what it is denied on.
    """
    if not denied:
        return Finding("ok", "permissions", "runs can be submitted, watched, fetched")
    said = "; ".join(f"{action} on {resource}" for action, resource in denied)
    name = arn.rpartition("/")[2]
    kind = "role" if ":role/" in arn else "user"
    put = f"`aws iam put-{kind}-policy --{kind}-name {name} --policy-name aliquot --policy-document file://policy.json`"
    remedy = f"have an administrator allow it (the policy stands in docs/security.md): {put}"
    return Finding("fail", "permissions", f"not allowed: {said}", remedy)


def check_roles(
    outputs: StackOutputs, functions: Iterable[FunctionFacts], caller_arn: str, session: Any
) -> Iterator[Finding]:
    """What runs need and a function's role may not: a boundary, the organisation or a hand forbids it."""
    principal, found = find_principal(caller_arn), list[Finding]()
    _, partition, _, _, account, _ = caller_arn.split(":", 5)
    place = principal or Principal(partition, account, caller_arn)
    for function in functions:
        needs = next((calls for end, calls in ROLES.items() if function.name.endswith(end)), ())
        if not needs:
            continue
        with explained(f"asking IAM what {function.name} may do"):
            denied = simulate(function.role, spell_calls(needs, outputs, place), session)
        found += judge_role(outputs.name, function, denied)
    yield from found or [Finding("ok", "roles", "the functions may do what runs need")]


def judge_role(stack: str, function: FunctionFacts, denied: Sequence[tuple[str, str]]) -> list[Finding]:
    """A finding where a function lacks a right that runs need."""
    if not denied:
        return []
    said = "; ".join(f"{action} on {resource}" for action, resource in denied)
    look = f"`aws iam get-role --role-name {function.role.rpartition('/')[2]}` shows its boundary"
    return [
        Finding(
            "fail",
            "roles",
            f"{function.name} may not {said}",
            f"{look}; else `aliquot deploy --stack {stack}`",
        )
    ]


def spell_calls(
    calls: Iterable[tuple[str, str]], outputs: StackOutputs, place: Principal
) -> dict[str, list[str]]:
    """The resources of each action, as the stack has them."""
    spelt: dict[str, list[str]] = {}
    for action, resource in calls:
        spelt.setdefault(action, []).append(
            resource.format(
                partition=place.partition,
                account=place.account,
                region=outputs.region,
                stack=outputs.name,
                bucket=outputs.bucket,
                queue=next(iter(outputs.queues.values())).rpartition("/")[2],
            )
        )
    return spelt


def simulate(arn: str, calls: Mapping[str, Sequence[str]], session: Any) -> list[tuple[str, str]]:
    """The calls that a user or role is denied."""
    client, denied = session.client("iam"), list[tuple[str, str]]()
    for action, resources in calls.items():
        answer = client.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=[action], ResourceArns=list(resources)
        )
        denied += [
            (each["EvalActionName"], each.get("EvalResourceName", "*"))
            for each in answer["EvaluationResults"]
            if each["EvalDecision"] != _ALLOWED
        ]
    return denied
