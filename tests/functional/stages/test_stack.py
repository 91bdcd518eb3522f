"""Chains of stages on a rehearsed stack that loses, doubles and delays: the rows of a plain program."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rdkit import rdBase

from aliquot.keys import OutcomeKey
from aliquot_chem.stockfile import hash_keys, name_shard, number_shards
from benchmarks import naive_retro
from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import Faults, Stack, rehearse
from tests.functional.rights import list_missing
from tests.functional.stages.chains import Options

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    faults = Faults(seed=4, duplicate=0.2, throttle=0.1, kill=0.1, fail_s3=0.005, limit=6)
    code = assemble_layers(ROOT, find_cache())
    parameters = {"AllowCode": "true", "Rungs": "small+medium"}
    with (
        rehearse(
            ROOT / "template.yaml", parameters=parameters, code=code, concurrency=2, faults=faults
        ) as made,
        Drain(made) as drain,
    ):
        yield made
        drain.check()
        assert not list_missing(made)


@pytest.mark.parametrize(
    ("shape", "fault", "at"),
    [
        ("fxr", "raise", 2),
        pytest.param("", "", 0, marks=pytest.mark.long),
        pytest.param("ff", "raise", 1, marks=pytest.mark.long),
        pytest.param("sxr", "crash", 1, marks=pytest.mark.long),
    ],
)
@pytest.mark.usefixtures("stack")
def test_a_chain_on_a_stack_gives_what_it_gives_here(desk, shape, fault, at):
    texts = desk.write_texts(120, n_odd=2)
    options = Options(shape, fault, at)
    asked = [f"--shape={shape}"] if shape else []
    said = desk.aliquot(
        *(
            "run",
            "chains:chain",
            "data.csv",
            "--out",
            "out",
            "--on",
            "aws:rehearsal",
            "--code",
            ".",
            "--quiet",
        ),
        *("--max-failed", "90%", f"--fault={fault}", f"--at={at}", *asked),
    )
    assert said.code == 0, said.err
    desk.check(texts, options)
    invoice = json.loads((desk.folder / "out" / "invoice.json").read_text())
    assert list(invoice["stages"]) == [f"stage{place}" for place in range(len(shape) + 1)]
    assert all(spend["compute"] > 0 for spend in invoice["stages"].values())


def test_a_stage_begins_on_the_rung_that_has_its_memory(stack, desk):
    """`memory_mib` of a stage behind another: its tasks lie in that rung's queue."""
    desk.write("wide.py", WIDE)
    desk.write_texts(30, n_odd=0)
    said = desk.aliquot(
        *("run", "wide:job", "data.csv", "--out", "out", "--on", "aws:rehearsal", "--code", ".", "--quiet")
    )
    assert said.code == 0, said.err
    run = json.loads((desk.folder / "out" / "cloud.json").read_text())["run"]
    pages = stack.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=stack.outputs["Bucket"], Prefix=f"runs/{run}/outcomes/")
    keys = [
        OutcomeKey.parse(each["Key"].removeprefix(f"runs/{run}/"))
        for page in found
        for each in page["Contents"]
    ]
    rungs = {key.stage: key.rung for key in keys}
    assert rungs == {"read": "small", "wide": "medium"}


@pytest.mark.long
@pytest.mark.usefixtures("stack")
def test_of_a_stock_in_shards_only_those_are_fetched_that_are_asked_for(stack, desk):
    """`retro` on a stack: a stock larger than a worker's room needs no more of it than a few shards."""
    sample = ROOT / "examples" / "crossref"
    desk.write("targets.smi", "CCNC(C)=O a\n")
    desk.write("stock.smi", (sample / "molecules.smi").read_text() + "CC(=O)O acid\nCCN amine\n")
    said = desk.aliquot("index", "stock", "stock.smi", "--out", "stock", "--shards", "32")
    assert said.code == 0, said.err
    words = ("run", "retro", "targets.smi", "--templates", str(sample / "templates.csv"), "--stock", "stock")
    for place in (("--out", "there", "--on", "aws:rehearsal"), ("--out", "here")):
        said = desk.aliquot(*words, *place, "--quiet")
        assert said.code == 0, said.err
    assert desk.table("there").equals(desk.table("here"))
    assert len(desk.table("there")) > 0

    names_by_digest = {
        hashlib.sha256(each.read_bytes()).hexdigest(): each.name for each in (desk.folder / "stock").iterdir()
    }
    fetched = {
        names_by_digest.get(each.resource.rpartition("/")[2])
        for each in stack.calls
        if each.action == "s3:GetObject" and "Worker" in each.caller
    }
    asked = list_shards(["CCNC(C)=O"], sample / "templates.csv", 32)
    held = asked & set(names_by_digest.values())
    assert held <= fetched - {None} <= asked | {"stock.json"}
    assert 0 < len(held) < len(names_by_digest) / 2


@pytest.mark.long
@pytest.mark.usefixtures("stack")
def test_what_filters_removed_is_counted_on_a_stack_as_here(desk):
    """Notes of the stage before an exchange reach the summary, whose groups are others."""
    library = str(ROOT / "examples" / "crossref" / "molecules.smi")
    told = []
    for place in (("--out", "there", "--on", "aws:rehearsal"), ("--out", "here")):
        words = ("run", "screen", library, "--catalog", "brenk", "--property", "mass>=60", "--quiet")
        said = desk.aliquot(*words, *place)
        assert said.code == 0, said.err
        summary = json.loads((desk.folder / place[1] / "summary.json").read_text())
        told.append({name: summary[name] for name in ("removed", "removed_by", "remarks")})
    assert told[0] == told[1]
    assert len(told[0]["removed_by"]) == 2


def list_shards(targets: list[str], templates: Path, n_shards: int) -> set[str]:
    """The shards in which what can be made into the targets would lie."""
    with templates.open(newline="") as file:
        rows = [(row["id"], row["smarts"]) for row in csv.DictReader(file)]
    with rdBase.BlockLogs():
        loaded = naive_retro.load_templates(rows, None)
        steps = [step for target in targets for step in naive_retro.expand(target, loaded, 50)]
    keys = [leaf.encode() for step in steps for leaf in step.leaves]
    return {name_shard(number) for number in number_shards(hash_keys(keys), n_shards).tolist()}


@pytest.mark.long
@pytest.mark.usefixtures("stack")
def test_rich_rows_on_a_stack_are_those_of_a_local_run(desk):
    """Molecules and arrays, of a job whose module imports RDKit, which reducers lack."""
    desk.write("rich.py", RICH)
    desk.write("data.csv", "smiles,name\nCCO,a\nC[C@H](O)F,ccc\nnone,bad\n")
    words = ("run", "rich:job", "data.csv", "--max-failed", "90%", "--quiet")
    stack = ("--on", "aws:rehearsal", "--code", ".")
    for place in (("--out", "here"), ("--out", "there", *stack)):
        said = desk.aliquot(*words, *place)
        assert said.code == 0, said.err
    here, there = desk.table("here"), desk.table("there")
    assert there.schema.equals(here.schema, check_metadata=True)
    assert there.equals(here)
    assert here.column("name").to_pylist() == ["a", "ccc"]
    said = desk.aliquot("run", "rich:summed", "data.csv", "--out", "summed", *stack)
    assert said.code == 2
    assert "they lack rdkit: import rdkit inside its open" in said.err


RICH = """
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
import numpy as np
from aliquot.job import Job, Stage
from rdkit import Chem

class Row(NamedTuple):
    name: str
    mol: Chem.Mol
    vector: Any

@dataclass(frozen=True)
class Options:
    pass

def build(record):
    mol = Chem.MolFromSmiles(record["smiles"])
    mol.SetProp("n", record["name"])
    return [Row(record["name"], mol, np.arange(3.0))]

def mark(row):
    row.mol.SetProp("n", row.mol.GetProp("n") * 2)
    return [Row(row.name, row.mol, row.vector * 2)]

def open_build(options, prepared):
    return lambda records: map(build, records)

def open_mark(options, prepared):
    return lambda rows: map(mark, rows)

stages = (Stage("build", open_build, writes=Row), Stage("mark", open_mark))
job = Job("rich", 1, Options, stages, writes=Row)
summed = replace(job, summary=lambda options, prepared: None)
"""

WIDE = """
from dataclasses import dataclass
from aliquot import Job, Stage

@dataclass(frozen=True)
class Options:
    pass

def open_it(options, prepared):
    return lambda records: ([record] for record in records)

job = Job("wide", 1, Options, (Stage("read", open_it), Stage("wide", open_it, memory_mib=2000)))
"""
