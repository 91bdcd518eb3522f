"""Changes that are known are recalled without a run, and only where the maps show the very same change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aliquot_chem.changes import Change, KnownChanges, read_change
from aliquot_chem.matcher import read_case
from aliquot_chem.outcomes import RunnableTemplate

AMIDE = "[C:1](=[O;D1;H0:2])-[N;H1;D2;+0:3]>>[C:1](=[O;D1;H0:2])-O.[N;H2;D1;+0:3]"
FIRST = "[CH3:1][C:2](=[O:3])[OH:9].[NH2:4][CH2:5][CH3:6]>>[CH3:1][C:2](=[O:3])[NH:4][CH2:5][CH3:6]"
ALIKE = (
    "[CH3:6][CH:5]([CH3:7])[C:2](=[O:3])[OH:9].[NH2:4][CH3:1]>>"
    "[CH3:6][CH:5]([CH3:7])[C:2](=[O:3])[NH:4][CH3:1]"
)
OTHERS = {
    "another leaving group": FIRST.replace("[OH:9]", "[Cl:9]"),
    "an atom that changes elsewhere": FIRST.replace("[CH2:5][CH3:6]>>", "[CH2:5][CH2:6][F:8]>>"),
    "stereochemistry at a bond": FIRST.replace("[CH3:1][C", "[CH3:7]/[CH:8]=[CH:1]/[C"),
    "an atom without counterpart": FIRST.replace("[CH3:1][C:2](=[O:3])[OH:9]", "[CH3:11][C:2](=[O:3])[OH:9]"),
    "a map that repeats": FIRST.replace("[CH2:5][CH3:6]>>", "[CH2:5][CH3:5]>>"),
    "a radical": FIRST.replace("[CH2:5][CH3:6]", "[CH2:5][CH2:6]"),
    "swapped maps": FIRST.replace("[CH3:1][C:2](=[O:3])[OH:9]", "[CH3:3][C:2](=[O:1])[OH:9]"),
}


def read(text: str) -> Change | None:
    sides = read_case(text, "mapped")[0].sides
    return None if sides is None else read_change(sides)


def test_reactions_with_one_change_have_one_note() -> None:
    """The product's atoms of the edit are the carbonyl and the nitrogen."""
    first, alike = read(FIRST), read(ALIKE)
    assert first is not None
    assert alike is not None
    assert first.describe((7, 1, 3)) == alike.describe((7, 3, 5)) is not None
    assert first.describe((7, 1, 3)) != first.describe((8, 1, 3))
    assert first.describe((7, 1, 2)) is None


@pytest.mark.parametrize("name", OTHERS)
def test_another_change_is_not_the_same(name: str) -> None:
    first, other = read(FIRST), read(OTHERS[name])
    assert first is not None
    assert other is None or other.describe((7, 1, 3)) != first.describe((7, 1, 3))


def test_an_outcome_makes_the_change_at_its_own_place_alone() -> None:
    """Of two like amides either gives the same SMILES; under the maps one does."""
    text = (
        "[CH3:1][NH:2][C:3](=[O:4])[CH2:5][C:6](=[O:7])[OH:19].[NH2:8][CH3:9]>>"
        "[CH3:1][NH:2][C:3](=[O:4])[CH2:5][C:6](=[O:7])[NH:8][CH3:9]"
    )
    case, _ = read_case(text, "mapped")
    change = read(text)
    assert change is not None
    outcomes = RunnableTemplate(AMIDE).run((case.product.mol,))
    assert sorted(map(change.is_made_by, outcomes)) == [False, True]


def test_a_known_change_needs_no_run(
    open_kernel: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = open_kernel([AMIDE])
    assert ask(FIRST) == (["t0"], "mapped")
    runs = []
    run = RunnableTemplate.run

    def count(template: RunnableTemplate, molecules: Sequence[Any]) -> Any:
        runs.append(molecules)
        return run(template, molecules)

    monkeypatch.setattr(RunnableTemplate, "run", count)
    assert ask(ALIKE) == (["t0"], "mapped")
    assert runs == []
    assert [ask(text) for text in OTHERS.values()][1] == ([], "mapped")


CHIRAL = (
    "[CH3:1][C:2](=[O:3])[OH:9].[NH2:4][C@@H:5]([CH3:6])[CH2:7][CH3:8]>>"
    "[CH3:1][C:2](=[O:3])[NH:4][C@@H:5]([CH3:6])[CH2:7][CH3:8]"
)
CENTRES = {
    "kept": (CHIRAL, True),
    "kept, written in another order": (
        CHIRAL.partition(">")[0] + ">>[CH3:6][C@H:5]([NH:4][C:2]([CH3:1])=[O:3])[CH2:7][CH3:8]",
        True,
    ),
    "inverted": (CHIRAL[:55] + CHIRAL[55:].replace("@@", "@"), False),
    "made": (CHIRAL.replace("[NH2:4][C@@H:5]", "[NH2:4][CH:5]"), False),
    "lost": (CHIRAL[:55] + CHIRAL[55:].replace("[C@@H:5]", "[CH:5]"), False),
    "seen by its maps alone": (CHIRAL.replace("[CH2:7][CH3:8]", "[CH3:7]"), False),
}


@pytest.mark.parametrize("name", CENTRES)
def test_a_change_counts_where_the_centres_stay(name: str, naive: Any) -> None:
    """The definition keeps centres that only maps tell apart, and those an outcome never has."""
    text, is_kept = CENTRES[name]
    change = read(text)
    assert change is not None
    assert change.keeps_centres is is_kept
    assert naive.explain(text, [AMIDE], naive.Question()) == ([0] if is_kept else [], "mapped")


def test_a_known_change_beside_a_centre_needs_no_run(
    open_kernel: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note is that of a reaction without centres."""
    ask = open_kernel([AMIDE])
    assert ask(FIRST.replace("[CH2:5][CH3:6]", "[CH:5]([CH3:6])[CH2:7][CH3:8]")) == (["t0"], "mapped")
    monkeypatch.setattr(RunnableTemplate, "run", None)
    assert ask(CHIRAL) == (["t0"], "mapped")


def test_a_template_that_mentions_chirality_is_run(open_kernel: Callable[..., Any], naive: Any) -> None:
    """What it asks of a centre, RunReactants takes off it."""
    templates = [AMIDE, AMIDE.replace("-[N;H1;D2;+0:3]>>", "-[N;H1;D2;+0:3]-[C@@:4]>>") + "-[C:4]"]
    assert open_kernel(templates)(CHIRAL) == (["t0"], "mapped")
    assert naive.explain(CHIRAL, templates, naive.Question()) == ([0], "mapped")


def test_maps_that_swap_like_atoms_make_no_other_change() -> None:
    """The amide's carbonyl is mapped to the hydroxyl of the acid."""
    swapped = FIRST.replace("[C:2](=[O:3])[OH:9]", "[C:2](=[O:9])[OH:3]")
    first, other = read(FIRST), read(swapped)
    assert first is not None
    assert other is not None
    assert first.describe((7, 1, 3)) == other.describe((7, 1, 3)) is not None


def test_the_oldest_notes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aliquot_chem.changes._KEPT", 2)
    known = KnownChanges()
    for number in range(3):
        known.add((number,))
    assert [(number,) in known for number in range(3)] == [False, True, True]
