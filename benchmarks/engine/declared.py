"""Case a as a job that declares its columns: what the engine takes without a dict for each record.

Imports the contract with jobs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aliquot.job import Job, Stage


class Number(NamedTuple):
    """A record, and a row."""

    v: int


@dataclass(frozen=True)
class Options:
    """None."""


def open_take(_options: Options, _prepared: Path) -> Callable[[Iterable[Number]], Iterator[list[Number]]]:
    """Each record is its own row."""
    return lambda records: ([record] for record in records)


job = Job(
    "numbers", version=1, options=Options, reads=Number, writes=Number, stages=(Stage("take", open_take),)
)
