"""A desk on which chains of stages are run, and what they leave."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet
import pytest

from tests.functional.desk import Desk
from tests.functional.stages.chains import EXCHANGES, WORD, Options, expect

WORDS = ["a", "b", "c", "d", "twice", "never"]


class ChainDesk(Desk):
    """A user's folder with the toy chain in it."""

    files: ClassVar[dict[str, str]] = {"chains.py": Path(__file__).with_name("chains.py").read_text()}
    patience_s: ClassVar[float] = 90

    def write_texts(self, n_records: int, n_odd: int = 1, seed: int = 1) -> list[str]:
        """A table of texts, some of which hold a word that meets a fault; gives them."""
        draw = random.Random(seed)
        texts = [" ".join(draw.choices(WORDS, k=draw.randrange(0, 5))) or "a" for _ in range(n_records)]
        for place in draw.sample(range(n_records), n_odd):
            texts[place] = f"{WORD} {texts[place]}"
        self.write("data.csv", "id,text\n" + "".join(f"r{at},{text}\n" for at, text in enumerate(texts)))
        return texts

    def rows(self, out: str = "out") -> list[tuple[int, tuple[Any, ...]]]:
        """The result: record and row."""
        return [(row["record"], (row["of"], row["word"], row["n"])) for row in self.table(out).to_pylist()]

    def failed(self, out: str = "out") -> dict[int, str]:
        """The stage in which each failed record failed."""
        table = pyarrow.parquet.read_table(self.folder / out / "failures.parquet")
        return {row["record"]: row["stage"] for row in table.to_pylist()}

    def check(self, texts: list[str], options: Options, out: str = "out") -> None:
        """Hold what a run left against a plain program."""
        rows, failed = expect(texts, options)
        assert self.rows(out) == [(record, tuple(row)) for record, row in rows]
        assert self.failed(out) == failed
        summary = json.loads((self.folder / out / "summary.json").read_text())
        assert (summary["records"], summary["failed"]) == (len(texts), len(failed))
        assert (summary["done"], summary["rows"]) == (len(texts) - len(failed), len(rows))
        exchanged = [f"stage{place}" for place, letter in enumerate(options.shape, 1) if letter in EXCHANGES]
        assert [each["stage"] for each in summary.get("exchanges", ())] == exchanged


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ChainDesk]:
    made = ChainDesk(tmp_path)
    yield made
    made.end_all()
