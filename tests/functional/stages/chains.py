"""A toy job whose chain of stages is spelt by an option, and a plain program that says what it has to give.

`shape` has a letter for each stage behind the first: `f` takes rows as they come, `x` exchanges them by word,
`s` as well and may split groups, `r` exchanges them by record. A row whose word is `fault`'s meets it in the
stage `at`.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aliquot.job import RECORD, Group, Job, Stage

WORD = "odd"


@dataclass(frozen=True)
class Options:
    """What the chain is and where it fails."""

    shape: str = ""
    fault: str = ""
    at: int = 0
    pause_s: float = 0.0


class Row(NamedTuple):
    """A word on its way; `of` is its record behind an exchange."""

    of: int
    word: str
    n: int


def _meet(options: Options, place: int, word: str) -> None:
    time.sleep(options.pause_s)
    if options.pause_s:
        with Path(f"seen-{place}").open("a") as file:
            file.write(word + "\n")
    if place != options.at or not word.startswith(WORD) or Path("mended").exists():
        return
    if options.fault == "raise":
        raise ValueError(f"no {word}")
    if options.fault == "crash":
        os.abort()
    if options.fault == "hang":
        time.sleep(60)


def split(options: Options, place: int, record: dict[str, Any]) -> list[Row]:
    """A row for each word."""
    words = (record["text"] or "").split()
    for word in words:
        _meet(options, place, word)
    return [Row(-1, word, 1) for word in words]


def grow(options: Options, place: int, row: Row) -> list[Row]:
    """The row with one more; twice where its word says so, not at all where it says that."""
    _meet(options, place, row.word)
    times = {"twice": 2, "never": 0}.get(row.word, 1)
    return [Row(row.of, row.word, row.n + 1)] * times


def tag(options: Options, place: int, group: Group) -> list[Row]:
    """Each row with how many there are of its word: a group may not be split for that."""
    _meet(options, place, str(group.key))
    pairs = zip(group.rows, group.records, strict=True)
    return [Row(record, row.word, row.n + 10 * len(group.rows)) for row, record in pairs]


def pass_on(options: Options, place: int, group: Group) -> list[Row]:
    """Each row, whatever else is in its group."""
    _meet(options, place, str(group.key))
    return [Row(record, row.word, row.n + 100) for row, record in zip(group.rows, group.records, strict=True)]


def join(options: Options, place: int, group: Group) -> list[Row]:
    """One row for a record: its words, and the sum of what they count."""
    words = "+".join(row.word for row in group.rows)
    _meet(options, place, words)
    assert isinstance(group.key, int)
    return [Row(group.key, words, sum(row.n for row in group.rows))]


_FUNCTIONS: dict[str, Callable[[Options, int, Any], list[Row]]] = {
    "": split,
    "f": grow,
    "x": tag,
    "s": pass_on,
    "r": join,
}
EXCHANGES = {"x": "word", "s": "word", "r": RECORD}


def _open(letter: str, place: int, options: Options, _prepared: Path) -> Any:
    work = partial(_FUNCTIONS[letter], options, place)

    def answer(units: Iterable[Any]) -> Iterator[list[Row]]:
        return map(work, units)

    return answer


def list_chain(options: Options) -> tuple[Stage, ...]:
    """The stages of a shape."""
    return tuple(
        Stage(
            f"stage{place}",
            partial(_open, letter, place),
            writes=Row,
            exchange=EXCHANGES.get(letter, ""),
            splits=letter == "s",
            origin="of" if set(options.shape[:place]) & set(EXCHANGES) else "",
        )
        for place, letter in enumerate(["", *options.shape])
    )


chain = Job("chain", version=1, options=Options, stages=list_chain, writes=Row)


@dataclass
class Unit:
    """What a stage answers at a time: a record or a group; its rows, each with its record."""

    records: list[int]
    rows: list[tuple[int, Any]]


def expect(texts: list[str], options: Options) -> tuple[list[tuple[int, Row]], dict[int, str]]:
    """The rows with their records, and the stage in which each failed record failed: the plain way."""
    failed: dict[int, str] = {}
    units = [Unit([number], [(number, {"text": text})]) for number, text in enumerate(texts)]
    is_grouped = False
    for place, letter in enumerate(["", *options.shape]):
        if letter in EXCHANGES:
            units = _group(units, letter)
            is_grouped = True
        units = [unit for unit in units if _answer(unit, place, letter, options, failed, is_grouped)]
    tells = not is_grouped or bool(set(options.shape) & set("xsr"))
    rows = [row for unit in units for row in unit.rows if not tells or row[0] not in failed]
    return rows, failed


def _group(units: list[Unit], letter: str) -> list[Unit]:
    groups: dict[Any, list[tuple[int, Row]]] = defaultdict(list)
    for unit in units:
        for record, row in unit.rows:
            groups[record if letter == "r" else row.word].append((record, row))
    made: list[Unit] = []
    for key in sorted(groups):
        held = sorted(groups[key], key=lambda row: row[0])
        group = Group(key, [row for _, row in held], [record for record, _ in held])
        made.append(Unit(sorted(set(group.records)), [(held[0][0], group)]))
    return made


def _answer(
    unit: Unit, place: int, letter: str, options: Options, failed: dict[int, str], is_grouped: bool
) -> bool:
    """Whether the unit is done; its rows are those of the next stage then."""
    rows: list[tuple[int, Row]] = []
    calm = Options(options.shape)
    for record, row in unit.rows:
        if options.fault and place == options.at and _is_met(row):
            for each in unit.records:
                failed.setdefault(each, f"stage{place}")
            return False
        answers = _FUNCTIONS[letter](calm, place, row)
        rows += [(answer.of if is_grouped else record, answer) for answer in answers]
    unit.rows = rows
    return True


def _is_met(row: Any) -> bool:
    if isinstance(row, dict):
        return any(word.startswith(WORD) for word in row["text"].split())
    if isinstance(row, Row):
        return row.word.startswith(WORD)
    words = "+".join(each.word for each in row.rows) if isinstance(row.key, int) else str(row.key)
    return words.startswith(WORD)
