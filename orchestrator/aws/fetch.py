"""What a run published, as files in its folder: the layout of a local run, in the format that is asked for.

    result/part-00000-00000.parquet ...   -> result/part-00000.parquet ...
    failures/part-*.parquet               -> failures.parquet, row group by row group
    summary.json, templates.parquet ...   -> the same

Everything is written aside; then `placing` puts it in the old files' places. Owns this mapping. Imports
pyarrow. When it is wrong, rows lie in another order than a local run's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from aliquot.errors import StoreError
from aliquot.tables import TableWriter
from orchestrator.aws.run import FETCHED, CloudRun, Published
from orchestrator.local.folder import LEDGER, explained
from orchestrator.placing import place_delivery, read_delivered
from orchestrator.results import read_object

RESULT, SUMMARY = "result", "summary.json"


@dataclass(frozen=True)
class Fetching:
    """What is fetched and into what.

    Args:
        folder: the run's.
        ending: "parquet" or "csv".
        check: called before each piece; raises where the user has interrupted.
    """

    run: CloudRun
    published: Published
    folder: Path
    ending: str
    check: Callable[[], None]


def fetch(fetching: Fetching) -> dict[str, Any]:
    """Write the files of a run; gives the summary. Raises StoreError.

    Nothing is fetched where it was before; what was there is replaced only when everything new is written.
    """
    folder, epoch, ending = fetching.folder, fetching.published.epoch, fetching.ending
    if read_delivered(folder).is_whole(folder, epoch, ending):
        return _read_summary(folder)
    aside = folder / LEDGER / "delivery"
    with explained(folder):
        shutil.rmtree(aside, ignore_errors=True)
        (aside / RESULT).mkdir(parents=True)
        _write_all(fetching, aside)
        place_delivery(aside, folder, epoch, ending)
    return _read_summary(folder)


def mark_fetched(run: CloudRun, published: Published) -> None:
    """Put the marker that says that somebody holds the result elsewhere; raises StoreError."""
    said = {"epoch": published.epoch, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    run.results.put(FETCHED, json.dumps(said).encode())


def _write_all(fetching: Fetching, aside: Path) -> None:
    tables: dict[str, list[str]] = {}
    for name in fetching.published.files:
        folder, leaf = _split(name)
        if folder:
            tables.setdefault(folder, []).append(name)
        elif leaf.endswith(".parquet"):
            tables[leaf.removesuffix(".parquet")] = [name]
        else:
            _download(fetching, name, aside / leaf)
    for table, parts in tables.items():
        if table == RESULT and fetching.ending == "parquet":
            for place, name in enumerate(sorted(parts)):
                _download(fetching, name, aside / RESULT / f"part-{place:05d}.parquet")
        else:
            _join(fetching, sorted(parts), aside / (f"{RESULT}/part" if table == RESULT else table), aside)


def _join(fetching: Fetching, parts: list[str], into: Path, aside: Path) -> None:
    """One table of several parts, a row group in memory at a time."""
    writer: TableWriter | None = None
    for batch in _read_parts(fetching, parts, aside.parent / "fetching.parquet"):
        if writer is None:
            writer = TableWriter(into, batch.schema, fetching.ending, is_split=into.parent.name == RESULT)
        writer.write(dict(zip(batch.schema.names, batch.columns, strict=True)))
    if writer is not None:
        writer.close()


def _read_parts(fetching: Fetching, parts: list[str], at: Path) -> Iterator[pa.RecordBatch]:
    """The rows of the parts; an empty batch first, for the columns. `at` holds each part meanwhile."""
    try:
        for place, name in enumerate(parts):
            _download(fetching, name, at)
            with pyarrow.parquet.ParquetFile(at) as file:
                if not place:
                    yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
                for batch in file.iter_batches():
                    fetching.check()
                    yield batch
    finally:
        at.unlink(missing_ok=True)


def _download(fetching: Fetching, name: str, to: Path) -> None:
    fetching.check()
    fetching.run.results.get_file(fetching.published.prefix + name, to)


def _split(name: str) -> tuple[str, str]:
    """Folder and file of a published name; raises StoreError where it is none of ours."""
    parts = PurePosixPath(name).parts
    if not 1 <= len(parts) <= 2 or ".." in parts or name.startswith("/"):
        raise StoreError(name, "is not a name that a run publishes")
    return (parts[0], parts[1]) if len(parts) == 2 else ("", parts[0])


def _read_summary(folder: Path) -> dict[str, Any]:
    with explained(folder):
        return read_object(folder / SUMMARY)
