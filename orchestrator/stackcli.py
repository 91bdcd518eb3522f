"""The commands about the stack: `aliquot deploy | destroy | doctor`.

Owns their words; `orchestrator.cli` adds COMMANDS to its group. Heavy imports wait until a command needs
them, as there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from aliquot.errors import BadOption
from orchestrator.flags import json_option
from orchestrator.readable import write_json

_FAILED = 1  # a doctor's status when something is wrong


def _account_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        [
            click.option(
                "--profile", metavar="NAME", help="The profile of AWS to work with.  [default: boto3's]"
            ),
            click.option("--region", metavar="NAME", help="The region of AWS.  [default: the profile's]"),
        ]
    ):
        command = option(command)
    return command


def _stack_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--stack", default="aliquot", show_default=True, metavar="NAME", help="The stack's name."
    )(command)


@click.command()
@_stack_option
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template (docs/stack.md); once for each. A stack that stands keeps the others.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the commands, the rights that they need and the idle cost."
)
@_account_options
def deploy(
    stack: str, parameters: tuple[str, ...], dry_run: bool, profile: str | None, region: str | None
) -> None:
    """Make the stack on AWS, or bring it to this release.

    Builds and deploys with AWS's own SAM, which has to be installed.

    \b
    aliquot deploy --dry-run --region eu-central-1
    aliquot deploy --region eu-central-1 --parameter Rungs=all --parameter Concurrency=1000
    """  # noqa: D301 - the backspace is for click
    from orchestrator.stack.deploy import run_deploy
    from orchestrator.stack.files import stack_files
    from orchestrator.stack.outputs import find_stack, make_session
    from orchestrator.stack.tools import find_python, list_missing

    session = make_session(profile, region)
    with stack_files() as folder:
        python = find_python()
        plan = _plan_deploy(stack, parameters, dry_run, profile, session, folder, python)
        missing = list_missing()
        remarks = [*map(str, missing), *([python.remark] if python.remark else [])]
        if dry_run:
            click.echo(str(plan))
            _remark(remarks)
            return
        if missing:
            raise missing[0]
        _remark(remarks)
        run_deploy(plan)
    click.echo(_describe_deployed(find_stack(stack, session), plan.idle_cost))


def _plan_deploy(
    stack: str,
    parameters: tuple[str, ...],
    dry_run: bool,
    profile: str | None,
    session: Any,
    folder: Path,
    python: Any,
) -> Any:
    from orchestrator.stack.deploy import check_name, find_standing, merge_parameters, plan_deploy
    from orchestrator.stack.errors import AwsRefused
    from orchestrator.stack.parameters import check_parameters, read_template

    template = read_template(folder)
    given = check_parameters(template["Parameters"], parameters)
    check_name(stack)
    try:
        standing = find_standing(stack, session)
    except AwsRefused as err:
        if not dry_run:
            raise
        _remark(
            [f"not seen is whether the stack stands already, whose other parameters it would keep: {err}"]
        )
        standing = {}
    merged = merge_parameters(template["Parameters"], standing, given)
    return plan_deploy(stack, session.region_name, profile, folder, template, merged, python)


def _describe_deployed(outputs: Any, idle_cost: str) -> str:
    jobs = ", ".join(outputs.versions.get("jobs", {}))
    return (
        f"Stack {outputs.name} in {outputs.region} is ready, with jobs {jobs}.\n"
        f"{idle_cost}\n"
        f"aliquot doctor --on aws:{outputs.name} checks it; "
        f"aliquot run ... --on aws:{outputs.name} sends a run to it."
    )


@click.command()
@_stack_option
@click.option("--even-unfetched", is_flag=True, help="Also with results that nobody has fetched.")
@_account_options
def destroy(stack: str, even_unfetched: bool, profile: str | None, region: str | None) -> None:
    """Delete the stack. Its bucket stays, with the results.

    Refused while runs are under way, or while there are results that nobody has fetched.

    \b
    aliquot destroy --stack aliquot --region eu-central-1
    """  # noqa: D301 - the backspace is for click
    from orchestrator.stack.destroy import (
        delete_stack,
        describe_bucket,
        find_needs,
        find_own_stack,
        refuse_needed,
    )
    from orchestrator.stack.outputs import make_session

    session = make_session(profile, region)
    outputs = find_own_stack(stack, session)
    if outputs is not None:
        refuse_needed(stack, find_needs(outputs, session), even_unfetched)
    click.echo(f"deleting stack {stack} in {session.region_name}: this takes some minutes", err=True)
    delete_stack(stack, session)
    left = describe_bucket(outputs) if outputs is not None else "a bucket, where it had one, is kept"
    click.echo(f"Stack {stack} is deleted; {left}")


@click.command(short_help="Check this machine, or a stack.")
@click.option("--on", metavar="aws:STACK", help="Check this stack instead of this machine.")
@_account_options
@json_option
def doctor(on: str | None, profile: str | None, region: str | None, as_json: bool) -> None:
    """Check this machine, or with --on a stack: a line for each check, and status 1 if one fails.

    \b
    aliquot doctor
    aliquot doctor --on aws:aliquot --profile lab
    aliquot doctor --json
    """  # noqa: D301 - the backspace is for click
    from orchestrator.stack.machine import judge_machine, read_machine

    if on is None and (profile or region):
        raise BadOption("--on", "is missing: --profile and --region are of a stack, --on aws:STACK names it")
    if on is None:
        findings = judge_machine(read_machine(Path.cwd()))
    else:
        findings = _examine_stack(on, profile, region)
    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            click.echo(str(finding))
    is_well = all(finding.level != "fail" for finding in found)
    if as_json:
        checks = [asdict(finding) for finding in found]
        click.echo(write_json({"format": "aliquot/doctor/1", "is_well": is_well, "checks": checks}))
    if not is_well:
        sys.exit(_FAILED)


def _examine_stack(on: str, profile: str | None, region: str | None) -> Any:
    from orchestrator.stack.doctor import examine_stack
    from orchestrator.stack.files import stack_files
    from orchestrator.stack.outputs import make_session, parse_place
    from orchestrator.stack.parameters import read_template

    def read_own() -> Any:
        with stack_files() as folder:
            return read_template(folder)

    return examine_stack(parse_place(on), make_session(profile, region), read_own, Path.cwd())


def _remark(remarks: list[str]) -> None:
    for each in remarks:
        click.echo(f"aliquot: {each}", err=True)


COMMANDS: list[click.Command] = [deploy, destroy, doctor]
