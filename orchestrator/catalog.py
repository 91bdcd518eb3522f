"""Which jobs there are, and from what the user wrote to the job.

A job is known by its name (an entry point of the group `aliquot.jobs`) or by its address, `MODULE:FUNCTION`,
found from the current folder. Imports the core's `loading`; a declaration is light by contract, so that help
needs no chemistry.
"""

from __future__ import annotations

import difflib
import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aliquot.errors import AliquotError, UnknownJob
from aliquot.job import Job
from aliquot.loading import JobSpec, load_job, wrap_function
from orchestrator.options import list_told

GROUP = "aliquot.jobs"


@dataclass(frozen=True)
class KnownJob:
    """A job and where a host finds it."""

    job: Job
    address: str
    search_path: tuple[str, ...] = ()


def list_jobs() -> dict[str, str]:
    """The installed jobs: name -> address, sorted by name."""
    from importlib import metadata  # 20 ms, which a run of MODULE:FUNCTION can do without

    return {
        point.name: point.value for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name)
    }


def find_job(job: str | Callable[[Any], Any]) -> KnownJob:
    """The job that a name, an address or a function stands for; raises UnknownJob."""
    if callable(job):
        address, folder = _address_function(job)
        return KnownJob(wrap_function(address, job), address, (folder,))
    if not isinstance(job, str):
        raise UnknownJob(repr(job)[:80], "give a job's name, MODULE:FUNCTION, or a function")
    if ":" in job:
        return find_job_at(_absolute_file(job), (str(Path.cwd()),))
    known = list_jobs()
    if job not in known:
        close = difflib.get_close_matches(job, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        names = ", ".join(known) or "none"
        raise UnknownJob(
            job, f"{hint}jobs here are {names} (see `aliquot jobs`); a function is MODULE:FUNCTION"
        )
    return find_job_at(known[job], ())


def find_job_at(address: str, search_path: tuple[str, ...]) -> KnownJob:
    """The job at an address, wherever the current folder is; raises UnknownJob."""
    return KnownJob(load_job(JobSpec(address, search_path)), address, search_path)


def _absolute_file(address: str) -> str:
    module, _, attribute = address.rpartition(":")
    return f"{Path(module).resolve()}:{attribute}" if module.endswith(".py") else address


def _address_function(function: Callable[[Any], Any]) -> tuple[str, str]:
    """The address of a function object and the folder that it is imported from.

    It is not imported here once more: a script that calls us without a guard would call us again.
    """
    name = getattr(function, "__qualname__", "")
    module_name = getattr(function, "__module__", "")
    if not name or "<" in name:
        raise UnknownJob(
            name or repr(function),
            "hosts import a function by its name: define it with `def` at the top level of a file",
        )
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if file is None:
        raise UnknownJob(name, "hosts import it from a file, and it has none: put it into one (`my_jobs.py`)")
    if _find_attribute(module, name) is not function:
        raise UnknownJob(name, f"hosts import it by its name, and {module_name}.{name} is another object")
    path = Path(file).resolve()
    if module_name == "__main__":
        return f"{path}:{name}", str(path.parent)
    folder = path.parents[module_name.count(".") + (path.name == "__init__.py")]
    return f"{module_name}:{name}", str(folder)


def _find_attribute(module: Any, name: str) -> Any:
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        return None


def find_told(job: str) -> Mapping[str, Any] | None:
    """Defaults of the options that are typed, None of those that have to be; None for a job not here."""
    try:
        fields = list_told(find_job(job).job)
    except AliquotError:
        return None
    return {field.name: None if field.is_required else field.default for field in fields}
