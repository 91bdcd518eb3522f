"""The plain program's sets for each target, kept as they come: asking it for all takes 20 minutes.

    build/plain-retro.jsonl    the digest of what the answers follow from, then an answer a line

Owns this file: another plain program, other templates or counts begin it anew. Imports `given` and the plain
program. When it is wrong, the project is held to answers of another day.
"""

from __future__ import annotations

import csv
import json
import time
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet

from benchmarks import naive_retro
from benchmarks.retro.given import DATA, ROOT

_ALL = 1 << 60
_KEPT = ROOT / "build/plain-retro.jsonl"


class Answer(NamedTuple):
    """All sets of a target, ranked, and the CPU seconds that it took to find them."""

    steps: list[naive_retro.Step]
    took_s: float


class Plain:
    """The plain program, asked at most once for each target."""

    def __init__(self, counts: Path) -> None:
        """Templates and a crossref run's counts are read."""
        table = pyarrow.parquet.read_table(counts).to_pydict()
        by_id = dict(zip(table["template_id"], table["reactions"], strict=True))
        with (DATA / "templates.tsv").open() as file:
            rows = [(row["id"], row["smarts"]) for row in csv.DictReader(file, delimiter="\t")]
        self._templates = naive_retro.load_templates(rows, by_id)
        code = Path(naive_retro.__file__).read_text(encoding="utf-8")
        digest = sha256(json.dumps([code, rows, sorted(by_id.items())]).encode()).hexdigest()
        self._answers = _read_kept(digest)
        self._file = _KEPT.open("a" if self._answers else "w", encoding="utf-8")
        if not self._answers:
            self._put(digest)

    def expand(self, smiles: str) -> Answer:
        """All sets of the molecule."""
        if smiles not in self._answers:
            began_s = time.process_time()
            steps = naive_retro.expand(smiles, self._templates, _ALL)
            self._answers[smiles] = Answer(steps, time.process_time() - began_s)
            self._put([smiles, *self._answers[smiles]])
        return self._answers[smiles]

    def _put(self, line: object) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _read_kept(digest: str) -> dict[str, Answer]:
    """The answers that are there; a last line that was broken off is cut away."""
    _KEPT.parent.mkdir(exist_ok=True)
    text = _KEPT.read_text(encoding="utf-8") if _KEPT.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines or lines[0] != json.dumps(digest):
        return {}
    _KEPT.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    answers = {}
    for line in lines[1:]:
        smiles, steps, took_s = json.loads(line)
        answers[smiles] = Answer(
            [naive_retro.Step(each[0], each[1], tuple(each[2])) for each in steps], took_s
        )
    return answers
