"""The share of targets that are solved and the recovery of recorded reactants, as the plain program has them.

Owns what is counted and compared. Imports `given`, `plain` and the job's kernel. When it is wrong, the
report flatters.
"""

from __future__ import annotations

import gzip
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.dataset

from aliquot_chem.expansion import Expander, FixedRanking
from aliquot_chem.prepared import load_prepared
from aliquot_chem.preparing import prepare_templates
from aliquot_chem.scores import prepare_scores
from benchmarks import naive_retro
from benchmarks.retro.given import DATA, SEED, SETS, Leaves, Target, read_targets, run, say
from benchmarks.retro.plain import Plain

TOPS = (1, 5, 10, 50)
_ALL = sys.maxsize


class Found(NamedTuple):
    """A route of one step: its template, its score and its leaves."""

    template_id: str
    score: float
    leaves: tuple[str, ...]


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
    """Share solved and recovery, and the same from the plain program on so many targets, drawn at random."""
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
    say(f"{len(stock):,} molecules in stock, indexed in {indexed.cpu_s:.0f} s of CPU; {len(targets):,}")
    say(f"targets, {taken.cpu_s / len(targets) * 1e3:.0f} ms of CPU a target, all in.\n")
    say("| of | targets | solved | " + " | ".join(f"top-{n}" for n in TOPS) + " |")
    say("|---|---|---|" + "---|" * len(TOPS))
    report_recovery("all targets: routes from the stock", targets, found)
    is_held = [target.recorded <= stock for target in targets]
    kept = [i for i, held in enumerate(is_held) if held]
    report_recovery(
        "those whose recorded reactants are in stock", [targets[i] for i in kept], [found[i] for i in kept]
    )
    is_right = compare_plain(folder, targets, stock, found, n_naive)
    say(
        f"The stock has all recorded reactants of {len(kept) / len(targets):.0%} of the targets, which bounds"
    )
    say("the first line.\n")
    return is_right


def report_recovery(name: str, targets: Sequence[Target], found: Sequence[Sequence[Found]]) -> None:
    """A line of the table: how many have a route, and how many the recorded one among the first n."""
    n = len(targets)
    solved = sum(map(bool, found))
    leaves: list[list[Leaves]] = [[frozenset(each.leaves) for each in own] for own in found]
    shares = [
        sum(target.recorded in own[:top] for target, own in zip(targets, leaves, strict=True)) for top in TOPS
    ]
    told = " | ".join(f"{share / n:.1%}" for share in shares)
    say(f"| {name} | {n:,} | {solved / n:.1%} | {told} |")


def read_routes(out: Path, n_targets: int) -> list[list[Found]]:
    """Per target its routes, ranked."""
    found: list[list[Found]] = [[] for _ in range(n_targets)]
    names = ["record", "rank", "template_ids", "score", "leaves"]
    table = pyarrow.dataset.dataset(out / "result").to_table(columns=names)
    columns = [table[name].to_pylist() for name in names]
    for record, rank, template_id, score, leaves in zip(*columns, strict=True):
        found[record].append(Found(template_id, score, tuple(leaves.split("."))))
        if len(found[record]) != rank:
            raise ValueError(f"record {record}: rank {rank} stands at place {len(found[record])}")
    return found


def read_stock(path: Path) -> set[str]:
    """The stock of the plain program."""
    return {key for key in map(naive_retro.canonicalise, set(path.read_text().splitlines())) if key}


def compare_plain(
    folder: Path, targets: Sequence[Target], stock: set[str], found: Sequence[list[Found]], n_plain: int
) -> bool:
    """Whether the plain program has the same routes and, without a limit, sets; and its recovery."""
    counts = folder / "counts/templates.parquet"
    plain, expander = Plain(counts), open_expander(folder / "prepared", counts)
    picked = list(range(len(targets)))
    random.Random(SEED).shuffle(picked)
    picked = picked[:n_plain]  # of fewer than all, some from all over, and the answers that are kept
    n_asked = len(picked)
    n_routes = n_sets = wrong_routes = wrong_sets = 0
    own_s = plain_s = 0.0
    ranked = []
    for i in picked:
        answer = plain.expand(targets[i].smiles)
        plain_s += answer.took_s
        began_s = time.process_time()
        own = [tuple(each) for each in expander.expand(targets[i].smiles)]
        own_s += time.process_time() - began_s
        n_sets += len(answer.steps)
        wrong_sets += own != [tuple(step) for step in answer.steps]
        search = naive_retro.Search([], stock, SETS)
        search.expanded[targets[i].smiles] = answer.steps[:SETS]
        routes = [Found(*route[0]) for route in search.rank(targets[i].smiles, 1, SETS)]
        n_routes += len(routes)
        wrong_routes += found[i] != routes
        ranked.append([Found(*step) for step in answer.steps[:SETS]])
    report_recovery("drawn from all: ranked sets, whatever the stock", [targets[i] for i in picked], ranked)
    each_ms, plain_ms = own_s / n_asked * 1e3, plain_s / n_asked * 1e3
    say(f"\nThe plain program (`benchmarks/naive_retro.py`) was asked for {n_asked:,} of the targets. Of its")
    say(f"{n_routes:,} routes those to {wrong_routes:,} targets differ, in leaves, template, score or order;")
    say(f"of its {n_sets:,} sets, without a limit, those of {wrong_sets:,} ({each_ms:.0f} ms of CPU a target")
    say(f"here, {plain_ms:.0f} there).\n")
    return not wrong_routes and not wrong_sets


def open_expander(prepared: Path, counts: Path) -> Expander:
    """The job's kernel, without a limit of sets."""
    prepared.mkdir()
    prepare_templates(DATA / "templates.tsv", prepared, "substructure", "retro", False)
    prepare_scores(counts, prepared)
    templates = load_prepared(prepared)
    return Expander(templates, FixedRanking(templates.ids, np.load(prepared / "scores.npy")), _ALL)
