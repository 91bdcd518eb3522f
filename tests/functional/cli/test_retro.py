"""Retrosynthesis on the sample that ships: the commands against a plain program that enumerates routes."""

from __future__ import annotations

import csv
import json

import pytest
from rdkit import rdBase

from benchmarks import naive_retro


@pytest.fixture
def search(project_root):
    """The plain program over the sample's templates and molecules."""
    sample = project_root / "examples" / "crossref"
    with (sample / "templates.csv").open(newline="") as file:
        rows = [(row["id"], row["smarts"]) for row in csv.DictReader(file)]
    with rdBase.BlockLogs():
        stock = {
            naive_retro.canonicalise(text) for text in naive_retro.read_smiles_file(sample / "molecules.smi")
        }
        return naive_retro.Search(naive_retro.load_templates(rows, None), stock, 50), sample


@pytest.mark.parametrize(("shards", "depth"), [pytest.param("1", 1, marks=pytest.mark.long), ("4", 2)])
def test_routes_are_those_of_the_plain_program(desk, search, shards, depth):
    """A stock that is mapped whole, and one whose parts are exchanged; what fails and what has no route."""
    naive, sample = search
    targets = (sample / "molecules.smi").read_text().splitlines()[::6]
    desk.write("targets.smi", "\n".join([*targets, "C( broken"]) + "\n")
    said = desk.aliquot("index", "stock", str(sample / "molecules.smi"), "--out", "stock", "--shards", shards)
    assert said.code == 0, said.err
    words = ("--templates", str(sample / "templates.csv"), "--stock", "stock", "--depth", str(depth))
    said = desk.aliquot("run", "retro", "targets.smi", *words, "--out", "out", "--workers", "2")
    assert said.code == 0, said.err

    found = desk.rows()
    with rdBase.BlockLogs():
        keys = [naive_retro.canonicalise(text.split()[0]) for text in targets]
        expected = [naive.rank(key, depth, 50) for key in keys]
    assert [(row["record"], row["rank"]) for row in found] == [
        (record, rank) for record, routes in enumerate(expected) for rank in range(1, len(routes) + 1)
    ]
    assert [row["template_ids"].split() for row in found] == [
        [step.template_id for step in route] for routes in expected for route in routes
    ]
    assert [(row["record"], row["kind"]) for row in desk.read("failures")] == [(len(targets), "parse")]
    solved = sum(map(bool, expected))
    assert (desk.summary()["solved"], desk.summary()["unsolved"]) == (solved, len(targets) - solved)
    assert len(found) > 20


def test_trees_come_with_the_format_of_aizynthfinder(desk, project_root):
    sample = project_root / "examples" / "crossref"
    desk.write("targets.smi", "CCNC(C)=O amide\n")
    desk.write("stock.smi", "CC(=O)O\nCCN\n")
    assert desk.aliquot("index", "stock", "stock.smi", "--out", "stock").code == 0
    words = ("run", "retro", "targets.smi", "--templates", str(sample / "templates.csv"), "--stock", "stock")
    said = desk.aliquot(*words, "--out", "out", "--format", "aizynth")
    assert said.code == 0, said.err
    trees = [json.loads(row["tree"]) for row in desk.rows()]
    assert trees
    assert all(tree["smiles"] == "CCNC(C)=O" and tree["children"] for tree in trees)
    said = desk.aliquot(
        "run", "crossref", "targets.smi", *words[3:5], "--out", "other", "--format", "aizynth"
    )
    assert said.code == 2
