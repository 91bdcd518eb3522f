"""Records that wait for a service, in coroutines, threads and processes: what each costs beside plain Python.

    make bench-waiting                          # writes benchmarks/waiting.md, some ten minutes
    .venv/bin/python -m benchmarks.waiting --requests 1000 --turns 1

Each request opens a connection to an HTTP server on this machine, which answers after 20 ms. Ways are
measured in turns, each in a process of its own that is counted with all its children; a run of few requests
is what starting costs, and is taken off. Nothing but this machine is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

import psutil

from benchmarks.engine.server import serve_waiting

PAGE = Path(__file__).with_suffix(".md")
ROOT = Path(__file__).parents[1]
WAIT_S = 0.02
WIDTHS = (16, 64)
_ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_SAMPLE_S = 0.05
_PORT = "ALIQUOT_BENCH_PORT"


def ask(record: Mapping[str, str]) -> dict[str, str]:
    """One request, waited for by the thread."""
    with create_connection(("127.0.0.1", int(os.environ[_PORT]))) as link:
        link.sendall(_ASK)
        said = b""
        while more := link.recv(4096):
            said += more
    return {"id": record["id"], "said": said[-4:].decode()}


async def ask_async(record: Mapping[str, str]) -> dict[str, str]:
    """One request, waited for on the loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[_PORT]))
    writer.write(_ASK)
    said = await reader.read()
    writer.close()
    return {"id": record["id"], "said": said[-4:].decode()}


def gather(records: Sequence[Mapping[str, str]], width: int) -> list[dict[str, str]]:
    """`asyncio.gather`, so many at a time by a semaphore."""

    async def main() -> list[dict[str, str]]:
        room = asyncio.Semaphore(width)

        async def one(record: Mapping[str, str]) -> dict[str, str]:
            async with room:
                return await ask_async(record)

        return await asyncio.gather(*map(one, records))

    return asyncio.run(main())


def pool_threads(records: Sequence[Mapping[str, str]], width: int) -> list[dict[str, str]]:
    """`ThreadPoolExecutor`."""
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(ask, records))


def pool_processes(records: Sequence[Mapping[str, str]], width: int) -> list[dict[str, str]]:
    """`multiprocessing.Pool`, records one by one."""
    with multiprocessing.Pool(width) as pool:
        return pool.map(ask, records, chunksize=1)


PLAIN: Mapping[str, Callable[[Sequence[Mapping[str, str]], int], list[dict[str, str]]]] = {
    "asyncio.gather": gather,
    "ThreadPoolExecutor": pool_threads,
    "multiprocessing.Pool": pool_processes,
}


def type_command(function: str, data: Path, out: Path, *words: str) -> list[str]:
    """The command that runs Aliquot."""
    run = [sys.executable, "-m", "orchestrator.cli", "run", f"benchmarks.waiting:{function}", str(data)]
    return [*run, "--out", str(out), "--quiet", *words]


def list_commands(data: Path, out: Path, width: int) -> dict[str, list[str]]:
    """Each way as a command."""
    wide = str(width)
    own = {
        "Aliquot, `async`": ("ask_async", "--workers", "1", "--threads", wide),
        "Aliquot, threads": ("ask", "--workers", "1", "--threads", wide),
        "Aliquot, processes": ("ask", "--workers", wide, "--threads", "1"),
    }
    said = {name: type_command(function, data, out, *words) for name, (function, *words) in own.items()}
    plain = [sys.executable, "-m", "benchmarks.waiting", "--plain"]
    return {**{name: [*plain, name, str(data), wide] for name in PLAIN}, **said}


@dataclass(frozen=True)
class Measured:
    """What a command took: wall and processor seconds, the most private memory of all its processes."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def measure(command: Sequence[str], port: str) -> Measured:
    """Run a command; raises CalledProcessError where it fails."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = psutil.Popen(command, cwd=ROOT, env={**os.environ, _PORT: port})
    most_mib = 0.0
    while process.poll() is None:
        time.sleep(_SAMPLE_S)
        most_mib = max(most_mib, _read_private_mib(process))
    wall_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall_s, cpu_s, most_mib)


def _read_private_mib(process: psutil.Process) -> float:
    total = 0.0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_info().rss - each.memory_info().shared
    except psutil.Error:
        return 0.0
    return total / 2**20


def compare(width: int, n_requests: int, n_turns: int, folder: Path, port: str) -> list[str]:
    """The rows of a width."""
    n_few = 2 * width
    rows: dict[str, list[tuple[Measured, Measured]]] = {}
    for _ in range(n_turns):
        for name in list_commands(folder, folder, width):
            pair = []
            for n in (n_few, n_requests):
                data, out = folder / f"{n}.csv", folder / "out"
                data.write_text("id\n" + "".join(f"{number}\n" for number in range(n)))
                pair.append(measure(list_commands(data, out, width)[name], port))
                shutil.rmtree(out, ignore_errors=True)
            rows.setdefault(name, []).append((pair[0], pair[1]))
            print(width, name, pair, flush=True)
    ideal_s = (n_requests - n_few) * WAIT_S / width
    return [_tabulate(width, name, found, n_requests - n_few, ideal_s) for name, found in rows.items()]


def _tabulate(
    width: int, name: str, found: Sequence[tuple[Measured, Measured]], n_more: int, ideal_s: float
) -> str:
    wall_s = statistics.median(whole.wall_s - few.wall_s for few, whole in found)
    cpu_ms = statistics.median(1e3 * (whole.cpu_s - few.cpu_s) / n_more for few, whole in found)
    memory_mib = statistics.median(whole.memory_mib for _, whole in found)
    start_s = statistics.median(few.wall_s for few, _ in found)
    return (
        f"| {width} | {name} | {wall_s:.1f} | {wall_s / ideal_s:.2f} | {cpu_ms:.2f} "
        f"| {memory_mib:,.0f} | {start_s:.1f} |"
    )


def write_page(rows: Sequence[str], n_requests: int, n_turns: int, load: float) -> None:
    """`benchmarks/waiting.md`.

    Args:
        load: processes that were at work on the machine before it began.
    """
    PAGE.write_text(
        f"""# Records that wait

`make bench-waiting` measured this: {n_requests:,} requests to an HTTP server on the same machine of
{os.cpu_count()} cores, each on a connection of its own and answered after {1e3 * WAIT_S:g} ms, in coroutines,
threads and processes; medians of {n_turns} turns, in which the ways take their turns. Aliquot reads its
records from a file, keeps every outcome on disk and writes Parquet; the others hold a list. Starting (a run
of few requests, the last column) is taken off seconds and CPU. The ideal is all waits divided by how many
there are at a time. The server's own time is not in the table, but it takes turns at the same cores; so did
{load:.0f} other processes on average when this began: seconds compare with each other, and CPU says more than
they do.

| at a time | way | s | of the ideal | ms of CPU a request | MiB, private | s of a start |
|---|---|---|---|---|---|---|
"""
        + "\n".join(rows)
        + "\n"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the page where all of it was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.plain is not None:
        name, data, width = asked.plain
        records = [{"id": line} for line in Path(data).read_text().split()[1:]]
        if {row["said"] for row in PLAIN[name](records, int(width))} != {"done"}:
            raise SystemExit(1)
        return
    load = os.getloadavg()[0]
    with serve_waiting(WAIT_S) as address, tempfile.TemporaryDirectory() as name:
        port, rows = address.rpartition(":")[2].strip("/"), []
        for width in WIDTHS:
            rows += compare(width, asked.requests, asked.turns, Path(name), port)
    print("\n".join(rows))
    if asked.write:
        write_page(rows, asked.requests, asked.turns, load)


if __name__ == "__main__":
    main()
