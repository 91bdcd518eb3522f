"""Who we are to AWS, what time it is there, and what the account allows.

Owns the account's limits as a doctor judges them. When it is wrong, a run is slow, or every request is
refused, for a reason that nobody was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.stack.aws import explained
from orchestrator.stack.errors import AwsRefused
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs

_NEW_ACCOUNT = 10  # concurrent executions that a new account starts with; 3,008 MB functions go with it
_FULL = 0.9  # of the account's room for code: a deployment keeps the old layers until the new ones are there
_QUOTA = {"ServiceCode": "lambda", "QuotaCode": "L-B99A9384"}
_ASK = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
_WANTED = 1000
# AWS, "Signature Version 4": what is signed holds for five minutes; past one a clock is not being set
_REFUSED_S, _ODD_S = 300.0, 60.0
_SET_CLOCK = "set the clock by the network: `sudo timedatectl set-ntp true`"


def check_credentials(session: Any, now: Callable[[], float]) -> Iterator[Finding]:
    """Who AWS says that we are, a failure where it does not know us; and how this machine's clock goes."""
    from botocore.exceptions import ClientError

    try:
        with explained("asking AWS who we are"):
            answer = session.client("sts").get_caller_identity()
    except AwsRefused as err:
        yield Finding("fail", "credentials", f"{err.action}: {err.reason}", err.remedy)
        answer = err.__cause__.response if isinstance(err.__cause__, ClientError) else {}
    else:
        yield Finding("ok", "credentials", f"{answer['Arn']} of account {answer['Account']}")
    theirs_s = read_date_s(answer)
    if theirs_s is not None:
        yield judge_clock(now() - theirs_s)


def read_date_s(answer: Mapping[str, Any]) -> float | None:
    """When AWS answered by its own clock, seconds since 1970; None where the answer does not say."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        found: datetime = parsedate_to_datetime(said)
    except (TypeError, ValueError):
        return None
    return found.timestamp()


def judge_clock(ahead_s: float) -> Finding:
    """Whether AWS takes what this machine signs.

    Args:
        ahead_s: of AWS's clock, to a second or two; negative for behind.
    """
    where = "ahead of" if ahead_s > 0 else "behind"
    said = f"{abs(ahead_s):,.0f} s {where} AWS's"
    if abs(ahead_s) >= _REFUSED_S:
        return Finding("fail", "clock", f"{said}: requests signed by it are refused", _SET_CLOCK)
    if abs(ahead_s) >= _ODD_S:
        return Finding("warn", "clock", f"{said}; from {_REFUSED_S:g} s on requests are refused", _SET_CLOCK)
    return Finding("ok", "clock", "goes with AWS's")


def check_region(session: Any) -> Finding:
    """Whether there is such a region, as far as this boto3 knows."""
    region, known = session.region_name, session.get_available_regions("lambda")
    if region not in known:
        return Finding("warn", "region", f"{region} is not known to this boto3", "check --region")
    return Finding("ok", "region", region)


def check_quotas(outputs: StackOutputs, session: Any) -> Iterator[Finding]:
    """How many functions the account may run at a time, how large they may be, and its room for code."""
    with explained("asking for the account's quotas"):
        answer = session.client("lambda").get_account_settings()
    limits = answer["AccountLimit"]
    n_left = limits["UnreservedConcurrentExecutions"]
    is_short = n_left < max(outputs.concurrency, _NEW_ACCOUNT + 1)
    asked = find_request(session) if is_short else ""
    yield judge_concurrency(outputs, limits["ConcurrentExecutions"], n_left, asked)
    yield judge_memory(outputs, limits["ConcurrentExecutions"])
    if "TotalCodeSize" in limits:
        yield judge_storage(answer.get("AccountUsage", {}).get("TotalCodeSize", 0), limits["TotalCodeSize"])


def find_request(session: Any) -> str:
    """What became of the last request for more; empty where there is none, or we may not know."""
    try:
        with explained("asking Service Quotas"):
            found = session.client("service-quotas").list_requested_service_quota_change_history_by_quota(
                **_QUOTA
            )["RequestedQuotas"]
    except AwsRefused:
        return ""
    last = max(found, key=lambda each: str(each.get("Created", "")), default=None)
    return f"{last['DesiredValue']:,.0f} were asked for: {last['Status'].lower()}" if last else ""


def judge_concurrency(outputs: StackOutputs, limit: int, n_left: int, asked: str = "") -> Finding:
    """Whether the account has room for as many workers as the stack would start.

    Args:
        asked: what became of a request for more.
    """
    said = f"{limit:,} executions at a time in this account, {n_left:,} not reserved"
    said = f"{said} ({asked})" if asked else said
    ask = f"`{_ASK} --desired-value {max(_WANTED, limit + outputs.concurrency - n_left)}`"
    if n_left <= _NEW_ACCOUNT:
        return Finding("warn", "concurrency", f"{said}: runs are slow", ask)
    if n_left < outputs.concurrency:
        return Finding(
            "warn",
            "concurrency",
            f"{said}, and the stack would start {outputs.concurrency:,} workers of a rung",
            f"{ask}, or deploy with --parameter Concurrency={n_left}",
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


def judge_storage(used_bytes: int, limit_bytes: int) -> Finding:
    """Whether the account has room for another deployment's layers."""
    said = f"{used_bytes / 1e9:,.1f} of {limit_bytes / 1e9:,.1f} GB of functions and layers in this account"
    if used_bytes >= _FULL * limit_bytes:
        remedy = "delete old versions: `aws lambda list-functions --function-version ALL` names them"
        return Finding("warn", "code storage", said, f"the next `aliquot deploy` may fail: {remedy}")
    return Finding("ok", "code storage", said)
