"""An index as a dataset: a record for each of its parts, of which it is known that there are so many.

    magic (16 bytes) | where the header stands, its length (8 bytes each, little-endian) | ... | header, JSON

What a part holds is between whoever wrote the index and the job, which maps the file itself. Owns this frame.
Imports its neighbours and the standard library. When it is wrong, parts of an index are not worked on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from aliquot.envelope import is_count
from aliquot.errors import DatasetError
from aliquot.readers.batch import Batch, Limits, make_batch
from aliquot.readers.columns import Wanted
from aliquot.readers.sources import INDEX_MAGIC, Source
from aliquot.readers.streams import Opener, open_file

PART = "part"  # the kind of the field that takes a part's number
_PART_BYTES = 256 << 10  # as which a part counts when chunks are cut: a few of them make a chunk


def read_index(source: Source, wanted: Wanted, limits: Limits, opener: Opener = open_file) -> Iterator[Batch]:
    """A record for each part of an index, its number in the field of kind "part"; all others are None.

    Raises:
        DatasetError: it cannot be read, or the job reads no index.
    """
    fields = wanted.fields or {}
    name = next((name for name, column in fields.items() if column.kind == PART), None)
    if name is None or wanted.keep:
        said = "columns of it cannot be kept" if name else "this job reads none: give it the files themselves"
        raise DatasetError(source.path, f"is an index, and {said}")
    n_parts = _count_parts(source, opener)
    for first in range(0, n_parts, limits.records):
        numbers = list(range(first, min(first + limits.records, n_parts)))
        nothing: dict[str, list[Any]] = {field: [None] * len(numbers) for field in fields}
        yield make_batch(
            {**nothing, name: numbers},
            {},
            lines=[number + 1 for number in numbers],
            sizes=[_PART_BYTES] * len(numbers),
            bad={},
            fraction=(numbers[-1] + 1) / n_parts,
            line_field=None,
            get_raw=str,
        )


def _count_parts(source: Source, opener: Opener) -> int:
    try:
        with opener(source) as file:
            n_parts = _read_header(file, source.size_bytes or 0).get("parts")
    except (OSError, ValueError, AttributeError, RecursionError) as err:
        raise DatasetError(source.path, f"is an index that cannot be read ({err}): make it again") from err
    if not is_count(n_parts):
        raise DatasetError(source.path, "is an index that does not say how many parts it has")
    return int(n_parts)


def _read_header(file: BinaryIO, size_bytes: int) -> Any:
    start = file.read(len(INDEX_MAGIC) + 16)
    at, n_bytes = (int.from_bytes(start[place : place + 8], "little") for place in (16, 24))
    if at + n_bytes > size_bytes:  # memory would be taken for all of it
        raise ValueError(f"its header ends at byte {at + n_bytes:,} of {size_bytes:,}")
    file.seek(at)
    return json.loads(file.read(n_bytes))
