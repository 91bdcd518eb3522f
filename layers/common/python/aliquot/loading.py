"""From a job's address to the job, in the process that is to run or to describe it.

An address is `module:attribute`: a `Job`, or a plain function of one record, which becomes a job here. What
a host needs to open it travels as a `JobSpec` of plain values.

Owns loading, the digest of a job's code, and options in plain form. Imports `job` and `errors`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from aliquot.errors import JobError, UnknownJob
from aliquot.job import AsyncCall, Call, Job, OpenStage, Reference, Stage, Stages
from aliquot.references import map_references

ASYNC_THREADS = 16  # records in flight of a plain `async` function, where nobody says how many
_ENGINE = frozenset({"aliquot", "orchestrator"})  # recorded by its version, not by its files


@dataclass(frozen=True)
class NoOptions:
    """The options of a plain function: none."""


@dataclass(frozen=True)
class JobSpec:
    """What a host needs to open a job.

    Args:
        address: `module:attribute`, or `path/to/file.py:attribute`.
        search_path: folders put before `sys.path`, so that the user's modules are found.
        options: the options' values; a reference is a map of `path` and `sha256`, of a folder on a stack
            also of `port`, where `fetching` answers.
        prepared: folder that `prepare` writes and `open` reads.
        stage: which of its stages is opened; the first where none is named.
    """

    address: str
    search_path: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    prepared: str = ""
    stage: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a frame."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> JobSpec:
        """The spec of plain values."""
        return cls(
            plain["address"], tuple(plain["search_path"]), plain["options"], plain["prepared"], plain["stage"]
        )


def load_job(spec: JobSpec) -> Job:
    """The job at an address; raises UnknownJob, saying what was looked for and where."""
    for folder in reversed(spec.search_path):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module_name, _, attribute = spec.address.rpartition(":")
    if not module_name or not attribute:
        raise UnknownJob(spec.address, "a function is named MODULE:FUNCTION")
    module = _import_module(spec.address, module_name)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UnknownJob(
                spec.address, f"module {module_name!r} has no {part!r}; it has {_list_callables(module)}"
            )
        found = getattr(found, part)
    if isinstance(found, Job):
        return found
    if not callable(found):
        raise UnknownJob(
            spec.address, f"{attribute!r} is a {type(found).__name__}, neither a function nor a Job"
        )
    return wrap_function(spec.address, found)


def wrap_function(name: str, function: Callable[[dict[str, Any]], Any]) -> Job:
    """A job that calls a plain function of one record, a dict of its columns."""
    return describe_function(name, partial(_open_function, function), is_async=is_async(function))


def is_async(function: Any) -> bool:
    """Whether calling it gives a coroutine, or an asynchronous generator."""
    return any(
        judge(each)
        for judge in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (function, getattr(function, "__call__", None))  # noqa: B004 - an object's own may be async
    )


def describe_function(name: str, open_stage: OpenStage | None = None, *, is_async: bool = False) -> Job:
    """The job that a plain function is: its stage and columns; without `open_stage` it cannot be opened."""
    threads = ASYNC_THREADS if is_async else 1
    stage = Stage("call", open_stage or _refuse_to_open, threads=threads)
    return Job(name, version=1, options=NoOptions, stages=(stage,))


def _refuse_to_open(_options: Any, _prepared: Path) -> Call:
    raise UnknownJob("function", "its code is not here")


def _open_function(
    function: Callable[[dict[str, Any]], Any], _options: Any, _prepared: Path
) -> Call | AsyncCall:
    return function if is_async(function) else partial(map, function)


def make_options(job: Job, plain: Mapping[str, Any]) -> Any:
    """The job's options from plain values; raises JobError where they do not fit its declaration."""
    values = {name: map_references(value, _make_reference) for name, value in plain.items()}
    try:
        return job.options(**values)
    except TypeError as err:
        raise JobError(job.name, f"options do not fit: {err}") from err


def find_stage(job: Job, options: Any, name: str) -> tuple[int, Stages]:
    """A stage's place in the chain, the first's where none is named, and the chain; raises JobError."""
    stages = job.list_stages(options)
    names = [stage.name for stage in stages]
    if name and name not in names:
        raise JobError(job.name, f"has no stage {name!r}; it has {', '.join(names)}")
    return (names.index(name) if name else 0), stages


def list_columns(job: Job, stages: Stages, place: int) -> tuple[str, ...]:
    """Declared columns of a stage's rows, empty where they are dicts."""
    writes = job.writes if place == len(stages) - 1 else stages[place].writes
    return writes._fields if writes is not None else ()  # type: ignore[attr-defined]


def _make_reference(given: Mapping[str, Any]) -> Reference:
    """The reference of an option; of a folder on a stack, `port` is where its files are asked for."""
    path, sha256, fetch = Path(given["path"]), given["sha256"], None
    if "port" in given:
        from aliquot.fetching import ask_for_file

        fetch = partial(ask_for_file, given["port"], sha256, path)
    return Reference(path, sha256, fetch)


def digest_code(address: str) -> str:
    """SHA-256 over the source files of the job's own code, as loaded in this process.

    Own code is the job's module, the package it is in, and every loaded module beneath the same folder that
    is not an installed distribution.
    """
    module_name = address.rpartition(":")[0]
    module = sys.modules[_module_key(module_name)]
    if module.__file__ is None:
        return hashlib.sha256(address.encode()).hexdigest()
    root = _code_root(module)
    files = {Path(module.__file__)} | {
        Path(str(other.__file__))
        for name, other in list(sys.modules.items())
        if getattr(other, "__file__", None)
        and name.partition(".")[0] not in _ENGINE
        and _is_own(Path(str(other.__file__)), root)
    }
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def read_versions(job: Job) -> dict[str, str]:
    """The versions that may change rows: of Python, and of the distributions that the job names."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: _read_version(name) for name in job.needs},
    }


def _read_version(distribution: str) -> str:
    from importlib import metadata  # 20 ms, which a plain function can do without

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(distribution), "__version__", "unknown"))


def _import_module(address: str, name: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _import_file(address, Path(name))
        return importlib.import_module(name)
    except UnknownJob:
        raise
    except ModuleNotFoundError as err:
        if err.name is not None and (name == err.name or name.startswith(f"{err.name}.")):
            raise UnknownJob(address, f"there is no module {err.name!r} in this folder or installed") from err
        raise UnknownJob(address, f"module {name!r} needs {err.name!r}, which is not installed") from err
    except (Exception, SystemExit) as err:  # a script that ends itself is none to import
        raise UnknownJob(address, f"importing {name!r} raised {type(err).__name__}: {err}") from err


def _import_file(address: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownJob(address, f"there is no file {str(path)!r}")
    key = _module_key(str(path))
    if key in sys.modules:
        return sys.modules[key]
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None or spec.loader is None:
        raise UnknownJob(address, f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    spec.loader.exec_module(module)
    return module


def _module_key(name: str) -> str:
    return f"aliquot_user_{Path(name).stem}" if name.endswith(".py") else name


def _list_callables(module: ModuleType) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]
    return ", ".join(own[:12]) or "no functions"


def _code_root(module: ModuleType) -> Path:
    """The folder of the module's top package, or of the module itself."""
    folder = Path(str(module.__file__)).parent
    for _ in range(module.__name__.count(".")):
        folder = folder.parent
    top = folder / module.__name__.partition(".")[0]
    return top if top.is_dir() else folder


def _is_own(file: Path, root: Path) -> bool:
    return (
        file.suffix == ".py"
        and file.is_relative_to(root)
        and "site-packages" not in file.relative_to(root).parts
    )
