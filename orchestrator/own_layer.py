"""A user's own installed job on a stack: the words that add it, and the layer of it that a rehearsal gets.

    demo = "demo.job:job", an entry point
        --spell_own--> demo=demo.job:job@1                       the stack's parameter `Jobs`
        --assemble_own_layer--> FOLDER/python/demo, and what it requires, as installed here

On AWS the layer is a version that the parameter `JobLayer` names (docs/jobs.md). Owns what of an installed
job goes there. Imports the core, the catalog and `installed_layers`. When it is wrong, a job runs rehearsed
and fails on a stack, or the other way round.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path

from aliquot.errors import UnknownJob
from aliquot.loading import read_versions
from aliquot.own_jobs import spell_own_job
from orchestrator.catalog import GROUP, KnownJob
from orchestrator.installed_layers import lay_out
from orchestrator.stack.files import PACKAGES

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LITTER = shutil.ignore_patterns("__pycache__", "*.pyc")


def is_own(known: KnownJob) -> bool:
    """Whether a job is installed whose code is in no layer of the template: the user's, `exec` or `sql`."""
    return not known.search_path and _name_package(known) not in PACKAGES.values()


def spell_own(known: KnownJob) -> str:
    """The stack's parameter `Jobs` that adds the job, with what it needs, at the versions installed here."""
    versions = read_versions(known.job)
    packages = {name: versions[name] for name in known.job.needs}
    return spell_own_job(known.job.name, known.address, known.job.version, packages)


def assemble_own_layer(known: KnownJob, present: Collection[str], folder: Path) -> None:
    """Fill `folder` with the job's package and, but where these are in an image, what it requires.

    Args:
        present: distributions that the stack's own layers hold, and which are left out.
    Raises:
        UnknownJob: its package cannot be found as files.
    """
    target = folder / "python"
    target.mkdir(parents=True)
    _copy_package(known, target)
    for name in list_required(known.address, present):
        lay_out(name, target)


def comes_in_image(known: KnownJob) -> bool:
    """Whether a job's workers come out of an image: Aliquot's own, and what it needs is in no layer."""
    points = metadata.entry_points(group=GROUP, name=known.job.name)
    is_ours = any(point.dist is not None and normalise(point.dist.name) == "aliquot" for point in points)
    return is_ours and is_own(known) and bool(known.job.needs)


def assemble_image(known: KnownJob, stack: Path, common_deps: Path, folder: Path) -> None:
    """Fill `folder` with what the image of such a job's workers holds beside Python (docs/stack.md).

    Args:
        stack: the stack's files.
        common_deps: the assembled layer of what every function needs.
    Raises:
        UnknownJob: the job's package cannot be found as files.
    """
    for place in (stack / "functions/worker", stack / "layers/common/python", common_deps / "python"):
        shutil.copytree(place, folder, ignore=_LITTER, dirs_exist_ok=True)
    _copy_package(known, folder)
    for name in known.job.needs:
        lay_out(name, folder)


def list_required(address: str, present: Collection[str]) -> list[str]:
    """The distributions that the job at an entry point's address requires, and those require in turn.

    Aliquot itself, `present` ones and all that only they require are left out: of a job that came with
    Aliquot and is in none of the stack's layers (`exec`) nothing is left.
    """
    seen = {normalise(name) for name in (*present, "aliquot")}
    found: list[str] = []
    points = [point for point in metadata.entry_points(group=GROUP) if point.value == address]
    waiting = [point.dist for point in points if point.dist and normalise(point.dist.name) != "aliquot"]
    while waiting:
        for name in _list_requirements(waiting.pop()):
            if name not in seen:
                seen.add(name)
                found.append(name)
                waiting.append(metadata.distribution(name))
    return sorted(found)


def normalise(name: str) -> str:
    """A distribution's name as they are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _list_requirements(distribution: metadata.Distribution) -> Iterator[str]:
    """What a distribution requires, extras left out, so far as it is installed: markers decide that there."""
    for line in distribution.requires or ():
        said, _, marker = line.partition(";")
        name = _NAME.match(said.strip())
        if name and "extra" not in marker and _is_installed(name[0]):
            yield normalise(name[0])


def _is_installed(name: str) -> bool:
    try:
        return bool(metadata.distribution(name).files)
    except metadata.PackageNotFoundError:
        return False


def _name_package(known: KnownJob) -> str:
    return known.address.partition(":")[0].partition(".")[0]


def _copy_package(known: KnownJob, target: Path) -> None:
    name = _name_package(known)
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise UnknownJob(known.job.name, f"its package {name!r} has no files that could go into a layer")
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, target / name, ignore=_LITTER)
    else:
        shutil.copy2(origin, target)
