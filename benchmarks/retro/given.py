"""What the parts of the benchmark share: the data, the report, and the command.

Owns where the data lies and which rows of it are targets. Imports the plain program for canonical SMILES.
"""

from __future__ import annotations

import csv
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import naive_retro

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ALIQUOT_TEST_DATA") or ROOT / "../shared/data").resolve() / "uspto"
SEED, SETS = 11, 50
_MAPS = re.compile(r":(\d+)\]")

Leaves = frozenset[str]


class Target(NamedTuple):
    """A product, and the molecules that it was made of: those that share a map number with it."""

    smiles: str
    recorded: Leaves


class Taken(NamedTuple):
    """What a command took: wall seconds, and CPU seconds of it and its children."""

    wall_s: float
    cpu_s: float


SAID: list[str] = []
"""The report so far."""


def say(text: str) -> None:
    """A line of the report."""
    SAID.append(text)
    print(text, flush=True)


def run(*words: str) -> Taken:
    """Run `aliquot`."""
    began_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "orchestrator.cli", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(time.monotonic() - began_s, cpu_s)


def read_targets() -> list[Target]:
    """The products of uspto50k-test with their recorded reactants; rows that do not parse are left out."""
    with (DATA / "uspto50k-test.csv").open() as file:
        texts = [row["reactants>reagents>production"] for row in csv.DictReader(file)]
    return [target for target in map(read_target, texts) if target is not None]


def read_target(text: str) -> Target | None:
    """The target of a reaction."""
    left, _, right = text.split(">")
    product = max(right.split("."), key=len)
    maps = set(_MAPS.findall(product))
    own = [molecule for molecule in left.split(".") if maps & set(_MAPS.findall(molecule))]
    key, recorded = naive_retro.canonicalise(product), {naive_retro.canonicalise(each) for each in own}
    return None if key is None or None in recorded else Target(key, frozenset(recorded))
