"""The job `crossref` as the engine sees it: declaration, preparation, answers and summary."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import BadReference, ParseFailure
from aliquot.job import Reference, read_fields
from aliquot_chem.counts import TemplateCounts
from aliquot_chem.crossref import Options, Reaction, job
from aliquot_chem.table import derive_template_id

OXIDATION, AMIDE = "[C:1][OH:2]>>[C:1]=[O:2]", "[C:1](=[O:2])[N:3]>>[C:1](=[O:2])O.[N:3]"
REDUCTION = "[C:1]=[O:2]>>[C:1][OH:2]"


def make_options(folder: Path, table: str, **options: Any) -> Options:
    (folder / "templates.csv").write_text(table)
    return Options(templates=Reference(folder / "templates.csv", ""), **options)


def prepare(folder: Path, table: str, **options: Any) -> tuple[Options, Path]:
    chosen = make_options(folder, table, **options)
    into = folder / "prepared"
    into.mkdir()
    assert job.prepare is not None
    job.prepare(chosen, into)
    return chosen, into


def test_declaring_the_job_loads_no_chemistry() -> None:
    """The command line imports it for its help, and summaries run where RDKit is not."""
    code = "import sys, aliquot_chem.crossref; print({'rdkit', 'numpy', 'pyarrow'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip()
        == b"set()"
    )


def test_every_option_has_help_and_a_default() -> None:
    fields = read_fields(Options)
    assert all(field.help for field in fields)
    assert [field.name for field in fields if field.is_required] == ["templates"]
    defaults = {field.name: field.default for field in fields[1:]}
    assert list(defaults.values()) == ["exact", "auto", "exact", "retro", False]
    assert [column.column.kind for column in read_fields(Reaction)] == ["id", "line"]


def test_rows_come_in_template_order_with_the_mode_that_was_used(tmp_path: Path) -> None:
    table = f"id,smarts\nb,{REDUCTION}\na,{REDUCTION}\nc,{OXIDATION}\n"
    options, into = prepare(tmp_path, table)
    answers = job.stages[0].open(options, into)(
        iter([Reaction("r1", "CCO>>CC=O"), Reaction(None, "CC[OH:1]>>CC=[O:1]")])
    )
    first, second = answers
    assert [tuple(row) for row in first.rows] == [("r1", "b"), ("r1", "a")]
    assert (first.note, second.note) == ("any", "mapped")
    assert [tuple(row) for row in second.rows] == [("", "b"), ("", "a")]


def test_a_record_that_does_not_parse_leaves_the_next_alone(tmp_path: Path) -> None:
    options, into = prepare(tmp_path, f"smarts\n{REDUCTION}\n")
    texts = ["CCO>>CC=O", "nonsense", None, "CC>>CC", "C(>>C", "CCO>>CC=O"]
    answers = job.stages[0].open(options, into)(Reaction("r", text) for text in texts)
    seen = []
    for _ in texts:
        try:
            seen.append(len(next(answers).rows))
        except ParseFailure as err:
            seen.append(str(err))
    assert seen == [
        1,
        "expected reactants>agents>products, found 0 '>': nonsense",
        "the reaction is empty",
        "the reactants are the product",
        "reactants: C( does not parse",
        1,
    ]


def test_mapped_needs_a_reactant_that_is_mapped(tmp_path: Path) -> None:
    options, into = prepare(tmp_path, f"smarts\n{REDUCTION}\n", reactants="mapped")
    with pytest.raises(ParseFailure, match="no reactant shares a map number"):
        next(job.stages[0].open(options, into)([Reaction("r", "CCO>>CC=O")]))


BAD = f"""id,smarts
a,{REDUCTION}
b,[C:1>>C
c,
d,[C:1].[N:2]>>[C:1][N:2]
a,{OXIDATION}
e,C>>
f,[C:1][C:1]>>C
"""


def test_templates_that_cannot_be_used_are_listed_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(BadReference) as caught:
        prepare(tmp_path, BAD)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own bytes
    assert (error.n_bad, [line for line, _ in error.rows]) == (6, [3, 4, 5, 6, 7])
    text = str(error)
    assert "--skip-bad-templates" in text
    assert "line 4: no SMARTS" in text
    assert "2 molecules left of '>>'" in text
    assert "id 'a' is that of line 2 with another SMARTS" in text
    assert "and 1 more" in text


def test_templates_that_cannot_be_used_can_be_left_out(tmp_path: Path) -> None:
    options, into = prepare(tmp_path, BAD, skip_bad_templates=True)
    figures = TemplateCounts(options, into).figures()
    assert (figures["templates"], figures["templates_skipped"]) == (1, 6)


def test_a_table_of_bad_templates_alone_is_refused_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(BadReference, match="none of the table's templates"):
        prepare(tmp_path, "smarts\n[C:1\n", skip_bad_templates=True)


def test_a_repeated_template_is_merged_and_counted(tmp_path: Path) -> None:
    """Same text and same id are one template; another id keeps it apart, since its user does."""
    table = f"id,smarts\na,{REDUCTION}\na,{REDUCTION}\nb,{REDUCTION}\n,{AMIDE}\n,{AMIDE}\n"
    options, into = prepare(tmp_path, table)
    counts = TemplateCounts(options, into)
    figures = counts.figures()
    assert (figures["templates"], figures["templates_merged"], figures["templates_same_smarts"]) == (3, 2, 1)
    assert figures["remarks"] == [
        "2 templates stand in the table twice and count once",
        "1 templates have the SMARTS of another with a different id",
    ]
    assert counts.tables()["templates"]["template_id"] == ["a", "b", derive_template_id(AMIDE)]


def test_the_summary_counts_templates_and_modes(tmp_path: Path) -> None:
    options, into = prepare(tmp_path, f"id,smarts\na,{OXIDATION}\nb,{REDUCTION}\nc,{AMIDE}\n")
    counts = TemplateCounts(options, into)
    for record, rows, note in [
        (3, [("r", "b"), ("r", "c")], "any"),
        (5, [], "any"),
        (8, [("r", "c")], "mapped"),
    ]:
        counts.add(record, rows, note)
    assert counts.figures() == {
        "templates": 3,
        "templates_used": 2,
        "templates_merged": 0,
        "templates_same_smarts": 0,
        "templates_skipped": 0,
        "explained": 2,
        "unexplained": 1,
        "reactants": {"any": 2, "mapped": 1},
        "remarks": [],
    }
    assert counts.tables()["templates"] == {
        "template_id": ["c", "b", "a"],
        "smarts": [AMIDE, REDUCTION, OXIDATION],
        "reactions": [2, 1, 0],
        "first_record": [3, 3, None],
    }


def test_summaries_of_parts_merge_to_that_of_the_whole(tmp_path: Path) -> None:
    """A stack counts a run's groups apart, and says what a laptop says."""
    options, into = prepare(tmp_path, f"id,smarts\na,{OXIDATION}\nb,{REDUCTION}\nc,{AMIDE}\n")
    records = [(0, [], "any"), (1, [("r", "b")], "mapped"), (4, [("r", "b"), ("r", "c")], "any")]
    whole = TemplateCounts(options, into)
    for record in records:
        whole.add(*record)
    for cut in range(len(records) + 1):
        merged = TemplateCounts(options, into)
        for part in (records[:cut], records[cut:]):
            counts = TemplateCounts(options, into)
            for record in part:
                counts.add(*record)
            merged.merge(json.loads(json.dumps(counts.partial())))
        assert merged.figures() == whole.figures()
        assert merged.tables() == whole.tables()


def test_the_prepared_state_is_data_without_code(tmp_path: Path) -> None:
    _, into = prepare(tmp_path, f"id,smarts\na,{OXIDATION}\n")
    assert {path.suffix for path in into.iterdir()} == {".json", ".npy"}
