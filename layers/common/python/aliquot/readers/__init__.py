"""Datasets as streams of batches: files, globs, folders, a pipe, or Python records.

    sources = find_sources(["reactions/*.rsmi.gz"])
    for batch in read_batches(sources, {"reaction": Column(("rxn",), "line"), "id": Column(("id",), "id")}):
        ...                                     # batch.columns["reaction"], batch.lines, batch.bad

Owns how input becomes records and how records are numbered and placed. Modules: `sources` finds the files,
`objects` what lies in buckets, `streams` opens them, `blocks` cuts whole lines out of them, `lines`,
`table`, `jsonl`, `fasta`, `sdf`, `parquet` and `index` know a format each, `columns` and `keys` find the
wanted columns, `heads` and `parts` begin a reading inside a text, `records` takes Python objects, `read`
joins them. Imports the core's `job` and `errors` and the standard library; pyarrow only while Parquet is
read. When it is wrong, records are lost or counted twice, and every number of a run with them.

Names are resolved on first use: a worker needs to know what an object is, and reads no dataset.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aliquot.readers.batch import Batch, Limits
    from aliquot.readers.read import read_batches
    from aliquot.readers.records import read_records
    from aliquot.readers.sources import Source, find_sources

_HOMES = {
    "Batch": "batch",
    "Limits": "batch",
    "Source": "sources",
    "find_sources": "sources",
    "read_batches": "read",
    "read_records": "records",
}

__all__ = ["Batch", "Limits", "Source", "find_sources", "read_batches", "read_records"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
