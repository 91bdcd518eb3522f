"""The campaign's command: see the package."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.chaos.cases import STACKABLE, Answer, Case, write_cases
from benchmarks.chaos.local import import_everything, run_calmly, run_disturbed
from benchmarks.chaos.report import Ran, describe_campaign, describe_failure

LOCAL, STACK, BUDGET = "local", "rehearsal", "budget"


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign; gives the exit code: 1 where the contract broke."""
    asked = _parse(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends with it
    began_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="aliquot-chaos-")).resolve()
    runs: list[Ran] = []
    try:
        counts = asked.local, asked.rehearsal, asked.budget
        for ran in run_campaign(folder, asked.seed, *counts, asked.jobs, asked.only):
            runs.append(ran)
            if not ran.is_good:
                print(describe_failure(ran, asked.seed), file=sys.stderr, flush=True)
            elif len(runs) % 25 == 0:
                print(f"{len(runs)} runs, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    finally:
        if not asked.keep and all(ran.is_good for ran in runs):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}", file=sys.stderr)
    print(describe_campaign(runs, asked.seed, time.monotonic() - began_s))
    return int(not all(ran.is_good for ran in runs))


def run_campaign(
    folder: Path, seed: int, n_local: int, n_stack: int, n_budget: int, n_jobs: int, only: str = ""
) -> Iterable[Ran]:
    """The runs, as they end.

    Args:
        only: `backend:seed` of a single run.
    """
    import_everything()
    cases = write_cases(folder / "data", seed)
    wanted = {LOCAL: range(n_local), STACK: range(n_stack), BUDGET: range(n_budget)}
    if only:
        backend, _, number = only.partition(":")
        wanted = {name: range(0) for name in wanted} | {backend: range(int(number), int(number) + 1)}
    needed = {cases[number % len(cases)].name for number in wanted[LOCAL]} | set(
        STACKABLE if wanted[STACK] else ()
    )
    calm = {case.name: run_calmly(case, folder / "calm" / case.name) for case in cases if case.name in needed}
    if wanted[LOCAL]:
        yield from _run_local(folder, seed, cases, calm, wanted[LOCAL], n_jobs)
    if wanted[STACK]:
        from benchmarks.chaos.stacked import run_stacked  # boto3 and moto, when sessions are forked no more

        yield from run_stacked(folder / "stack", seed, cases, calm, wanted[STACK])
    if wanted[BUDGET]:
        from benchmarks.chaos.budgets import run_budgets

        yield from run_budgets(seed, wanted[BUDGET])


def _run_local(
    folder: Path, seed: int, cases: list[Case], calm: dict[str, Answer], numbers: range, n_jobs: int
) -> Iterable[Ran]:
    """Local runs, in processes that each do one after the other."""
    context = multiprocessing.get_context("fork")
    given = [(folder, seed, cases[number % len(cases)], calm, number) for number in numbers]
    if n_jobs == 1 or len(given) == 1:
        yield from map(_run_one, given)
        return
    with context.Pool(n_jobs) as pool:
        yield from pool.imap_unordered(_run_one, given)


def _run_one(given: tuple[Path, int, Case, dict[str, Answer], int]) -> Ran:
    folder, seed, case, calm, number = given
    return run_disturbed(case, calm[case.name], number + seed * 100_000, number, folder / f"local-{number}")


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--local", type=int, default=360, help="runs on the local backend")
    parser.add_argument("--rehearsal", type=int, default=80, help="runs on one rehearsed stack")
    parser.add_argument("--budget", type=int, default=100, help="simulated runs under a budget")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="local runs at a time")
    parser.add_argument("--only", default="", metavar="BACKEND:NUMBER", help="this run alone")
    parser.add_argument("--keep", action="store_true", help="leave the folders of the runs")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
