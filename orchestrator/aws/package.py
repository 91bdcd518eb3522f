"""A user's own code as a zip that depends on its content alone, and travels with a run as a reference.

    --code FOLDER --list_files--> what travels --build_package--> zip, its digest

Left out: hidden files and folders, `__pycache__`, virtual environments, installed packages' folders
(`site-packages`, `node_modules`), folders of runs, links to folders, and what the caller names (the
dataset, the references). Owns what travels. When it is wrong, a run's code is incomplete, or a password file
leaves the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from aliquot.errors import BadOption
from orchestrator.aws.folder import CLOUD
from orchestrator.local.folder import LEDGER, explained

MOST_BYTES = 50 << 20
_LITTER = frozenset({"__pycache__", "site-packages", "node_modules"})
_LITTER_ENDINGS = (".pyc", ".pyo", "~")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip knows no earlier time
_N_NAMED = 3


@dataclass(frozen=True)
class Package:
    """A zip of code: its bytes, their SHA-256, and the files in it by their names there."""

    body: bytes
    sha256: str
    names: tuple[str, ...]


def build_package(folder: Path, leave_out: Collection[Path] = ()) -> Package:
    """The package of a folder; raises BadOption where it holds too much, naming the largest files.

    Args:
        leave_out: absolute paths of files and folders that do not travel.
    """
    files = {path.relative_to(folder).as_posix(): path for path in list_files(folder, leave_out)}
    with explained(folder):
        _check_size(folder, files)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, _EARLIEST)
                entry.external_attr, entry.create_system = 0o644 << 16, 3
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, files[name].read_bytes())
    body = buffer.getvalue()
    return Package(body, hashlib.sha256(body).hexdigest(), tuple(sorted(files)))


def list_files(folder: Path, leave_out: Collection[Path] = ()) -> Iterator[Path]:
    """The files of a folder that travel, in no order."""
    left_out = {path.resolve() for path in leave_out}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _is_wanted_folder(Path(parent, name), left_out)]
        for name in names:
            path = Path(parent, name)
            is_litter = name.startswith(".") or name.endswith(_LITTER_ENDINGS)
            if not is_litter and path.is_file() and path.resolve() not in left_out:
                yield path


def _is_wanted_folder(path: Path, left_out: Collection[Path]) -> bool:
    if path.name.startswith(".") or path.name in _LITTER or path.is_symlink():
        return False
    is_environment = (path / "pyvenv.cfg").exists()
    is_run = (path / CLOUD).exists() or (path / LEDGER / "lock").exists()
    return not (is_environment or is_run or path.resolve() in left_out)


def _check_size(folder: Path, files: dict[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    total = sum(sizes.values())
    if total <= MOST_BYTES:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_N_NAMED]
    named = ", ".join(f"{name} ({sizes[name] / 1e6:,.1f} MB)" for name in largest)
    raise BadOption(
        "--code",
        f"{folder} holds {total / 1e6:,.1f} MB and {MOST_BYTES >> 20} MiB can travel with a run; its largest "
        f"files are {named}: give a folder with the code alone, and large data as a reference",
    )
