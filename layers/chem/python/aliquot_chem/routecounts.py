"""Figures over a whole run of `retro`: how many targets are solved, and by how many steps.

Owns what `summary.json` says of the job. Imports the standard library alone: summaries run where RDKit and
NumPy are not. When it is wrong, the rows of the result stay right and what is said about them does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_RANK, _STEPS = 2, 4  # places in a row, see `retrosynthesis.Route`


class RouteCounts:
    """Counts targets by the steps of their best route; fed in dataset order."""

    def __init__(self, options: Any, prepared: Path) -> None:  # noqa: ARG002  # as every summary is called
        """Start empty."""
        listed = json.loads((prepared / "templates.json").read_text(encoding="utf-8"))
        self._table_figures: dict[str, int] = listed["figures"]
        self._n_templates = len(listed["ids"])
        self._targets = 0
        self._solved: Counter[int] = Counter()

    def add(self, record: int, rows: Sequence[tuple[Any, ...]], note: str | None) -> None:  # noqa: ARG002  # as above
        """Count one target that is done."""
        self._targets += 1
        if rows:
            self._solved[next(row[_STEPS] for row in rows if row[_RANK] == 1)] += 1

    def partial(self) -> dict[str, Any]:
        """What was counted: targets, and those solved by [steps, count]."""
        return {"targets": self._targets, "solved": [list(pair) for pair in sorted(self._solved.items())]}

    def merge(self, partial: dict[str, Any]) -> None:
        """Add what was counted of later records."""
        self._targets += partial["targets"]
        self._solved.update(dict(partial["solved"]))

    def figures(self) -> dict[str, Any]:
        """Templates, targets solved or not, and by how many steps the best route takes."""
        solved = self._solved.total()
        return {
            "templates": self._n_templates,
            **self._table_figures,
            "solved": solved,
            "unsolved": self._targets - solved,
            "solved_by_steps": {str(steps): count for steps, count in sorted(self._solved.items())},
            "remarks": [f"{solved:,} of {self._targets:,} targets can be made from the stock"],
        }

    def tables(self) -> dict[str, dict[str, Sequence[Any]]]:
        """None."""
        return {}
