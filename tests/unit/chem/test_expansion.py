"""An expansion's sets are those of running every template, in the same order, on awkward templates."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import rdBase

from aliquot_chem.expansion import Expander, FixedRanking
from aliquot_chem.prepared import load_prepared
from aliquot_chem.preparing import prepare_templates
from aliquot_chem.stock import write_key
from benchmarks import naive_retro

TEMPLATES = [
    "[C:1](=[O:2])-[N;H1;D2:3]>>[C:1](=[O:2])-O.[N;H2;D1:3]",
    "[C:1](=[O:2])-[N:3]>>[C:1](=[O:2])Cl.[N:3]",
    "[C:4]-[N;H1;D2:3]-[C:1]=[O:2]>>O-[C:1]=[O:2].[C:4]-[N;H2;D1:3]",
    "[C:1][O;D2:2][C:3]>>[C:1]Br.[O:2][C:3]",
    "[C;D2:1]-[C;D2:2]>>[C:1]Br.[C:2]Cl",
    "[C:1]-[C:2]-[C:3]>>[C:1]1-[C:2]-[C:3]-1",
    "[c:1]-[NH2;D1:2]>>[c:1]-[N+:2](=O)-[O-]",
    "[c:1]-[NH2;D1:2]>>[c:1]-[N:2](=O)=O",
    "[C:1]-[OH:2]>>[C:1]=[O:2]",
    "[C@@:1]([C:2])([O:3])[N:4]>>[C@:1]([C:2])([O:3])[N:4]",
    "[*:1]-[Cl]>>[*:1]-[Br]",
    "[C:1]-[Cl]>>[C:1].[Na+].[Cl-]",
    "[C:1]-[Cl]>>([C:1].[Na+].[Cl-])",
    "[#6:1]-[F;D1]>>[#6:1]-[O;D1]",
    "[C:1]-[C:2](=[O:3])-[OH]>>[C:1]-[C:2]#[N:3]",
    "[C:1]>>[C:1]",
    "[c;r5:1]-[c;r6:2]>>[c:1]Br.[c:2]B(O)O",
    "[C:1]/[C:2]=[C:3]/[C:4]>>[C:1][C:2]#[C:3][C:4]",
    "[C:1]-[S:2](=[O:3])(=[O:4])[N:5]>>[C:1]-[S:2](=[O:3])(=[O:4])Cl.[N:5]",
    "[C:1][N:2][C:3]>>[C:1]Br.[C:3]Br.[N:2]",
]
MOLECULES = [
    "CC(=O)NCC", "O=C1CCN1", "C1CC1", "CC1CCCCC1", "CCOCC", "C1COCCO1", "Nc1ccc(F)cc1", "OCCN", "C[C@H](O)N",
    "C[C@@H](O)NC(=O)C", "ClCCl", "CCC(=O)O", "FC(F)(F)c1ccccc1", "CNCN", "C/C=C/C", "CS(=O)(=O)NC",
    "CCCl.OCC",
    "c1ccc(-c2ccco2)cc1", "O=C(NCCNC(=O)C)C", "[13CH3]C(=O)NC", "CC(C)CNC(=O)C1CCN1", "[Na+].CC(=O)[O-]", "C",
]  # fmt: skip


def open_expander(folder: Path, rows: list[tuple[str, str]], scores: list[float], most_sets: int) -> Expander:
    (folder / "templates.tsv").write_text("\n".join(["id\tsmarts", *map("\t".join, rows)]))
    prepare_templates(folder / "templates.tsv", folder, "substructure", "retro", is_skipping_bad=False)
    prepared = load_prepared(folder)
    return Expander(prepared, FixedRanking(prepared.ids, np.array(scores)), most_sets)


@given(
    st.lists(st.sampled_from([0.0, 0.7, 2.0]), min_size=len(TEMPLATES), max_size=len(TEMPLATES)),
    st.sampled_from([1, 2, 5, 1000]),
    st.randoms(),
)
@settings(max_examples=15)
def test_sets_are_those_of_running_every_template(tmp_path_factory, scores, most_sets, rng):
    """Whatever the scores, their ties and the number that is asked for."""
    names = [f"t{number}" for number in range(len(TEMPLATES))]
    rng.shuffle(names)
    rows = list(zip(names, TEMPLATES, strict=True))
    expander = open_expander(tmp_path_factory.mktemp("expansion"), rows, scores, most_sets)
    with rdBase.BlockLogs():
        score = dict(zip(names, scores, strict=True))
        templates = [each._replace(score=score[each.id]) for each in naive_retro.load_templates(rows, None)]
        templates.sort(key=lambda each: (-each.score, each.id))
        found = 0
        for text in MOLECULES:
            key = write_key(text)
            own = expander.expand(key)
            assert list(map(tuple, own)) == list(map(tuple, naive_retro.expand(key, templates, most_sets)))
            found += len(own)
    assert found


def test_a_set_is_its_best_templates_and_never_the_molecule_itself(tmp_path):
    amide, same = TEMPLATES[0], TEMPLATES[15]
    rows = [("worse", amide), ("better", amide), ("b", same), ("alike", amide)]
    expander = open_expander(tmp_path, rows, [1.0, 2.0, 3.0, 2.0], 10)
    assert expander.expand("CCNC(C)=O") == [("alike", 2.0, ("CC(=O)O", "CCN"))]


def test_expansion_equals_the_naive_loop_on_real_molecules(tmp_path, shared_data):
    """Ten targets against 1,500 templates; `make bench-retro` compares hundreds against all templates."""
    lines = (shared_data / "uspto/templates.tsv").read_text().splitlines()[1:]
    rows = [tuple(line.split("\t")) for line in random.Random(5).sample(lines, 1500)]
    texts = (shared_data / "uspto/uspto50k-test.csv").read_text().splitlines()[1:]
    expander = open_expander(tmp_path, rows, [0.0] * len(rows), 1000)
    with rdBase.BlockLogs():
        templates = naive_retro.load_templates(rows, None)
        found = 0
        for text in random.Random(5).sample(texts, 10):
            key = write_key(text.rpartition(">")[2])
            own = expander.expand(key)
            assert list(map(tuple, own)) == list(map(tuple, naive_retro.expand(key, templates, 1000)))
            found += len(own)
    assert found > 50
