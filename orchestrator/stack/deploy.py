"""Deploying the stack: `sam build` and `sam deploy` with the right words, and what they need.

    stack_files(), template --plan_deploy--> DeployPlan (commands, parameters) --run_deploy--> a stack

Deciding is apart from doing: a plan touches nothing, and `--dry-run` prints it. A stack that stands keeps the
parameters that are not given anew; both commands get them, because the layers are built for one processor.

Owns the command lines of SAM. When it is wrong, a stack of arm64 gets layers of x86_64, or somebody else's
stack is replaced.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aliquot.errors import BadOption
from orchestrator.stack.errors import DeployFailed, NoSuchStack
from orchestrator.stack.outputs import describe_stack, is_ours
from orchestrator.stack.rights import list_rights, make_policy
from orchestrator.stack.tools import Python

_LONGEST_NAME = 64  # the state machine's name is the stack's and `-settle`, the roles' get a suffix
_N_RUNGS = {"small": 1, "small+medium": 2, "all": 3}
_STUCK = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")

Run = Callable[[Sequence[str], Mapping[str, str]], int]


@dataclass(frozen=True)
class DeployPlan:
    """What a deployment would run.

    Args:
        parameters: what is given to the template: the stack's own, then the user's.
        commands: in their order.
        environment: what the commands find besides the user's environment.
        policy: for IAM, of whoever deploys.
    """

    stack: str
    region: str
    parameters: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str]
    policy: Mapping[str, Any]

    @property
    def idle_cost(self) -> str:
        """What the stack costs while nothing runs, in words."""
        n_rungs = _N_RUNGS.get(self.parameters.get("Rungs", "small"), len(_N_RUNGS))
        polling = f"polls its queues and watches its alarms: about ${n_rungs} a month"
        if self.parameters.get("Pollers") == "provisioned":
            polling += ", and provisioned pollers are billed by the hour besides"
        return f"Idle, it {polling}. Objects in its bucket are billed by S3 as long as they are kept."

    def __str__(self) -> str:
        words = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        lines = [f"  {' '.join([*words, shlex.join(command)])}" for command in self.commands]
        return "\n".join(
            [
                f"Stack {self.stack} in {self.region}; these commands would be run:",
                *lines,
                "",
                "Whoever deploys it needs these rights, as a policy for IAM:",
                json.dumps(self.policy, indent=2),
                "",
                self.idle_cost,
            ]
        )


def plan_deploy(
    stack: str,
    region: str,
    profile: str | None,
    folder: Path,
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
    python: Python,
) -> DeployPlan:
    """The commands that deploy the template in `folder`; raises BadOption for a name that AWS refuses."""
    check_name(stack)
    built = folder / ".aws-sam" / "build"
    build = ["sam", "build", "--template-file", str(folder / "template.yaml"), "--build-dir", str(built)]
    deploy = ["sam", "deploy", "--template-file", str(built / "template.yaml"), "--stack-name", stack]
    deploy += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM"]
    deploy += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    where = ["--region", region, *(["--profile", profile] if profile else [])]
    overrides = ["--parameter-overrides", spell_overrides(parameters)] if parameters else []
    types = [each["Type"] for each in template["Resources"].values()]
    return DeployPlan(
        stack=stack,
        region=region,
        parameters=parameters,
        commands=((*build, *where, *overrides), (*deploy, *where, *overrides)),
        environment={"PYTHON": python.path},  # layers/Makefile takes it
        policy=make_policy(list_rights(types, parameters), stack),
    )


def check_name(stack: str) -> None:
    """Raise BadOption for a name that CloudFormation, or a resource that carries it, would refuse."""
    if not re.fullmatch(rf"[A-Za-z][A-Za-z0-9-]{{0,{_LONGEST_NAME - 1}}}", stack):
        raise BadOption(
            "--stack",
            f"{stack!r} must begin with a letter and hold up to {_LONGEST_NAME} letters, digits and hyphens",
        )


def find_standing(stack: str, session: Any) -> dict[str, str]:
    """The parameters of a stack that stands, empty where there is none.

    Raises:
        NoSuchStack: the name is taken by a stack that is not Aliquot's, or that cannot be changed any more.
        AwsRefused: CloudFormation was not reached.
    """
    try:
        described = describe_stack(stack, session)
    except NoSuchStack:
        return {}
    status = described.get("StackStatus", "")
    if not is_ours(described):
        raise NoSuchStack(stack, session.region_name, "is there and not Aliquot's: choose another --stack")
    if status in _STUCK:
        raise NoSuchStack(
            stack,
            session.region_name,
            f"cannot be changed ({status}): remove it with `aliquot destroy --stack {stack}` first",
        )
    return {each["ParameterKey"]: each.get("ParameterValue", "") for each in described.get("Parameters", ())}


def merge_parameters(
    declared: Mapping[str, Any], standing: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """What the template is given: the stack's own values of what it still declares, then the user's."""
    return {**{name: value for name, value in standing.items() if name in declared}, **given}


def spell_overrides(parameters: Mapping[str, str]) -> str:
    """Parameters as SAM reads them, `Name=Value Name="two words"`."""
    return " ".join(f"{name}={_quote(value)}" for name, value in parameters.items())


def run_deploy(plan: DeployPlan, run: Run | None = None) -> None:
    """Run a plan's commands, their words going to the terminal; raises DeployFailed where one fails."""
    for command in plan.commands:
        status = (run or _run)(command, {**os.environ, **plan.environment})
        if status != 0:
            step = " ".join(command[:2])
            raise DeployFailed(
                plan.stack,
                step,
                f"ended with status {status}; what it said stands above, mend that and go on",
            )


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


def _quote(value: str) -> str:
    if value and not re.search(r'[\s"]', value):
        return value
    escaped = value.replace('"', '\\"')  # SAM unescapes quotes and nothing else
    return f'"{escaped}"'
