"""What a program in another language costs a record beside a function of one: the hop through a host of ours.

    make bench-programs                     # writes benchmarks/programs.md, some 5 minutes

Every row is the same task, masses of formulas (examples/languages), by `aliquot run` with one worker; but of
`tr`, which leaves the work out. Processor time is that of the whole command and all that it started (a
program that is killed at the end is looked at until then): what 200,000 records take more than 20,000 do, a
record. Orders are shuffled; the median of the rounds counts. What
is not installed here is left out.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PAGE = Path(__file__).with_suffix(".md")
EXAMPLES = Path(__file__).parents[1] / "examples" / "languages"
FEW, MANY = 20_000, 200_000
LINES = ["--lines", "tsv"]
NOTHING, FUNCTION = "a Python function that weighs nothing, in the host", "a Python function, in the host"
_LOOK_S = 0.02


def weigh_nothing(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row as of the others, without their work."""
    return {"id": record["id"], "mass": 1.0}


def write_formulas(path: Path, n_records: int) -> None:
    """A table of so many formulas."""
    rng = random.Random(1)
    with path.open("w") as file:
        file.write("id,formula\n")
        for at in range(n_records):
            file.write(f"m{at},C{rng.randint(1, 30)}H{rng.randint(1, 60)}O{rng.randint(1, 9)}Cl\n")


def list_commands(folder: Path) -> dict[str, list[str]]:
    """The words of `aliquot run` behind the dataset, by what they measure; programs are built in `folder`."""
    commands = {
        NOTHING: [],
        FUNCTION: [],
        "Python, the record protocol": ["--command", f"{sys.executable} {EXAMPLES}/mass.py"],
        "`tr`, lines": ["--command", "tr C N", *LINES],
        "`awk`, lines": ["--command", "awk -F '\\t' '{ print $1, length($2) }' OFS='\\t'", *LINES],
    }
    if shutil.which("g++"):
        build = ["g++", "-O2", "-std=c++17", "-o", f"{folder}/mass", f"{EXAMPLES}/mass.cpp"]
        subprocess.run(build, check=True)
        commands["C++, the record protocol"] = ["--command", f"{folder}/mass"]
    if shutil.which("javac"):
        subprocess.run(["javac", "-d", f"{folder}/classes", f"{EXAMPLES}/Mass.java"], check=True)
        java = f"java -XX:+UseSerialGC -Xmx64m -cp {folder}/classes Mass"
        commands["Java, the record protocol"] = ["--command", java]
    if shutil.which("pypy3"):
        commands["PyPy, the record protocol"] = ["--command", f"pypy3 {EXAMPLES}/mass.py"]
    if shutil.which("jq"):
        filtering = ["--command", "jq -c '{id, n: (.formula|length)}'", "--lines", "json"]
        commands["`jq`, lines"] = filtering
    return commands


def read_cpu_s() -> float:
    """Processor time of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch_programs(pid: int, seen_s: dict[int, float]) -> None:
    """Note what the programs of a run have taken so far: hosts are killed, and do not wait for them."""
    with suppress(psutil.Error):
        for each in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                if not any("aliquot." in word or word == "orchestrator.cli" for word in each.cmdline()):
                    used = each.cpu_times()
                    seen_s[each.pid] = used.user + used.system


def run_once(name: str, words: list[str], data: Path, folder: Path) -> float:
    """Processor time of a run."""
    function = f"{__file__}:weigh_nothing" if name == NOTHING else f"{EXAMPLES}/mass.py:answer"
    job = "exec" if words else function
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    began_s = read_cpu_s()
    command = [sys.executable, "-m", "orchestrator.cli", "run", job, str(data), *words]
    command += ["--out", str(out), "--workers", "1", "--quiet"]
    unwaited: dict[int, float] = {}
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            if words and "--lines" not in words:
                watch_programs(process.pid, unwaited)
            time.sleep(_LOOK_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return read_cpu_s() - began_s + sum(unwaited.values())


def measure(n_rounds: int) -> Mapping[str, float]:
    """Microseconds of processor time a record, by what was measured, the least first."""
    with tempfile.TemporaryDirectory(prefix="aliquot-programs-") as name:
        folder = Path(name)
        for n_records in (FEW, MANY):
            write_formulas(folder / f"{n_records}.csv", n_records)
        commands = list_commands(folder)
        found: dict[str, list[float]] = {each: [] for each in commands}
        for _ in range(n_rounds):
            for each in random.sample(list(commands), len(commands)):
                took = [run_once(each, commands[each], folder / f"{n}.csv", folder) for n in (FEW, MANY)]
                found[each].append((took[1] - took[0]) / (MANY - FEW) * 1e6)
                print(f"{each}: {found[each][-1]:.1f} us", file=sys.stderr)
    medians = {each: statistics.median(values) for each, values in found.items()}
    return dict(sorted(medians.items(), key=lambda item: item[1]))


def describe(found: Mapping[str, float]) -> str:
    """The page."""
    rows = "\n".join(f"| {each} | {value:.0f} |" for each, value in found.items())
    return f"""\
# Programs in other languages

`make bench-programs` measured this: masses of formulas, by `aliquot run` with one worker, in microseconds of
processor time a record, reading, packing and delivering included.

| | us of CPU a record |
|---|---|
{rows}

`tr`, `awk` and `jq` do other work, less of it; they are started for every thousand records.
"""


def main() -> None:
    """Measure, and say or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    given = parser.parse_args()
    page = describe(measure(given.rounds))
    print(page)
    if given.write:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
