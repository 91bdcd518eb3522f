"""The main job on the sample that ships: the command against the definition, written out as a double loop."""

from __future__ import annotations

import csv
import hashlib
import random
import sys
from collections import Counter
from importlib import import_module

import pytest
from rdkit import RDLogger
from rdkit.Chem import AllChem

N_ROWS = 150


@pytest.fixture
def naive(project_root):
    RDLogger.DisableLog("rdApp.*")
    sys.path.insert(0, str(project_root / "examples" / "crossref"))
    try:
        yield import_module("naive")
    finally:
        sys.path.pop(0)
        RDLogger.EnableLog("rdApp.*")


def test_run_finds_the_pairs_of_the_double_loop(desk, project_root, naive):
    """Pairs, unexplained, failures, counts by template and figures all say the same."""
    sample = project_root / "examples" / "crossref"
    lines = random.Random(11).sample((sample / "reactions.rsmi").read_text().splitlines(), N_ROWS)
    desk.write("data.rsmi", "\n".join(lines) + "\n")
    with (sample / "templates.csv").open(newline="") as file:
        smarts = {row["id"]: row["smarts"] for row in csv.DictReader(file)}
    templates = {name: AllChem.ReactionFromSmarts(text) for name, text in smarts.items()}
    pairs, failed, barren = [], [], []
    for record, line in enumerate(lines):
        text, name = line.split("\t")
        try:
            row = naive.parse_row(text)
        except ValueError:
            failed.append(record)
            continue
        found = [
            (record, name, template_id)
            for template_id in templates
            if naive.explains(templates[template_id], row)
        ]
        pairs += found
        barren += [] if found else [record]
    assert pairs
    assert failed
    assert barren

    words = ("run", "crossref", "data.rsmi", "--templates", str(sample / "templates.csv"), "--out", "out")
    said = desk.aliquot(*words, "--max-failed", "20%", "--workers", "2")
    assert said.code == 0, said.err
    assert [tuple(row.values()) for row in desk.rows()] == pairs
    assert [row["record"] for row in desk.read("unexplained")] == barren
    assert [row["record"] for row in desk.read("failures")] == failed
    assert {row["kind"] for row in desk.read("failures")} == {"parse"}

    by_template = Counter(template_id for _, _, template_id in pairs)
    first = {template_id: record for record, _, template_id in reversed(pairs)}
    found = desk.read("templates")
    assert {row["template_id"]: row["reactions"] for row in found} == {
        name: by_template[name] for name in smarts
    }
    assert {row["template_id"]: row["smarts"] for row in found} == smarts
    assert all(row["first_record"] == first.get(row["template_id"]) for row in found)
    counts = [row["reactions"] for row in found]
    assert counts == sorted(counts, reverse=True)
    summary = desk.summary()
    expected = {"records": N_ROWS, "done": N_ROWS - len(failed), "failed": len(failed), "rows": len(pairs)}
    assert {name: summary[name] for name in expected} == expected


def test_the_layouts_of_lowe_and_aizynthfinder_are_read_as_they_are(desk, project_root):
    """A header, tabs and CXSMILES tails on one side; tabs in a .csv and no column of ids on the other."""
    fixtures = project_root / "tests" / "fixtures"
    templates = fixtures / "aizynth_templates.csv"
    words = ("run", "crossref", str(fixtures / "lowe.rsmi"), "--templates", str(templates), "--out", "out")
    said = desk.aliquot(*words)
    assert said.code == 0, said.err
    with templates.open(newline="") as file:
        smarts = [row["retro_template"] for row in csv.DictReader(file, delimiter="\t")]
    ids = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in smarts]
    names = ("US03930836", "US03930837", "US03930838", "US03930838", "US03930840A1")
    assert [tuple(row.values()) for row in desk.rows()] == list(zip(range(5), names, ids, strict=True))
