"""Indexes: what is made once of many files, so that jobs can map it (`aliquot index stock FILES... --out S`).

An index is an entry point of the group `aliquot.indexes`: a module with `reads`, the record that it takes of
the files, and `build`. Owns how it is found and fed. Imports the core's readers, and knows no chemistry. When
it is wrong, records of a file are left out of an index without being counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from aliquot.errors import UnknownJob
from aliquot.job import read_fields
from aliquot.readers import find_sources, read_batches

GROUP = "aliquot.indexes"
Batch = tuple[Sequence[Any], Sequence[str]]
Spread = Callable[[Callable[[Batch], Any], Iterable[Batch]], Iterator[Any]]
_AHEAD = 4  # batches a worker, so that none waits for the one before it


class Index(Protocol):
    """What an entry point of the group gives."""

    reads: type

    def build(
        self, batches: Iterable[Batch], out: Path, spread: Spread, shards: int | None
    ) -> dict[str, Any]:
        """Make the index of the records in `batches` at `out`; its figures.

        `spread` is as `map`, and does its work in several processes.
        """


def make_index(
    kind: str,
    data: Sequence[str],
    out: Path,
    column: Mapping[str, str],
    workers: int | None = None,
    shards: int | None = None,
) -> dict[str, Any]:
    """Make an index of the files that `data` names; its figures.

    Args:
        kind: which index.
        data: files, globs, folders, or - for a pipe.
        out: where it is to lie.
        column: input column by field, where the fields' own names do not serve.
        workers: processes; as many as there are physical cores where None.
        shards: into how many parts it is divided; as it needs where None.

    Raises:
        UnknownJob, BadOption, DatasetError, BadReference: nothing was made.
    """
    from aliquot.processes import count_cores

    index = find_index(kind)
    spread = partial(_map_in_order, workers or count_cores())
    return index.build(_read(index, data, column), out, spread, shards)


def find_index(kind: str) -> Index:
    """The index of that kind; raises UnknownJob."""
    from importlib import metadata

    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if kind not in points:
        raise UnknownJob(kind, f"indexes here are {', '.join(sorted(points)) or 'none'}")
    try:
        found: Index = points[kind].load()
    except ModuleNotFoundError as err:
        raise UnknownJob(kind, f"{err.name!r} is not installed") from err
    return found


def _read(index: Index, data: Sequence[str], column: Mapping[str, str]) -> Iterator[Batch]:
    """Per batch the values of the one field that the index reads, and why the other records have none."""
    (field,) = read_fields(index.reads)
    sources = find_sources(data)
    for batch in read_batches(sources, {field.name: field.column}, chosen=column):
        values = batch.columns[field.name]
        reasons = [reason for reason, _ in batch.bad.values()]
        yield [value for at, value in enumerate(values) if at not in batch.bad], reasons


def _map_in_order(workers: int, function: Callable[[Batch], Any], batches: Iterable[Batch]) -> Iterator[Any]:
    """What the function gives of each batch, in order; of those under way there are a few a worker."""
    if workers == 1:
        yield from map(function, batches)
        return
    # whoever calls may have threads, with which a fork is unsafe
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting: deque[Future[Any]] = deque()
        for batch in batches:
            waiting.append(pool.submit(function, batch))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
