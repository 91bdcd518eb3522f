"""Verdicts are shared among templates of one edit, at the same atoms, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rdkit import Chem

from aliquot_chem.molecules import Molecule, parse_molecule
from aliquot_chem.outcomes import RunnableTemplate
from aliquot_chem.prepared import Prepared, load_prepared
from aliquot_chem.preparing import prepare_templates
from aliquot_chem.sharing import EditTable, Verdicts
from aliquot_chem.templates import read_pattern

TEMPLATES = [
    "[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:1](=[O:2])-O.[N;H2;D1;+0:3]",
    "[C:4]-[N;H1;D2;+0:3]-[C:1]=[O:2]>>O-[C:1]=[O:2].[C:4]-[N;H2;D1;+0:3]",
    "[C:4]-[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:4]-[C:1](=[O:2])-O.[N;H2;D1;+0:3]",
    "[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:1](=[O:2])-Cl.[N;H2;D1;+0:3]",
]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    (tmp_path / "t.csv").write_text("\n".join(["smarts", *TEMPLATES]))
    prepare_templates(tmp_path / "t.csv", tmp_path, "exact", "retro", is_skipping_bad=False)
    return load_prepared(tmp_path)


@pytest.fixture
def ask(prepared: Prepared) -> Callable[..., tuple[bool | None, bool | None, bool | None]]:
    def run_first_and_recall(
        text: str, is_explained: bool = True, at: int = 0
    ) -> tuple[bool | None, bool | None, bool | None]:
        """What is known of the other templates when the first has been run, its `at`-th outcome agreeing."""
        product = parse(text)
        verdicts, places = Verdicts(EditTable(prepared), product), []
        for row in range(len(TEMPLATES)):
            begin, end = prepared.pattern_ends[prepared.pattern_of_row[row, 1] :][:2]
            query = read_pattern(prepared.pattern_binaries[begin:end].tobytes())
            places.append(verdicts.locate(row, product.mol.GetSubstructMatches(query, uniquify=False)))
        outcome = RunnableTemplate(TEMPLATES[0]).run((product.mol,))[at] if is_explained else None
        verdicts.learn(0, places[0], outcome)
        known = [verdicts.recall(own) for own in places]
        return known[1], known[2], known[3]

    return run_first_and_recall


def parse(text: str) -> Molecule:
    parsed = parse_molecule(text)
    assert parsed is not None
    again = parsed[0].parse_again()
    assert again is not None
    return again


def test_what_one_template_shows_holds_for_its_like(ask: Callable[..., object]) -> None:
    assert ask("CC(=O)NCC") == (True, True, None)
    assert ask("CC(=O)NCC", is_explained=False) == (False, False, None)


def test_one_place_that_fails_tells_nothing_of_another(prepared: Prepared) -> None:
    verdicts = Verdicts(EditTable(prepared), parse("CC(=O)NCC"))
    verdicts.learn(0, {(0, 1, 2)}, None)
    assert verdicts.recall({(0, 1, 2)}) is False
    assert verdicts.recall({(0, 1, 2), (0, 3, 4)}) is None
    assert verdicts.recall(set()) is None


def test_a_verdict_holds_at_its_atoms_alone(ask: Callable[..., object]) -> None:
    """Of the two amides the first is that of benzoic acid, which the third template does not fit."""
    text = "CC(=O)NCCNC(=O)c1ccccc1"
    seen = {ask(text, at=at) for at in range(2)}
    assert seen == {(True, True, None), (True, None, None)}
    assert ask(text, is_explained=False) == (False, False, None)


@pytest.mark.parametrize(
    "text",
    [
        "[CH2]C(=O)NCC",
        "CC(=O)NCC.O",
        "C/C=C/C(=O)NCC",
        "[O]CC(=O)NC",
    ],
)
def test_nothing_is_shared_where_more_than_the_edit_may_count(text: str, ask: Callable[..., object]) -> None:
    """Radicals, salts and double bonds with stereo."""
    assert None in ask(text)  # type: ignore[operator]
    assert ask(text) != (True, True, None)


@pytest.mark.parametrize("text", ["CC(=O)NCC[C@H](C)O", "C[C@H](O)C(=O)NC", "CCC(=O)N[C@@H](C)O"])
def test_a_stereocentre_whose_bonds_stay_is_no_hindrance(text: str, ask: Callable[..., object]) -> None:
    """RunReactants carries it over, matched or not."""
    assert ask(text) == (True, True, None)


@pytest.mark.parametrize(
    ("smarts", "is_placed"),
    [
        ("[C:4]-[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:4]-[C:1](=[O:2])-O.[N;H2;D1;+0:3]", True),
        ("[C@:4]-[C:1](=[O:2])-[N;H1;D2;+0:3]>>[C:4]-[C:1](=[O:2])-O.[N;H2;D1;+0:3]", False),
        ("[C;H1;D3;+0:4]-[O;H1;D1;+0:2]>>[C;H0;D4;+0:4](-Cl)-[O;H1;D1;+0:2]", False),
    ],
)
def test_a_template_at_a_centre_is_shared_where_it_does_not_mention_it(
    smarts: str, is_placed: bool, tmp_path: Path
) -> None:
    """Neither by its chirality nor by a bond that changes."""
    (tmp_path / "t.csv").write_text(f"smarts\n{smarts}\n")
    prepare_templates(tmp_path / "t.csv", tmp_path, "exact", "retro", is_skipping_bad=False)
    product, table = parse("C[C@H](O)C(=O)NC"), EditTable(load_prepared(tmp_path))
    matches = product.mol.GetSubstructMatches(Chem.MolFromSmarts(smarts.partition(">")[0]), uniquify=False)
    assert matches
    assert bool(Verdicts(table, product).locate(0, matches)) is is_placed
