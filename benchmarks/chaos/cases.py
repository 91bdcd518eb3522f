"""What the campaign runs: jobs over datasets with a known undisturbed answer, and how answers differ.

Owns the datasets and the comparison. Imports pyarrow where an answer is read: in a process of its own, since
others are forked from the one that asks.
"""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOYS = Path(__file__).with_name("toys.py")
SAMPLE = ROOT / "examples" / "crossref"
_RECORD_TIMEOUT_S = 20.0  # more than any record takes on a busy machine
STACKABLE = ("small", "poison", "slow", "crossref")  # the cases that also run on a stack
_POISON = ("exit", "segv", "abort", "kill", "raise")
_TABLES = ("failures", "unexplained", "templates", "not_tried")


@dataclass(frozen=True)
class Case:
    """A job over a dataset.

    Args:
        name: of the case.
        job: a name or an address.
        data: the dataset's file.
        options: of the job.
        record_timeout_s: a record's deadline.
    """

    name: str
    job: str
    data: str
    options: tuple[tuple[str, str], ...] = ()
    record_timeout_s: float = _RECORD_TIMEOUT_S


@dataclass(frozen=True)
class Answer:
    """What a run delivered: tables as JSON lines in order, figures, and how long it took."""

    tables: dict[str, list[str]]
    figures: dict[str, Any]
    elapsed_s: float = 0.0

    def to_json(self) -> str:
        """Text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """From text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Difference:
    """How an answer differs from the undisturbed one; all 0 and empty where it does not."""

    lost: int = 0
    doubled: int = 0
    other: str = ""

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.other)


def write_cases(folder: Path, seed: int) -> list[Case]:
    """Write the datasets; gives the cases."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "small": _make_rows(150, lambda _: "0.001"),
        "slow": _make_rows(60, lambda _: str(draw.choice((0.002, 0.02)))),
        "poison": _make_rows(90, lambda n: _poison(draw, n)),
        "flaky": _make_rows(60, lambda n: "throttle" if n % 25 == 7 else ""),
        "hang": _make_rows(40, lambda n: "hang" if n == 13 else "0.001"),
        "large": _make_rows(4000, lambda _: "", "C" * 900),
    }
    made = [
        Case(
            name,
            f"{TOYS}:work",
            _write(folder, name, each),
            record_timeout_s=1.0 if name == "hang" else _RECORD_TIMEOUT_S,
        )
        for name, each in rows.items()
    ]
    lines = (SAMPLE / "reactions.rsmi").read_text().splitlines(keepends=True)
    start = draw.randrange(len(lines) - 250)
    reactions = folder / "reactions.rsmi"
    reactions.write_text("".join(lines[start : start + 250]))
    options = (("templates", str(SAMPLE / "templates.csv")),)
    return [*made, Case("crossref", "crossref", str(reactions), options)]


def read_answer(folder: Path) -> Answer:
    """What was delivered into a run's folder."""
    import pyarrow.parquet as pq

    def read(paths: Iterable[Path]) -> list[str]:
        rows = (row for path in paths for row in pq.read_table(path, use_threads=False).to_pylist())
        return [json.dumps(_without_signal(row), sort_keys=True, default=str) for row in rows]

    tables = {"result": read(sorted((folder / "result").glob("part-*.parquet")))}
    tables |= {name: read([path]) for name in _TABLES if (path := folder / f"{name}.parquet").exists()}
    figures = json.loads((folder / "summary.json").read_text())
    elapsed_s = figures.pop("elapsed_s")
    figures.pop("cpu_s")
    return Answer(tables, figures, elapsed_s)


def _without_signal(row: dict[str, Any]) -> dict[str, Any]:
    """A failure without how its process ended: a kill from outside may hit the one that was to tell."""
    return {**row, "message": ""} if row.get("kind") == "crash" else row


def compare(before: Answer, now: Answer) -> Difference:
    """What is lost and doubled record by record, and what else is not as it was."""
    rows = [Counter(each.tables["result"]) for each in (before, now)]
    failed = [Counter(each.tables.get("failures", [])) for each in (before, now)]
    lost = (rows[0] - rows[1]) + (failed[0] - failed[1])
    more = (rows[1] - rows[0]) + (failed[1] - failed[0])
    n_missing = before.figures["records"] - sum(now.figures[name] for name in ("done", "failed"))
    other = ""
    if before.tables != now.tables:
        names = before.tables.keys() | now.tables.keys()
        differing = [name for name in names if before.tables.get(name) != now.tables.get(name)]
        other = f"tables differ: {', '.join(sorted(differing))}: {[*lost][:2]} {[*more][:2]}"
    elif before.figures != now.figures:
        other = f"figures differ: {now.figures}"
    return Difference(max(_count_records(lost), n_missing), _count_records(more), other)


def _count_records(rows: Counter[str]) -> int:
    return len({json.loads(row).get("record") for row in rows})


def _make_rows(n_records: int, do: Callable[[int], str], text: str = "aspirin") -> list[list[str]]:
    return [[f"r{number}", do(number), f"{number}{text}"] for number in range(n_records)]


def _poison(draw: random.Random, number: int) -> str:
    return draw.choice(_POISON) if number % 18 == 5 else "0.001"


def _write(folder: Path, name: str, rows: list[list[str]]) -> str:
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "do", "text"])
        writer.writerows(rows)
    return str(path)
