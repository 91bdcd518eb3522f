"""A job's options: from what a user gave to plain values that a manifest and a host can hold.

Owns the checks of option values and the digest of references. Imports the core's `job` and `errors`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from aliquot.errors import BadOption, BadReference
from aliquot.job import FieldSpec, Job, Reference, read_fields


def resolve_options(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a job as plain values, defaults included; raises BadOption, BadReference."""
    known = {option.name: option for option in read_fields(job.options)}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise BadOption(
                name, f"job {job.name!r} has no such option; {hint}it takes {', '.join(known) or 'none'}"
            )
    return {name: _resolve(option, given) for name, option in known.items()}


def _resolve(option: FieldSpec, given: Mapping[str, Any]) -> Any:
    flag = name_flag(option.name)
    value = given.get(option.name, option.default)
    if option.is_required and value is None:
        raise BadOption(flag, f"is required: {option.help or option.name}")
    if value is None or (value == option.default and option.name not in given):
        return value
    kind, choices = bare_type(option), list_choices(option)
    if kind is Reference:
        return describe_reference(flag, value)
    if choices and value not in choices:
        raise BadOption(flag, f"{value!r} is not one of {', '.join(map(str, choices))}")
    return _convert(flag, kind, value) if kind in (int, float, str, bool) else value


def _convert(flag: str, kind: type, value: Any) -> Any:
    """The value, of the option's own type; raises BadOption."""
    is_bool = isinstance(value, bool)  # which Python takes for an integer
    if kind is float and isinstance(value, int) and not is_bool:
        return float(value)
    if isinstance(value, kind) and is_bool == (kind is bool):
        return value
    raise BadOption(flag, f"{value!r} is a {type(value).__name__}; it takes a {kind.__name__}")


def describe_reference(flag: str, value: Any) -> dict[str, str]:
    """A reference's absolute path and SHA-256; raises BadOption where it cannot be read."""
    if not isinstance(value, str | os.PathLike):
        raise BadOption(flag, f"{value!r} is a {type(value).__name__}; it takes a path")
    path = Path(value).resolve()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise BadOption(flag, f"{value}: {err.strerror}") from err
    return {"path": str(path), "sha256": digest}


def check_references(job: Job, plain: Mapping[str, Any]) -> None:
    """Raise BadReference where a reference is gone or has other content than when the run began."""
    for option in read_fields(job.options):
        if bare_type(option) is Reference and plain.get(option.name):
            was = plain[option.name]
            now = describe_reference(name_flag(option.name), was["path"])
            if now["sha256"] != was["sha256"]:
                raise BadReference(
                    was["path"], "has changed since the run began: restore it, or choose a new folder"
                )


def bare_type(option: FieldSpec) -> Any:
    """The option's type without `| None`."""
    if get_origin(option.type) in (Union, types.UnionType):
        return next(part for part in get_args(option.type) if part is not type(None))
    return option.type


def list_choices(option: FieldSpec) -> tuple[Any, ...]:
    """The values of a Literal, empty for other types."""
    kind = bare_type(option)
    return get_args(kind) if get_origin(kind) is Literal else ()


def name_flag(name: str) -> str:
    """The command line's flag of an option."""
    return "--" + name.replace("_", "-")
