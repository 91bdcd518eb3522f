"""The benchmark's command: see the package."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.alone import ALONE
from benchmarks.engine.cases import CASES, Case
from benchmarks.engine.engines import ENGINES
from benchmarks.engine.measuring import ROOT, Bench, choose_python
from benchmarks.engine.table import add_alone, add_case, describe, read_held
from benchmarks.engine.verdicts import judge

_PEERS_PYTHON = ROOT / "build" / "bench-venv" / "bin" / "python"
_N_WORKERS, _N_TURNS = 2, 3
_EXCEPT = {  # in these cases only
    "Aliquot, from a Parquet file": "a",
    "Aliquot, from a Parquet file, columns declared": "a",
    "ThreadPoolExecutor": "e",
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure what was asked for, and write the tables."""
    asked = _parse(words)
    wanted = asked.only.split(",")
    asked.out = asked.out or choose_out(asked.scale, asked.turns, asked.engines)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aliquot-bench-", ignore_cleanup_errors=True) as name:
        bench = Bench(_N_WORKERS, asked.scale, choose_python(str(asked.peers_python)), Path(name), _say)
        for case in CASES:
            if {case.name, case.letter} & set(wanted):
                _compare(bench, case, asked)
        for name_alone, measure in ALONE.items():
            if name_alone in wanted:
                folder = Path(name) / name_alone
                folder.mkdir()
                conditions = describe_conditions(asked.scale)
                add_alone(
                    asked.out / "engine.json",
                    name_alone,
                    conditions,
                    measure(folder, asked.turns, asked.scale),
                )
                _write(asked.out)
    _say(f"in {asked.out / 'engine.md'}")
    return 0


def choose_out(scale: float, n_turns: int, engines: str) -> Path:
    """Where the tables go: a look at a part must not take the place of what was measured in full."""
    is_whole = scale == 1 and n_turns >= _N_TURNS and not engines
    return ROOT / ("benchmarks" if is_whole else "build/bench")


def _compare(bench: Bench, case: Case, asked: argparse.Namespace) -> None:
    engines = [name for name in ENGINES if case.letter in _EXCEPT.get(name, case.letter)]
    if case.letter == "e":
        engines = ["Aliquot", "ThreadPoolExecutor"]
    if asked.engines:
        engines = [name for name in engines if name in asked.engines.split(";")]
    conditions = describe_conditions(asked.scale)
    found = bench.compare(case, engines, asked.turns)
    add_case(asked.out / "engine.json", case.name, case.title, conditions, found)
    _write(asked.out)


def _write(out: Path) -> None:
    (out / "engine.md").write_text(describe(read_held(out / "engine.json"), judge))


def describe_conditions(scale: float) -> dict[str, Any]:
    """The machine in general words, the day, and how busy it was."""
    found = re.search(r"model name\s*:\s*(.+)", _read(Path("/proc/cpuinfo")))
    processor = found[1] if found else platform.processor() or platform.machine()
    memory = re.search(r"MemTotal:\s*(\d+)", _read(Path("/proc/meminfo")))
    gib = f", {int(memory[1]) / 2**20:.0f} GiB" if memory else ""
    machine = (
        f"{os.cpu_count()} cores of {processor}{gib}, {platform.system()}, Python {platform.python_version()}"
    )
    measured = time.strftime("%Y-%m-%d", time.gmtime())
    measured += "" if scale == 1 else f", {scale:g} of the case alone"
    return {"machine": machine, "measured": measured, "load": f"{os.getloadavg()[0]:.1f}"}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    every = ",".join([*dict.fromkeys(case.letter for case in CASES), *ALONE])
    parser.add_argument("--only", default=every, help=f"cases, of {every}, or by their whole names")
    parser.add_argument("--engines", default="", help="engines by name, separated by semicolons")
    parser.add_argument("--turns", type=int, default=_N_TURNS, help="measurements of each engine")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of every case, for a look")
    parser.add_argument("--out", type=Path, help="where engine.md and .json go")
    parser.add_argument("--peers-python", type=Path, default=_PEERS_PYTHON)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
