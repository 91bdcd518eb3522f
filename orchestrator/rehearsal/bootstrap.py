"""The child's side of an execution environment: loads a handler, then answers one event after the other.

Run by path with `python -I -S`, so it may import the standard library only, and nothing of the package that
it lies in. Frames on the pipe: four bytes of length, then JSON. When it is wrong, handlers see another
Lambda than AWS's.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, frame: dict[str, Any]) -> None:
        self.aws_request_id: str = frame["request_id"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn: str = frame["arn"]
        self.identity = None
        self.client_context = None
        self._deadline: float = frame["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until the function's timeout, 0 past it."""
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    """Load the handler and serve until the pipe closes."""
    setup = json.loads(sys.argv[1])
    pipe = socket.socket(fileno=setup["fd"])
    sys.path[:0] = setup["path"]
    os.chdir(setup["task_root"])
    started = time.perf_counter()
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except SystemExit as err:
        send(pipe, {"init_error": {"errorType": "Runtime.ExitError", "errorMessage": f"exit {err.code}"}})
        return
    except BaseException as err:  # noqa: BLE001  the boundary: whatever importing raises is reported
        traceback.print_exc()
        send(pipe, {"init_error": describe_import(err)})
        return
    send(pipe, {"init_ms": (time.perf_counter() - started) * 1000})
    while (frame := receive(pipe)) is not None:
        os.environ["_X_AMZN_TRACE_ID"] = frame["trace"]
        answer = run(handler, frame)
        sys.stdout.flush()
        sys.stderr.flush()
        answer["peak_kib"] = read_peak_kib()
        send(pipe, answer)


def load_handler(name: str) -> Callable[[Any, LambdaContext], Any]:
    """Give the function that `module.function` names."""
    module, _, function = name.rpartition(".")
    found: Callable[[Any, LambdaContext], Any] = getattr(
        importlib.import_module(module.replace("/", ".")), function
    )
    return found


def describe_import(err: BaseException) -> dict[str, Any]:
    """Give the error that Lambda answers where a handler cannot be loaded."""
    name = os.environ["_HANDLER"]
    module, _, function = name.rpartition(".")
    if isinstance(err, ImportError):
        return {
            "errorType": "Runtime.ImportModuleError",
            "errorMessage": f"Unable to import module '{module}': {err}",
        }
    if isinstance(err, AttributeError) and function in str(err):
        return {
            "errorType": "Runtime.HandlerNotFound",
            "errorMessage": f"Handler '{function}' missing on module '{module}'",
        }
    return describe(err)


def describe(err: BaseException) -> dict[str, Any]:
    """Give the error in the form in which Lambda answers it."""
    return {
        "errorType": type(err).__name__,
        "errorMessage": str(err),
        "stackTrace": traceback.format_tb(err.__traceback__)[1:],  # without this file, as in Lambda
    }


def run(handler: Callable[[Any, LambdaContext], Any], frame: dict[str, Any]) -> dict[str, Any]:
    """Give what the handler answers, or how it failed."""
    try:
        answer = handler(json.loads(frame["event"]), LambdaContext(frame))
    except SystemExit as err:
        return {"error": {"errorType": "Runtime.ExitError", "errorMessage": f"exit {err.code}"}, "ends": True}
    except BaseException as err:  # noqa: BLE001  the boundary: a handler may raise anything
        traceback.print_exc()
        return {"error": describe(err)}
    try:
        return {"response": json.dumps(answer)}
    except (TypeError, ValueError) as err:
        message = f"Unable to marshal response: {err}"
        return {"error": {"errorType": "Runtime.MarshalError", "errorMessage": message}}


def read_peak_kib() -> int:
    """Give the most memory that this process has held, 0 where the system does not say."""
    # VmHWM, since ru_maxrss starts at what the parent held when it started this process
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123  no pathlib
            return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def send(pipe: socket.socket, frame: dict[str, Any]) -> None:
    """Write one frame."""
    body = json.dumps(frame).encode()
    pipe.sendall(struct.pack(">I", len(body)) + body)


def receive(pipe: socket.socket) -> Any:
    """Give the next frame, None at the end."""
    head = read_exactly(pipe, 4)
    return json.loads(read_exactly(pipe, struct.unpack(">I", head)[0])) if head else None


def read_exactly(pipe: socket.socket, size: int) -> bytes:
    """Give `size` bytes, or fewer at the end of the stream."""
    parts, left = [], size
    while left and (part := pipe.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
