"""One class for each of the peers; all leave their rows in a Parquet file.

Each is used as its documentation shows, with defaults, on two workers; what was told by hand stands in its
name. A peer's package is imported when it starts, in the venv that holds the peers. Owns how peers are
called. When it is wrong, a peer looks worse than it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.engine.cases import Case
from benchmarks.engine.work import Record

Function = Callable[[Record], Record]


class Peer:
    """What peers have in common: rows come back in order, and are written by us."""

    package = ""

    def start(self, case: Case, n_workers: int) -> None:
        """Begin."""
        self.case, self.n_workers = case, n_workers
        self.begin()

    def begin(self) -> None:
        """Start the workers."""

    def map(self, records: list[Record]) -> Sequence[Record]:
        """The rows of all records, in order."""
        raise NotImplementedError

    def map_broken(self, records: list[Record]) -> Sequence[Record]:
        """The rows that can be had although a record ends its process; none where the call just raises."""
        with suppress(Exception):
            return self.map(records)
        return []

    def run(self, records: list[Record], out: Path) -> Path:
        """Run and write."""
        return write_rows(self.map(records), out)

    def run_broken(self, records: list[Record], out: Path) -> Path:
        """Run and write what is there."""
        return write_rows(self.map_broken(records), out)

    def stop(self) -> None:
        """End the workers."""


class Pool(Peer):
    """ProcessPoolExecutor, `chunksize` 1."""

    def begin(self) -> None:
        """Start the processes."""
        self._pool = ProcessPoolExecutor(self.n_workers)

    @property
    def chunk(self) -> int:
        """Records at a time."""
        return 1

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `map`."""
        return list(self._pool.map(self.case.function, records, chunksize=self.chunk))

    def map_broken(self, records: list[Record]) -> Sequence[Record]:
        """By `submit`: what is done before the pool breaks is kept."""
        futures = [self._pool.submit(self.case.function, record) for record in records]
        return list_done(futures)

    def stop(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


class PoolTuned(Pool):
    """ProcessPoolExecutor, `chunksize` tuned by hand."""

    @property
    def chunk(self) -> int:
        """As many as make some 20 to 100 ms."""
        return self.case.chunk


class Threads(Peer):
    """ThreadPoolExecutor, as wide as all of a case's threads."""

    def begin(self) -> None:
        """Start the threads."""
        self._pool = ThreadPoolExecutor(self.n_workers * self.case.n_threads)

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `map`."""
        return list(self._pool.map(self.case.function, records))

    def stop(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Joblib(Peer):
    """joblib (loky) with its automatic batching."""

    package = "joblib"

    def begin(self) -> None:
        """Import; loky's processes live on between calls."""
        import joblib

        self._parallel, self._delayed = joblib.Parallel(n_jobs=self.n_workers), joblib.delayed

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `Parallel`."""
        call = self._delayed(self.case.function)
        rows: list[Record] = self._parallel(call(record) for record in records)
        return rows


class Mpire(Peer):
    """mpire's WorkerPool, workers kept alive, its own chunk size."""

    package = "mpire"

    def begin(self) -> None:
        """Start the processes."""
        from mpire import WorkerPool
        from mpire.utils import make_single_arguments

        self._single = make_single_arguments
        self._pool = WorkerPool(n_jobs=self.n_workers, keep_alive=True)

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `map`."""
        rows: list[Record] = self._pool.map(self.case.function, self._single(records, generator=False))
        return rows

    def stop(self) -> None:
        """End the processes."""
        self._pool.terminate()


class Dask(Peer):
    """dask.distributed, a local cluster of processes with a thread each, `Client.map`."""

    package = "distributed"

    def begin(self) -> None:
        """Start scheduler and workers."""
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=self.n_workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        self._client = Client(cluster)

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `map` and `gather`."""
        rows: list[Record] = self._client.gather(
            self._client.map(self.case.function, records, pure=False, batch_size=10_000)
        )
        return rows

    def map_broken(self, records: list[Record]) -> Sequence[Record]:
        """What failed is skipped."""
        futures = self._client.map(self.case.function, records, pure=False)
        rows: list[Record] = self._client.gather(futures, errors="skip")
        return rows

    def stop(self) -> None:
        """End them."""
        self._client.shutdown()


class Ray(Peer):
    """ray, a task for each record."""

    package = "ray"

    def begin(self) -> None:
        """Start ray on this machine."""
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        import ray

        self._ray = ray
        ray.init(num_cpus=self.n_workers, include_dashboard=False, log_to_driver=False, logging_level="error")
        self._remote = ray.remote(self.case.function)

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `remote` and `get`."""
        rows: list[Record] = self._ray.get([self._remote.remote(record) for record in records])
        return rows

    def map_broken(self, records: list[Record]) -> Sequence[Record]:
        """One by one, as its documentation has it."""
        rows = []
        for ref in [self._remote.remote(record) for record in records]:
            with suppress(self._ray.exceptions.RayError):
                rows.append(self._ray.get(ref))
        return rows

    def stop(self) -> None:
        """End it."""
        self._ray.shutdown()


class Lithops(Peer):
    """Lithops on localhost, a task for each record."""

    package = "lithops"

    @property
    def chunk(self) -> int:
        """Records a task."""
        return 1

    def begin(self) -> None:
        """Make the executor."""
        import lithops

        config = {
            "lithops": {"backend": "localhost", "storage": "localhost", "data_limit": False},
            "localhost": {"runtime": sys.executable, "worker_processes": self.n_workers},
        }
        self._executor = lithops.FunctionExecutor(config=config, log_level="ERROR")

    def map(self, records: list[Record]) -> Sequence[Record]:
        """By `map` and `get_result`."""
        return self._get_rows(records, throws=True)

    def map_broken(self, records: list[Record]) -> Sequence[Record]:
        """Without raising."""
        return self._get_rows(records, throws=False)

    def stop(self) -> None:
        """Remove what it stored."""
        self._executor.clean(clean_cloudobjects=False)

    def _get_rows(self, records: list[Record], *, throws: bool) -> Sequence[Record]:
        """Rows in order; of a task that failed, where that does not throw, what comes is no list."""
        chunks = [(records[at : at + self.chunk],) for at in range(0, len(records), self.chunk)]
        futures = self._executor.map(Each(self.case.function), chunks)
        answers = self._executor.get_result(futures, throw_except=throws, show_progressbar=False)
        return [row for rows in answers or [] if isinstance(rows, list) for row in rows]


class LithopsTuned(Lithops):
    """Lithops on localhost, eight static chunks a worker."""

    @property
    def chunk(self) -> int:
        """Records a task: eight tasks a worker of the whole case."""
        return max(1, self.case.n_records // (8 * self.n_workers))


class Each:
    """A function over a chunk of records; pickles by its name."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def __call__(self, records: list[Record]) -> list[Record]:
        """The rows of a chunk."""
        return [self._function(record) for record in records]


def list_done(futures: Iterable[Future[Record]]) -> list[Record]:
    """The answers of those that have one."""
    return [future.result() for future in as_completed(futures) if future.exception() is None]


def write_rows(rows: Sequence[Record], out: Path) -> Path:
    """Write rows as one Parquet file; arrays as fixed-shape tensors."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(rows[0]) if rows else []
    table = pa.table({name: _make_column([row[name] for row in rows]) for name in names})
    pq.write_table(table, out, compression="zstd")
    return out


def _make_column(values: list[Any]) -> Any:
    import pyarrow as pa

    if not hasattr(values[0], "dtype"):
        return pa.array(values)
    import numpy as np

    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(values))
