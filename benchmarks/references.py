"""What references cost a machine: the memory of 1, 2 and 4 hosts that map one, and knowing that it is sound.

    make bench-references                       # writes benchmarks/references.md, some minutes
    .venv/bin/python -m benchmarks.references --only mapped

Memory is PSS (/proc/PID/smaps_rollup: a page that k processes share counts a k-th in each) of the zygote and
its hosts, of the whole command, at the sample where it was most. Linux only. crossref's data is read from
ALIQUOT_TEST_DATA, else from ../shared/data beside the project, and left out where it is not there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from aliquot import Job, Reference, Stage
from aliquot.cache import Cache

PAGE = Path(__file__).with_suffix(".md")
DATA = Path(os.environ.get("ALIQUOT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "uspto"
HOSTS = (1, 2, 4)
REFERENCE_BYTES = 1 << 30
_MIB, _SAMPLE_S = 1 << 20, 0.2


@dataclass(frozen=True)
class Options:
    """Of the toy job."""

    stock: Reference


def open_stock(options: Options, _prepared: Path) -> Any:
    """Read a byte of every page of the reference for each record."""
    import numpy as np

    stock = np.memmap(options.stock.path, dtype=np.uint8, mode="r")

    def look_up(record: Mapping[str, Any]) -> list[dict[str, Any]]:
        time.sleep(0.05)
        return [{"n": record["n"], "sum": int(stock[::4096].sum())}]

    return lambda records: map(look_up, records)


mapped = Job("mapped", 1, Options, (Stage("look", open_stock),))


@dataclass(frozen=True)
class Memory:
    """PSS of all processes that have the job open, in MiB; of it mapped files, and what is in no file."""

    pss_mib: float
    file_mib: float
    anonymous_mib: float


def read_memory(pids: Sequence[int]) -> Memory:
    """Their memory; raises OSError where one has ended."""
    totals = {"Pss:": 0, "Pss_File:": 0, "Pss_Anon:": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(" ")
            if name in totals:
                totals[name] += int(rest.split()[0])
    return Memory(*(kib / 1024 for kib in totals.values()))


def sample(arguments: Sequence[str], workers: int) -> Memory:
    """The most that the zygote and all hosts of a command had at a time."""
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "run",
        *arguments,
        "--workers",
        str(workers),
        "--quiet",
    ]
    process = psutil.Popen([*command, "--quiet"], cwd=Path(__file__).parents[1])
    most = Memory(0.0, 0.0, 0.0)
    while process.poll() is None:
        time.sleep(_SAMPLE_S)
        try:
            # a zygote and those that it forked have one command line
            found = [
                each.pid for each in process.children(recursive=True) if "aliquot.zygote" in each.cmdline()
            ]
            seen = read_memory(found) if len(found) == workers + 1 else most
        except (psutil.Error, OSError):
            continue
        most = max(most, seen, key=lambda each: each.pss_mib)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return most


def tabulate(name: str, reference_mib: float, found: Mapping[int, Memory]) -> Iterator[str]:
    """The rows of one job."""
    for workers, memory in found.items():
        yield (
            f"| {name} | {workers} | {memory.pss_mib:,.0f} | {memory.file_mib:,.0f} "
            f"| {memory.anonymous_mib:,.0f} | {workers * reference_mib:,.0f} |"
        )


def measure_mapped(folder: Path) -> list[str]:
    """A job that maps 1 GiB and reads all of it."""
    stock, records = folder / "stock", folder / "records.csv"
    with stock.open("wb") as file:
        for number in range(REFERENCE_BYTES // _MIB):
            file.write(bytes([number % 251]) * _MIB)
    records.write_text("n\n" + "".join(f"{number}\n" for number in range(60)))
    job = ["benchmarks.references:mapped", str(records), "--stock", str(stock)]
    found = {n: sample([*job, "--out", str(folder / f"mapped-{n}")], n) for n in HOSTS}
    return list(tabulate("maps 1 GiB", REFERENCE_BYTES / _MIB, found))


def measure_crossref(folder: Path) -> list[str]:
    """crossref with all templates, of which hosts map what is prepared."""
    if not DATA.is_dir():
        return []
    job = ["crossref", str(DATA / "uspto50k-eval.csv"), "--templates", str(DATA / "templates.tsv")]
    more = ["--max-failed", "100%"]
    found = {n: sample([*job, *more, "--out", str(folder / f"crossref-{n}")], n) for n in HOSTS}
    (prepared,) = (folder / "crossref-1" / "ledger" / "prepared").iterdir()
    mib = sum(each.stat().st_size for each in prepared.rglob("*") if each.is_file()) / _MIB
    return list(tabulate(f"crossref, {mib:,.1f} MiB prepared", mib, found))


def measure_soundness(folder: Path) -> list[str]:
    """What it takes to know that a file in a cache is what it was."""
    folder = folder / "cache"
    (folder / "references").mkdir(parents=True)
    body = bytes(_MIB)
    digest = hashlib.sha256()
    path = folder / "references" / "of-this-benchmark"
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(body)
            digest.update(body)
    cache = Cache(folder, 1 << 40)
    path.rename(folder / "references" / digest.hexdigest())
    cache.hold([])
    name = f"references/{digest.hexdigest()}"
    began_s = time.perf_counter()
    cache.find(name, digest.hexdigest())  # nobody in this process has put it there: by its digest
    digested_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    for _ in range(1000):
        cache.find(name, digest.hexdigest())
    stat_us = 1000 * (time.perf_counter() - began_s)
    said = f"by its SHA-256 {digested_s:.2f} s (its pages in memory), by its stat {stat_us:.0f} us"
    return [f"To know that 1 GiB in a function's cache is what it was: {said}."]


PARTS = {"mapped": measure_mapped, "crossref": measure_crossref, "soundness": measure_soundness}


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aliquot-references-") as folder:
        found = {name: PARTS[name](Path(folder)) for name in asked.only.split(",")}
    rows = "\n".join([*found.get("mapped", ()), *found.get("crossref", ())])
    text = f"""# References

`make bench-references` measured this: PSS in MiB of the zygote and its hosts together, at the sample where it
was most. A page that several of them map counts once in all. N copies of what is mapped would be the last
column, beside what is in no file (what each host keeps of its own, and what `open` has left to all of them).

| job | hosts | PSS | of it mapped files | in no file | N copies would be |
|---|---|---|---|---|---|
{rows}

{"".join(found.get("soundness", ()))}
"""
    if asked.write:
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
