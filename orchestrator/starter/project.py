"""A small project around a job of one's own, for `aliquot new`.

    check_name(name, jobs, is_module), read_files(name) --write_project--> FOLDER

The files lie beside this module with `.in` at their end, `@name@` where the job's name goes; a folder called
`package` becomes the job's package. Owns what a job may be called and what is made of the files. Imports the
core's errors. When it is wrong, the first thing that a user makes does not run.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from aliquot import __version__
from aliquot.errors import FolderInUse, UsageError

LONGEST_NAME = 40
_ENDING = ".in"
_RENAMED = {"package": "@name@", "gitignore": ".gitignore"}


class BadName(UsageError):
    """A new job cannot have this name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"a job cannot be called {self.name!r}: {self.reason}"


def check_name(name: str, jobs: Collection[str], is_module: Callable[[str], bool]) -> None:
    """Raise BadName where a job, its package and its layer cannot all have this name.

    Args:
        jobs: names of the jobs that are installed.
        is_module: whether a name can be imported here already.
    """
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LONGEST_NAME - 1}}}", name):
        raise BadName(
            name,
            f"it is a command's word and a Python package's name: up to {LONGEST_NAME} of a-z, 0-9 and _, "
            f"a letter first{_suggest(name)}",
        )
    if keyword.iskeyword(name):
        raise BadName(name, f"it is a word of Python's own; {name}_job would do")
    if name in jobs:
        raise BadName(name, "there is a job of this name (see `aliquot jobs`): choose another")
    if is_module(name):
        raise BadName(
            name, f"`import {name}` finds another package here: choose another, {name}_job would do"
        )


def _suggest(name: str) -> str:
    close = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:LONGEST_NAME]
    return f"; {close} would do" if close else ""


def read_files(name: str) -> dict[PurePosixPath, str]:
    """The project's files by their path in it, for a job of this name."""
    filled = {"@name@": name, "@version@": __version__, "@stack@": f"aliquot-job-{name.replace('_', '-')}"}
    root = resources.files(__package__) / "files"
    return {
        PurePosixPath(*(_fill(_RENAMED.get(part, part), filled) for part in path.parts)): _fill(text, filled)
        for path, text in _walk(root, PurePosixPath())
    }


def write_project(folder: Path, files: Mapping[PurePosixPath, str]) -> None:
    """Make the folder with these files; raises FolderInUse where it cannot be made."""
    try:
        folder.mkdir()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError as err:
        raise FolderInUse(str(folder), "is there already: remove it, or choose another name") from err
    except OSError as err:
        raise FolderInUse(str(folder), f"cannot be written: {err.strerror}") from err


def _walk(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _walk(entry, at / entry.name)
        elif entry.name.endswith(_ENDING):
            yield at / entry.name.removesuffix(_ENDING), entry.read_text(encoding="utf-8")


def _fill(text: str, filled: Mapping[str, str]) -> str:
    for place, value in filled.items():
        text = text.replace(place, value)
    return text
