"""Groups of a partition put as chunks, one after the other, as their rows come.

Owns the numbers of these chunks and where they end. Imports `grouped` and the ledger. When it is wrong,
groups are torn apart, or chunks too large for a host.
"""

from __future__ import annotations

from collections.abc import Sequence

from aliquot.grouped import Groups
from aliquot.job import Key
from aliquot.keys import ChunkId
from aliquot.ledger import Ledger
from aliquot.runs import Row

_CHUNKS = 10_000  # of a partition at most: a chunk's number is its partition's times this, and its own
MOST_PARTITIONS = 10**8 // _CHUNKS  # a chunk's number has eight digits


class GroupCutter:
    """Puts the groups of a partition as chunks of about so many rows.

    Args:
        names: the rows' columns.
        splits: a group may be cut where it is too long for a chunk.
    Attributes:
        largest: rows and key of the largest group.
    """

    def __init__(
        self, ledger: Ledger, partition: int, names: Sequence[str], most_rows: int, *, splits: bool
    ) -> None:
        self._ledger, self._names, self._most_rows, self._splits = ledger, names, most_rows, splits
        self._seq = partition * _CHUNKS
        self._groups = Groups(names)
        self._n_begun = 0
        self.n_chunks = self.n_groups = self.n_rows = 0
        self.largest: tuple[int, Key] = (0, "")

    @property
    def is_full(self) -> bool:
        """Whether the chunk that grows has as many rows as it is to have."""
        return self._groups.n_rows >= self._most_rows

    def begin(self, key: Key) -> None:
        """Begin a group."""
        self._groups.begin(key)
        self._n_begun = 0

    def add(self, row: Row) -> None:
        """Add a row to it, or to a further part of it where it may be split."""
        if self._splits and self.is_full:
            self.flush()
            self._groups.begin(row.key)
        self._groups.add(row.place[0], row.values)
        self._n_begun += 1
        self.n_rows += 1
        self.largest = max(self.largest, (self._n_begun, row.key), key=lambda each: each[0])

    def end(self) -> None:
        """End a group."""
        if self.is_full:
            self.flush()

    def flush(self) -> None:
        """Put the chunk that has grown."""
        groups, self._groups = self._groups, Groups(self._names)
        if not groups.keys:
            return
        chunk = ChunkId(self._seq + self.n_chunks, len(groups.keys))
        self._ledger.put_chunk(chunk, groups.to_chunk().to_bytes())
        self.n_chunks += 1
        self.n_groups += len(groups.keys)
