"""The engines of the benchmark by name, in the order in which they take turns at first."""

from __future__ import annotations

from benchmarks.engine.own import Aliquot, AliquotDeclared, AliquotFile, Engine
from benchmarks.engine.peers import (
    Dask,
    Joblib,
    Lithops,
    LithopsTuned,
    Mpire,
    Pool,
    PoolTuned,
    Ray,
    Threads,
)

ENGINES: dict[str, type[Engine]] = {
    "Aliquot": Aliquot,
    "Aliquot, from a Parquet file": AliquotFile,
    "Aliquot, from a Parquet file, columns declared": AliquotDeclared,
    "ProcessPoolExecutor": Pool,
    "ProcessPoolExecutor, chunks tuned": PoolTuned,
    "joblib": Joblib,
    "mpire": Mpire,
    "dask.distributed": Dask,
    "ray": Ray,
    "Lithops": Lithops,
    "Lithops, 8 chunks a worker": LithopsTuned,
    "ThreadPoolExecutor": Threads,
}
