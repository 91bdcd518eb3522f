"""The kernel on real reactions: exactly the answers of the naive definition."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rdkit import rdBase

from aliquot.errors import ParseFailure
from aliquot.job import Reference
from aliquot_chem.crossref import Options, Reaction, build_matcher, open_matcher

SEED = 20
N_TEMPLATES = 700


@pytest.fixture(scope="module")
def naive(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "naive_crossref", project_root / "benchmarks/naive_crossref.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def patents(shared_data: Path) -> list[str]:
    """Reactions of both files, in their order."""
    with (shared_data / "uspto/uspto50k-eval.csv").open() as lines:
        rows = [row["reactants>reagents>production"] for row in csv.DictReader(lines)]
    with gzip.open(shared_data / "uspto/uspto480k-valid.rsmi.gz", "rt") as lines:
        return rows + [line.split()[0] for line in lines]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with rdBase.BlockLogs():
        yield


def test_the_truth_of_250_reactions_is_met(shared_data: Path, patents: list[str], tmp_path: Path) -> None:
    options = Options(templates=Reference(shared_data / "uspto/templates.tsv", ""))
    build_matcher(options, tmp_path)
    truth = [
        json.loads(line) for line in (shared_data / "uspto/truth-eval-250.jsonl").read_text().splitlines()
    ]
    asked = (Reaction(row["id"], patents[row["record"]]) for row in truth)
    found = [[hit.template_id for hit in answer.rows] for answer in open_matcher(options, tmp_path)(asked)]
    assert found == [row["templates"] for row in truth]


@pytest.mark.parametrize(
    ("n_reactions", "is_stripped", "options"),
    [
        (60, False, {}),
        (30, True, {}),
        (15, True, {"reactants": "all", "stereo": "ignore"}),
        (15, False, {"stereo": "ignore"}),
        (15, False, {"mode": "substructure"}),
        (8, False, {"direction": "forward"}),
    ],
    ids=lambda value: "-".join(value.values()) or "default" if isinstance(value, dict) else str(value),
)
def test_a_seeded_sample_has_the_naive_answers(
    n_reactions: int,
    is_stripped: bool,
    options: dict[str, Any],
    shared_data: Path,
    patents: list[str],
    naive: ModuleType,
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    ids, smarts = naive.read_templates(shared_data / "uspto/templates.tsv")
    # The first templates are the frequent ones; a sample of the others stands for the rest.
    rows = [
        *range(N_TEMPLATES // 2),
        *sorted(rng.sample(range(N_TEMPLATES // 2, len(ids)), N_TEMPLATES // 2)),
    ]
    chosen = [smarts[row] for row in rows]
    if options.get("direction") == "forward":
        chosen = [">>".join(reversed(text.split(">>"))) for text in chosen]
    ask = open_kernel(tmp_path, chosen, options)
    for text in rng.sample(patents, n_reactions):
        reaction = re.sub(r":\d+\]", "]", text) if is_stripped else text
        try:
            hits, mode = naive.explain(reaction, chosen, naive.Question(**options))
        except naive.NotAReaction:
            assert ask(reaction) is None, reaction
        else:
            assert ask(reaction) == ([f"t{i}" for i in hits], mode), reaction


def open_kernel(folder: Path, templates: list[str], options: dict[str, Any]) -> Callable[[str], object]:
    lines = ["id\tsmarts", *(f"t{i}\t{text}" for i, text in enumerate(templates))]
    (folder / "templates.tsv").write_text("\n".join(lines))
    chosen = Options(templates=Reference(folder / "templates.tsv", ""), **options)
    build_matcher(chosen, folder)
    answer = open_matcher(chosen, folder)

    def ask(reaction: str) -> object:
        try:
            rows, note = next(answer([Reaction("r", reaction)]))
        except ParseFailure:
            return None
        return [row.template_id for row in rows], note

    return ask
