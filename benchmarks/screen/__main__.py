"""The benchmark's command: see the package."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from aliquot_chem.index_writing import write_index
from benchmarks.screen.library import N_BITS, Rows, compute_real, list_entries, make_rows, read_smiles
from benchmarks.screen.peers import SEARCHES, TOP, Absent, Scores, Search, index_by_fpsim2

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "benchmarks/screen.md"
_DATA = Path(os.environ.get("ALIQUOT_TEST_DATA") or ROOT / "../shared/data") / "molecules"
_FEW = {"RDKit BulkTanimotoSimilarity": 4}  # queries a turn, of those that take long
_SEED, _N_QUERIES = 7, 32

_HEAD = """# Similarity search beside its peers

Written by `make bench-screen` on {place}.

{n:,} Morgan fingerprints of radius 2 and {bits:,} bits: those of {n_real:,} natural products, and more
made of them by noise (seeded: an eighth of the bits off, an eighth of another's on). {n_queries} queries
out of them, the {top} best of each; scores are held equal. CPU time of one core, medians of {n_turns}
turns in which all take part, lowest and highest in brackets.

## Search, the fingerprints in memory

| | ms a query | ns a fingerprint | times Aliquot's |
|---|---|---|---|"""
_INDEX = """
FPSim2 and chemfp are asked for the best whatever their scores (threshold 0), as Aliquot is; chemfp and
Aliquot pass over fingerprints that have too few or too many bits. chemfp's later releases are not on PyPI;
the Python part of 1.6.1 does not import on Python 3, so its kernel is called by itself.

## Index

| | CPU us a molecule |
|---|---|
| RDKit alone: reading SMILES and computing fingerprints | {read_us:,.0f} |
| Aliquot: the same, and writing the index of all (order, columns, ids) | {own_us:,.0f} |
| FPSim2: `create_db_file` of the natural products | {peer_us} |"""


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and write the page or print it."""
    asked = _parse(words)
    library = read_smiles(_DATA / "natural-products-50k.smi.gz")
    real, read_s = compute_real(library)
    rows = make_rows(real, asked.fingerprints, _SEED)
    numbers = np.random.default_rng(_SEED).choice(len(rows), _N_QUERIES, replace=False).tolist()
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        index = Path(folder) / "library.index"
        begun_s = time.process_time()
        write_index(index, list_entries(rows), [], "", {"bits": N_BITS})
        write_s = time.process_time() - begun_s
        samples, absent = measure(rows, index, numbers, asked.turns)
        peer_us = _index_peer(library, Path(folder))
    page = _describe(rows, len(real), read_s, write_s, samples, absent, asked.turns, peer_us)
    text = "\n".join(page) + "\n"
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def measure(
    rows: Rows, index: Path, numbers: list[int], n_turns: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """CPU seconds a query in each turn, all taking turns; and who is not there. Scores are held equal."""
    searches: dict[str, Search] = {}
    absent: dict[str, str] = {}
    for name, open_search in SEARCHES.items():
        try:
            searches[name] = open_search(rows, index)
        except Absent as err:
            absent[name] = str(err)
        _say(f"{name}: {absent.get(name, 'ready')}")
    samples: dict[str, list[float]] = {name: [] for name in searches}
    wanted: list[Scores] = []
    for turn in range(n_turns):
        for name, search in searches.items():
            some = numbers[: _FEW.get(name, len(numbers))]
            begun_s = time.process_time()
            found = search(some)
            samples[name].append((time.process_time() - begun_s) / len(some))
            wanted = wanted or found
            if not all(np.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=False)):
                raise SystemExit(f"{name} finds other scores than the first")
            _say(f"turn {turn + 1}: {name} {samples[name][-1] * 1e3:.1f} ms a query")
    return samples, absent


def _describe(
    rows: Rows,
    n_real: int,
    read_s: float,
    write_s: float,
    samples: dict[str, list[float]],
    absent: dict[str, str],
    n_turns: int,
    peer_us: str,
) -> Iterator[str]:
    first = statistics.median(next(iter(samples.values())))
    versions = ", ".join(f"{name} {_find_version(name)}" for name in ("numpy", "rdkit", "FPSim2", "chemfp"))
    place = f"{platform.machine()}, Python {platform.python_version()}, {versions}"
    yield _HEAD.format(
        place=place, n=len(rows), bits=N_BITS, n_real=n_real, n_queries=_N_QUERIES, top=TOP, n_turns=n_turns
    )
    for name, own in samples.items():
        middle = statistics.median(own)
        span = f"{middle * 1e3:,.1f} ({min(own) * 1e3:,.1f}-{max(own) * 1e3:,.1f})"
        yield f"| {name} | {span} | {middle / len(rows) * 1e9:.1f} | {middle / first:.1f} |"
    for name, why in absent.items():
        yield f"| {name} | {why} | | |"
    read_us, write_us = read_s / n_real * 1e6, write_s / len(rows) * 1e6
    yield _INDEX.format(read_us=read_us, own_us=read_us + write_us, peer_us=peer_us)


def _index_peer(library: list[str], folder: Path) -> str:
    """CPU microseconds a molecule that FPSim2 takes for the library, its processes counted in."""
    begun = os.times()
    try:
        index_by_fpsim2(library, folder / "library.h5")
    except Absent as err:
        return str(err)
    ended = os.times()
    return f"{sum(ended[:4]) * 1e6 / len(library) - sum(begun[:4]) * 1e6 / len(library):,.0f}"


def _find_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-screen")
    parser.add_argument("--fingerprints", type=int, default=5_000_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write benchmarks/screen.md")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
