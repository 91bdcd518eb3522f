"""The desk of a user without a stack: jobs that leave marks, and what a local run leaves in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet
import pytest

from tests.functional.desk import Desk

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


class LocalDesk(Desk):
    """With jobs that note whom they were called with."""

    files: ClassVar = {"jobs.py": JOBS}

    def calls(self) -> list[str]:
        """The ids of the records that `counted`, `slow` and `fail_once` were called with."""
        path = self.folder / "calls.txt"
        return path.read_text().split() if path.exists() else []

    def rows(self, out: str = "out") -> list[dict[str, Any]]:
        """The result's rows, in its order."""
        return self.table(out).to_pylist()

    def read(self, name: str, out: str = "out") -> list[dict[str, Any]]:
        """The rows of a table beside the result."""
        return pyarrow.parquet.read_table(self.folder / out / f"{name}.parquet").to_pylist()

    def outcomes(self, out: str = "out") -> list[str]:
        """The keys of the outcomes that were put."""
        return sorted(str(path) for path in (self.folder / out / "ledger" / "outcomes").rglob("*~*"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LocalDesk]:
    desk = LocalDesk(tmp_path)
    yield desk
    desk.end_all()
