"""A desk: a folder of one's own with jobs and data in it, and the real command run there."""

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
from typing import Any

import psutil
import pyarrow.dataset
import pyarrow.parquet
import pytest

COMMAND = [sys.executable, "-m", "orchestrator.cli"]
PATIENCE_S = 60

JOBS = '''
import os, signal, time
from pathlib import Path

def note(record):
    """Leave a mark for every call, whichever process makes it."""
    with open("calls.txt", "a") as file:
        file.write(str(record["id"]) + chr(10))

def one(record):
    return {"id": record["id"], "n": len(record["smiles"])}

def counted(record):
    note(record)
    return {"id": record["id"]}

def slow(record):
    note(record)
    time.sleep(0.02)
    return {"id": record["id"]}

def sleepy(record):
    Path("asleep").touch()
    time.sleep(1000)

def every_third(record):
    number = int(record["id"].lstrip("r"))
    if number % 3 == 0:
        raise ValueError(f"no {number}")
    return {"number": number}

def fail(record):
    raise ValueError("never works")

def fail_slowly(record):
    time.sleep(0.005)
    raise ValueError("never works")

def fail_once(record):
    if not Path("mended").exists() and record["id"] in ("r3", "r7"):
        raise ValueError("not yet")
    note(record)
    return {"id": record["id"]}
'''


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Desk:
    """The current folder of a user, with what they do in it."""

    command = COMMAND

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: list[subprocess.Popen[bytes]] = []
        self.write("jobs.py", JOBS)

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

    def script(self, name: str, *words: str) -> Said:
        """A script of the folder, run to its end."""
        return self._run([sys.executable, name, *words], b"", {})

    def script_with(self, *words: str) -> Said:
        """Python with these arguments."""
        return self._run([sys.executable, *words], b"", {})

    def python(self, text: str) -> Said:
        """A script of the user's, run to its end."""
        self.write("script.py", text)
        return self.script("script.py")

    def _run(self, command: list[str], stdin: bytes, environment: dict[str, str]) -> Said:
        environment = {**os.environ, **environment}
        ended = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=environment,
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def begin(self, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
        """The command, under way, in a process group of its own; ended at the latest with the test."""
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **streams,
        }
        process = subprocess.Popen([*COMMAND, *words], cwd=self.folder, start_new_session=True, **streams)
        self._begun.append(process)
        return process

    def end_all(self) -> None:
        """End what was begun, with all that it started."""
        for process in self._begun:
            for each in self.family(process.pid):
                with suppress(psutil.Error):
                    each.kill()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def calls(self) -> list[str]:
        """The ids of the records that `counted`, `slow` and `fail_once` were called with."""
        path = self.folder / "calls.txt"
        return path.read_text().split() if path.exists() else []

    def rows(self, out: str = "out") -> list[dict[str, Any]]:
        """The result's rows, in its order."""
        return self.table(out).to_pylist()

    def table(self, out: str = "out") -> pyarrow.Table:
        """The result."""
        files = sorted((self.folder / out / "result").glob("*.parquet"))
        return pyarrow.dataset.dataset([str(path) for path in files]).to_table()

    def read(self, name: str, out: str = "out") -> list[dict[str, Any]]:
        """The rows of a table beside the result."""
        return pyarrow.parquet.read_table(self.folder / out / f"{name}.parquet").to_pylist()

    def summary(self, out: str = "out") -> dict[str, Any]:
        """The run's figures."""
        return json.loads((self.folder / out / "summary.json").read_text())

    @staticmethod
    def family(pid: int) -> list[psutil.Process]:
        """The processes that a process has started, theirs included."""
        try:
            return psutil.Process(pid).children(recursive=True)
        except psutil.Error:
            return []

    @staticmethod
    def wait_for(is_so: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """What `is_so` gives once it is true; fails the test where it does not become so."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            found = is_so()
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(f"not within {within_s} s")

    def outcomes(self, out: str = "out") -> list[str]:
        """The keys of the outcomes that were put."""
        return sorted(str(path) for path in (self.folder / out / "ledger" / "outcomes").rglob("*~*"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.end_all()
