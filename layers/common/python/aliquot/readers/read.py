"""All records of a dataset, source after source, in batches.

Owns which reader takes which format, and how far the whole reading is. Imports its neighbours and the
standard library. When it is wrong, a source is read as another format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from aliquot.job import Column
from aliquot.readers.batch import Batch, Limits, cut_batch
from aliquot.readers.blocks import Block, read_blocks
from aliquot.readers.columns import Wanted
from aliquot.readers.fasta import read_fasta
from aliquot.readers.heads import Head
from aliquot.readers.index import read_index
from aliquot.readers.jsonl import read_jsonl
from aliquot.readers.lines import read_lines
from aliquot.readers.parquet import is_parquet, read_parquet, read_piped_parquet
from aliquot.readers.sdf import read_sdf
from aliquot.readers.sniff import sniff_format
from aliquot.readers.sources import INDEX, Source
from aliquot.readers.streams import Opener, Stream, open_file, open_stream
from aliquot.readers.table import DELIMITERS, read_table

DEFAULT_LIMITS = Limits()


def read_batches(
    sources: Sequence[Source],
    fields: Mapping[str, Column] | None,
    keep: Sequence[str] = (),
    *,
    chosen: Mapping[str, str] | None = None,
    optional: Collection[str] = (),
    stdin: BinaryIO | None = None,
    limits: Limits = DEFAULT_LIMITS,
    opener: Opener = open_file,
    is_table: bool = False,
) -> Iterator[Batch]:
    """Every record of the sources, in order, whatever its fault; memory does not grow with their length.

    Args:
        sources: as `find_sources` gives them.
        fields: where each field is looked up; None for all columns as they are named.
        keep: columns carried along under their own names.
        chosen: column by field, before any other name.
        optional: fields that may lack a column, besides those of kind "id"; they hold None then.
        stdin: what "-" reads; the process's own by default.
        limits: how much is held at a time.
        opener: gives a source's bytes; by default those of the file at its path.
        is_table: columns that are Arrow's in a source stay so.

    Raises:
        DatasetError: a source that cannot be read to its end, or lacks a wanted column.
        BadOption: `chosen` names a field that is not in `fields`.
    """
    wanted = Wanted(fields, tuple(keep), dict(chosen or {}), frozenset(optional), is_table)
    sizes = [source.size_bytes for source in sources]
    for index, source in enumerate(sources):
        for batch in _read_source(source, wanted, stdin, limits, opener):
            batch.source = index
            batch.fraction = _place(batch.fraction, index, sizes)
            yield from cut_batch(batch, limits.records)


def _read_source(
    source: Source, wanted: Wanted, stdin: BinaryIO | None, limits: Limits, opener: Opener
) -> Iterator[Batch]:
    if source.format == "parquet":
        yield from read_parquet(source, wanted, limits, opener)
        return
    if source.format == INDEX:
        yield from read_index(source, wanted, limits, opener)
        return
    with open_stream(source, stdin, opener) as stream:
        if not source.format and is_parquet(stream.head):
            for batch in read_piped_parquet(source, stream, wanted, limits):
                batch.fraction = None
                yield batch
            return
        blocks = read_blocks(stream, limits)
        yield from read_text(blocks, source.path, _name_format(source, stream), wanted, limits)


def read_text(
    blocks: Iterable[Block],
    path: str,
    text_format: str,
    wanted: Wanted,
    limits: Limits,
    head: Head | None = None,
) -> Iterator[Batch]:
    """The records of a text, whose beginning is `head` where the blocks begin behind it."""
    if text_format == "jsonl":
        return read_jsonl(blocks, path, wanted, is_checked=head is not None)
    if text_format == "sdf":
        return read_sdf(blocks, path, wanted, limits, is_checked=head is not None)
    if text_format in DELIMITERS:
        return read_table(blocks, path, text_format, wanted, limits, head.header if head else None)
    if text_format == "fasta":
        return read_fasta(blocks, path, wanted, limits)
    return read_lines(blocks, path, text_format, wanted, head)


def _name_format(source: Source, stream: Stream) -> str:
    return source.format or sniff_format(stream.head)


def _place(fraction: float | None, index: int, sizes: Sequence[int | None]) -> float | None:
    """How far the whole reading is, when source `index` is read to `fraction`."""
    known = [size for size in sizes if size is not None]
    if fraction is None or len(known) < len(sizes):
        return None
    return (sum(known[:index]) + fraction * known[index]) / max(1, sum(known))
