"""A run's request in its frozen form, the same whether a laptop or a stack freezes it.

    job, options, sources, columns --identify--> what may change rows: equal for two runs of the same
    with limits, digests, versions --freeze-->   `manifest.json`

Pure: what finds a reference, the clock and the token are arguments. Owns the manifest's fields and the checks
of option values. Imports the core's `job` and `errors`. When it is wrong, a run is taken for another one, or
workers cannot read what was asked.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

from aliquot import __version__
from aliquot.envelope import is_count, is_texts
from aliquot.errors import BadOption, Undecodable
from aliquot.failure_limit import FailureLimit
from aliquot.job import MOST_RETRIES, MOST_THREADS, FieldSpec, Job, Reference, Stages, read_fields
from aliquot.keys import MANIFEST, is_name
from aliquot.loading import NoOptions, make_options
from aliquot.notes import check_fields, decoding, is_figure, is_text
from aliquot.readers import Source
from aliquot.readers.objects import is_object
from aliquot.references import map_references
from aliquot.spending import Tariff
from aliquot.stages import StageNote, are_stages, is_rate

FORMAT = "aliquot/run/1"

FindReference = Callable[[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Frozen:
    """What of a request goes into its manifest.

    Args:
        job: the job.
        address: where hosts find it.
        options: all of the job's options as plain values; references as maps of `path` and `sha256`.
        sources: of the dataset, as they were found.
        source_names: their paths as failures name them.
        chosen: column by field, where the user told.
        keep: input columns that are carried to the result.
        search_path: folders in which a laptop's hosts look for the job's module.
        package: digest of the code that travels with the run.
    """

    job: Job
    address: str
    options: Mapping[str, Any]
    sources: Sequence[Source]
    source_names: Sequence[str]
    chosen: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] = ()
    search_path: Sequence[str] = ()
    package: str = ""

    @property
    def stages(self) -> Stages:
        """The job's chain for these options; raises JobError."""
        return self.job.list_stages(make_options(self.job, self.options))


def identify(request: Frozen) -> dict[str, Any]:
    """What may change rows, as JSON."""
    options = {
        name: map_references(value, lambda each: each["sha256"]) for name, value in request.options.items()
    }
    return {
        "job": request.address,
        "version": request.job.version,
        "options": options,
        "sources": [asdict(source) for source in request.sources],
        "columns": dict(request.chosen),
        "keep": list(request.keep),
    }


def freeze(
    request: Frozen, settings: Mapping[str, Any], *, architecture: str, client_token: str, created: str
) -> dict[str, Any]:
    """The manifest; the code and the versions that its job opens with are not known yet.

    Args:
        architecture: of the machine that freezes it.
        client_token: tells two requests apart that are to be two runs.
        created: ISO time.
    """
    return {
        "format": FORMAT,
        "aliquot": __version__,
        "architecture": architecture,
        "client_token": client_token,
        "created": created,
        "job": request.job.name,
        "is_function": request.job.options is NoOptions,
        "stages": [StageNote.of(stage).to_plain() for stage in request.stages],
        "identity": identify(request),
        "source_names": list(request.source_names),
        "search_path": list(request.search_path),
        "options": dict(request.options),
        "code": "",
        "package": request.package,
        "versions": {},
        "settings": dict(settings),
    }


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise Undecodable where a manifest lacks what every handler needs, or has a field of another kind."""
    check_fields(MANIFEST, manifest, settings=_is_map)
    for place, checks in ((manifest, _CHECKS), (manifest["settings"], _SETTINGS)):
        wanted = {
            name: is_sound for name, (is_needed, is_sound) in checks.items() if is_needed or name in place
        }
        check_fields(MANIFEST, place, **wanted)


def is_cut_in_stack(manifest: Mapping[str, Any]) -> bool:
    """Whether the stack cuts the dataset: it lies in buckets; raises Undecodable."""
    with decoding(MANIFEST):
        sources = manifest.get("identity", {}).get("sources", ())
        return bool(sources) and is_object(sources[0]["path"])


def _is_limit(value: Any) -> bool:
    try:
        FailureLimit.parse(value)
    except (BadOption, AttributeError):
        return False
    return True


def _is_tariff(value: Any) -> bool:
    try:
        with decoding(MANIFEST):
            tariff = Tariff.from_plain(value)
            return is_texts([tariff.architecture]) and is_figure(tariff.timeout_s)
    except Undecodable:
        return False


def are_versions(value: Any) -> bool:
    """Whether these are versions by the names of what has them."""
    return _is_map(value) and is_texts(list(value.values()))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _or_none(is_sound: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_sound(value)


# whether a field has to be there, and what it has to be
_CHECKS: Mapping[str, tuple[bool, Callable[[Any], bool]]] = {
    "job": (True, is_text),
    "stages": (True, are_stages),
    "options": (True, _is_map),
    "identity": (False, _is_map),
    "versions": (False, are_versions),
    "source_names": (False, is_texts),
    "code": (False, is_text),
    "package": (False, is_text),
    "created": (False, _is_time),
}
_SETTINGS: Mapping[str, tuple[bool, Callable[[Any], bool]]] = {
    "record_timeout_s": (True, is_figure),
    "max_failed": (True, _is_limit),
    "window": (True, is_count),
    "concurrency": (False, is_count),
    "rung": (False, is_name),
    "threads": (False, _or_none(lambda value: is_count(value) and 1 <= value <= MOST_THREADS)),
    "rate": (False, _or_none(is_rate)),
    "retries": (False, _or_none(lambda value: is_count(value) and value <= MOST_RETRIES)),
    "until_s": (False, _or_none(is_figure)),
    "budget_usd": (False, _or_none(is_figure)),
    "tariff": (False, _or_none(_is_tariff)),
}


def start_clock(now_s: float, budget_time_s: float | None, spent_s: float = 0.0) -> dict[str, float | None]:
    """The settings by which a run on a stack is timed: since when, with what before, and until when.

    Args:
        now_s: seconds since 1970.
        budget_time_s: of the whole run; None for no limit.
        spent_s: wall time that the run has had.
    """
    until_s = None if budget_time_s is None else now_s + budget_time_s - spent_s
    return {"begun_s": now_s, "spent_s": spent_s, "until_s": until_s}


def resolve_options(
    job: Job, given: Mapping[str, Any], find_reference: FindReference, spell: Callable[[str], str]
) -> dict[str, Any]:
    """All options of a job as plain values, defaults included; raises BadOption.

    Args:
        find_reference: gives `path` and `sha256` of what an option (as it is spelt) names, and of a folder
            `is_folder`.
        spell: an option's name as the user knows it.
    """
    known = {option.name: option for option in read_fields(job.options)}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise BadOption(
                name, f"job {job.name!r} has no such option; {hint}it takes {', '.join(known) or 'none'}"
            )
    return {
        name: _resolve(option, given, find_reference, spell(option.name)) for name, option in known.items()
    }


def check_columns(
    job: Job, chosen: Mapping[str, str], keep: Sequence[str], spell: Callable[[str], str]
) -> None:
    """Raise BadOption where a field is told that the job does not read, or kept what it writes itself."""
    fields = [each.name for each in read_fields(job.reads)] if job.reads is not None else []
    for name in chosen:
        if name not in fields:
            names = (
                f"its fields are {', '.join(fields)}" if fields else "it takes every column as it is named"
            )
            raise BadOption(spell("columns"), f"the job reads no field {name!r}; {names}")
    written = {"record"} | set(job.writes._fields if job.writes else ())  # type: ignore[attr-defined]
    for name in keep:
        if name in written:
            raise BadOption(spell("keep"), f"{name!r} is a column of the result already")


def bare_type(option: FieldSpec) -> Any:
    """The option's type without `| None`."""
    if get_origin(option.type) in (Union, types.UnionType):
        return next(part for part in get_args(option.type) if part is not type(None))
    return option.type


def is_table_of_references(kind: Any) -> bool:
    """Whether an option takes several references, each by a name."""
    return bool(get_args(kind) == (str, Reference))


def _name_each(said: str, value: Any) -> dict[str, Any]:
    """References by name, of a map or of texts NAME=PATH; raises BadOption."""
    if isinstance(value, Mapping):
        return dict(value)
    named: dict[str, Any] = {}
    for each in [value] if isinstance(value, str) else value:
        name, is_told, path = str(each).partition("=")
        if not (is_told and name and path):
            raise BadOption(said, f"{each!r} is not NAME=PATH")
        if name in named:
            raise BadOption(said, f"{name!r} is given twice")
        named[name] = path
    return named


def list_choices(option: FieldSpec) -> tuple[Any, ...]:
    """The values of a Literal, empty for other types."""
    kind = bare_type(option)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _resolve(option: FieldSpec, given: Mapping[str, Any], find_reference: FindReference, said: str) -> Any:
    value = given.get(option.name, option.default)
    if option.is_required and value is None:
        raise BadOption(said, f"is required: {option.help or option.name}")
    if value is None or (value == option.default and option.name not in given):
        return value
    kind, choices = bare_type(option), list_choices(option)
    if kind is Reference:
        return dict(find_reference(said, value))
    if is_table_of_references(kind):
        return {name: dict(find_reference(said, each)) for name, each in _name_each(said, value).items()}
    if choices and value not in choices:
        raise BadOption(said, f"{value!r} is not one of {', '.join(map(str, choices))}")
    return _convert(said, kind, value) if kind in (int, float, str, bool) else value


def _convert(said: str, kind: type, value: Any) -> Any:
    """The value, of the option's own type; raises BadOption."""
    is_bool = isinstance(value, bool)  # which Python takes for an integer
    if kind is float and isinstance(value, int) and not is_bool:
        return float(value)
    if isinstance(value, kind) and is_bool == (kind is bool):
        return value
    raise BadOption(said, f"{value!r} is a {type(value).__name__}; it takes a {kind.__name__}")
