"""A job's options: from what a user gave to plain values that a manifest and a host can hold.

Owns the digest of references and how options are spelt as flags. Imports the core's `manifest`, which checks
values.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aliquot import manifest
from aliquot.errors import BadOption, BadReference
from aliquot.folders import MOST_BYTES, count_room, list_folder
from aliquot.job import FieldSpec, Job, read_fields
from aliquot.readers.sources import INDEX
from aliquot.references import walk_references

SCHEMA, TYPES = "schema", "types"  # kinds of options of a job that takes chunks whole
COLUMNS = "columns"  # kind of an option that names columns of the dataset


class ReferenceSize(NamedTuple):
    """A reference, how large it is, and the room that a worker of a stack has to have for it, bytes."""

    path: str
    sha256: str
    size_bytes: int
    room_bytes: int
    is_folder: bool = False


def resolve_options(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a job as plain values, defaults included; raises BadOption, BadReference."""
    return manifest.resolve_options(job, given, describe_reference, name_flag)


def describe_reference(flag: str, value: Any) -> dict[str, Any]:
    """A reference's absolute path and SHA-256, of a file or a folder; raises BadOption where unreadable."""
    if not isinstance(value, str | os.PathLike):
        raise BadOption(flag, f"{value!r} is a {type(value).__name__}; it takes a path")
    path = Path(value).resolve()
    try:
        if path.is_dir():
            listing = list_folder(path)
            if len(listing.to_bytes()) > MOST_BYTES:
                raise BadOption(
                    flag, f"{value} has {len(listing.members):,} files: join them into larger ones"
                )
            return {"path": str(path), "sha256": listing.sha256, "is_folder": True}
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise BadOption(flag, f"{value}: {err.strerror}") from err
    return {"path": str(path), "sha256": digest}


def measure_files(path: Path) -> list[int]:
    """Bytes of a file, or of each that a folder holds."""
    files = path.rglob("*") if path.is_dir() else [path]
    return [each.stat().st_size for each in files if each.is_file()]


def measure_references(plain: Mapping[str, Any]) -> tuple[ReferenceSize, ...]:
    """How large the references among a request's options are."""
    found = [value for _, value in walk_references(plain)]
    sizes = [measure_files(Path(each["path"])) for each in found]
    return tuple(
        ReferenceSize(each["path"], each["sha256"], sum(own), count_room(own), "is_folder" in each)
        for each, own in zip(found, sizes, strict=True)
    )


def check_references(job: Job, plain: Mapping[str, Any]) -> None:
    """Raise BadReference where a reference is gone or has other content than when the run began."""
    own = {option.name: plain.get(option.name) for option in read_fields(job.options)}
    for name, was in walk_references(own):
        now = describe_reference(name_flag(name.partition(".")[0]), was["path"])
        if now["sha256"] != was["sha256"]:
            raise BadReference(
                was["path"], "has changed since the run began: restore it, or choose a new folder"
            )


def list_told(job: Job) -> list[FieldSpec]:
    """The options that a user tells: not those that follow from the dataset, an index or a schema."""
    return [option for option in read_fields(job.options) if option.column.kind not in (INDEX, SCHEMA)]


def name_flag(name: str) -> str:
    """The command line's flag of an option."""
    return "--" + name.replace("_", "-")
