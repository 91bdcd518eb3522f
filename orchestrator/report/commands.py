"""The command that does a run again, out of its manifest.

Owns its spelling. Imports `options` for a job's flags, `limits` for the others. When it is wrong, who copies
it runs something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from aliquot.references import is_reference
from orchestrator.catalog import find_told
from orchestrator.explain import Explained
from orchestrator.limits import spell_chosen
from orchestrator.options import name_flag


def spell_command(told: Explained) -> str:
    """`aliquot run ...` with all that was chosen; files are named as they were."""
    manifest = told.manifest
    job = manifest["identity"]["job"] if manifest.get("is_function") else manifest["job"]
    paths = [source["path"] for source in manifest["identity"].get("sources", ())]
    words = ["aliquot", "run", job, *(paths or ["-"])]
    words += [word for pair in _list_options(job, manifest["options"]) for word in pair]
    for name, column in manifest["identity"].get("columns", {}).items():
        words += ["--column", f"{name}={column}"]
    for name in manifest["identity"].get("keep", ()):
        words += ["--keep", name]
    words += spell_chosen(manifest["settings"])
    if told.place != "local":
        words += ["--on", told.place]
    if manifest.get("package"):
        words += ["--code", "."]
    return " ".join(map(quote, [*words, "--out", f"{told.folder}-again"]))


def _list_options(job: str, options: Mapping[str, Any]) -> Iterator[list[str]]:
    told = find_told(job) if options else None
    for name, value in options.items():
        flag = name_flag(name)
        if value is None or (told is not None and told.get(name, value) == value):
            continue
        if isinstance(value, bool):
            if value:
                yield [flag]
        elif is_reference(value):
            yield [flag, str(value["path"])]
        elif isinstance(value, Mapping):
            yield from ([flag, f"{each}={reference['path']}"] for each, reference in value.items())
        else:
            yield [flag, str(value)]
