"""Datasets whose chunks a job takes whole: their columns and types, known before the run begins.

    sources, --types --take_schema--> one type a column, an option of the run
    sources, schema --read_tables--> batches of Arrow arrays

Texts are read once more for that, to their end: a type by the first rows of a file might not be that of its
last, and a chunk that is cut early is worked on before the last is read. Where every column's type is told,
and of Parquet, the beginning of each source is enough. Owns that reading. Imports the core's `columnar` and
readers. When it is wrong, a query meets a column of another type than the plan of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from aliquot.column_types import ANY, find_schema, has_texts, parse_types, type_batches
from aliquot.columnar import decode_schema, encode_schema
from aliquot.errors import DatasetError
from aliquot.job import Job, read_fields
from aliquot.readers import Batch, Source, read_batches
from aliquot.readers.batch import Limits
from aliquot.readers.objects import is_object
from aliquot.readers.streams import Opener
from orchestrator.options import SCHEMA, TYPES, name_flag

_LIMITS = Limits(records=1 << 16)  # a batch of Parquet is about a megabyte


def take_schema(job: Job, options: Mapping[str, Any], sources: Sequence[Source]) -> dict[str, str]:
    """The option that holds the dataset's schema, where a job has one.

    Raises:
        BadOption: types are told that are none, or of no column.
        DatasetError: the dataset cannot be read for it.
    """
    name = _find_option(job, SCHEMA)
    if name is None:
        return {}
    for source in sources:
        if source.size_bytes is None:
            refuse_unread(job, source.path, "a pipe")
        if is_object(source.path):
            refuse_unread(job, source.path, "in S3")
    types = _find_option(job, TYPES)
    said = options.get(types or "") or ""
    told = parse_types(name_flag(types or ""), said) if said else {}
    formats = [source.format for source in sources]
    schema = find_schema(_read_enough(sources, is_told=ANY in told), told, formats)
    unknown = [column for column in told if column not in (*schema.names, ANY)]
    if unknown:
        path, columns = sources[0].path, ", ".join(schema.names)
        raise DatasetError(path, f"has no column {unknown[0]!r} for --types; its columns are {columns}")
    return {name: encode_schema(schema)}


def refuse_unread(job: Job, path: str, where: str) -> None:
    """Raise DatasetError where a job needs the dataset's types, and it cannot be read before the run."""
    if _find_option(job, SCHEMA) is not None:
        why = "needs the types of all columns before it begins"
        raise DatasetError(path, f"is {where}, and job {job.name!r} {why}: give it files")


def find_schema_option(job: Job, options: Mapping[str, Any]) -> str:
    """The dataset's schema among a request's options, empty where the job takes records."""
    return options.get(_find_option(job, SCHEMA) or "") or ""


def read_tables(sources: Sequence[Source], schema: str, opener: Opener) -> Iterator[Batch]:
    """A dataset's batches as Arrow arrays of its schema's types; raises DatasetError."""
    batches = read_batches(sources, None, limits=_LIMITS, opener=opener, is_table=True)
    return type_batches(batches, decode_schema(schema), [source.format for source in sources])


def _read_enough(sources: Sequence[Source], *, is_told: bool) -> Iterator[Batch]:
    """What has to be read for the types of all columns."""
    for index, source in enumerate(sources):
        batches = read_batches([source], None, limits=_LIMITS, is_table=True)
        is_typed = source.format == "parquet" or (is_told and has_texts(source.format))
        for batch in islice(batches, 1 if is_typed else None):
            batch.source = index
            yield batch


def _find_option(job: Job, kind: str) -> str | None:
    return next((each.name for each in read_fields(job.options) if each.column.kind == kind), None)
