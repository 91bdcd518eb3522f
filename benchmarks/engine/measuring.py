"""Measurements, interleaved, each in a process of its own; who is too slow for a case does a part of it.

Every peer does some records first. From these follows which part of the case takes it two minutes at most
(all, a tenth, a hundredth, ...); then all engines take turns, in an order that moves on with each turn. Owns
that schedule, and the end of what does not end. Imports psutil to end what a peer has begun.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.engine.cases import Case
from benchmarks.engine.once import Order, Sample

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 120.0
_DIVISORS = (1, 10, 100, 1000, 10_000)
_FEW, _ENOUGH_S = 10, 0.5  # records of the first probe; each has ten times as many until one takes that long
_LEAST = 100  # records of a case that is scaled
_TIMEOUT_S = 400.0


@dataclass(frozen=True)
class Measured:
    """An engine on a case.

    Args:
        divisor: which part of the case it did: 1, 10, 100, ...
        samples: one for each turn.
        trouble: why there are none, or fewer.
    """

    engine: str
    divisor: int
    samples: tuple[Sample, ...] = ()
    trouble: str = ""

    def plus(self, found: Sample | str) -> Measured:
        """With one more sample, or with what went wrong."""
        if isinstance(found, str):
            return replace(self, trouble=found)
        return replace(self, samples=(*self.samples, found))


@dataclass
class Bench:
    """How measurements are made.

    Args:
        n_workers: processes of each engine.
        scale: a part of every case, for a look.
        choose_python: the interpreter of an engine's venv, by the engine's name.
        folder: where results are left while they are looked at.
        say: told what goes on.
    """

    n_workers: int
    scale: float
    choose_python: Callable[[str], str]
    folder: Path
    say: Callable[[str], None]
    timeout_s: float = field(default=_TIMEOUT_S)

    def compare(self, case: Case, engines: Sequence[str], n_turns: int) -> list[Measured]:
        """All engines on a case."""
        n_whole = max(_LEAST, round(case.n_records * (1.0 if case.letter in "ef" else self.scale)))
        found = {name: self._probe(case, name, n_whole) for name in engines}
        for turn in range(n_turns):
            at = turn % len(engines)
            for name in [*engines[at:], *engines[:at]]:
                if not found[name].trouble:
                    sample = self.measure(case, name, n_whole // found[name].divisor)
                    found[name] = found[name].plus(sample)
        return list(found.values())

    def _probe(self, case: Case, engine: str, n_whole: int) -> Measured:
        """Which part an engine is to do: Aliquot all; none of a case that would be another one in part."""
        if case.letter in "ef" or engine.startswith("Aliquot"):
            return Measured(engine, 1)
        n_records = _FEW
        while True:
            sample = self.measure(case, engine, n_records)
            if isinstance(sample, str):
                return Measured(engine, 1, trouble=sample)
            if sample.wall_s - sample.tiny_s >= _ENOUGH_S or n_records * 10 > n_whole:
                return Measured(engine, choose_divisor(sample, n_whole))
            n_records *= 10

    def measure(self, case: Case, engine: str, n_records: int) -> Sample | str:
        """One measurement, or why there is none."""
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            order = Order(engine, case.name, n_records, self.n_workers, folder, time.time())
            said = self._run(order)
        if isinstance(said, str):
            self.say(f"{case.name} | {engine} | {n_records:,} records | {said}")
        else:
            self.say(f"{case.name} | {engine} | {n_records:,} records | {said.wall_s:.2f} s")
        return said

    def _run(self, order: Order) -> Sample | str:
        command = [self.choose_python(order.engine), "-m", "benchmarks.engine.once"]
        process = subprocess.Popen(
            [*command, json.dumps(asdict(order))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        try:
            out, err = process.communicate(timeout=self.timeout_s)
        except subprocess.TimeoutExpired:
            end_tree(process)
            return f"did not end in {self.timeout_s:.0f} s"
        if process.returncode:
            return (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1][:200]
        return Sample(**json.loads(out.strip().splitlines()[-1]))


def choose_divisor(probe: Sample, n_whole: int) -> int:
    """Which part of a case an engine does so that it takes LONGEST_S at most, as far as its probe tells."""
    record_s = max(probe.wall_s - probe.tiny_s, 0.0) / probe.n_records
    fitting = (each for each in _DIVISORS if record_s * n_whole / each <= LONGEST_S)
    return next(fitting, _DIVISORS[-1])


def end_tree(process: subprocess.Popen[str]) -> None:
    """Kill a process that we started, and all that it started."""
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.communicate()


def choose_python(peers_python: str) -> Callable[[str], str]:
    """Peers run in their own venv; Aliquot and the standard library in this one."""

    def choose(engine: str) -> str:
        is_own = engine.startswith(("Aliquot", "ProcessPool", "ThreadPool"))
        return sys.executable if is_own else peers_python

    return choose
