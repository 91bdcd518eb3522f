"""What `summary.json` says of a screening, and the records that its index lacks.

Owns `screen.json` in the prepared folder: the queries' ids, and of an index how many molecules it holds and
which records were rejected. Imports the standard library alone: summaries run where RDKit and NumPy are not.
When it is wrong, the rows stay right and what is said of them does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "screen.json"
_SHOWN = 8  # filters, in a line
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


def note_removed(removed: Mapping[str, int]) -> str:
    """A record's note: how many molecules each filter has removed, by its name; empty for none."""
    return json.dumps(removed, ensure_ascii=False) if removed else ""


class ScreenCounts:
    """Counts queries with hits, fed group by group, and what filters removed, by the notes."""

    def __init__(self, options: Any, prepared: Path) -> None:  # noqa: ARG002  # as every summary is called
        """Start empty."""
        said = _read(prepared)
        self._n_queries = len(said["queries"])
        self._index: dict[str, Any] | None = said["index"]
        self._n_answered = 0
        self._removed: Counter[str] = Counter()

    def add_note(self, record: int, note: str) -> None:  # noqa: ARG002  # as every summary is called
        """Count what a note says was removed."""
        self._removed.update(json.loads(note))

    def add(self, record: int, rows: Sequence[tuple[Any, ...]], note: str | None) -> None:  # noqa: ARG002
        """Count the rows of a query, of which the first has rank 1."""
        self._n_answered += sum(row[1] == 1 for row in rows)

    def partial(self) -> Any:
        """How many queries have hits, and how many molecules each filter removed."""
        return [self._n_answered, dict(self._removed)]

    def merge(self, partial: Any) -> None:
        """Add what another summary counted."""
        n_answered, removed = partial
        self._n_answered += n_answered
        self._removed.update(removed)

    def figures(self) -> dict[str, Any]:
        """Queries, those with hits, what filters removed; of an index its molecules, and what it lacks."""
        figures: dict[str, Any] = {}
        remarks: list[str] = []
        if self._n_queries:
            figures |= {"queries": self._n_queries, "queries_with_hits": self._n_answered}
        if self._removed:
            removed = self._removed.most_common()
            figures |= {"removed": self._removed.total(), "removed_by": dict(removed)}
            shown = ", ".join(f"{name} {count:,}" for name, count in removed[:_SHOWN])
            more = f", and {len(removed) - _SHOWN:,} more" if len(removed) > _SHOWN else ""
            remarks.append(f"filters removed {self._removed.total():,} molecules: {shown}{more}")
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
                remarks.append(said)
        return figures | ({"remarks": remarks} if remarks else {})

    def tables(self) -> dict[str, dict[str, Sequence[Any]]]:
        """`removed`: how many molecules each filter did; `rejected`: the records that an index lacks."""
        tables: dict[str, dict[str, Sequence[Any]]] = {}
        if self._removed:
            names, counts = zip(*self._removed.most_common(), strict=True)
            tables["removed"] = {"filter": list(names), "molecules": list(counts)}
        if self._index is not None and self._index["rejected"]:
            columns = zip(*self._index["rejected"], strict=True)
            tables["rejected"] = dict(zip(_COLUMNS, map(list, columns), strict=True))
        return tables
