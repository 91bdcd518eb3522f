"""One execution environment: a child process that sees what Lambda would give it, and can be killed whole.

The child is an interpreter without any site-packages, in a process group of its own; its `sys.path` is the
function's folder, the layers merged as into /opt, then the runtime's boto3. Imports the standard library
and this package. When it is wrong, a handler imports what it will not find in Lambda.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.rehearsal import bootstrap
from orchestrator.rehearsal.memory import list_family
from orchestrator.rehearsal.records import FunctionSpec

INIT_LIMIT_S = 60.0  # Lambda gives 10 s and tries again within the invocation; a loaded laptop needs more
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Installed:
    """What is laid out on disk for a function, once for all of its environments."""

    spec: FunctionSpec
    opt: Path
    runtime: Path
    python: Path
    scratch: Path

    @property
    def path(self) -> list[str]:
        """What Lambda puts before the standard library."""
        opt = self.opt / "python"
        return [
            str(self.spec.task_root),
            str(opt / f"lib/python{PYTHON}/site-packages"),
            str(opt),
            str(self.runtime),
        ]


@dataclass(frozen=True)
class Answer:
    """What came back from an environment; `is_lost` when it did not survive."""

    response: str | None
    error: dict[str, Any] | None
    duration_s: float
    is_lost: bool


def make_variables(installed: Installed, endpoint: str, region: str, access_key: str) -> dict[str, str]:
    """Give the environment variables that Lambda sets, then the function's own."""
    spec = installed.spec
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_SESSION_TOKEN": "rehearsal",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{PYTHON}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mib),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"rehearsal/[$LATEST]{access_key.lower()}",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "LAMBDA_RUNTIME_DIR": str(installed.runtime),
        "LAMBDA_TASK_ROOT": str(spec.task_root),
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(installed.runtime),
        "TMPDIR": str(installed.scratch / access_key),
        "TZ": ":UTC",
        "_HANDLER": spec.handler,
        **spec.environment,
    }


class Environment:
    """An execution environment, cold when made.

    Args:
        endpoint: where AWS is, for this environment.
    """

    def __init__(self, installed: Installed, endpoint: str, region: str) -> None:
        self.spec = installed.spec
        self.access_key = "ASIA" + uuid.uuid4().hex[:16].upper()
        self.ceiling_bytes = installed.spec.memory_mib * 1024 * 1024
        self.killed_for = ""
        self.request_id = ""
        self.peak_bytes = 0
        self.init_ms: float | None = None
        self._is_used = False
        self._lock = threading.Lock()
        self._scratch = installed.scratch / self.access_key
        self._scratch.mkdir(parents=True)
        self._log_path = installed.scratch / f"{self.access_key}.log"
        self._log_offset = 0
        self._pipe, theirs = socket.socketpair()
        variables = make_variables(installed, endpoint, region, self.access_key)
        setup = {"fd": theirs.fileno(), "path": installed.path, "task_root": str(self.spec.task_root)}
        command = [str(installed.python), "-I", "-S", "-X", "utf8", bootstrap.__file__, json.dumps(setup)]
        self._started = time.perf_counter()
        # A group, not a session: a group whose parent dies is sent SIGHUP if it is stopped, so that
        # frozen environments do not outlive a test process that was killed.
        with self._log_path.open("wb") as log, theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.pid = self._process.pid

    def initialise(self) -> dict[str, Any] | None:
        """Wait for the cold start to end; give the error where the handler cannot be loaded."""
        try:
            frame = self._receive(time.monotonic() + INIT_LIMIT_S)
        except TimeoutError:
            self.kill("init")
            return {"errorType": "Sandbox.Timedout", "errorMessage": f"INIT took more than {INIT_LIMIT_S} s"}
        self.init_ms = (time.perf_counter() - self._started) * 1000
        if frame is None:
            return self._describe_loss("")
        error: dict[str, Any] | None = frame.get("init_error")
        return error

    def run(self, request_id: str, event: str, trace: str) -> Answer:
        """Give the handler's answer to an event; past the function's timeout the environment is killed."""
        self.request_id = request_id
        timeout_s = self.spec.timeout_s
        started = time.perf_counter()
        frame = {"request_id": request_id, "event": event, "trace": trace, "arn": self.spec.arn}
        error: dict[str, Any] | None
        try:
            self._signal(signal.SIGCONT)
            self._send({**frame, "deadline": time.time() + timeout_s})
            answer = self._receive(time.monotonic() + timeout_s)
        except TimeoutError:
            self.kill("timeout")
            message = f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
            error = {"errorType": "Sandbox.Timedout", "errorMessage": message}
            return Answer(None, error, time.perf_counter() - started, is_lost=True)
        except OSError:
            answer = None
        finally:
            self.request_id = ""
        duration_s = time.perf_counter() - started
        if answer is None:
            return Answer(None, self._describe_loss(request_id), duration_s, is_lost=True)
        self._signal(signal.SIGSTOP)  # what runs on after the answer is frozen until the next event
        self.peak_bytes = max(self.peak_bytes, answer["peak_kib"] * 1024)
        if ends := bool(answer.get("ends")):
            self.kill("exit")
        return Answer(answer.get("response"), answer.get("error"), duration_s, is_lost=ends)

    def take_init(self) -> float | None:
        """Give the cold start's milliseconds the first time, then None."""
        taken, self._is_used = (None if self._is_used else self.init_ms), True
        return taken

    def take_log(self) -> str:
        """Give what was written since the last time."""
        with contextlib.suppress(FileNotFoundError), self._log_path.open("rb") as log:
            log.seek(self._log_offset)
            found = log.read()
            self._log_offset += len(found)
            return found.decode("utf-8", "replace")
        return ""

    def note_memory(self, held_bytes: int) -> None:
        """Remember the most that was held."""
        self.peak_bytes = max(self.peak_bytes, held_bytes)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def kill(self, reason: str) -> None:
        """End every process of the environment, at once; the first reason stays."""
        with self._lock:
            self.killed_for = self.killed_for or reason
            family = list_family(self.pid)
            if self._process.returncode is None:
                self._signal(signal.SIGKILL)
            for each in family[1:]:
                with contextlib.suppress(psutil.Error):
                    each.kill()  # what has left the process group

    def close(self) -> None:
        """End it and remove what it kept in its /tmp."""
        self.kill("closed")
        self._process.wait(timeout=10)
        self._pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._log_path.unlink(missing_ok=True)

    def _describe_loss(self, request_id: str) -> dict[str, Any]:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill("silent")
            code = self._process.wait(timeout=5)
        self.kill("lost")
        how = f"signal: {(signal.strsignal(-code) or '').lower()}" if code < 0 else f"exit status {code}"
        kind = "Runtime.OutOfMemory" if self.killed_for == "memory" else "Runtime.ExitError"
        message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        return {"errorType": kind, "errorMessage": message}

    def _send(self, frame: dict[str, Any]) -> None:
        body = json.dumps(frame).encode()
        self._pipe.settimeout(self.spec.timeout_s)
        self._pipe.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self, deadline: float) -> Any:
        head = self._read_exactly(4, deadline)
        if len(head) < 4:
            return None
        body = self._read_exactly(struct.unpack(">I", head)[0], deadline)
        return json.loads(body)

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size:
            self._pipe.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self._pipe.recv(min(size, 1 << 20))
            except ConnectionResetError:
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
