"""The sample of a dataset whose chunks a job takes whole: its first chunk.

What a record takes alone says nothing of what it takes among others, so there is one time, that of a record's
share in its chunk. Owns that sample. Imports `probe` and the core's `cutting`. When it is wrong, plans of
such jobs mislead.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from aliquot.chunk import Chunk
from aliquot.cutting import TABLE_BYTES, TABLE_RECORDS, cut_chunks
from aliquot.readers import Batch
from orchestrator.probe import Candidate, Sample


class TableSample(Sample):
    """The records of the first chunk."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))  # noqa: S311 - never asked
        self._batches: list[Batch] = []
        self._n_bytes = 0

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on, keeping the first."""
        for batch in batches:
            if self._n_bytes < TABLE_BYTES and self.n_seen < TABLE_RECORDS:
                self._batches.append(batch)
                self._n_bytes += sum(batch.sizes)
            self.n_seen += batch.n_records
            yield batch

    def pick(self) -> list[tuple[Candidate, int]]:
        """One record that stands for all, in the only stratum."""
        return [(Candidate(0, self._n_bytes // max(1, self.n_seen), {}, None), 0)]

    def to_chunk(self) -> tuple[Chunk, list[int]]:
        """The chunk and its records' numbers."""
        cut = next(cut_chunks(self._batches))
        return cut.chunk, list(range(cut.id.n_records))
