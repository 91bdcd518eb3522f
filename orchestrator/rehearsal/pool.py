"""The environments of each function: warm ones are used again, new ones are made cold, lost ones go.

Also lays out, once per function, the merged layers and the runtime's packages. Imports this package. When it
is wrong, functions see each other's code, or more environments run than Lambda would allow.
"""

from __future__ import annotations

import functools
import importlib.metadata
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestrator.rehearsal.errors import InvokeRefused, PackageTooLarge
from orchestrator.rehearsal.memory import MemoryWatch
from orchestrator.rehearsal.records import FunctionSpec
from orchestrator.rehearsal.sandbox import PYTHON, Environment, Installed

MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "python-dateutil", "six")


def measure_package(spec: FunctionSpec) -> int:
    """Give the bytes of a function's folder and its layers, unzipped."""
    folders = [spec.task_root, *spec.layers]
    files = (path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files if path.is_file())


def merge_layers(layers: Sequence[Path], opt: Path) -> None:
    """Lay layers over each other as Lambda unpacks them into /opt: what comes later covers what came before.

    Folders that lie in one layer only are linked, not copied.
    """
    opt.mkdir(parents=True, exist_ok=True)
    names = {path.name for layer in layers for path in layer.iterdir() if path.name != "__pycache__"}
    for name in sorted(names):
        found = [layer / name for layer in layers if (layer / name).exists()]
        if len(found) > 1 and found[-1].is_dir():
            merge_layers([each for each in found if each.is_dir()], opt / name)
        else:
            (opt / name).symlink_to(found[-1].resolve())


@functools.cache
def find_runtime() -> list[Path]:
    """Give the installed packages that Lambda's runtime brings: boto3 and what it needs."""
    found: list[Path] = []
    for name in _RUNTIME:
        distribution = importlib.metadata.distribution(name)
        tops = {path.parts[0] for path in distribution.files or () if ".." not in path.parts}
        places = (Path(str(distribution.locate_file(top))) for top in sorted(tops - {"__pycache__"}))
        found += [place.resolve() for place in places if place.exists()]
    return found


def link_runtime(folder: Path) -> None:
    """Fill a folder with links to the runtime's packages."""
    folder.mkdir(parents=True)
    for package in find_runtime():
        (folder / package.name).symlink_to(package)


def make_interpreter(folder: Path) -> Path:
    """Give an interpreter like the running one with nothing installed, which its own children see too."""
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (folder / "bin").mkdir(parents=True)
    (folder / f"lib/python{PYTHON}/site-packages").mkdir(parents=True)
    lines = f"home = {interpreter.parent}\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(lines, encoding="utf-8")
    (folder / "bin/python3").symlink_to(interpreter)
    return folder / "bin/python3"


class Pool:
    """All execution environments of a stack.

    Args:
        functions: by their names in the template.
        endpoint: where AWS is.
    Raises:
        PackageTooLarge: a function and its layers are past 250 MB.
    """

    def __init__(self, functions: Mapping[str, FunctionSpec], endpoint: str, region: str) -> None:
        for spec in functions.values():
            if not spec.is_image and (size := measure_package(spec)) > MAX_UNZIPPED_BYTES:
                raise PackageTooLarge(spec.logical, size, MAX_UNZIPPED_BYTES)
        self._endpoint, self._region = endpoint, region
        self._folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
        link_runtime(self._folder / "runtime")
        self._python = make_interpreter(self._folder / "lang")
        self._installed = {name: self._install(spec) for name, spec in functions.items()}
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = {name: [] for name in functions}
        self._busy: dict[str, Environment] = {}
        self._watch = MemoryWatch()

    def _install(self, spec: FunctionSpec) -> Installed:
        opt = self._folder / spec.logical / "opt"
        merge_layers(spec.layers, opt)
        scratch = self._folder / spec.logical / "run"
        return Installed(spec, opt, self._folder / "runtime", self._python, scratch)

    @contextmanager
    def hold(self, function: str) -> Iterator[Environment]:
        """Give an environment for one invocation; it is kept warm if it lives.

        Raises:
            InvokeRefused: as many are busy as the function has reserved.
        """
        environment = self._take(function)
        self._watch.add(environment)
        try:
            yield environment
        finally:
            self._watch.remove(environment)
            with self._lock:
                del self._busy[environment.access_key]
                is_kept = not environment.killed_for
                if is_kept:
                    self._idle[function].append(environment)
            if not is_kept:
                environment.close()

    def _take(self, function: str) -> Environment:
        reserved = self._installed[function].spec.reserved
        with self._lock:
            busy = sum(each.spec.logical == function for each in self._busy.values())
            if reserved is not None and busy >= reserved:
                message = f"{function} has all of its {reserved} environments busy"
                raise InvokeRefused("TooManyRequestsException", 429, message)
            if self._idle[function]:
                environment = self._idle[function].pop()
            else:
                environment = Environment(self._installed[function], self._endpoint, self._region)
            self._busy[environment.access_key] = environment
        return environment

    def find(self, access_key: str) -> tuple[str, str]:
        """Name the function and the invocation that hold an access key; empty where none does."""
        with self._lock:
            environment = self._busy.get(access_key)
            idle = (each for every in self._idle.values() for each in every)
            environment = environment or next((each for each in idle if each.access_key == access_key), None)
        return (environment.spec.logical, environment.request_id) if environment else ("", "")

    def close(self) -> None:
        """End every environment and remove what was laid out."""
        self._watch.close()
        with self._lock:
            environments = [*self._busy.values(), *(each for every in self._idle.values() for each in every)]
            self._idle = {name: [] for name in self._idle}
        for each in environments:
            each.close()
        shutil.rmtree(self._folder, ignore_errors=True)
