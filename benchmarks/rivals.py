"""The kernel beside other ways to cross-reference, on the same rows, one block of rows after the other.

Rivals: the naive double loop, rdchiral, and PostgreSQL's RDKit cartridge, where these are installed; and, as
a floor, RDKit's parsing of both sides alone. Owns the paired tables. What is asked runs in this process, so
its figures are of the kernel without the engine. When it is wrong, we boast.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rdkit import Chem

from aliquot.errors import ParseFailure
from aliquot.job import Reference
from aliquot_chem.crossref import Options, Reaction, build_matcher, open_matcher

sys.path.insert(0, str(Path(__file__).parent))
import naive_crossref

DATA = (
    Path(os.environ.get("ALIQUOT_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
    / "uspto"
)
SEED = 11
N_REACTIONS, N_TEMPLATES = 10_000_000, 10_195
N_WARMING, BLOCK = 2_000, 10
# A rung of 1,769 MiB has one core; USD a GiB-second on arm64 in us-east-1, 2026-11.
LAMBDA_GIB, LAMBDA_USD_PER_GIB_S = 1769 / 1024, 0.0000133334


@dataclass(frozen=True)
class Rival:
    """A way to cross-reference: what it is, CPU ms a reaction (None where it does not run), and a remark."""

    name: str
    ms_per_reaction: float | None
    remark: str


@dataclass(frozen=True)
class Paired:
    """One sample asked in turns: CPU ms a row by way, the kernel's answers, and whether they are right."""

    ms: dict[str, float]
    answers: list[object]
    is_right: bool


def measure_rivals(n_rows: int, n_rdchiral: int) -> bool:
    """The paired tables, one for each file, all templates; whether all answers are the naive loop's."""
    kernel, sub = open_kernel("exact"), open_kernel("substructure")
    is_right = True
    for name, rows in (("uspto480k", read_rows_480k()), ("uspto50k", read_rows_50k())):
        random.Random(SEED).shuffle(rows)
        picked, others = rows[:n_rows], rows[n_rows : n_rows + N_WARMING]
        paired = ask_in_turns(kernel, picked, others)
        is_right = is_right and paired.is_right
        rivals = [*list_pure(paired), measure_substructure(sub, picked)]
        if name == "uspto480k":
            rivals.append(measure_rdchiral(picked[:n_rdchiral], paired.answers))
            rivals.append(measure_cartridge(picked + others))
        print_rivals(name, n_rows, rivals)
    return is_right


def read_rows_480k() -> list[str]:
    """The reactions of uspto480k."""
    with gzip.open(DATA / "uspto480k-valid.rsmi.gz", "rt") as file:
        return [line.split()[0] for line in file]


def read_rows_50k() -> list[str]:
    """The reactions of both files of uspto50k."""
    rows = []
    for name in ("uspto50k-eval.csv", "uspto50k-test.csv"):
        with (DATA / name).open(newline="") as file:
            rows.extend(row["reactants>reagents>production"] for row in csv.DictReader(file))
    return rows


def ask_in_turns(kernel: Callable[[str], object], picked: list[str], others: list[str]) -> Paired:
    """The naive loop, the kernel and bare parsing on the same rows; both are warmed on others."""
    for row in others:  # a host lives for thousands of rows: templates parsed, classes met
        kernel(row)
    ask_naive(others[0])  # its templates are parsed now
    seconds: dict[str, float] = {"naive": 0.0, "kernel": 0.0, "parsing": 0.0}
    answers: dict[str, list[object]] = {name: [] for name in seconds}
    for begin in range(0, len(picked), BLOCK):
        for name, ask in (("naive", ask_naive), ("kernel", kernel), ("parsing", parse_sides)):
            began_s = time.process_time()
            answers[name].extend([ask(row) for row in picked[begin : begin + BLOCK]])
            seconds[name] += time.process_time() - began_s
    ms = {name: own / len(picked) * 1e3 for name, own in seconds.items()}
    return Paired(ms, answers["kernel"], answers["naive"] == answers["kernel"])


def list_pure(paired: Paired) -> list[Rival]:
    """The lines of what was asked in turns, the naive loop first."""
    ms = paired.ms
    said = "same" if paired.is_right else "OTHER"
    return [
        Rival("naive loop", ms["naive"], "RunReactants for all"),
        Rival("kernel", ms["kernel"], f"{said} answers; {ms['kernel'] / ms['parsing']:.2f}x parsing"),
        Rival("parsing both sides alone", ms["parsing"], "no matching: the floor of the definition"),
    ]


def measure_substructure(ask: Callable[[str], object], rows: list[str]) -> Rival:
    """The kernel in its other mode."""
    began_s = time.process_time()
    for row in rows:
        ask(row)
    ms = (time.process_time() - began_s) / len(rows) * 1e3
    return Rival("kernel, substructure mode", ms, "product side in the product")


def print_rivals(name: str, n_rows: int, rivals: list[Rival]) -> None:
    """The table: time, pairs, and what 10,000 templates x 10 million reactions take."""
    naive_ms = rivals[0].ms_per_reaction or 0.0
    print(f"\n{n_rows} rows of {name}, all templates:")
    print("\n| way | CPU ms a reaction | naive / it | pairs a second | core-hours | USD on Lambda | remark |")
    print("|---|---|---|---|---|---|---|")
    for rival in rivals:
        if rival.ms_per_reaction is None:
            print(f"| {rival.name} | - | - | - | - | - | {rival.remark} |")
            continue
        ms = rival.ms_per_reaction
        hours = ms / 1e3 * N_REACTIONS / 3600
        usd = hours * 3600 * LAMBDA_GIB * LAMBDA_USD_PER_GIB_S
        times, pairs = f"{naive_ms / ms:.0f}x", f"{N_TEMPLATES / ms * 1e3:,.0f}"
        print(f"| {rival.name} | {ms:.2f} | {times} | {pairs} | {hours:,.1f} | {usd:,.2f} | {rival.remark} |")


def open_kernel(mode: Literal["exact", "substructure"]) -> Callable[[str], object]:
    """From a reaction to the ids that the kernel finds, None for a failed record; in this process."""
    options = Options(templates=Reference(DATA / "templates.tsv", ""), mode=mode)
    folder = Path(tempfile.mkdtemp(prefix="aliquot-bench-"))
    build_matcher(options, folder)
    answer = open_matcher(options, folder)

    def ask(reaction: str) -> object:
        try:
            return [hit.template_id for hit in next(answer([Reaction("", reaction)])).rows]
        except ParseFailure:
            return None

    return ask


@cache
def read_templates() -> tuple[list[str], list[str]]:
    """Ids and SMARTS of all templates."""
    return naive_crossref.read_templates(DATA / "templates.tsv")


def ask_naive(reaction: str) -> object:
    """The same by the naive loop."""
    ids, smarts = read_templates()
    try:
        return [ids[i] for i in naive_crossref.explain(reaction, smarts, naive_crossref.Question())[0]]
    except naive_crossref.NotAReaction:
        return None


def parse_sides(reaction: str) -> object:
    """RDKit's parsing of all molecules of a reaction, and nothing else."""
    return [Chem.MolFromSmiles(name) for name in reaction.replace(">", ".").split(".") if name]


def measure_rdchiral(rows: list[str], expected: list[object]) -> Rival:
    """rdchiral's loop over all templates, and how many of its pairs and of ours agree."""
    try:
        from rdchiral.main import rdchiralReactants, rdchiralReaction, rdchiralRun
    except ImportError:
        return Rival("rdchiral", None, "not installed: pip install rdchiral")
    ids, smarts = read_templates()
    reactions = []
    for name, text in zip(ids, smarts, strict=True):
        left, right = text.split(">>")  # it wants its left side in brackets
        reactions.append((name, rdchiralReaction(f"({left})>>{right}")))
    n_common = n_ours = n_theirs = n_done = 0
    began_s = time.process_time()
    for row, ours in zip(rows, expected, strict=False):
        sides = read_plain_sides(row)
        if not isinstance(ours, list) or sides is None:
            continue
        wanted, product = sides[0], rdchiralReactants(sides[1])
        found = {name for name, reaction in reactions if is_given(rdchiralRun, reaction, product, wanted)}
        n_common, n_ours, n_theirs = (
            n_common + len(found & set(ours)),
            n_ours + len(ours),
            n_theirs + len(found),
        )
        n_done += 1
    per_row_ms = (time.process_time() - began_s) / max(n_done, 1) * 1e3
    remark = f"{n_done} rows: {n_common} pairs in common of our {n_ours} and its {n_theirs}"
    return Rival("rdchiral", per_row_ms, remark)


def is_given(run: Callable[..., list[str]], reaction: object, product: object, wanted: list[str]) -> bool:
    """Whether rdchiral gives these reactants."""
    try:
        return any(sorted(outcome.split(".")) == wanted for outcome in run(reaction, product))
    except Exception:  # noqa: BLE001  # it raises what comes where it does not take a molecule
        return False


def read_plain_sides(row: str) -> tuple[list[str], str] | None:
    """The reactants' fragments and the product of a mapped reaction as canonical SMILES."""
    try:
        left, _, right = naive_crossref.read_sides(row)
    except naive_crossref.NotAReaction:
        return None
    product = max(right, key=lambda mol: mol.GetNumHeavyAtoms())
    chosen = [mol for mol in left if naive_crossref.list_maps(mol) & naive_crossref.list_maps(product)]
    for mol in [*chosen, product]:
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    return naive_crossref.join(chosen).split("."), Chem.MolToSmiles(product)


def measure_cartridge(rows: list[str]) -> Rival:
    """PostgreSQL's RDKit cartridge with a GiST index, substructure mode; of the server in PGHOST."""
    name = "PostgreSQL's RDKit cartridge, substructure mode"
    if shutil.which("psql") is None or run_sql("create extension if not exists rdkit;") is None:
        return Rival(name, None, "not installed: apt install postgresql-15-rdkit; PGHOST, PGUSER for psql")
    _, smarts = read_templates()
    patterns = dict.fromkeys(text.split(">>")[0] for text in smarts)
    products = [sides[1] for row in rows if (sides := read_plain_sides(row)) is not None]
    commands = [
        "create temp table p(t text); create temp table q(t text);",
        *("copy p from stdin;", *(text.replace("\\", r"\\") for text in products), "\\."),
        *("copy q from stdin;", *(text.replace("\\", r"\\") for text in patterns), "\\."),
        "create temp table m as select mol_from_smiles(t::cstring) as m from p;",
        "create temp table s as select qmol_from_smarts(t::cstring) as q from q;",
        "create index on m using gist(m); analyze m;",
        "\\timing on\nselect count(*) from s join m on m.m @> s.q;",
    ]
    load = "".join(f"{command}\n" for command in commands)
    said = run_sql(load)
    times = re.findall(r"Time: ([\d.]+) ms", said or "")
    if not times:
        return Rival(name, None, "the query failed")
    return Rival(name, float(times[-1]) / len(rows), f"wall time; {len(rows)} products at once")


def run_sql(text: str) -> str | None:
    """What psql says to these commands; None where they fail."""
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", os.environ.get("PGDATABASE", "postgres")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
