"""The scores of templates: how many reactions each explains, by a run of `crossref`.

A template's score is the natural logarithm of its count, rounded to millionths so that it is the same on
every machine. One that explains none, or is not in the table, counts as half a reaction. Without a table all
scores are 0.

Owns this rule and the reading of counts. Imports NumPy, and pyarrow for Parquet alone. When it is wrong,
templates are tried in a poor order.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aliquot.errors import BadReference

_ID, _COUNT = "template_id", "reactions"
_NEVER = 0.5
_PARQUET_MAGIC = b"PAR1"


def prepare_scores(counts: Path | None, into: Path) -> None:
    """Write `scores.npy`, the score of each template that lies prepared in the folder `into`.

    Raises:
        BadReference: the table cannot be read or has no count of any of the templates.
    """
    ids = json.loads((into / "templates.json").read_text(encoding="utf-8"))["ids"]
    scores = np.zeros(len(ids))
    if counts is not None:
        known = read_counts(counts)
        if known.keys().isdisjoint(ids):
            raise BadReference(
                str(counts), "it counts none of the templates: is it of a run with other ones?"
            )
        scores[:] = [round(math.log(known.get(template_id, 0) or _NEVER), 6) for template_id in ids]
    np.save(into / "scores.npy", scores)


def read_counts(path: Path) -> dict[str, int]:
    """The count of each template in the table `templates` of a crossref run; raises BadReference."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET_MAGIC
        pairs = _read_parquet(path) if is_parquet else _read_csv(path)
        counts = {str(template_id): int(count) for template_id, count in pairs}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as err:
        reason = f"the counts cannot be read ({err}): it takes templates.parquet of a crossref run"
        raise BadReference(str(path), reason) from err
    if min(counts.values(), default=0) < 0:
        raise BadReference(str(path), "it has counts below 0: it takes templates.parquet of a crossref run")
    return counts


def _read_parquet(path: Path) -> Iterable[tuple[Any, Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=[_ID, _COUNT])
    return zip(table[_ID].to_pylist(), table[_COUNT].to_pylist(), strict=True)


def _read_csv(path: Path) -> Iterable[tuple[Any, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [(row[_ID], row[_COUNT]) for row in csv.DictReader(file)]
