"""One measurement of one engine on one case, in a process of its own.

    python -m benchmarks.engine.once '{"engine": "joblib", "case": "a", "n_records": 100, ...}'

Prints a `Sample` as JSON on its last line. Start-up is everything from the process's birth to the first two
records on disk; two records once more show what a run costs however small it is; then comes the case. Making
the records and ending the workers is not timed. Owns what is timed.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.engine.cases import CASES, WAIT_S, Case
from benchmarks.engine.engines import ENGINES
from benchmarks.engine.own import AliquotFile, Engine, name_dataset
from benchmarks.engine.peers import write_rows
from benchmarks.engine.server import serve_waiting
from benchmarks.engine.work import Record
from benchmarks.scheduling import schedule_greedily


@dataclass(frozen=True)
class Order:
    """What to measure.

    Args:
        engine, case: by name.
        n_records: of the case, or of a part of it.
        n_workers: processes.
        folder: an empty one, on the disk that results are to be left on.
        spawned_s: when the process was begun, by `time.time`.
    """

    engine: str
    case: str
    n_records: int
    n_workers: int
    folder: str
    spawned_s: float


@dataclass(frozen=True)
class Sample:
    """What was measured.

    Args:
        version: of the engine's package.
        start_s: from the process's birth to two records on disk.
        tiny_s: two records more.
        wall_s: the case, or the part of it.
        n_records, n_rows: given, and found on disk.
        cpu_s, busy_s: sums over the records' own measurements, by both clocks; 0 where rows do not tell.
        greedy_s: of the same times in the same order.
        calm_s: the same records without the deadly one; 0 where there is none.
    """

    version: str
    start_s: float
    tiny_s: float
    wall_s: float
    n_records: int
    n_rows: int
    cpu_s: float = 0.0
    busy_s: float = 0.0
    greedy_s: float = 0.0
    calm_s: float = 0.0


def measure(order: Order) -> Sample:
    """Start, run two records twice, run the case."""
    case = next(each for each in CASES if each.name == order.case)
    folder = Path(order.folder)
    engine = ENGINES[order.engine]()
    with _serve(case) as address:
        records = [_fill(r, address) for r in case.make_records(order.n_records)]
        made_s = time.time()  # what making the records took is no part of the start
        engine.start(case, order.n_workers)
        _time(engine, _calm(records[:2]), folder / "first")
        start_s = time.time() - made_s + (_BEGAN_S - order.spawned_s)
        tiny_s, _ = _time(engine, _calm(records[:2]), folder / "tiny")
        calm_s = _time(engine, _calm(records), folder / "calm")[0] if "is_fatal" in records[0] else 0.0
        gc.collect()
        wall_s, found = _time(engine, records, folder / "whole", is_broken=calm_s > 0)
        engine.stop()
    return _read(engine, order, (start_s, tiny_s, wall_s, calm_s), found)


@contextmanager
def _serve(case: Case) -> Iterator[str]:
    if case.letter != "e":
        yield ""
        return
    with serve_waiting(WAIT_S) as address:
        yield address


def _fill(record: Record, address: str) -> Record:
    return {**record, "url": address} if "url" in record else record


def _calm(records: list[Record]) -> list[Record]:
    """The same without deaths; of a few records, without spinning."""
    change: Record = {"is_fatal": False} if "is_fatal" in records[0] else {}
    if len(records) == 2 and "cpu_s" in records[0]:
        change["cpu_s"] = 0.0
    return [{**record, **change} for record in records] if change else records


def _time(engine: Engine, records: list[Record], out: Path, *, is_broken: bool = False) -> tuple[float, Path]:
    if isinstance(engine, AliquotFile):
        write_rows(records, name_dataset(out))
    began_s = time.perf_counter()
    found = engine.run_broken(records, out) if is_broken else engine.run(records, out)
    return time.perf_counter() - began_s, found


def _read(engine: Engine, order: Order, times: tuple[float, float, float, float], found: Path) -> Sample:
    """The sample, with what the rows on disk tell."""
    import pyarrow.dataset as ds

    start_s, tiny_s, wall_s, calm_s = times
    dataset = ds.dataset(found)
    told = version(engine.package) if engine.package else sys.version.split()[0]
    sample = Sample(told, start_s, tiny_s, wall_s, order.n_records, dataset.count_rows(), calm_s=calm_s)
    if "busy_s" not in dataset.schema.names:
        return sample
    table = dataset.to_table(columns=["cpu_s", "busy_s"])
    cpu, busy = (table[name].to_numpy().tolist() for name in ("cpu_s", "busy_s"))
    greedy_s = schedule_greedily(busy, [0.0] * order.n_workers)
    return replace(sample, cpu_s=sum(cpu), busy_s=sum(busy), greedy_s=greedy_s)


_BEGAN_S = time.time()  # after the imports above, which are part of the start

if __name__ == "__main__":
    print(json.dumps(asdict(measure(Order(**json.loads(sys.argv[1]))))), flush=True)
