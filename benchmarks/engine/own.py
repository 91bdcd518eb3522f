"""Aliquot as an engine of the benchmark: records from memory or a file, plain functions or declared columns.

Owns what every engine gives. When it is wrong, we look better or worse than we are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from benchmarks.engine.cases import Case
from benchmarks.engine.work import Record


class Engine(Protocol):
    """A way to run a function over records."""

    package: str  # whose version is told; empty for the standard library

    def start(self, case: Case, n_workers: int) -> None:
        """Import and begin what runs before the first record."""

    def run(self, records: list[Record], out: Path) -> Path:
        """Run the case's function on records; gives the Parquet file or folder with the rows in order."""

    def run_broken(self, records: list[Record], out: Path) -> Path:
        """The same where a record ends its process: the rows that can be had all the same."""

    def stop(self) -> None:
        """End what was begun."""


class Aliquot:
    """Aliquot on this machine, the records given as a list of dicts."""

    package = "aliquot"

    def start(self, case: Case, n_workers: int) -> None:
        """Import it; processes are begun by each run anew."""
        import aliquot

        self._plan, self._case, self._n_workers = aliquot.plan, case, n_workers

    def run(self, records: list[Record], out: Path) -> Path:
        """Run."""
        job, dataset = self.name_job(records, out)
        plan = self._plan(job, dataset, workers=self._n_workers, threads=self._case.n_threads)
        plan.start(out).wait(quiet=True)
        return out / "result"

    def name_job(self, records: list[Record], _out: Path) -> tuple[Any, Any]:
        """The job and the dataset of a run."""
        return self._case.function, records

    run_broken = run

    def stop(self) -> None:
        """Nothing is left."""


class AliquotFile(Aliquot):
    """Aliquot, the records in a Parquet file (written before the clock starts)."""

    def name_job(self, _records: list[Record], out: Path) -> tuple[Any, Any]:
        """The function, and the file."""
        return self._case.function, str(name_dataset(out))


class AliquotDeclared(AliquotFile):
    """The same as a job that declares its columns."""

    def name_job(self, _records: list[Record], out: Path) -> tuple[Any, Any]:
        """The job of case a, and the file."""
        return "benchmarks.engine.declared:job", str(name_dataset(out))


def name_dataset(out: Path) -> Path:
    """Where the records of a run lie that are read from a file."""
    return out.with_suffix(".input.parquet")
