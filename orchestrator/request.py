"""What was asked for: a job with its options, a dataset, and what decides rows; and its frozen form.

A request becomes the run's manifest. Two requests are the same run when their `identity` is equal: it holds
what can change rows, and nothing else (not the number of workers). Imports `catalog`, `options`, the readers
and the core's `job`.
"""

from __future__ import annotations

import platform
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aliquot.envelope import is_texts
from aliquot.errors import BadOption, DatasetError, FolderInUse
from aliquot.job import Job, Stages, read_fields
from aliquot.keys import MANIFEST
from aliquot.loading import make_options, wrap_function
from aliquot.manifest import FORMAT, Frozen, check_columns, freeze, identify
from aliquot.notes import decoding
from aliquot.readers import Batch, Source, find_sources, read_batches, read_records
from aliquot.readers.objects import Listing, find_objects, is_object
from aliquot.readers.sources import INDEX
from aliquot.readers.streams import Opener, open_file
from aliquot.stages import Leg, StageNote, are_stages, split_legs
from orchestrator.catalog import KnownJob, find_job, find_job_at
from orchestrator.options import COLUMNS, describe_reference, name_flag, resolve_options
from orchestrator.tabular import find_schema_option, read_tables, refuse_unread, take_schema

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
        code: folder that the job's module was looked for in, and that travels with a run on a stack.
    """

    known: KnownJob
    options: Mapping[str, Any]
    sources: tuple[Source, ...]
    source_names: tuple[str, ...]
    records: Iterable[Any] | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    code: Path | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What may change rows, as JSON: equal for two runs of the same."""
        return identify(self.frozen)

    @property
    def stages(self) -> Stages:
        """The job's chain for these options."""
        return self.frozen.stages

    @property
    def legs(self) -> tuple[Leg, ...]:
        """What runs between two exchanges, in order."""
        return split_legs([StageNote.of(stage) for stage in self.stages])

    @property
    def frozen(self) -> Frozen:
        """What of this goes into a manifest."""
        known = self.known
        return Frozen(
            job=known.job,
            address=known.address,
            options=self.options,
            sources=self.sources,
            source_names=self.source_names,
            chosen=self.chosen,
            keep=self.keep,
            search_path=known.search_path,
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether the dataset can be read again and is known to be the same: files, not a pipe."""
        return bool(self.sources) and all(source.size_bytes is not None for source in self.sources)

    @property
    def is_in_s3(self) -> bool:
        """Whether the dataset lies in S3, where a stack reads it, and not this machine."""
        return bool(self.sources) and is_object(self.sources[0].path)

    def read(self, opener: Opener = open_file) -> Iterator[Batch]:
        """The dataset's batches, from its beginning; raises DatasetError.

        Args:
            opener: gives a source's bytes; by default those of the file at its path.
        """
        reads = self.known.job.reads
        specs = read_fields(reads) if reads is not None else ()
        fields = {spec.name: spec.column for spec in specs} or None
        optional = {spec.name for spec in specs if not spec.is_required}
        if schema := find_schema_option(self.known.job, self.options):
            return read_tables(self.sources, schema, opener)
        if self.records is not None:
            return read_records(self.records, fields, self.keep, chosen=self.chosen, optional=optional)
        return read_batches(
            self.sources, fields, self.keep, chosen=self.chosen, optional=optional, opener=opener
        )


def make_request(
    job: str | Callable[[Any], Any],
    dataset: Dataset,
    options: Mapping[str, Any],
    chosen: Mapping[str, str],
    keep: Sequence[str],
    code: str | Path | None = None,
    list_objects: Listing | None = None,
) -> Request:
    """The request that a user's words make; raises UnknownJob, BadOption, DatasetError.

    Args:
        code: folder in which the job's module is looked for, instead of the current one.
        list_objects: lists a bucket, where the run can read a dataset that lies in S3.
    """
    folder = None if code is None else Path(code).resolve()
    known = find_job(job) if folder is None else find_job_in(job, folder)
    resolved = resolve_options(known.job, options)
    check_columns(known.job, {}, keep, name_flag)  # of chosen columns the readers tell, with the file's own
    keep = tuple(dict.fromkeys(keep))
    _check_keep(known.job, resolved, keep)
    paths = as_paths(dataset)
    if paths is None:
        refuse_unread(known.job, "records", "an iterable")
        if not isinstance(dataset, Iterable):
            raise DatasetError(
                "dataset", f"is a {type(dataset).__name__}: give files, or an iterable of records"
            )
        return Request(known, resolved, (), (RECORDS,), dataset, dict(chosen), keep, folder)
    if not paths:
        raise DatasetError("dataset", "names no file: give files, globs, folders or - for a pipe")
    sources = _find_all(paths, list_objects)
    resolved |= _take_index(known.job, sources)
    resolved |= take_schema(known.job, resolved, sources)
    _check_named(known.job, resolved, sources)
    names = tuple(source.path for source in sources)
    absolute = tuple(map(_make_absolute, sources))
    return Request(known, resolved, absolute, names, None, dict(chosen), keep, folder)


def _check_keep(job: Job, options: Mapping[str, Any], keep: Sequence[str]) -> None:
    """Raise BadOption where kept columns would have no row to stand beside."""
    stages = job.list_stages(make_options(job, options))
    if keep and stages[0].whole:
        raise BadOption(
            name_flag("keep"), f"job {job.name!r} takes chunks whole: its rows hold what it gives"
        )
    exchanging = [stage.name for stage in stages if stage.exchange]
    if keep and exchanging:
        raise BadOption(
            name_flag("keep"),
            f"rows behind an exchange (stage {exchanging[0]!r}) belong to no single record of the input; "
            "have the job carry what is needed in its rows",
        )


def _check_named(job: Job, options: Mapping[str, Any], sources: Sequence[Source]) -> None:
    """Raise DatasetError where an option names a column that a file lacks in its first records."""
    for option in read_fields(job.options):
        said = options.get(option.name) if option.column.kind == COLUMNS else None
        names = [name.strip() for name in (said or "").split(",") if name.strip()]
        files = [source for source in sources if source.size_bytes is not None and not is_object(source.path)]
        for source in files if names else ():
            columns = next((list(batch.columns) for batch in read_batches([source], None)), names)
            for name in names:
                if name not in columns:
                    flag, there = name_flag(option.name), ", ".join(columns)
                    why = f"has no column {name!r} for {flag} in its first records; its columns are {there}"
                    raise DatasetError(source.path, why)


def _take_index(job: Job, sources: Sequence[Source]) -> dict[str, Any]:
    """The option that names the dataset where it is an index; raises DatasetError where it is not alone."""
    if all(source.format != INDEX for source in sources):
        return {}
    if len(sources) > 1:
        path = next(source.path for source in sources if source.format == INDEX)
        raise DatasetError(path, "is an index, and a dataset by itself: leave out the other inputs")
    taking = (option.name for option in read_fields(job.options) if option.column.kind == INDEX)
    return {name: describe_reference(name_flag(name), sources[0].path) for name in taking}


def find_job_in(job: str | Callable[[Any], Any], folder: Path) -> KnownJob:
    """A function or a Job by its address within a folder; raises UnknownJob, BadOption.

    A file's path becomes a module's name, so that the address holds wherever the folder's content lies.
    """
    if not folder.is_dir():
        raise BadOption("--code", f"{folder} is not a folder: give the one that holds the job's module")
    if isinstance(job, str) and ":" not in job:
        raise BadOption("--code", f"is for MODULE:FUNCTION, and {job!r} is the name of an installed job")
    if callable(job):  # it is not imported once more: a script that calls us would call us again
        found = find_job(job)
        _check_file(sys.modules[job.__module__].__file__, folder)
        address = _address_in(found.address, folder)
        return KnownJob(wrap_function(address, job), address, (str(folder),))
    known = find_job_at(_address_in(job, folder), (str(folder),))
    _check_file(sys.modules[known.address.rpartition(":")[0]].__file__, folder)
    return known


def _address_in(address: str, folder: Path) -> str:
    """The address as it is within the folder."""
    module, _, attribute = address.rpartition(":")
    if not module.endswith(".py"):
        return address
    return f"{_name_module(Path(module).resolve(), folder)}:{attribute}"


def _name_module(file: Path, folder: Path) -> str:
    """The name under which a file is imported from a folder."""
    if not file.is_relative_to(folder):
        raise BadOption("--code", f"{file} is not in {folder}: give the folder that holds it")
    parts = file.relative_to(folder).with_suffix("").parts
    if not all(part.isidentifier() for part in parts):
        raise BadOption("--code", f"{'/'.join(parts)}.py cannot be imported by that name: rename it")
    return ".".join(parts)


def _check_file(file: str | None, folder: Path) -> None:
    """Raise BadOption where a module was found elsewhere: in a stack it would be missing, or another."""
    if file is None or not Path(file).resolve().is_relative_to(folder):
        raise BadOption("--code", f"the job's module was found at {file}, not in {folder}: name its folder")


def as_paths(dataset: Dataset) -> list[str] | None:
    """The files that a dataset names, None where it is an iterable of records."""
    if isinstance(dataset, str | Path):
        return [str(dataset)]
    if isinstance(dataset, Sequence) and all(isinstance(item, str | Path) for item in dataset):
        return [str(item) for item in dataset]
    return None


def make_manifest(request: Request, settings: Mapping[str, Any], package: str = "") -> dict[str, Any]:
    """The frozen form of a request; the code and the versions that its job opens with are not known yet.

    Args:
        package: digest of the code that travels with the run.
    """
    return freeze(
        replace(request.frozen, package=package),
        settings,
        architecture=platform.machine(),
        client_token=uuid.uuid4().hex,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),  # by which runs are told apart in order
    )


def check_frozen(manifest: Mapping[str, Any], folder: Path) -> None:
    """Raise FolderInUse where a manifest is of another release, Undecodable where it is damaged."""
    if manifest.get("format") != FORMAT:
        raise FolderInUse(
            str(folder), f"holds a run of format {manifest.get('format')!r}; this release reads {FORMAT!r}"
        )
    with decoding(MANIFEST):
        identity = manifest["identity"]
        words = [manifest[name] for name in ("job", "code", "aliquot", "created")]
        lists = manifest["source_names"], manifest["search_path"], identity["keep"]
        maps = manifest["options"], manifest["settings"], identity["columns"], identity["options"]
        is_sound = (
            is_texts([*words, identity["job"]])
            and all(map(is_texts, lists))
            and all(isinstance(m, dict) for m in maps)
            and are_stages(manifest["stages"])
        )
        if not is_sound or not isinstance(identity["version"], int):
            raise TypeError("a field is of another kind")
        for source in identity["sources"]:
            Source(**source)


def restore_request(manifest: Mapping[str, Any], folder: Path) -> Request:
    """The request that a manifest froze; raises FolderInUse, Undecodable, UnknownJob."""
    check_frozen(manifest, folder)
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


def _find_all(paths: Sequence[str], list_objects: Listing | None) -> tuple[Source, ...]:
    """The sources of a dataset: files of this machine, or objects, not both."""
    objects = [path for path in paths if is_object(path)]
    if not objects:
        return find_sources(paths)
    if list_objects is None:
        raise DatasetError(
            objects[0], "lies in S3, where --on aws:STACK reads it; `aws s3 cp` brings it to this machine"
        )
    if len(objects) < len(paths):
        raise DatasetError(objects[0], "lies in S3 and other inputs do not: copy them to one side")
    return find_objects(paths, list_objects)


def _make_absolute(source: Source) -> Source:
    if source.size_bytes is None or is_object(source.path):
        return source
    return replace(source, path=str(Path(source.path).resolve()))


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
