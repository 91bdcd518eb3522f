"""The first rows of a finished run of `crossref`, on the terminal.

    python examples/crossref/show.py DIR

Reads what the run left in DIR: `result/`, `unexplained.parquet`, `failures.parquet`, `summary.json`.
Imports pyarrow alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset

N_ROWS, MAX_WIDTH = 5, 72


def read_head(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The first rows of a Parquet file or folder as text, its columns' names before them."""
    table = pyarrow.dataset.dataset(path, format="parquet").head(N_ROWS, columns=list(columns))
    return [tuple(columns), *(tuple(shorten(row[name]) for name in columns) for row in table.to_pylist())]


def shorten(value: object) -> str:
    """The value on one line, cut where it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 3] + "..."


def print_table(title: str, path: Path, columns: Sequence[str]) -> None:
    """Print the first rows under a title; nothing where the run left no such file."""
    if not path.exists():
        return
    print(f"\n{title} ({path})")
    rows = read_head(path, columns)
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main(folder: Path) -> None:
    """Print where the run's result is and how it begins."""
    summary = json.loads((folder / "summary.json").read_text())
    print(f"\nThe result is in {folder}/:", end=" ")
    print(", ".join(f"{summary[name]:,} {name}" for name in ("records", "done", "failed", "rows")))
    print_table("Reactions explained", folder / "result", ("record", "reaction_id", "template_id"))
    print_table("Not explained by any template", folder / "unexplained.parquet", ("record", "id", "reaction"))
    print_table("Failed", folder / "failures.parquet", ("record", "id", "line", "kind", "message"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
