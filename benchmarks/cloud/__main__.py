"""Count and time the way through a stack, and print it; with --write the page goes to benchmarks/cloud.md.

    python -m benchmarks.cloud [--repetitions 21] [--only requests | imports] [--write]

Ends with status 1 where a figure misses its aim.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cloud.imports import MOST_ABOVE_S, Imports, list_parts, measure_imports
from benchmarks.cloud.requests import (
    N_ENVIRONMENTS,
    Counted,
    count_runs,
    rehearse_short_slices,
    run_crossref,
    run_resting,
)

REPORT = Path(__file__).resolve().parents[1] / "cloud.md"
AIM = {"get chunks": 1, "get stop": 1, "put outcomes": 1}
KINDS = {
    "done in one slice": AIM,
    "handed back": {**AIM, "send": 1},
    "an environment's first": None,
    "delivered again": None,
    "nothing left to do": None,
}
_LEAST_PART_MS = 0.5


def main() -> int:
    """Read the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=21)
    parser.add_argument("--only", choices=["requests", "imports"])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines, is_met = ["# The way through a stack", "", "Written by `make bench-cloud`."], True
    if given.only != "imports":
        counted, n_opened = count_on_rehearsal()
        lines += write_requests(counted, n_opened)
        is_met = is_met and meets_aim(counted)
    if given.only != "requests":
        with tempfile.TemporaryDirectory() as compiled:
            imports = measure_imports(given.repetitions, Path(compiled))
            lines += write_imports(imports, list_parts(Path(compiled)))
        is_met = is_met and imports.find_above_s("cpu_s") <= MOST_ABOVE_S
    text = "\n".join(lines) + "\n"
    print(text)
    if given.write:
        REPORT.write_text(text, encoding="utf-8")
    return 0 if is_met else 1


def count_on_rehearsal() -> tuple[Counted, int]:
    """The requests of two runs, and how many processes opened the first's job."""
    with tempfile.TemporaryDirectory() as folder, rehearse_short_slices(Path(folder)) as stack:
        n_opened = run_resting(Path(folder))
        run_crossref(Path(folder))
        return count_runs(stack), n_opened


def meets_aim(counted: Counted) -> bool:
    """Whether no slice asked S3 or a queue for more than its kind's aim."""
    return all(
        each.requests[name] <= aim.get(name, name == "hide")
        for each in counted.slices
        if (aim := KINDS[each.kind]) is not None
        for name in each.requests
    )


def write_requests(counted: Counted, n_opened: int) -> Iterator[str]:
    """The tables of requests."""
    yield from (
        "",
        "## Requests, counted on the rehearsal",
        "",
        "The real template with slices of a second, two runs, 30% of the messages delivered twice. A HEAD",
        "counts as a GET. Besides, each delivery is received and deleted by its queue's mapping,",
        f"{counted.per_message['ReceiveMessage']:g} and {counted.per_message['DeleteMessage']:g} requests.",
        "",
        "| a worker's invocation | seen | requests |",
        "|---|---|---|",
    )
    for kind in KINDS:
        yield from write_rows(kind, [each.requests for each in counted.slices if each.kind == kind])
    yield from (
        "",
        f"The first run's job was opened by {n_opened} processes in {N_ENVIRONMENTS} environments.",
        "",
        "| a tick, a merge | seen | requests |",
        "|---|---|---|",
    )
    yield from write_rows("tick that goes on", [each for each in counted.ticks if not each["put roster"]])
    yield from write_rows("tick that settles", [each for each in counted.ticks if each["put roster"]])
    yield from write_rows("merge of a group", [each for each in counted.merges if not each["put stop"]])
    yield from write_rows("publication", [each for each in counted.merges if each["put stop"]])
    rest, per_tick = counted.transitions["the rest of a run"], counted.transitions["a tick"]
    yield from (
        "",
        f"Transitions: {per_tick:g} a tick that goes on, {rest:g} for the rest of a run of one group.",
    )


def write_rows(kind: str, requests: Sequence[Counter[str]]) -> Iterator[str]:
    """A row for each way in which something of a kind came about, the frequent ones first."""
    ways = Counter(", ".join(f"{n} {name}" for name, n in sorted(each.items())) for each in requests)
    for way, n_seen in ways.most_common():
        yield f"| {kind} | {n_seen} | {way} |"


def write_imports(imports: Imports, parts: list[tuple[str, float]]) -> Iterator[str]:
    """The table of imports."""
    yield from (
        "",
        "## The worker's import",
        "",
        f"{len(imports.floor)} pairs of fresh interpreters in turns, all modules compiled: boto3, Powertools",
        f"and the clients, and the handler. Aim: {MOST_ABOVE_S:g} s more of CPU. Median, and the quartiles.",
        "",
        "| | CPU s | wall s |",
        "|---|---|---|",
    )
    for name, starts in (("floor", imports.floor), ("handler", imports.handler)):
        cells = [say_spread([getattr(each, clock) for each in starts]) for clock in ("cpu_s", "wall_s")]
        yield f"| {name} | {' | '.join(cells)} |"
    above = [say_spread(imports.list_above_s(clock)) for clock in ("cpu_s", "wall_s")]
    yield f"| handler above the floor beside it | {' | '.join(above)} |"
    shown = [f"{name} {own_ms:.1f}" for name, own_ms in parts if own_ms >= _LEAST_PART_MS]
    yield from (
        "",
        f"Where it goes, in ms of each module's own (`-X importtime`, the least of 8): {', '.join(shown)}.",
    )


def say_spread(seconds: Sequence[float]) -> str:
    """The median and the quartiles."""
    low, median, high = statistics.quantiles(seconds, n=4)
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    raise SystemExit(main())
