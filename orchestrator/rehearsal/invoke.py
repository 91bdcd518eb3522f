"""Runs functions: synchronous invocations, Lambda's Invoke in HTTP, and the record of every run.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
Imports this package. When it is wrong, an error in a handler looks like a success, or the reverse.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from orchestrator.rehearsal.errors import InvokeRefused
from orchestrator.rehearsal.faults import Dice
from orchestrator.rehearsal.gateway import Reply, reply_error
from orchestrator.rehearsal.lineage import MAX_HOPS, count_hops, extend_header
from orchestrator.rehearsal.pool import Pool
from orchestrator.rehearsal.records import Call, FunctionSpec, Invocation, MappingSpec
from orchestrator.rehearsal.requests import AwsRequest
from orchestrator.rehearsal.sandbox import Answer, Environment

MAX_SYNC_BYTES = 6 * 1024 * 1024
MAX_ASYNC_BYTES = 1024 * 1024


class Invoker:
    """Invokes the functions of a stack.

    Args:
        functions: by their names in the template.
        defer: takes an asynchronous event: function, event, trace header.
        concurrency: how many invocations run at a time; those that a handler waits for come on top.
    Attributes:
        invocations: every run that has ended, in the order of their ends.
        refusals: what was not run at all: function, source, reason.
    """

    def __init__(
        self,
        functions: Mapping[str, FunctionSpec],
        pool: Pool,
        dice: Dice,
        calls: list[Call],
        defer: Callable[[str, str, str | None], None],
        concurrency: int,
    ) -> None:
        self.functions = functions
        self.invocations: list[Invocation] = []
        self.refusals: list[tuple[str, str, InvokeRefused]] = []
        self.running = 0
        self._pool, self._dice, self._calls, self._defer = pool, dice, calls, defer
        self._slots = threading.BoundedSemaphore(concurrency)
        self._lock = threading.Lock()

    def run(
        self, function: str, event: str, source: str, trace: str | None = None, *, is_nested: bool = False
    ) -> Invocation:
        """Give the record of one invocation.

        Args:
            is_nested: a handler waits for it, so it may not wait for a slot.
        Raises:
            InvokeRefused: throttled, too large, or the 17th round of a loop.
        """
        spec = self.functions[function]
        self._check(spec, event, trace)
        slot: AbstractContextManager[Any] = nullcontext() if is_nested else self._slots
        with slot:
            with self._lock:
                self.running += 1
            try:
                with self._pool.hold(function) as environment:
                    record = self._run_in(environment, spec, event, source, extend_header(trace, spec.arn))
            finally:
                with self._lock:
                    self.running -= 1
        self.invocations.append(record)
        return record

    def note_poll(self, mapping: MappingSpec) -> None:
        """Log what a mapping does with the function's role when it polls."""
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
            self._calls.append(Call(mapping.function, "", action, mapping.queue_arn, 200))

    def note_refusal(self, function: str, source: str, refusal: InvokeRefused) -> None:
        """Remember what was not run."""
        self.refusals.append((function, source, refusal))

    def _check(self, spec: FunctionSpec, event: str, trace: str | None) -> None:
        if count_hops(trace, spec.arn) >= MAX_HOPS and not spec.allows_loops:
            message = f"Lambda has stopped a chain of requests after {MAX_HOPS} invocations of {spec.name}"
            raise InvokeRefused("RecursiveInvocationException", 400, message)
        if (size := len(event.encode())) > MAX_SYNC_BYTES:
            message = f"{size} byte payload is too large for RequestResponse (limit {MAX_SYNC_BYTES} bytes)"
            raise InvokeRefused("RequestTooLargeException", 413, message)
        if self._dice.is_hit("throttle", spec.logical):
            raise InvokeRefused("TooManyRequestsException", 429, "Rate Exceeded.")

    def _run_in(
        self, environment: Environment, spec: FunctionSpec, event: str, source: str, trace: str
    ) -> Invocation:
        request_id = str(uuid.uuid4())
        answer = self._answer(environment, spec, request_id, event, trace)
        response = json.loads(answer.response) if answer.response is not None else None
        init_ms = environment.take_init()
        duration_ms = answer.duration_s * 1000
        return Invocation(
            function=spec.logical,
            request_id=request_id,
            event=json.loads(event),
            response=response,
            error=answer.error and {**answer.error, "requestId": request_id},
            duration_ms=duration_ms,
            billed_ms=math.ceil(duration_ms + (init_ms or 0.0)),
            init_ms=init_ms,
            max_memory_mib=environment.peak_bytes / 1024**2,
            source=source,
            environment=environment.access_key,
            log=environment.take_log(),
        )

    def _answer(
        self, environment: Environment, spec: FunctionSpec, request_id: str, event: str, trace: str
    ) -> Answer:
        if environment.init_ms is None and (failure := environment.initialise()) is not None:
            environment.kill("init")
            return Answer(None, failure, 0.0, is_lost=True)
        killer = self._arm(environment, spec)
        try:
            answer = environment.run(request_id, event, trace)
        finally:
            if killer is not None:
                killer.cancel()
        if answer.response is not None and len(answer.response.encode()) > MAX_SYNC_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_SYNC_BYTES} bytes)."
            error = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
            return Answer(None, error, answer.duration_s, is_lost=False)
        return answer

    def _arm(self, environment: Environment, spec: FunctionSpec) -> threading.Timer | None:
        if not self._dice.is_hit("kill", spec.logical):
            return None
        after_s = self._dice.faults.kill_after_s * self._dice.draw("kill_after", spec.logical)
        killer = threading.Timer(after_s, environment.kill, ["fault"])
        killer.daemon = True
        killer.start()
        return killer

    def answer_http(self, request: AwsRequest, caller: str) -> Reply:
        """Give Lambda's answer to an Invoke request."""
        name = urllib.parse.unquote(request.path.partition("/functions/")[2].rpartition("/invocations")[0])
        function = self.find(name)
        if function is None:
            return reply_error(404, "ResourceNotFoundException", f"Function not found: {name}")
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        event = request.body.decode() or "{}"
        trace = urllib.parse.unquote(request.headers.get("x-amzn-trace-id", "")) or None
        if kind == "DryRun":
            return Reply(204)
        try:
            if kind == "Event":
                return self._accept(function, event, trace)
            is_nested = caller in self.functions
            source = caller if caller in {"states", *self.functions} else "invoke"
            return _describe(self.run(function, event, source, trace, is_nested=is_nested), request)
        except InvokeRefused as refusal:
            self.note_refusal(function, caller, refusal)
            return reply_error(refusal.status, refusal.code, refusal.message)

    def _accept(self, function: str, event: str, trace: str | None) -> Reply:
        if (size := len(event.encode())) > MAX_ASYNC_BYTES:
            message = f"{size} byte payload is too large for Event (limit {MAX_ASYNC_BYTES} bytes)"
            raise InvokeRefused("RequestTooLargeException", 413, message)
        self._defer(function, event, trace)
        return Reply(202)

    def find(self, name: str) -> str | None:
        """Give the template's name of the function that a name or an ARN means, None without one."""
        plain = name.rpartition(":function:")[2].partition(":")[0]
        return next((logical for logical, spec in self.functions.items() if spec.name == plain), None)


def _describe(record: Invocation, request: AwsRequest) -> Reply:
    headers = {
        "content-type": "application/json",
        "x-amz-executed-version": "$LATEST",
        "x-amzn-requestid": record.request_id,
    }
    if record.error is not None:
        headers["x-amz-function-error"] = "Unhandled"
    if request.headers.get("x-amz-log-type") == "Tail":
        headers["x-amz-log-result"] = base64.b64encode(record.log.encode()[-4096:]).decode()
    return Reply(200, json.dumps(record.error or record.response).encode(), headers)
