"""Rows' values packed and read back by the codec and by its rivals: bytes and processor time.

    python -m benchmarks.codec              prints the tables
    python -m benchmarks.codec --write      and writes benchmarks/codec.md

Each case is the values of one column, as a step's rows have them. In each turn every way packs and unpacks it
once, in another order, so that what else the machine does meets them alike; times are CPU milliseconds,
medians with the quartiles. RDKit's pickles are taken twice: as RDKit sets them, which drops properties and
halves coordinates, and asked for all of it, as the codec keeps: the verdict is against these.

Owns the measuring and the page. When it is wrong, we boast.
"""

from __future__ import annotations

import argparse
import pickle
import platform
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cloudpickle
import numpy as np
import zstandard
from rdkit import Chem, RDLogger, rdBase

from benchmarks.codec_cases import SEED, Case, Way, make_cases

HERE = Path(__file__).parent
CODEC, PICKLE, KEEPS_ALL = "codec", "pickle 5", "pickle 5, all of RDKit's"
_OPTIONS = Chem.PropertyPickleOptions
_ALL = int(_OPTIONS.AllProps) | int(_OPTIONS.CoordsAsDouble)
_DEFAULT = Chem.GetDefaultPickleProperties()


@dataclass
class Measured:
    """Of one way: bytes, also behind zstd as rows are stored; CPU ms of packing and unpacking by turn."""

    n_bytes: int = 0
    n_stored: int = 0
    pack_ms: list[float] = field(default_factory=list)
    unpack_ms: list[float] = field(default_factory=list)

    @property
    def both_ms(self) -> float:
        """Packing and unpacking, by the medians."""
        return statistics.median(self.pack_ms) + statistics.median(self.unpack_ms)


def list_ways(case: Case) -> dict[str, Way]:
    """The codec, the pickles, and what else the case can go by."""
    plain = partial(Chem.SetDefaultPickleProperties, _DEFAULT)
    ways = {
        CODEC: case.codec,
        PICKLE: Way(partial(pickle.dumps, protocol=5), pickle.loads, plain),
        "cloudpickle": Way(partial(cloudpickle.dumps, protocol=5), pickle.loads, plain),
    }
    if case.is_rdkit:
        keeping = partial(Chem.SetDefaultPickleProperties, _ALL)
        ways[KEEPS_ALL] = Way(partial(pickle.dumps, protocol=5), pickle.loads, keeping)
    return ways | case.more


def measure(case: Case, turns: int) -> dict[str, Measured]:
    """Every way in every turn, each time in another order; the first turn warms and is left out."""
    ways = list_ways(case)
    measured = {name: Measured() for name in ways}
    order = list(ways)
    for turn in range(turns + 1):
        random.Random(SEED + turn).shuffle(order)
        for name in order:
            way, noted = ways[name], measured[name]
            way.prepare()
            began = time.process_time()
            body = way.pack(case.values)
            packed = time.process_time()
            read = way.unpack(body)
            ended = time.process_time()
            del read
            if turn:
                noted.pack_ms.append((packed - began) * 1e3)
                noted.unpack_ms.append((ended - packed) * 1e3)
            noted.n_bytes, noted.n_stored = len(body), len(zstandard.compress(body, 1))
    Chem.SetDefaultPickleProperties(_DEFAULT)
    return measured


def judge(case: Case, measured: dict[str, Measured]) -> tuple[bool, str]:
    """Whether the codec is ahead of pickle in bytes or time and not 10% behind in both, and the figures."""
    rival = measured[KEEPS_ALL if case.is_rdkit else PICKLE]
    own = measured[CODEC]
    of_bytes, of_time = own.n_bytes / rival.n_bytes, own.both_ms / rival.both_ms
    is_ahead = min(of_bytes, of_time) < 1 and not (of_bytes > 1.1 and of_time > 1.1)
    said = f"{of_bytes:.3f} | {own.n_stored / rival.n_stored:.2f} | {of_time:.2f}"
    return is_ahead, f"| {case.name} | {said} | {'yes' if is_ahead else '**no**'} |"


def show(case: Case, measured: dict[str, Measured]) -> str:
    """A case's table."""
    lines = [
        f"### {case.name}",
        "",
        "| way | bytes | behind zstd | pack ms | unpack ms |",
        "|---|---|---|---|---|",
    ]
    for name, each in measured.items():
        times = " | ".join(_spread(ms) for ms in (each.pack_ms, each.unpack_ms))
        lines.append(f"| {name} | {each.n_bytes:,} | {each.n_stored:,} | {times} |")
    return "\n".join(lines)


def _spread(ms: list[float]) -> str:
    low, middle, high = statistics.quantiles(ms, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main(arguments: list[str]) -> int:
    """Measure, print, and with --write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/codec.md")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    asked = parser.parse_args(arguments)
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    cases = [case for case in make_cases() if asked.only in case.name]
    verdicts, tables = [], []
    for case in cases:
        measured = measure(case, asked.turns)
        verdicts.append(judge(case, measured))
        tables.append(show(case, measured))
        print(tables[-1], verdicts[-1][1], sep="\n", end="\n\n", flush=True)
    if asked.write:
        rdkit_version = f"RDKit {rdBase.rdkitVersion}"
        said = HEAD.format(
            turns=asked.turns,
            versions=f"Python {platform.python_version()}, NumPy {np.__version__}, {rdkit_version}",
            verdicts="\n".join(line for _, line in verdicts),
            tables="\n\n".join(tables),
        )
        (HERE / "codec.md").write_text(said)
    return 0 if all(is_ahead for is_ahead, _ in verdicts) else 1


HEAD = """# The codec beside pickle, cloudpickle, JSON, Arrow IPC and SMILES

`make bench-codec`: {versions}. Each case is the values of one column as a step's rows have
them, on natural products and reaction templates; every way packs and unpacks each in {turns} turns, in
another order each time. Times are CPU milliseconds, medians with quartiles.

RDKit's pickles drop properties and halve coordinates unless they are asked for all of it; the codec keeps
all, so it is judged against the pickles that do ("all of RDKit's"). Those that drop are shown too. JSON and
Arrow hold less than the values where that is said. Columns of RDKit's binaries are squeezed by zstd as they
are packed: "behind zstd" is what any of them takes in a run's objects, where everything is. The contents of
tables are the same bytes in pickles. Of what it reads the codec checks every offset and text, as a pickle
does not: of a table of 2,000 rows that is 30 us, and where a column holds one table alone, about as
much goes into code that is not yet in the processor's caches.

## Codec / pickle 5 that keeps as much

| case | bytes | behind zstd | time, pack and unpack | ahead in bytes or time, not 10% behind in both |
|---|---|---|---|---|
{verdicts}

## Cases

{tables}
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
