"""The one HTTP endpoint of a rehearsal: every boto3 client, in the test and in handlers, talks to it.

A call is logged under who made it; faults and limits that moto lacks are answered here; Lambda's Invoke goes
to our own functions, all else to moto, one call at a time, since moto's queues are not safe between threads.
Imports moto's dispatcher and this package. When it is wrong, calls are logged under the wrong function.
"""

from __future__ import annotations

import functools
import html
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.rehearsal.faults import Dice
from orchestrator.rehearsal.records import Call
from orchestrator.rehearsal.requests import ACCOUNT, AwsRequest

STEP_FUNCTIONS_KEY = "ak"  # what moto's interpreter signs with
TEST_KEY = "rehearsal"
MAX_WAIT_S = 20.0

_log = logging.getLogger(__name__)

moto_lock = threading.RLock()
current = threading.local()  # .trace and .operation of the call that moto is answering in this thread


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def reply_error(status: int, code: str, message: str) -> Reply:
    """Give an error in the form of the JSON protocols; clients rely on the request's id."""
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    headers = {"x-amzn-errortype": code, "content-type": "application/x-amz-json-1.0"}
    return Reply(status, body, {**headers, "x-amzn-requestid": str(uuid.uuid4())})


def reply_s3_error(status: int, code: str, message: str) -> Reply:
    """Give an error in S3's form."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body.encode(), {"content-type": "application/xml"})


def find_handler(url: str) -> Callable[..., Any] | None:
    """Give what in moto answers a URL, as moto's own stub of botocore finds it."""
    from moto.backend_index import backend_url_patterns

    for service, pattern in backend_url_patterns:
        if pattern.match(url):
            for known, handle in list_handlers(service):
                if known.match(url):
                    return handle
    return None


@functools.cache
def list_handlers(service: str) -> list[tuple[re.Pattern[str], Callable[..., Any]]]:
    """Give a service's URLs with what answers them; moto makes them anew for every call to S3."""
    from moto.backends import get_backend
    from moto.core.base_backend import BackendDict

    backends: Any = get_backend(service)  # type: ignore[call-overload]
    regions = backends[ACCOUNT] if isinstance(backends, BackendDict) else backends
    backend = next(regions[name] for name in ("us-east-1", "aws", "global") if name in regions)
    return [(re.compile(url), handle) for url, handle in backend.urls.items()]


def ask_moto(request: AwsRequest) -> Reply:
    """Give moto's answer."""
    from moto.core.request import Request
    from werkzeug.exceptions import HTTPException

    handle = find_handler(request.url.partition("?")[0])
    if handle is None:
        return reply_error(501, "NotImplemented", f"nothing here answers {request.url}")
    asked = Request.from_primitives(request.method, request.url, dict(request.headers), request.body)
    try:
        status, headers, body = handle(asked, asked.raw_url, asked.headers)
    except HTTPException as err:
        status, headers, body = err.code or 500, dict(err.get_headers()), err.get_body()
    content = body.encode() if isinstance(body, str) else bytes(body or b"")
    return Reply(int(status), content, {str(key).lower(): str(value) for key, value in headers.items()})


def _name_caller(_: str) -> tuple[str, str]:
    return "", ""


class Gateway:
    """The endpoint, up from its making.

    Attributes:
        find_caller: names the function and the invocation behind an access key; set once there are any.
        invoke: answers Lambda's Invoke; the same.
        may_list: says whether a function's role may list a bucket; the same.
    """

    def __init__(self, dice: Dice) -> None:
        self.calls: list[Call] = []
        self.find_caller: Callable[[str], tuple[str, str]] = _name_caller
        self.invoke: Callable[[AwsRequest, str], Reply] | None = None
        self.may_list: Callable[[str, str], bool] = lambda _function, _bucket: True
        self._dice = dice
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the endpoint down."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def answer(self, request: AwsRequest) -> Reply:
        """Give the answer to a request, and log it."""
        caller, request_id = self._identify(request)
        if self.invoke is not None and request.service == "lambda" and request.operation == "Invoke":
            reply = self.invoke(request, caller)
        else:
            reply = self._answer_store(request, caller)
        self.calls.append(Call(caller, request_id, request.action, request.resource, reply.status))
        return reply

    def _identify(self, request: AwsRequest) -> tuple[str, str]:
        if request.access_key == STEP_FUNCTIONS_KEY:
            return "states", ""
        function, request_id = self.find_caller(request.access_key)
        return (function, request_id) if function else ("client", "")

    def _answer_store(self, request: AwsRequest, caller: str) -> Reply:
        is_handler = caller not in {"client", "states"}
        key = request.target.lstrip("/").partition("/")[2]  # without the bucket, whose name is random
        if request.service == "s3" and is_handler and self._dice.is_hit("fail_s3", f"{request.method} {key}"):
            return reply_s3_error(503, "SlowDown", "Please reduce your request rate.")
        if refusal := refuse_oversized(request):
            return refusal
        reply = self._wait_for_messages(request)
        if reply.status == 404 and request.action == "s3:GetObject" and is_handler:
            bucket = request.resource.removeprefix("arn:aws:s3:::").partition("/")[0]
            if b"NoSuchBucket" not in reply.body and not self.may_list(caller, f"arn:aws:s3:::{bucket}"):
                return reply_s3_error(403, "AccessDenied", "Access Denied")
        return reply

    def _wait_for_messages(self, request: AwsRequest) -> Reply:
        """Answer; a receive that waits for messages asks again and again, so that others get their turn."""
        wait_s = float(request.body_json.get("WaitTimeSeconds") or 0)
        if request.operation != "ReceiveMessage" or not 0 < wait_s <= MAX_WAIT_S:
            return self._ask(request)
        once = AwsRequest(
            request.method,
            request.target,
            {key: value for key, value in request.headers.items() if key != "content-length"},
            json.dumps({**request.body_json, "WaitTimeSeconds": 0}).encode(),
        )
        ends = time.monotonic() + wait_s
        while True:
            reply = self._ask(once)
            if reply.status != 200 or b"ReceiptHandle" in reply.body or time.monotonic() > ends:
                return reply
            time.sleep(0.05)

    def _ask(self, request: AwsRequest) -> Reply:
        # an execution that is started and waited for calls back before its answer is there
        lock: AbstractContextManager[Any] = nullcontext() if request.service == "states" else moto_lock
        with lock:
            current.trace, current.operation = request.headers.get("x-amzn-trace-id"), request.operation
            try:
                return ask_moto(request)
            except Exception as err:  # noqa: BLE001  the boundary: moto may raise anything
                _log.exception("moto failed to answer %s", request.action)
                message = f"moto: {type(err).__name__}: {err}"
                answer = reply_error if "x-amz-target" in request.headers else reply_s3_error
                return answer(500, "InternalFailure", html.escape(message))
            finally:
                current.trace = current.operation = None


MAX_MESSAGE_BYTES = 1024 * 1024


def measure_message(entry: Mapping[str, Any]) -> int:
    """Give a message's size as SQS counts it: the body's bytes, and names, types and values of attributes.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
    """
    size = len(str(entry.get("MessageBody", "")).encode())
    for name, value in (entry.get("MessageAttributes") or {}).items():
        size += len(name.encode()) + sum(len(str(each).encode()) for each in value.values())
    return size


def refuse_oversized(request: AwsRequest) -> Reply | None:
    """Give SQS's refusal of messages past 1 MiB together; moto counts characters of bodies only."""
    if request.service != "sqs" or request.operation not in {"SendMessage", "SendMessageBatch"}:
        return None
    entries = request.body_json.get("Entries") or [request.body_json]
    size = sum(measure_message(each) for each in entries)
    if size <= MAX_MESSAGE_BYTES:
        return None
    if request.operation == "SendMessageBatch":
        message = (
            f"Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {size} bytes."
        )
        reply = reply_error(400, "BatchRequestTooLong", message)
        query_error = "AWS.SimpleQueueService.BatchRequestTooLong;Sender"
        return replace(reply, headers={**reply.headers, "x-amzn-query-error": query_error})
    message = (
        f"One or more parameters are invalid. Reason: Message must be shorter than {MAX_MESSAGE_BYTES} bytes."
    )
    return reply_error(400, "InvalidParameterValue", message)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed while they waited."""


class _Connection(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the standard library's
        """Calls are logged by the gateway."""

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: answers are buffered, and boto3 waits a second for this one."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def _serve(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self._read_body(headers)
        if body is None:  # as AWS does, where a client dies half way: nothing of it is carried out
            self.close_connection = True
            return
        reply = self.server.gateway.answer(AwsRequest(self.command, self.path, headers, body))
        self.send_response_only(reply.status)
        length = reply.headers.get("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(reply.body)))
        for key, value in reply.headers.items():
            if key not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def _read_body(self, headers: dict[str, str]) -> bytes | None:
        """Give the request's body, or None where it breaks off."""
        if headers.pop("transfer-encoding", "").lower() != "chunked":
            return self._read_exactly(int(headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            part = self._read_exactly(size)
            if part is None:
                return None
            parts.append(part)
            self.rfile.readline()
        return b"".join(parts) if self.rfile.readline() else None

    def _read_exactly(self, n_bytes: int) -> bytes | None:
        found = self.rfile.read(n_bytes)
        return found if len(found) == n_bytes else None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815
