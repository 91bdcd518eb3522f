"""How large a dataset is: read to its end, or, of one that lies in S3, as some of it says.

    files, iterables    read whole: the counts are exact
    objects in S3       the beginning of some, spread over the list; the rest is taken to be alike

Reading what lies in S3 whole would take hours and be billed by the gigabyte. Owns how much of it is read.
Imports the core's `cutting`. When it is wrong, a plan is for another dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from aliquot.cutting import cut_chunks, estimate_chunks
from aliquot.errors import DatasetError
from aliquot.readers import Batch, Source
from aliquot.readers.streams import Opener
from orchestrator.probe import Sample
from orchestrator.request import Request

MOST_OBJECTS = 16
MOST_TEXT_BYTES = 64 << 20  # of all objects together: some seconds. Parquet within gzip is read whole


@dataclass(frozen=True)
class Size:
    """How large a dataset is.

    Args:
        n_records, n_chunks, n_bytes: bytes of text before compression.
        share_read: of its bytes as they lie there; below 1 the figures before are extrapolated.
    """

    n_records: int
    n_chunks: int
    n_bytes: int
    share_read: float = 1.0


def size_dataset(request: Request, sample: Sample, opener: Opener | None = None) -> Size:
    """How large the dataset is; `sample` sees the records that are read.

    Args:
        opener: gives an object's bytes, where the dataset lies in S3.
    Raises:
        DatasetError: it holds no records, or cannot be read.
    """
    if opener is not None and request.is_in_s3:
        size = _size_objects(request, sample, opener)
    else:
        size = Size(*_count(sample.watch(request.read())))
    if not size.n_records:
        said = "holds no records"
        if size.share_read < 1:
            said += f" in the {size.share_read:.2%} of it that a plan reads"
        raise DatasetError(", ".join(request.source_names[:3]), said)
    return size


def _size_objects(request: Request, sample: Sample, opener: Opener) -> Size:
    filled = [source for source in request.sources if source.size_bytes]
    picked = pick_evenly(filled, MOST_OBJECTS)
    n_records = n_chunks = n_bytes = 0
    read_bytes = 0.0
    for source in picked:
        one = replace(request, sources=(source,), source_names=(source.path,))
        size = _size_object(one, MOST_TEXT_BYTES // len(picked), sample, opener)
        n_records += size.n_records
        n_chunks += size.n_chunks
        n_bytes += size.n_bytes
        read_bytes += size.share_read * _add_up([source])
    total_bytes = _add_up(filled)
    if not total_bytes:
        return Size(0, 0, 0)
    scale = total_bytes / _add_up(picked)  # 1 where all were picked
    return Size(
        round(n_records * scale), ceil(n_chunks * scale), round(n_bytes * scale), read_bytes / total_bytes
    )


def _size_object(request: Request, most_bytes: int, sample: Sample, opener: Opener) -> Size:
    """How large the request's one object is, as its beginning says."""
    some = _Some(request.read(opener), most_bytes)
    n_records, n_chunks, n_bytes = _count(sample.watch(some))
    if some.share_read < 1:
        n_records, n_bytes = round(n_records / some.share_read), round(n_bytes / some.share_read)
        n_chunks = estimate_chunks(n_records, n_bytes)
    return Size(n_records, n_chunks, n_bytes, some.share_read)


def _add_up(sources: Iterable[Source]) -> int:
    return sum(source.size_bytes or 0 for source in sources)


def pick_evenly(sources: Sequence[Source], most: int) -> Sequence[Source]:
    """At most so many of them, spread over the list, the first among them."""
    n_picked = min(most, len(sources))
    return [sources[place * len(sources) // n_picked] for place in range(n_picked)]


class _Some:
    """Batches until they hold so many bytes; `share_read` says how far into their source they reach."""

    def __init__(self, batches: Iterable[Batch], most_bytes: int) -> None:
        self._batches, self._most_bytes = batches, most_bytes
        self.share_read = 0.0

    def __iter__(self) -> Iterator[Batch]:
        n_bytes = 0
        for batch in self._batches:
            yield batch
            n_bytes += sum(batch.sizes)
            if n_bytes >= self._most_bytes and batch.fraction is not None:
                self.share_read = batch.fraction
                return
        self.share_read = 1.0


def _count(batches: Iterable[Batch]) -> tuple[int, int, int]:
    """Records, chunks and bytes of text."""
    n_records = n_chunks = n_bytes = 0
    for cut in cut_chunks(batches):
        n_records, n_chunks, n_bytes = n_records + cut.id.n_records, n_chunks + 1, n_bytes + cut.n_bytes
    return n_records, n_chunks, n_bytes
