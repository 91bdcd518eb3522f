"""What was asked for: a job with its options, a dataset, and what decides rows; and its frozen form.

A request becomes the run's manifest. Two requests are the same run when their `identity` is equal: it holds
what can change rows, and nothing else (not the number of workers). Imports `catalog`, `options`, the readers
and the core's `job`.
"""

from __future__ import annotations

import platform
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aliquot import __version__
from aliquot.errors import BadOption, DatasetError, FolderInUse
from aliquot.job import read_fields
from aliquot.readers import Batch, Source, find_sources, read_batches, read_records
from orchestrator.catalog import KnownJob, find_job, find_job_at
from orchestrator.options import name_flag, resolve_options

FORMAT = "aliquot/run/1"
_MOST_DIFFERENCES = 5
RECORDS = "records"  # what stands for a source's path where records came from Python

Dataset = str | Path | Sequence[str | Path] | Iterable[Any]


@dataclass(frozen=True)
class Request:
    """A job over a dataset.

    Args:
        known: the job and where hosts find it.
        options: all of the job's options as plain values; references with their digests.
        sources: the files of the dataset by absolute path, empty where it is an iterable of records.
        source_names: the sources' paths as the user gave them; what failures name.
        records: the iterable, None where the dataset is files.
        chosen: column by field, where the user told.
        keep: input columns that are carried to the result.
    """

    known: KnownJob
    options: Mapping[str, Any]
    sources: tuple[Source, ...]
    source_names: tuple[str, ...]
    records: Iterable[Any] | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What may change rows, as JSON: equal for two runs of the same."""
        options = {
            name: value["sha256"] if isinstance(value, Mapping) and "sha256" in value else value
            for name, value in self.options.items()
        }
        return {
            "job": self.known.address,
            "version": self.known.job.version,
            "options": options,
            "sources": [asdict(source) for source in self.sources],
            "columns": dict(self.chosen),
            "keep": list(self.keep),
        }

    @property
    def is_repeatable(self) -> bool:
        """Whether the dataset can be read again and is known to be the same: files, not a pipe."""
        return bool(self.sources) and all(source.size_bytes is not None for source in self.sources)

    def read(self) -> Iterator[Batch]:
        """The dataset's batches, from its beginning; raises DatasetError."""
        reads = self.known.job.reads
        specs = read_fields(reads) if reads is not None else ()
        fields = {spec.name: spec.column for spec in specs} or None
        optional = {spec.name for spec in specs if not spec.is_required}
        if self.records is not None:
            return read_records(self.records, fields, self.keep, chosen=self.chosen, optional=optional)
        return read_batches(self.sources, fields, self.keep, chosen=self.chosen, optional=optional)


def make_request(
    job: str | Callable[[Any], Any],
    dataset: Dataset,
    options: Mapping[str, Any],
    chosen: Mapping[str, str],
    keep: Sequence[str],
) -> Request:
    """The request that a user's words make; raises UnknownJob, BadOption, DatasetError."""
    known = find_job(job)
    resolved = resolve_options(known.job, options)
    _check_keep(known, keep)
    keep = tuple(dict.fromkeys(keep))
    paths = as_paths(dataset)
    if paths is None:
        if not isinstance(dataset, Iterable):
            raise DatasetError(
                "dataset", f"is a {type(dataset).__name__}: give files, or an iterable of records"
            )
        return Request(known, resolved, (), (RECORDS,), dataset, dict(chosen), keep)
    if not paths:
        raise DatasetError("dataset", "names no file: give files, globs, folders or - for a pipe")
    sources = find_sources(paths)
    names = tuple(source.path for source in sources)
    return Request(known, resolved, tuple(map(_make_absolute, sources)), names, None, dict(chosen), keep)


def as_paths(dataset: Dataset) -> list[str] | None:
    """The files that a dataset names, None where it is an iterable of records."""
    if isinstance(dataset, str | Path):
        return [str(dataset)]
    if isinstance(dataset, Sequence) and all(isinstance(item, str | Path) for item in dataset):
        return [str(item) for item in dataset]
    return None


def make_manifest(request: Request, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The frozen form of a request; the code and the versions that its job opens with are not known yet."""
    return {
        "format": FORMAT,
        "aliquot": __version__,
        "architecture": platform.machine(),
        "client_token": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": request.known.job.name,
        "stage": request.known.job.stage.name,
        "identity": request.identity,
        "source_names": list(request.source_names),
        "search_path": list(request.known.search_path),
        "options": dict(request.options),
        "code": "",
        "versions": {},
        "settings": dict(settings),
    }


def restore_request(manifest: Mapping[str, Any], folder: Path) -> Request:
    """The request that a manifest froze; raises FolderInUse where it is of another release, UnknownJob."""
    if manifest.get("format") != FORMAT:
        raise FolderInUse(
            str(folder), f"holds a run of format {manifest.get('format')!r}; this release reads {FORMAT!r}"
        )
    identity = manifest["identity"]
    known = find_job_at(identity["job"], tuple(manifest["search_path"]))
    sources = tuple(Source(**source) for source in identity["sources"])
    names = tuple(manifest["source_names"])
    return Request(
        known, manifest["options"], sources, names, None, identity["columns"], tuple(identity["keep"])
    )


def check_same(manifest: Mapping[str, Any], request: Request, folder: Path) -> None:
    """Raise FolderInUse where the folder's run is another than the request, naming what differs."""
    different = list(_list_differences(manifest["identity"], request.identity))
    if different:
        said = "; ".join(different[:_MOST_DIFFERENCES])
        raise FolderInUse(
            str(folder), f"holds another run ({said}): choose another --out, or remove the folder"
        )


def check_sources(request: Request) -> None:
    """Raise DatasetError where an input has changed since the run began."""
    for was in request.sources:
        if was.size_bytes is None:
            continue
        said = _tell_apart(asdict(was), asdict(find_sources([was.path])[0]))
        if said:
            raise DatasetError(
                was.path, f"has changed since the run began ({said}): restore it, or choose a new folder"
            )


def _list_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in ("job", "version", "columns", "keep"):
        if before.get(name) != now[name]:
            yield f"{name} was {_shorten(before.get(name))}, now {_shorten(now[name])}"
    for name in {**before["options"], **now["options"]}:
        was, found = before["options"].get(name), now["options"].get(name)
        if was != found:
            is_reference = isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found)
            said = "has other content" if is_reference else f"was {_shorten(was)}, now {_shorten(found)}"
            yield f"{name_flag(name)} {said}"
    in_sources = list(_list_source_differences(before["sources"], now["sources"]))
    if not in_sources and before["sources"] != now["sources"]:
        in_sources = ["the same files stand in another order, or one stands twice"]
    yield from in_sources


def _list_source_differences(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    earlier, later = ({source["path"]: source for source in sources} for sources in (before, now))
    yield from (f"{path} was read, now it is not" for path in earlier if path not in later)
    yield from (f"{path} was not read, now it is" for path in later if path not in earlier)
    for path in sorted(earlier.keys() & later.keys()):
        said = _tell_apart(earlier[path], later[path])
        if said:
            yield f"{path} has changed: {said}"


def _tell_apart(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In which respects a source is another; empty where it is the same."""
    if was["size_bytes"] != now["size_bytes"]:
        return f"{was['size_bytes']:,} B, now {now['size_bytes']:,} B"
    if was["ends_sha256"] != now["ends_sha256"]:
        return "other content"
    return "" if was["mtime_ns"] == now["mtime_ns"] else "written to since"


def _make_absolute(source: Source) -> Source:
    return source if source.size_bytes is None else replace(source, path=str(Path(source.path).resolve()))


def _check_keep(known: KnownJob, keep: Sequence[str]) -> None:
    taken = {"record"} | set(known.job.writes._fields if known.job.writes else ())  # type: ignore[attr-defined]
    for name in keep:
        if name in taken:
            raise BadOption("--keep", f"{name!r} is a column of the result already")


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
