"""One line of a doctor: what was looked at, how it is, what to do.

Owns the form of the lines. Imports nothing of the project. When it is wrong, a check that fails ends with
status 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        remedy: what to do; empty for `ok`.
    """

    level: Level
    subject: str
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        rest = f": {self.remedy}" if self.remedy else ""
        return f"{self.level:4}  {self.subject:13} {self.said}{rest}"
