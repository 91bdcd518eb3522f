"""A toy job whose rows hold values that cannot all be read back: one raises, one kills, one hangs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aliquot
from aliquot.job import Group, Job, Stage


class Box:
    """A text, of which some are fatal where they are read."""

    def __init__(self, text: str) -> None:
        self.text = text


def read_box(body: bytes) -> Box:
    """The box; of three texts no box."""
    text = body.decode()
    if text == "odd":
        raise KeyError("no such box")
    if text == "dead":
        os.abort()
    if text == "stuck":
        time.sleep(600)
    return Box(text)


aliquot.register(Box, "test.box", to_bytes=lambda box: box.text.encode(), from_bytes=read_box)


class Made(NamedTuple):
    """A box, and another one in a list in a dict."""

    name: str
    box: Any
    more: Any


@dataclass(frozen=True)
class Options:
    """None."""


def make(record: dict[str, Any]) -> list[Made]:
    """`OUTER-INNER` becomes two boxes."""
    outer, _, inner = record["name"].partition("-")
    return [Made(record["name"], Box(outer), {"inner": [0, Box(inner)]})]


def use(row: Made) -> list[dict[str, Any]]:
    """The row's name and what its boxes say."""
    return [{"name": row.name, "said": f"{row.box.text}-{row.more['inner'][1].text}"}]


def use_group(group: Group) -> list[dict[str, Any]]:
    """As `use`, of all rows of a group."""
    return [used for row in group.rows for used in use(row)]


def _each(work: Callable[[Any], list[Any]]) -> Any:
    def open_stage(_: Options, __: Path) -> Callable[[Iterable[Any]], Iterator[list[Any]]]:
        return lambda units: map(work, units)

    return open_stage


def open_ahead(_: Options, __: Path) -> Callable[[Iterable[Any]], Iterator[list[Any]]]:
    """All rows are read before the first is answered."""
    return lambda rows: iter([use(row) for row in rows])


_MAKE = Stage("make", _each(make), writes=Made)
chain = Job("brittle", version=1, options=Options, stages=(_MAKE, Stage("use", _each(use))))
ahead = Job("brittle", version=1, options=Options, stages=(_MAKE, Stage("use", open_ahead)))
groups = Job(
    "brittle", version=1, options=Options, stages=(_MAKE, Stage("use", _each(use_group), exchange="name"))
)
