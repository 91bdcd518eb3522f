"""Figures and the table of templates over a whole cross-reference.

Owns what `summary.json` says of the job and the table `templates`. Imports the standard library alone and
reads the prepared `templates.json`: summaries run where RDKit and NumPy are not. When it is wrong, the rows
of the result stay right and what is said about them does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class TemplateCounts:
    """Counts how often each template explains a reaction; fed in dataset order."""

    def __init__(self, options: Any, prepared: Path) -> None:  # noqa: ARG002  # as every summary is called
        """Start empty, with the templates that `prepared` lists."""
        listed = json.loads((prepared / "templates.json").read_text(encoding="utf-8"))
        self._ids: list[str] = listed["ids"]
        self._smarts: list[str] = listed["smarts"]
        self._table_figures: dict[str, int] = listed["figures"]
        self._rows = {template_id: row for row, template_id in enumerate(self._ids)}
        self._counts = [0] * len(self._ids)
        self._firsts: list[int | None] = [None] * len(self._ids)
        self._records = self._explained = 0
        self._reactant_modes: Counter[str] = Counter()

    def add(self, record: int, rows: Sequence[tuple[Any, ...]], note: str | None) -> None:
        """Count one record that is done: its number, its rows and its reactant mode."""
        self._records += 1
        self._explained += bool(rows)
        if note is not None:
            self._reactant_modes[note] += 1
        for _, template_id in rows:
            row = self._rows[template_id]
            self._counts[row] += 1
            if self._firsts[row] is None:
                self._firsts[row] = record

    def partial(self) -> dict[str, Any]:
        """What was counted: of the templates those that explain a reaction, as [row, count, first record]."""
        used = [[row, count, self._firsts[row]] for row, count in enumerate(self._counts) if count]
        return {
            "records": self._records,
            "explained": self._explained,
            "reactants": dict(self._reactant_modes),
            "templates": used,
        }

    def merge(self, partial: dict[str, Any]) -> None:
        """Add what was counted of later records."""
        self._records += partial["records"]
        self._explained += partial["explained"]
        self._reactant_modes.update(partial["reactants"])
        for row, count, first in partial["templates"]:
            self._counts[row] += count
            if self._firsts[row] is None:
                self._firsts[row] = first

    def figures(self) -> dict[str, Any]:
        """Templates (read, used, duplicate, skipped), reactions explained or not, and reactant modes."""
        return {
            "templates": len(self._ids),
            "templates_used": sum(count > 0 for count in self._counts),
            **self._table_figures,
            "explained": self._explained,
            "unexplained": self._records - self._explained,
            "reactants": dict(sorted(self._reactant_modes.items())),
            "remarks": self._list_remarks(),
        }

    def _list_remarks(self) -> list[str]:
        """What a person should know of the template table, in sentences."""
        said = {
            "templates_skipped": "templates do not parse and were skipped",
            "templates_merged": "templates stand in the table twice and count once",
            "templates_same_smarts": "templates have the SMARTS of another with a different id",
        }
        counted = {name: self._table_figures.get(name, 0) for name in said}
        return [f"{count:,} {said[name]}" for name, count in counted.items() if count]

    def tables(self) -> dict[str, dict[str, Sequence[Any]]]:
        """`templates`: id, SMARTS, reactions explained and the first of them; by count, then table order."""
        order = sorted(range(len(self._ids)), key=lambda row: (-self._counts[row], row))
        return {
            "templates": {
                "template_id": [self._ids[row] for row in order],
                "smarts": [self._smarts[row] for row in order],
                "reactions": [self._counts[row] for row in order],
                "first_record": [self._firsts[row] for row in order],
            }
        }
