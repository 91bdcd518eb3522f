"""Whether runs can be sent to a stack: what `aliquot doctor --on aws:STACK` says, a line for each check.

Checks go on past what fails; only without credentials or without the stack there is nothing more to ask. A
check that AWS does not let us make is a warning. Findings come as they are made, since detecting drift takes
CloudFormation up to a minute.

Owns the order of the checks; they themselves are in `checks`. When it is wrong, a run is refused or stands
still for a reason that nobody was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aliquot.errors import UsageError
from orchestrator.stack.aws import explained
from orchestrator.stack.checks.account import check_credentials, check_quotas, check_region
from orchestrator.stack.checks.delivery import check_delivery
from orchestrator.stack.checks.deployed import (
    check_drift,
    check_jobs,
    check_status,
    check_template,
    load_jobs,
)
from orchestrator.stack.checks.functions import check_references, judge_functions, read_functions
from orchestrator.stack.checks.permissions import check_roles, check_submitter
from orchestrator.stack.checks.trying import try_check, try_each
from orchestrator.stack.checks.waiting import check_waiting
from orchestrator.stack.findings import Finding
from orchestrator.stack.machine import judge_disks, read_free_disks
from orchestrator.stack.outputs import StackOutputs, describe_stack, read_outputs


def examine_stack(
    name: str,
    session: Any,
    template: Callable[[], Mapping[str, Any]],
    folder: Path,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """A finding for each check, in the order in which one needs the other.

    Args:
        template: reads this release's template.
        folder: where results would be fetched to.
        now: seconds since 1970.
    """
    is_known = True
    for found in try_each("credentials", check_credentials, session, now):
        yield found
        is_known = is_known and (found.subject != "credentials" or found.level == "ok")
    if not is_known:
        return
    yield check_region(session)
    try:
        described = describe_stack(name, session)
        outputs = read_outputs(described, session.region_name)
    except UsageError as err:
        yield Finding("fail", "stack", str(err))
        return
    yield check_status(described)
    yield from try_each("concurrency", check_quotas, outputs, session)
    yield from check_jobs(outputs, load_jobs())
    yield from judge_disks(read_free_disks(folder))
    yield from _examine_resources(outputs, session)
    yield try_check("template", check_template, name, session, template)
    yield try_check("drift", check_drift, name, session, sleep)
    yield from try_each("queues", check_waiting, outputs, session)


def _examine_resources(outputs: StackOutputs, session: Any) -> Iterator[Finding]:
    """What the stack's functions, queues and roles are set to."""
    try:
        functions = read_functions(outputs.name, session)
        with explained("asking AWS who we are"):
            caller_arn = session.client("sts").get_caller_identity()["Arn"]
    except UsageError as err:
        yield Finding("warn", "functions", f"not checked: {err}")
        return
    yield from judge_functions(functions)
    yield from try_each("visibility", check_delivery, outputs, functions, session)
    yield try_check("tmp", check_references, outputs, functions, session)
    yield from try_each("permissions", check_submitter, outputs, caller_arn, session)
    yield from try_each("roles", check_roles, outputs, functions, caller_arn, session)
