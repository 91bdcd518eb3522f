"""The share of targets that are solved and the recovery of recorded reactants, as the plain program has them.

Owns what is counted. Imports `given` and the plain program. When it is wrong, the report flatters.
"""

from __future__ import annotations

import csv
import gzip
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet

from benchmarks import naive_retro
from benchmarks.retro.given import DATA, SEED, SETS, Leaves, Target, read_targets, run, say

TOPS = (1, 5, 10, 50)


def write_inputs(folder: Path, targets: Sequence[Target]) -> None:
    """Targets, the stock's molecules and the counts of templates."""
    (folder / "targets.smi").write_text("".join(f"{t.smiles} t{i}\n" for i, t in enumerate(targets)))
    with gzip.open(DATA / "uspto480k-valid.rsmi.gz", "rt") as file, (folder / "stock.smi").open("w") as out:
        for line in file:
            for molecule in line.split(">")[0].split("."):
                out.write(f"{molecule}\n")
    words = ("--templates", str(DATA / "templates.tsv"), "--out", str(folder / "counts"), "--quiet")
    run("run", "crossref", str(DATA / "uspto50k-eval.csv"), *words)


def measure_recovery(folder: Path, n_naive: int) -> bool:
    """Share solved and recovery, and the same from the plain program on some targets."""
    targets = read_targets()
    write_inputs(folder, targets)
    indexed = run("index", "stock", str(folder / "stock.smi"), "--out", str(folder / "stock"))
    words = [
        *("run", "retro", str(folder / "targets.smi"), "--templates", str(DATA / "templates.tsv")),
        *("--stock", str(folder / "stock"), "--counts", str(folder / "counts/templates.parquet")),
        *("--sets", str(SETS), "--out", str(folder / "retro"), "--quiet"),
    ]
    taken = run(*words)
    found = read_routes(folder / "retro", len(targets))
    stock = read_stock(folder / "stock.smi")
    say("## Recovery of recorded reactants\n")
    say(f"{len(stock):,} molecules in stock, indexed in {indexed.wall_s:.0f} s; {len(targets):,} targets in")
    say(f"{taken.wall_s:.0f} s, {taken.cpu_s / len(targets) * 1e3:.0f} ms of CPU a target, all in.\n")
    say("| of | targets | solved | " + " | ".join(f"top-{n}" for n in TOPS) + " |")
    say("|---|---|---|" + "---|" * len(TOPS))
    report_recovery("all targets: routes from the stock", targets, found)
    is_held = [target.recorded <= stock for target in targets]
    kept = [i for i, held in enumerate(is_held) if held]
    report_recovery(
        "those whose recorded reactants are in stock", [targets[i] for i in kept], [found[i] for i in kept]
    )
    return compare_naive(folder, targets, stock, found, n_naive)


def report_recovery(name: str, targets: Sequence[Target], found: Sequence[Sequence[Leaves]]) -> None:
    """A line of the table: how many have a route, and how many the recorded one among the first n."""
    n = len(targets)
    solved = sum(map(bool, found))
    shares = [
        sum(target.recorded in own[:top] for target, own in zip(targets, found, strict=True)) for top in TOPS
    ]
    told = " | ".join(f"{share / n:.1%}" for share in shares)
    say(f"| {name} | {n:,} | {solved / n:.1%} | {told} |")


def read_routes(out: Path, n_targets: int) -> list[list[Leaves]]:
    """Per target the leaves of its routes, ranked."""
    found: list[list[Leaves]] = [[] for _ in range(n_targets)]
    table = pyarrow.dataset.dataset(out / "result").to_table(columns=["record", "rank", "leaves"])
    for record, rank, leaves in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        found[record].append(frozenset(leaves.split(".")))
        if len(found[record]) != rank:
            raise ValueError(f"record {record}: rank {rank} stands at place {len(found[record])}")
    return found


def read_stock(path: Path) -> set[str]:
    """The stock of the plain program."""
    return {key for key in map(naive_retro.canonicalise, set(path.read_text().splitlines())) if key}


def compare_naive(
    folder: Path, targets: Sequence[Target], stock: set[str], found: Sequence[list[Leaves]], n_naive: int
) -> bool:
    """Whether the plain program has the same routes for some targets; and its recovery without a stock."""
    counts = pyarrow.parquet.read_table(folder / "counts/templates.parquet").to_pydict()
    by_id = dict(zip(counts["template_id"], counts["reactions"], strict=True))
    with (DATA / "templates.tsv").open() as file:
        rows = [(row["id"], row["smarts"]) for row in csv.DictReader(file, delimiter="\t")]
    search = naive_retro.Search(naive_retro.load_templates(rows, by_id), stock, SETS)
    picked = sorted(random.Random(SEED).sample(range(len(targets)), min(n_naive, len(targets))))
    began_s = time.process_time()
    expected = [
        [frozenset(route[0].leaves) for route in search.rank(targets[i].smiles, 1, SETS)] for i in picked
    ]
    per_target_ms = (time.process_time() - began_s) / max(1, len(picked)) * 1e3
    n_wrong = sum(found[i] != own for i, own in zip(picked, expected, strict=True))
    ranked = [[frozenset(step.leaves) for step in search.expand(targets[i].smiles)] for i in picked]
    report_recovery("a sample: ranked sets, whatever the stock", [targets[i] for i in picked], ranked)
    n_routes = sum(map(len, expected))
    say(f"\nThe plain program (`benchmarks/naive_retro.py`) takes {per_target_ms:.0f} ms a target. Of its")
    say(f"{n_routes:,} routes to {len(picked):,} targets those to {n_wrong} differ, in leaves or order.\n")
    return not n_wrong
