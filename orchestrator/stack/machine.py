"""Whether this machine can run jobs: what `aliquot doctor` says without a stack.

Figures are read by `read_machine`, judged by `judge_machine`, which touches nothing. Imports the core's
`processes`. When it is wrong, a run fails for a reason that could have been told before.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from aliquot import __version__
from orchestrator.stack.aws import INSTALL
from orchestrator.stack.findings import Finding

_GIB = 1 << 30
_LITTLE_MEMORY_MIB = 1024  # RDKit, a template library and its indexes take a few hundred MiB a worker
_LITTLE_DISK_BYTES = 2 * _GIB


@dataclass(frozen=True)
class Machine:
    """What was read of a machine; versions are empty where a package is not installed."""

    python: tuple[int, int, int]
    platform: str
    n_cores: int
    free_mib: int
    has_proc: bool
    rdkit: str
    boto3: str
    free_disk_bytes: tuple[tuple[str, int], ...]


def read_machine(folder: Path) -> Machine:
    """This machine, with the disks of `folder` and of temporary files."""
    from aliquot.processes import count_cores, read_free_mib

    return Machine(
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        platform=sys.platform,
        n_cores=count_cores(),
        free_mib=read_free_mib(),
        has_proc=Path("/proc/self/status").exists(),
        rdkit=read_version("rdkit"),
        boto3=read_version("boto3"),
        free_disk_bytes=read_free_disks(folder),
    )


def read_free_disks(folder: Path) -> tuple[tuple[str, int], ...]:
    """What is free on the disks of a folder and of temporary files, in bytes."""
    folders = dict.fromkeys([str(folder), tempfile.gettempdir()])
    return tuple((each, shutil.disk_usage(each).free) for each in folders)


def judge_machine(machine: Machine) -> Iterator[Finding]:
    """A finding for each thing that a run needs."""
    yield Finding("ok", "aliquot", __version__)
    yield _judge_python(machine)
    yield Finding("ok", "cores", f"{machine.n_cores} physical, so many workers by default")
    yield _judge_memory(machine)
    by = "/proc" if machine.has_proc else "psutil (slower than /proc, which is not here)"
    yield Finding("ok", "processes", f"memory of workers is read by {by}")
    yield _judge_rdkit(machine)
    yield from judge_disks(machine.free_disk_bytes)
    said = f"boto3 {machine.boto3}" if machine.boto3 else f"boto3 is not here; {INSTALL} if you want --on aws"
    yield Finding("ok", "aws", said)


def read_version(distribution: str) -> str:
    """A distribution's version, or `unknown` for a package without one; empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown" if importlib.util.find_spec(distribution) else ""


def _judge_python(machine: Machine) -> Finding:
    said = f"{'.'.join(map(str, machine.python))} on {machine.platform}"
    if machine.platform not in ("linux", "darwin"):
        return Finding("fail", "python", said, "use Linux, macOS or WSL 2")
    return Finding("ok", "python", said)


def _judge_memory(machine: Machine) -> Finding:
    said = f"{machine.free_mib:,} MiB free"
    if machine.free_mib < _LITTLE_MEMORY_MIB * machine.n_cores:
        least = max(1, machine.free_mib // _LITTLE_MEMORY_MIB)
        return Finding(
            "warn", "memory", said, f"close other programs, or give --workers {least}: each takes about 1 GiB"
        )
    return Finding("ok", "memory", said)


def _judge_rdkit(machine: Machine) -> Finding:
    if machine.rdkit:
        return Finding("ok", "rdkit", machine.rdkit)
    return Finding(
        "warn",
        "rdkit",
        "is not installed, and the chemistry jobs need it",
        'pip install "aliquot[chem]"; functions of your own run without',
    )


def judge_disks(free_bytes: Iterable[tuple[str, int]]) -> Iterator[Finding]:
    """Whether there is room for results, and for what is put aside on the way to them.

    Args:
        free_bytes: by folder.
    """
    for folder, n_bytes in free_bytes:
        yield _judge_disk(folder, n_bytes)


def _judge_disk(folder: str, free_bytes: int) -> Finding:
    said = f"{free_bytes / _GIB:,.1f} GiB free in {folder}"
    if free_bytes < _LITTLE_DISK_BYTES:
        return Finding("warn", "disk", said, "free some, or write to another disk: --out, TMPDIR")
    return Finding("ok", "disk", said)
