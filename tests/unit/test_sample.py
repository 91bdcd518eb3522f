"""The sample that ships keeps what its README promises."""

from __future__ import annotations

import csv
import random
import sys
from collections import Counter
from importlib import import_module
from types import ModuleType

import pytest
from rdkit import RDLogger
from rdkit.Chem import AllChem


@pytest.fixture(scope="module")
def sample(project_root):
    return project_root / "examples" / "crossref"


@pytest.fixture(scope="module")
def rows(sample):
    lines = (sample / "reactions.rsmi").read_text().splitlines()
    return [tuple(line.split("\t")) for line in lines]


@pytest.fixture(scope="module")
def templates(sample):
    with (sample / "templates.csv").open(newline="") as lines:
        return {row["id"]: AllChem.ReactionFromSmarts(row["smarts"]) for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def naive(sample) -> ModuleType:
    sys.path.insert(0, str(sample))
    try:
        return import_module("naive")
    finally:
        sys.path.remove(str(sample))


@pytest.fixture(autouse=True)
def _quiet_rdkit():
    RDLogger.DisableLog("rdApp.*")
    yield
    RDLogger.EnableLog("rdApp.*")


def is_failed(naive: ModuleType, text: str) -> bool:
    return naive.judge(text, ()) == "failed"


def test_sample_has_the_rows_that_its_readme_counts(rows, templates):
    assert len(rows) == 2000
    assert len({name for _, name in rows}) == 2000
    assert len(templates) == 60


def test_every_template_is_retro_mapped_and_valid(templates):
    """A template on more than one product never explains anything."""
    for name, template in templates.items():
        _, n_errors = template.Validate(silent=True)
        assert (name, n_errors) == (name, 0)
        assert template.GetNumReactantTemplates() == 1, name


def test_rows_that_fail_are_the_ones_named_so(rows, naive):
    """At least 1% must not parse, so that the demonstration has failures to show."""
    failed = {name for text, name in rows if is_failed(naive, text)}
    assert failed == {name for _, name in rows if name.startswith(("fault-", "unchanged-"))}
    assert sum(name.startswith("fault-") for name in failed) >= 20


def test_templates_explain_their_own_reactions_and_no_held_out_one(rows, templates, naive):
    """At least 15% stay unexplained, and what has a template is explained: on 150 rows drawn by seed."""
    drawn = random.Random(1).sample(rows, 150)
    found = Counter()
    for text, name in drawn:
        verdict = naive.judge(text, templates.values())
        found[verdict] += 1
        if verdict != "failed":
            assert (name, verdict == "explained") == (name, name[:-5] in templates)
    assert found["unexplained"] >= 0.15 * len(drawn)


def test_ids_name_reactions_of_the_table(sample, rows, templates):
    """Ids tell the reaction, so their names must be those of the table that the generator reads."""
    with (sample / "named_reactions.tsv").open(newline="") as lines:
        table = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["id"] for row in table if row["retro"]} == set(templates)
    names = {name[:-5] for _, name in rows if not name.startswith(("fault-", "unchanged-"))}
    assert names == {row["id"] for row in table}
