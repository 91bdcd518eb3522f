"""A desk: a folder of one's own with jobs and data in it, and the real command run there.

What lies on it at first, and what else their tests read of it, the conftests of `cli` and `cloud` say. It is
imported as `tests.functional.desk`: in its mode `importlib`, pytest knows the folders of tests as packages.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import psutil
import pyarrow.dataset

COMMAND = [sys.executable, "-m", "orchestrator.cli"]


def wait_for(is_so: Callable[[], Any], within_s: float) -> Any:
    """What `is_so` gives once it is true; fails the test where it does not become so."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        found = is_so()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {within_s} s")


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Desk:
    """The current folder of a user, with what they do in it."""

    command = COMMAND
    files: ClassVar[Mapping[str, str]] = {}
    patience_s: ClassVar[float] = 60

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: list[subprocess.Popen[bytes]] = []
        for name, text in self.files.items():
            self.write(name, text)

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
        self.write("script.py", dedent(text))
        return self.script("script.py")

    def _run(self, command: list[str], stdin: bytes, environment: dict[str, str]) -> Said:
        ended = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env={**os.environ, **environment},
            timeout=self.patience_s,
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

    def end(self, process: subprocess.Popen[bytes]) -> Said:
        """How a command that was begun ends."""
        out, err = process.communicate(timeout=self.patience_s)
        return Said(process.returncode, out.decode(), err.decode())

    def end_all(self) -> None:
        """End what was begun, with all that it started."""
        for process in self._begun:
            for each in self.family(process.pid):
                with suppress(psutil.Error):
                    each.kill()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(self.patience_s)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def wait_for(self, is_so: Callable[[], Any], within_s: float | None = None) -> Any:
        """As `wait_for`, within the desk's patience where nothing else is said."""
        return wait_for(is_so, self.patience_s if within_s is None else within_s)

    def table(self, out: str = "out") -> pyarrow.Table:
        """The result."""
        files = sorted((self.folder / out / "result").glob("*.parquet"))
        return pyarrow.dataset.dataset([str(path) for path in files]).to_table()

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
