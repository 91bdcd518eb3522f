"""The job `retro` as the engine sees it, and its routes beside those of a plain program."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import rdBase

from aliquot.errors import BadOption, BadReference
from aliquot.job import RECORD, Group, Reference, read_fields
from aliquot_chem import stock as stock_index
from aliquot_chem.nodes import Node
from aliquot_chem.retrosynthesis import Options, Route, Target, job, open_further
from aliquot_chem.routecounts import RouteCounts
from aliquot_chem.scores import read_counts
from benchmarks import naive_retro
from tests.unit.chem.chains import run_chain

AMIDE = "[C:1](=[O:2])-[N;D2,D3:3]>>[C:1](=[O:2])-O.[N:3]"
CHLORIDE = "[C:1](=[O:2])-[N;D2,D3:3]>>[C:1](=[O:2])-Cl.[N:3]"
ETHER = "[C:1]-[O;D2:2]-[C:3]>>[C:1]-Br.[O:2]-[C:3]"
REDUCTION = "[CH2:1]-[OH:2]>>[C:1]=[O:2]"
OXIDATION = "[C:1]=[O:2]>>[C:1]-[OH:2]"
AMINE = "[C:1]-[N;D2:2]-[C:3]>>[C:1]-Br.[N:2]-[C:3]"
TEMPLATES = {
    "amide": AMIDE,
    "chloride": CHLORIDE,
    "ether": ETHER,
    "red": REDUCTION,
    "ox": OXIDATION,
    "amine": AMINE,
}
TARGETS = ["CC(=O)NCCOC", "O=C(NCC)CCO", "CCOCCNC", "CCO", "CC(=O)N(C)CC(=O)O", "NCC(=O)NCC(=O)NC"]
BLOCKS = [
    "CC(=O)O", "NCCOC", "CCN", "O=C(O)CCO", "CBr", "NCCO", "CCBr", "CC=O", "CNCC(=O)O", "CC(=O)Cl", "OCCNC",
    "N", "NCC(=O)O", "CN", "OCCN", "OCCBr", "O=CCC(=O)O", "C=O", "COCCBr", "BrCCO", "CO", "O=C(O)CC=O", "CNC",
]  # fmt: skip


def make_options(
    folder: Path, blocks: list[str], shards: int = 1, counts: dict[str, int] | None = None, **options: Any
) -> Options:
    lines = ["id\tsmarts", *(f"{name}\t{smarts}" for name, smarts in TEMPLATES.items())]
    (folder / "templates.tsv").write_text("\n".join(lines))
    stock_index.build([(blocks, [])], folder / "stock", shards=shards)
    if counts is not None:
        table = pa.table(
            {"template_id": list(counts), "smarts": ["x"] * len(counts), "reactions": counts.values()}
        )
        pq.write_table(table, folder / "counts.parquet")
        options["counts"] = Reference(folder / "counts.parquet", "")
    return Options(
        templates=Reference(folder / "templates.tsv", ""), stock=Reference(folder / "stock", ""), **options
    )


def find_routes(folder: Path, options: Options, targets: list[str]) -> dict[int, list[Route]]:
    (folder / "prepared").mkdir()
    return run_chain(job, options, folder / "prepared", [Target(None, target) for target in targets])


@given(
    st.sets(st.sampled_from(BLOCKS), min_size=1),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 16]),
    st.sampled_from([1, 3, 50]),
    st.sampled_from([2, 50]),
    st.dictionaries(st.sampled_from(sorted(TEMPLATES)), st.integers(0, 3)),
)
@settings(max_examples=25)
def test_routes_are_those_of_the_plain_program(
    tmp_path_factory, blocks, depth, shards, most_routes, most_sets, counts
):
    """Whole or divided, at every depth: the same routes in the same order, all leaves in stock."""
    folder = tmp_path_factory.mktemp("retro")
    counts = counts or {"ox": 1}
    options = make_options(
        folder, sorted(blocks), shards, counts, depth=depth, routes=most_routes, sets=most_sets
    )
    found = find_routes(folder, options, TARGETS)
    assert list_found(found, blocks) == list_expected(options, TARGETS, blocks, counts)


def test_branched_routes_are_those_of_the_plain_program(tmp_path):
    """Up to four steps, of which three follow each other; on both arms of an amide."""
    blocks = ["O=C(O)CCO", "CBr", "CCBr", "OCCNCCO", "CCO"]
    options = make_options(tmp_path, blocks, 4, {"ether": 5, "amide": 2, "chloride": 1}, depth=3, routes=1000)
    targets = ["O=C(CCOC)N(CCOC)CCOCC", "O=C(CCOCC)N(CCO)CCOC"]
    found = find_routes(tmp_path, options, targets)
    counts = {"ether": 5, "amide": 2, "chloride": 1}
    assert list_found(found, blocks) == list_expected(options, targets, blocks, counts)
    assert {row.steps for row in found[0]} == {4}
    assert {row.steps for row in found[1]} == {3}
    best = find_routes(folder(tmp_path, "best"), replace(options, routes=7), targets)
    assert best == {record: rows[:7] for record, rows in found.items()}


def list_found(found: dict[int, list[Route]], blocks: Any) -> list[list[Any]]:
    """Of each target's routes: steps, score, rank, leaves that are not in stock."""
    with rdBase.BlockLogs():
        stock = {naive_retro.canonicalise(block) for block in blocks}
    return [
        [(read_steps(row), row.score, row.rank, set(row.leaves.split(".")) - stock) for row in found[record]]
        for record in sorted(found)
    ]


def list_expected(options: Options, targets: list[str], blocks: Any, counts: Any) -> list[list[Any]]:
    """The same of the plain program."""
    with rdBase.BlockLogs():
        stock = {naive_retro.canonicalise(block) for block in blocks}
        templates = naive_retro.load_templates(list(TEMPLATES.items()), counts)
        search = naive_retro.Search(templates, stock, options.sets)
        routes = [
            search.rank(naive_retro.canonicalise(text), options.depth, options.routes) for text in targets
        ]
    return [
        [
            (
                [(step.template_id, set(step.leaves)) for step in route],
                pytest.approx(sum(step.score for step in route)),
                rank,
                set(),
            )
            for rank, route in enumerate(each, 1)
        ]
        for each in routes
    ]


def read_steps(row: Route) -> list[tuple[str, set[str]]]:
    """The templates of a route and what they leave."""
    leaves = [set(reaction.partition(">>")[0].split(".")) for reaction in row.reactions.split()]
    return list(zip(row.template_ids.split(), leaves, strict=True))


def test_a_target_that_cannot_be_read_fails_alone_and_one_without_route_has_no_row(tmp_path):
    found = find_routes(tmp_path, make_options(tmp_path, ["CC(=O)O", "CCN"]), ["CCNC(C)=O", "C(", "", "CCCC"])
    assert [len(found.get(record, "-")) for record in range(4)] == [1, 1, 1, 0]
    assert sorted(found) == [0, 3]
    assert found[0] == [
        Route("", "CCNC(C)=O", 1, 0.0, 1, "CC(=O)O.CCN", "amide", "CC(=O)O.CCN>>CCNC(C)=O", None)
    ]


def test_a_target_in_stock_is_made_all_the_same(tmp_path):
    """Nobody asks how to make what they would rather buy."""
    found = find_routes(tmp_path, make_options(tmp_path, ["CC(=O)O", "CCN", "CCNC(C)=O"]), ["CCNC(C)=O"])
    assert [row.leaves for row in found[0]] == ["CC(=O)O.CCN"]


def test_trees_are_those_that_aizynthfinder_reads(tmp_path):
    """Molecules and reactions in turn, the leaves in stock; a molecule that is made has one reaction."""
    options = make_options(tmp_path, ["OCCNC", "CCBr", "CC(=O)O"], depth=2, format="aizynth")
    (row,) = find_routes(tmp_path, options, ["CCOCCN(C)C(C)=O"])[0][:1]
    tree = json.loads(row.tree)
    assert {key: tree[key] for key in ("type", "smiles", "in_stock", "is_chemical", "hide", "scores")} == {
        "type": "mol", "smiles": "CCOCCN(C)C(C)=O", "in_stock": False, "is_chemical": True, "hide": False,
        "scores": {"score": 0.0},
    }  # fmt: skip
    (reaction,) = tree["children"]
    assert reaction["type"] == "reaction"
    assert reaction["is_reaction"]
    assert reaction["smiles"].startswith("CCOCCN(C)C(C)=O>>")
    assert reaction["metadata"] == {"template_code": "amide", "template": AMIDE}
    acid, ether = reaction["children"]
    assert (acid["smiles"], acid["in_stock"], "children" in acid) == ("CC(=O)O", True, False)
    assert (ether["smiles"], ether["in_stock"]) == ("CCOCCNC", False)
    assert [leaf["smiles"] for leaf in ether["children"][0]["children"]] == ["CCBr", "CNCCO"]
    assert row.reactions == "CC(=O)O.CCOCCNC>>CCOCCN(C)C(C)=O CCBr.CNCCO>>CCOCCNC"
    assert (row.template_ids, row.leaves, row.steps) == ("amide ether", "CC(=O)O.CCBr.CNCCO", 2)


def test_the_chain_exchanges_only_what_it_must(tmp_path):
    """A stock that is mapped whole is looked up row by row; one that is divided, shard by shard."""
    whole, divided = (
        make_options(folder(tmp_path, name), BLOCKS, shards) for name, shards in (("a", 1), ("b", 4))
    )

    def draw(options: Options) -> list[tuple[str, str]]:
        return [(stage.name, stage.exchange) for stage in job.list_stages(options)]

    assert draw(whole) == [("expand", ""), ("stock", ""), ("rank", RECORD)]
    assert draw(divided) == [("expand", ""), ("stock", "shard"), ("rank", RECORD)]
    assert draw(replace(divided, depth=2)) == [
        ("expand", ""), ("stock", "shard"), ("expand2", "molecule"), ("stock2", "shard"), ("rank", RECORD),
    ]  # fmt: skip
    assert len(draw(replace(whole, depth=3))) == 7


def test_a_molecule_is_expanded_once_for_all_targets(tmp_path):
    """Behind the exchange; those of a target that has it in stock, or expanded, are left as they are."""
    options = make_options(tmp_path, BLOCKS)
    (tmp_path / "prepared").mkdir()
    job.prepare(options, tmp_path / "prepared")
    known = Node(-1, "CCNC(C)=O", 0, True, None, None)
    open_one = known._replace(in_stock=False)
    done = known._replace(in_stock=None, sets="[]", target_id="t")
    group = Group("CCNC(C)=O", [known, open_one, done, open_one, open_one], [2, 3, 5, 5, 7])
    ((*rows,),) = open_further(options, tmp_path / "prepared")(iter([group]))
    assert [(row.record, row.molecule, row.sets) for row in rows if row.record in (2, 5)] == [
        (2, "CCNC(C)=O", None),
        (5, "CCNC(C)=O", "[]"),
    ]
    own = [[row._replace(record=0) for row in rows if row.record == record] for record in (3, 7)]
    assert own[0] == own[1]
    assert [row.molecule for row in own[0]] == [
        "CCNC(C)=O",
        "CC(=O)Br",
        "CC(=O)Cl",
        "CC(=O)O",
        "CC(N)=O",
        "CCBr",
        "CCN",
        "CCNC(C)O",
    ]


def test_options_out_of_range_are_named(tmp_path):
    options = make_options(tmp_path, BLOCKS)
    for name, value in (("depth", 0), ("depth", 4), ("sets", 0), ("routes", 0)):
        with pytest.raises(BadOption, match=f"--{name}"):
            job.list_stages(replace(options, **{name: value}))
    (tmp_path / "stock/stock.json").write_text("CCO")
    with pytest.raises(BadReference, match="aliquot index stock"):
        job.list_stages(options)


def test_a_stock_with_other_keys_is_refused(tmp_path):
    options = make_options(tmp_path, BLOCKS)
    content = (tmp_path / "stock/stock.json").read_bytes()
    (tmp_path / "stock/stock.json").write_bytes(content.replace(b"RDKit 20", b"RDKit 10"))
    with pytest.raises(BadReference, match="make it again"):
        job.prepare(options, tmp_path)


def test_counts_of_parquet_and_csv_are_logs_and_those_of_others_refused(tmp_path):
    options = make_options(tmp_path, BLOCKS, counts={"amide": 3, "ox": 0, "other": 7})
    job.prepare(options, tmp_path)
    scores = dict(zip(TEMPLATES, np.load(tmp_path / "scores.npy").tolist(), strict=True))
    assert scores == {"amide": 1.098612} | dict.fromkeys(
        ["chloride", "ether", "red", "ox", "amine"], -0.693147
    )
    (tmp_path / "counts.csv").write_text("template_id,smarts,reactions\namide,x,3\n")
    assert read_counts(tmp_path / "counts.csv") == {"amide": 3}
    for text in (
        "template_id,reactions\nother,3\n",
        "a,b\n1,2\n",
        "template_id,reactions\namide,-1\n",
        "PAR1",
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(BadReference):
            job.prepare(replace(options, counts=Reference(tmp_path / "bad.csv", "")), tmp_path)


def test_declaring_the_job_loads_no_chemistry():
    """The command line imports it for its help, and summaries run where RDKit is not."""
    code = "import sys, aliquot_chem.retrosynthesis; print({'rdkit', 'numpy', 'pyarrow'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert said.strip() == b"set()"
    assert all(field.help for field in read_fields(Options))


def test_summaries_of_parts_merge_into_that_of_the_whole(tmp_path):
    (tmp_path / "templates.json").write_text('{"ids": ["a"], "figures": {"templates_merged": 2}}')
    rows = [("", "C", rank, 0.0, steps, "", "", "", None) for rank, steps in ((1, 2), (2, 3))]
    whole, first, second = (RouteCounts(None, tmp_path) for _ in range(3))
    for record, (part, own) in enumerate([(first, rows), (first, []), (second, rows[:1]), (second, [])]):
        part.add(record, own, None)
        whole.add(record, own, None)
    first.merge(json.loads(json.dumps(second.partial())))
    assert first.figures() == whole.figures()
    assert whole.figures() == {
        "templates": 1, "templates_merged": 2, "solved": 2, "unsolved": 2, "solved_by_steps": {"2": 2},
        "remarks": ["2 of 4 targets can be made from the stock"],
    }  # fmt: skip


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
