"""Template rows grouped by the cut that they make, so that a product's bonds choose among whole groups.

Owns the grouping. Imports NumPy. When a row is left out, hits are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


class RowSet(NamedTuple):
    """Some template rows.

    Args:
        rows: all of them, ascending.
        uncut: those that have no cut, ascending.
        by_cut: the others, by cut.
        cuts: the cuts of `by_cut` as a set, an integer with a bit for each.
    """

    rows: Rows
    uncut: Rows
    by_cut: dict[int, Rows]
    cuts: int

    def list_cut(self) -> Rows:
        """Those that have a cut, ascending."""
        return np.setdiff1d(self.rows, self.uncut)


def group_rows(rows: Rows, cut_of_row: NDArray[np.int32]) -> RowSet:
    """The row set of `rows`; `cut_of_row` tells the cut of each template row, -1 for none."""
    rows = np.sort(rows)
    cuts = cut_of_row[rows]
    order = np.argsort(cuts, kind="stable")
    distinct, starts = np.unique(cuts[order], return_index=True)
    groups = np.split(rows[order], starts[1:]) if len(rows) else []
    by_cut = dict(zip(distinct.tolist(), groups, strict=True))
    uncut = by_cut.pop(-1, np.empty(0, np.intp))
    return RowSet(rows, uncut, by_cut, sum(1 << cut for cut in by_cut))


def iterate_bits(members: int) -> Iterator[int]:
    """The members of a set that is an integer with a bit for each, ascending."""
    while members:
        lowest = members & -members
        yield lowest.bit_length() - 1
        members ^= lowest
