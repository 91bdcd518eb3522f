"""Counts how often a chain of requests has come through a function, in the trace header that boto3 passes on.

Lambda stops a chain after 16 invocations of one function; boto3 carries the count in `X-Amzn-Trace-Id`,
queues in the message's `AWSTraceHeader`. The spelling of the count is ours, AWS does not document its own.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html

Pure. When it is wrong, a loop that AWS would stop runs on here.
"""

from __future__ import annotations

import hashlib
import secrets
import time

MAX_HOPS = 16


def count_hops(header: str | None, function_arn: str) -> int:
    """Give how many times the chain has already invoked this function."""
    return _read(header).get(_mark(function_arn), 0)


def extend_header(header: str | None, function_arn: str) -> str:
    """Give the header for an invocation of this function within the chain."""
    counts = _read(header)
    mark = _mark(function_arn)
    counts[mark] = counts.get(mark, 0) + 1
    root = _field(header, "Root") or f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    lineage = ",".join(f"{each}:{count}" for each, count in counts.items())
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0;Lineage={lineage}"


def _mark(function_arn: str) -> str:
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]


def _field(header: str | None, name: str) -> str:
    parts = (part.partition("=") for part in (header or "").split(";"))
    return next((value for key, _, value in parts if key.strip() == name), "")


def _read(header: str | None) -> dict[str, int]:
    pairs = (each.partition(":") for each in _field(header, "Lineage").split(",") if ":" in each)
    return {mark: int(count) for mark, _, count in pairs if count.isdigit()}
