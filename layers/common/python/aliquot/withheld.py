"""Errors of handlers without their text, which may hold a user's data: the type, and the line that raised it.

What a handler raises stands in logs and in the history of a state machine, read by more people than the data.
Owns what of an error may be told there. Imports the standard library. When it is wrong, records reach a log.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Self


class Withheld(Exception):
    """What a handler raises in place of an error that is not foreseen; each has a subclass of its own."""

    def __init__(self, error: str, where: str) -> None:
        super().__init__(error, where)
        self.error, self.where = error, where

    def __str__(self) -> str:
        return f"{self.error} at {self.where}; its text is kept back, since it may hold a user's data"

    @classmethod
    def of(cls, err: BaseException) -> Self:
        """What may be told of an error."""
        return cls(type(err).__name__, locate(err))


def locate(err: BaseException) -> str:
    """The file and the line that raised an error."""
    place = traceback.extract_tb(err.__traceback__)[-1]
    return f"{Path(place.filename).name}:{place.lineno}"
