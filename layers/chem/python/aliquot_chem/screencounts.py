"""What `summary.json` says of a screening, and the records that its index lacks.

Owns `screen.json` in the prepared folder: the queries' ids, and of an index how many molecules it holds and
which records were rejected. Imports the standard library alone: summaries run where RDKit and NumPy are not.
When it is wrong, the rows stay right and what is said of them does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FILE = "screen.json"
_COLUMNS = ("record", "id", "kind", "reason")


def write_screen(into: Path, query_ids: Sequence[str], index: dict[str, Any] | None) -> None:
    """Write what the summary reads.

    Args:
        index: `fingerprints`, their number, and `rejected`, rows of record, id, kind and reason.
    """
    text = json.dumps({"queries": list(query_ids), "index": index})
    (into / _FILE).write_text(text, encoding="utf-8")


def read_query_ids(prepared: Path) -> list[str]:
    """The ids of the queries, in order."""
    ids: list[str] = _read(prepared)["queries"]
    return ids


def _read(prepared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((prepared / _FILE).read_text(encoding="utf-8"))
    return found


class ScreenCounts:
    """Counts queries with hits; fed group by group."""

    def __init__(self, options: Any, prepared: Path) -> None:  # noqa: ARG002  # as every summary is called
        """Start empty."""
        said = _read(prepared)
        self._n_queries = len(said["queries"])
        self._index: dict[str, Any] | None = said["index"]
        self._n_answered = 0

    def add(self, record: int, rows: Sequence[tuple[Any, ...]], note: str | None) -> None:  # noqa: ARG002
        """Count the rows of a query, of which the first has rank 1."""
        self._n_answered += sum(row[1] == 1 for row in rows)

    def partial(self) -> Any:
        """How many queries have hits."""
        return self._n_answered

    def merge(self, partial: Any) -> None:
        """Add what another summary counted."""
        self._n_answered += partial

    def figures(self) -> dict[str, Any]:
        """Queries, those with hits, and of an index its molecules and why records of the library are none."""
        figures: dict[str, Any] = {}
        if self._n_queries:
            figures |= {"queries": self._n_queries, "queries_with_hits": self._n_answered}
        if self._index is not None:
            reasons = Counter(row[3] for row in self._index["rejected"])
            rejected = {
                "rejected": len(self._index["rejected"]),
                "rejected_because": dict(reasons.most_common()),
            }
            figures |= {"fingerprints": self._index["fingerprints"], **rejected}
            if self._index["rejected"]:
                said = (
                    f"{len(self._index['rejected']):,} records of the library are not in the index: rejected"
                )
                figures["remarks"] = [said]
        return figures

    def tables(self) -> dict[str, dict[str, Sequence[Any]]]:
        """`rejected`: the records of the library that its index does not hold, with the reasons."""
        if self._index is None or not self._index["rejected"]:
            return {}
        columns = zip(*self._index["rejected"], strict=True)
        return {"rejected": dict(zip(_COLUMNS, map(list, columns), strict=True))}
