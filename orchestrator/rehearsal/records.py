"""What a rehearsal remembers: functions and mappings as deployed, invocations and AWS calls as made.

Plain frozen records. Imports the standard library only. When it is wrong, tests assert on the wrong thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FunctionSpec:
    """A Lambda function as deployed.

    Attributes:
        logical: its name in the template; name: its name in AWS.
        layers: folders as they would be unpacked into /opt, in the template's order.
        reserved: ReservedConcurrentExecutions.
        allows_loops: RecursiveLoop is Allow.
        is_image: it comes as a container image, which has no such limit of size as layers.
        failure_arn: the queue that gets an asynchronous event that was given up.
        failure_is_destination: it gets a report with the event in it, not the event itself.
    """

    logical: str
    name: str
    arn: str
    handler: str
    memory_mib: int
    timeout_s: float
    role_arn: str
    task_root: Path
    layers: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    reserved: int | None = None
    allows_loops: bool = False
    is_image: bool = False
    failure_arn: str | None = None
    failure_is_destination: bool = False
    retry_attempts: int = 2
    event_age_s: float = 21_600.0


@dataclass(frozen=True)
class MappingSpec:
    """An event source mapping from an SQS queue to a function."""

    logical: str
    function: str
    queue_arn: str
    batch_size: int = 10
    window_s: float = 0.0
    reports_items: bool = False
    max_concurrency: int | None = None
    is_enabled: bool = True


@dataclass(frozen=True)
class Invocation:
    """One run of a handler.

    Attributes:
        function: the function's name in the template.
        error: None, or what Lambda would have answered: errorType, errorMessage and maybe stackTrace.
        init_ms: time of the cold start, None where the environment was warm.
        max_memory_mib: the most that the environment held so far.
        source: what called: a mapping's name, "invoke", "async" or "states".
        environment: which environment ran it; equal ids mean a warm start.
        log: what was written to stdout and stderr.
    """

    function: str
    request_id: str
    event: Any
    response: Any
    error: Mapping[str, Any] | None
    duration_ms: float
    billed_ms: int
    init_ms: float | None
    max_memory_mib: float
    source: str
    environment: str
    log: str

    @property
    def report(self) -> str:
        """The line that Lambda would write to the log at the end of it."""
        init = f"\tInit Duration: {self.init_ms:.2f} ms" if self.init_ms is not None else ""
        return (
            f"REPORT RequestId: {self.request_id}\tDuration: {self.duration_ms:.2f} ms\t"
            f"Billed Duration: {self.billed_ms} ms\tMax Memory Used: {self.max_memory_mib:.0f} MB{init}"
        )


@dataclass(frozen=True)
class Call:
    """One AWS call.

    Attributes:
        caller: the function's name in the template, "states" for Step Functions, else "client".
        request_id: the invocation that made it, "" outside of one.
        action: as policies spell it, such as `s3:PutObject`.
        resource: ARN of what it touched, "*" where it names nothing.
        status: of the HTTP answer.
    """

    caller: str
    request_id: str
    action: str
    resource: str
    status: int
