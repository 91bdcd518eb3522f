"""Layers of third-party packages for a rehearsal, made of what is installed here: no network, no wheels.

    layers/*-deps/requirements.txt of a stack --plan_layers--> what is wanted, what is found
    plan --assemble_layers--> <cache>/<digest>/{CommonDeps, ...}/python, hard-linked where that can be

A rehearsal's functions run in the running Python, so its own distributions are the ones that fit, whatever
versions the stack has pinned; where they differ the plan names them. A folder of the cache is whole or not
there: it is written aside and renamed, and another version of anything makes another folder.

Imports the core's errors, and the stack's own `layers/build.py` for pruning. When it is wrong, a function of
a rehearsal misses a module that AWS has, or sees one that AWS lacks.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from aliquot.errors import UsageError
from orchestrator.caches import find_caches


@dataclass(frozen=True)
class WantedDistribution:
    """A line of a layer's requirements.txt and what is installed of it.

    Args:
        found: the version here; empty where it is not installed, or not in a way that lists its files.
    """

    name: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.name} (wanted {self.wanted}, found {self.found or 'none'})"


@dataclass(frozen=True)
class LayersPlan:
    """The layers that a stack builds, and the name of the folder that holds them in a cache.

    Args:
        layers: each layer's distributions, by its folder beneath `layers/`.
    """

    layers: Mapping[str, tuple[WantedDistribution, ...]]
    digest: str

    @property
    def missing(self) -> tuple[WantedDistribution, ...]:
        """The distributions that are not here, each once."""
        return tuple(each for each in self._list_once() if not each.found)

    @property
    def differing(self) -> tuple[WantedDistribution, ...]:
        """The distributions that are here in another version than AWS would get, each once."""
        return tuple(each for each in self._list_once() if each.found and each.found != each.wanted)

    def _list_once(self) -> list[WantedDistribution]:
        return list(dict.fromkeys(each for layer in self.layers.values() for each in layer))


class DistributionsMissing(UsageError):
    """A rehearsal's functions need packages that are not installed in the running environment."""

    def __init__(self, missing: tuple[WantedDistribution, ...]) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        names = ", ".join(map(str, self.missing))
        return (
            f"a rehearsal needs packages that {sys.prefix} does not have: {names}; "
            "pip install 'aliquot[rehearsal,chem]' installs them"
        )


def find_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of all assembled layers."""
    return find_caches(environ) / "layers"


def plan_layers(stack_files: Path) -> LayersPlan:
    """What the layers of a stack hold, and what of it is installed here.

    Args:
        stack_files: the folder of template.yaml and layers/.
    """
    build = _load_builder(stack_files)
    layers = {}
    rules: list[Any] = [platform.python_implementation(), sys.version_info[:2], platform.machine()]
    for path in sorted((stack_files / "layers").glob("*/requirements.txt")):
        pins = [line.split("==") for line in build.read_lines(path)]
        layers[path.parent.name] = tuple(
            WantedDistribution(name, wanted, _find_version(name)) for name, wanted in pins
        )
        rules.append(build.read_lines(path.parent / "prune.txt"))
    found = {layer: [(each.name, each.found) for each in wanted] for layer, wanted in layers.items()}
    digest = hashlib.sha256(json.dumps([found, rules], sort_keys=True).encode()).hexdigest()
    return LayersPlan(layers, digest[:32])


def assemble_layers(stack_files: Path, into: Path) -> dict[str, Path]:
    """The folder of each built layer, by its name in the template.

    Args:
        stack_files: the folder of template.yaml and layers/.
        into: the cache, see `find_cache`.
    Raises:
        DistributionsMissing: names each distribution, with the version wanted.
    """
    plan = plan_layers(stack_files)
    if plan.missing:
        raise DistributionsMissing(plan.missing)
    whole = into / plan.digest
    if not whole.is_dir():
        build = _load_builder(stack_files)
        aside = into / f"{plan.digest}.{uuid.uuid4().hex}"
        try:
            for layer, wanted in plan.layers.items():
                _assemble_layer(build, layer, wanted, aside / _spell_name(layer))
            _rename_unless_there(aside, whole)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return {name: whole / name for name in map(_spell_name, plan.layers)}


def _assemble_layer(build: Any, layer: str, wanted: tuple[WantedDistribution, ...], folder: Path) -> None:
    for each in wanted:
        lay_out(each.name, folder / "python")
    build.prune_layer(layer, folder)
    build.compile_modules(folder / "python")  # as `build.py` does: else each cold start would


def lay_out(name: str, target: Path) -> None:
    """Put a distribution's files into a folder as pip would, but for scripts and what else lies elsewhere."""
    distribution = metadata.distribution(name)
    for file in distribution.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.parts[0] == os.sep:
            continue
        made = target / file
        made.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(Path(str(distribution.locate_file(file))), made)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileExistsError:  # of two distributions, as a namespace package has it
        return
    except OSError:  # on another file system, or another user's file
        shutil.copy2(source, target)


def _rename_unless_there(aside: Path, whole: Path) -> None:
    try:
        aside.rename(whole)
    except OSError:  # another process was first
        if not whole.is_dir():
            raise


def _find_version(name: str) -> str:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return ""
    return distribution.version if distribution.files else ""


def _load_builder(stack_files: Path) -> Any:
    """The stack's `layers/build.py`: a script that SAM runs, and therefore in no package."""
    path = stack_files / "layers" / "build.py"
    spec = importlib.util.spec_from_file_location("aliquot_layers_build", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be loaded; the files of the stack are not whole")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _spell_name(layer: str) -> str:
    """A layer's name in the template: `chem-deps` holds `ChemDeps`."""
    return "".join(part.capitalize() for part in layer.split("-"))
