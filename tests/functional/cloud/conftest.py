"""A stack rehearsed for a module's tests, and a user's folder from which the real command talks to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow.dataset
import pyarrow.parquet
import pytest

from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import Stack, rehearse

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "orchestrator.cli"]
PATIENCE_S = 120

JOBS = """
import helpers

def one(record):
    return {"id": record["id"], "n": helpers.count(record)}

def every_third(record):
    number = int(record["id"].lstrip("r"))
    if number % 3 == 0:
        raise ValueError(f"no {number}")
    return {"number": number}
"""


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Desk:
    """The current folder of a user, with what they do in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: list[subprocess.Popen[bytes]] = []
        self.write("jobs.py", JOBS)
        self.write("helpers.py", "def count(record):\n    return len(record['smiles'])\n")

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write_records(self, n_records: int, name: str = "data.csv") -> str:
        """A table of so many records, `r0` and on; gives its name."""
        self.write(name, "id,smiles\n" + "".join(f"r{i},{'C' * (i % 7 + 1)}\n" for i in range(n_records)))
        return name

    def aliquot(self, *words: str, stdin: bytes = b"", **environment: str) -> Said:
        """The command, run to its end."""
        return self._run([*COMMAND, *words], stdin, environment)

    def python(self, text: str) -> Said:
        """A script of the user's, run to its end."""
        self.write("script.py", dedent(text))
        return self._run([sys.executable, "script.py"], b"", {})

    def _run(self, command: list[str], stdin: bytes, environment: dict[str, str]) -> Said:
        ended = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env={**os.environ, **environment},
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def begin(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """The command, under way; ended at the latest with the test."""
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            start_new_session=True,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._begun.append(process)
        return process

    def end_all(self) -> None:
        """End what was begun."""
        for process in self._begun:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> Said:
        """How a command that was begun ends."""
        out, err = process.communicate(timeout=PATIENCE_S)
        return Said(process.returncode, out.decode(), err.decode())

    @staticmethod
    def wait_for(is_so: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """What `is_so` gives once it is true; fails the test where it does not become so."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            found = is_so()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within {within_s} s")

    def table(self, out: str = "out") -> pyarrow.Table:
        """The result."""
        files = sorted((self.folder / out / "result").glob("*.parquet"))
        return pyarrow.dataset.dataset([str(path) for path in files]).to_table()

    def read(self, name: str, out: str = "out") -> pyarrow.Table:
        """A table beside the result."""
        return pyarrow.parquet.read_table(self.folder / out / f"{name}.parquet")

    def summary(self, out: str = "out") -> dict[str, Any]:
        """The run's figures."""
        return json.loads((self.folder / out / "summary.json").read_text())

    def invoice(self, out: str = "out") -> dict[str, Any]:
        """What the run cost."""
        return json.loads((self.folder / out / "invoice.json").read_text())

    def address(self, out: str = "out") -> dict[str, Any]:
        """Where the run is, once that is decided; empty before."""
        path = self.folder / out / "cloud.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.end_all()


class Cloud:
    """A rehearsed stack, which tests let run or hold still, and what lies in its bucket."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.bucket = stack.outputs["Bucket"]
        self._drain: Drain | None = None

    def go(self) -> None:
        """Deliver from now on."""
        if self._drain is None:
            self._drain = Drain(self.stack).__enter__()

    def hold(self) -> None:
        """Deliver nothing more, once what is under way has ended."""
        if self._drain is not None:
            self._drain.__exit__()
            self._drain.check()
            self._drain = None

    def list_keys(self, prefix: str) -> list[str]:
        """The keys of the bucket under a prefix."""
        pages = self.stack.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in found for each in page.get("Contents", ())]

    def list_executions(self, run: str) -> list[str]:
        """The executions that drove a run."""
        arn = self.stack.outputs["StateMachineArn"]
        found = self.stack.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
        return sorted(each["name"] for each in found if each["name"].startswith(run))


@pytest.fixture(scope="module")
def module_cloud() -> Iterator[Cloud]:
    layers = assemble_layers(ROOT, find_cache())
    parameters = {"AllowCode": "true", "DataBuckets": "arn:aws:s3:::datasets"}
    with rehearse(ROOT / "template.yaml", parameters=parameters, code=layers, concurrency=2) as stack:
        cloud = Cloud(stack)
        yield cloud
        cloud.hold()


@pytest.fixture
def cloud(module_cloud: Cloud) -> Iterator[Cloud]:
    """The module's stack, at work."""
    module_cloud.go()
    yield module_cloud
    module_cloud.hold()


@pytest.fixture
def still(module_cloud: Cloud) -> Cloud:
    """The module's stack, delivering nothing until it is told to."""
    return module_cloud
