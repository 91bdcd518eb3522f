"""The kernel against the naive loop on thousands of real reactions: 0 missed and 0 extra, or exit 1.

    make verify-kernel                                 # 5,000 rows of either file, mapped and `any`: hours
    .venv/bin/python benchmarks/verify_kernel.py --rows 200 --workers 2

Owns the choice of rows, seeded and spread over both files, and a journal of answers, so that a run that was
stopped goes on where it was. Rows are asked as they are (`mapped`) and with their maps stripped (`any`), each
against all templates. The naive loop takes 0.1-0.3 s for a row, the kernel about 1 ms. The data is read from
ALIQUOT_TEST_DATA, else from ../shared/data beside the project. When this is wrong, the kernel's filters are
believed without ground.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import rdBase

from aliquot.errors import ParseFailure
from aliquot.job import Reference
from aliquot_chem.crossref import Options, Reaction, build_matcher, open_matcher

sys.path.insert(0, str(Path(__file__).parent))
import naive_crossref

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("ALIQUOT_TEST_DATA", ROOT.parent / "shared" / "data")) / "uspto"
FILES = {
    "uspto50k": ("uspto50k-eval.csv", "uspto50k-test.csv"),
    "uspto480k": ("uspto480k-valid.rsmi.gz",),
}
SEED = 6
Answer = list[str] | None
"""Ids of the templates that explain a reaction; None for a failed record."""


@dataclass(frozen=True)
class Question:
    """One reaction to ask: which file's, the row in the sample, and whether its maps are stripped."""

    file: str
    row: int
    is_stripped: bool
    reaction: str

    @property
    def name(self) -> str:
        """The question in the journal."""
        return f"{self.file}/{self.row}/{'any' if self.is_stripped else 'mapped'}"


def pick_questions(n_rows: int) -> list[Question]:
    """So many rows of either file, at random and the same each time; a longer sample begins alike."""
    questions = []
    for file, names in FILES.items():
        rows = [row for name in names for row in naive_crossref.read_reactions(DATA / name)]
        random.Random(SEED).shuffle(rows)
        for number, reaction in enumerate(rows[:n_rows]):
            questions.append(Question(file, number, False, reaction))
            questions.append(Question(file, number, True, re.sub(r":\d+\]", "]", reaction)))
    return sorted(questions, key=lambda question: question.row)


def ask_naive(question: Question) -> tuple[str, Answer]:
    """The naive loop's answer to a question, by its name."""
    ids, smarts = read_templates()
    try:
        hits, _ = naive_crossref.explain(question.reaction, smarts, naive_crossref.Question())
    except naive_crossref.NotAReaction:
        return question.name, None
    return question.name, [ids[hit] for hit in hits]


_templates: list[tuple[list[str], list[str]]] = []


def read_templates() -> tuple[list[str], list[str]]:
    """All templates, read once per process."""
    if not _templates:
        rdBase.DisableLog("rdApp.*")  # the naive loop tries what does not sanitise
        _templates.append(naive_crossref.read_templates(DATA / "templates.tsv"))
    return _templates[0]


def ask_kernel(questions: list[Question]) -> Iterator[Answer]:
    """The kernel's answers, in the order of the questions."""
    with tempfile.TemporaryDirectory(prefix="aliquot-verify-") as name:
        options = Options(templates=Reference(DATA / "templates.tsv", ""))
        build_matcher(options, Path(name))
        answers = open_matcher(options, Path(name))(Reaction("", own.reaction) for own in questions)
        for _ in questions:
            try:
                yield [hit.template_id for hit in next(answers).rows]
            except ParseFailure:
                yield None


def read_journal(path: Path) -> dict[str, Answer]:
    """The naive answers so far; a line that was cut short by a kill is left out."""
    answers: dict[str, Answer] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                name, answer = json.loads(line)
            except ValueError:
                continue
            answers[name] = answer
    return answers


def collect_naive(questions: list[Question], journal: Path, workers: int) -> dict[str, Answer]:
    """The naive loop's answers to all questions; new ones are written to the journal as they come."""
    answers = read_journal(journal)
    missing = [question for question in questions if question.name not in answers]
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a") as lines, multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, (name, answer) in enumerate(pool.imap_unordered(ask_naive, missing, chunksize=4), 1):
            answers[name] = answer
            print(json.dumps([name, answer]), file=lines, flush=True)
            if done % 200 == 0:
                print(f"naive: {done} of {len(missing)} rows", file=sys.stderr, flush=True)
    return answers


def compare(questions: list[Question], expected: dict[str, Answer]) -> bool:
    """Print the table of answers, and the first rows that differ; whether there is none."""
    counts: dict[str, Counter[str]] = {}
    for question, found in zip(questions, ask_kernel(questions), strict=True):
        wanted = expected[question.name]
        file, _, mode = question.name.split("/")
        own = counts.setdefault(f"{file}, {mode}", Counter())
        missed, extra = set(wanted or ()) - set(found or ()), set(found or ()) - set(wanted or ())
        is_same = wanted == found
        own.update(rows=1, pairs=len(wanted or ()), missed=len(missed), extra=len(extra), differ=not is_same)
        if not is_same and own["differ"] <= 5:  # enough to begin with
            print(f"{question.name}: missed {sorted(missed)}, extra {sorted(extra)}: {question.reaction}")
    print("| rows of | rows | pairs | missed | extra | rows that differ |\n|---|---|---|---|---|---|")
    for name, own in sorted(counts.items()):
        figures = [own[key] for key in ("rows", "pairs", "missed", "extra", "differ")]
        print(f"| {name} | {' | '.join(f'{figure:,}' for figure in figures)} |")
    return not any(own["differ"] for own in counts.values())


def main() -> int:
    """Ask both; 1 where an answer differs, 2 without the data."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=5_000, help="rows of either file")
    parser.add_argument("--workers", type=int, default=2, help="processes for the naive loop")
    parser.add_argument("--journal", type=Path, default=ROOT / "build/verify-kernel.jsonl")
    asked = parser.parse_args()
    if not DATA.is_dir():
        print(f"no data in {DATA}: set ALIQUOT_TEST_DATA to the folder that holds uspto/", file=sys.stderr)
        return 2
    questions = pick_questions(asked.rows)
    expected = collect_naive(questions, asked.journal, asked.workers)
    return 0 if compare(questions, expected) else 1


if __name__ == "__main__":
    sys.exit(main())
