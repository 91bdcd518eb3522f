"""The command of a run: its words, where its program lies, and that its files are those of before.

    "./mass --fine"              --note_command-->  prepared/command.json: words, digests of files they name
    "{program}/bin/mass"         --find_command-->  what is started, where hosts run

Owns that note. Imports the core's `errors` and `job`. When it is wrong, a run goes on with another program
than it was begun with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import stat
from pathlib import Path

from aliquot.errors import BadOption, BadReference
from aliquot.job import Reference

PLACE = "{program}"
_FLAG = "--command"
_NOTE = "command.json"
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_OF_A_SHELL = re.compile(r"(?<!\S)(?:\|\|?|&&?|;|>>?|<)(?!\S)")


def note_command(text: str, program: Reference | None, folder: Path) -> None:
    """Write down the command's words, and what the files hold that they name by a path.

    Raises:
        BadOption: it is no command, or does not go with the program.
    """
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise BadOption(_FLAG, f"{text!r} cannot be split into words: {err}") from err
    if not words:
        raise BadOption(_FLAG, "is empty: give a program, with its arguments")
    of_a_shell = _OF_A_SHELL.search(_QUOTED.sub("_", text))
    if of_a_shell is not None:
        raise BadOption(
            _FLAG, f"holds {of_a_shell[0]!r}, and no shell runs: give one, `sh -c '...'`, or quote it"
        )
    is_named = any(PLACE in word for word in words)
    if is_named and program is None:
        raise BadOption(_FLAG, f"names {PLACE}, and there is none: give --program FILE")
    if program is not None and not is_named:
        raise BadOption("--program", f"is in no word of the command: write {PLACE} where it belongs")
    files = {}
    for at, word in enumerate(words):
        path = Path(word).absolute()  # not resolved: a Python of an environment is a link
        if "/" in word and path.is_file():
            words[at], files[str(path)] = str(path), _digest(path)
    note = {"words": words, "files": files, "members": _list_members(program)}
    (folder / _NOTE).write_text(json.dumps(note))


def find_command(program: Reference | None, prepared: Path) -> list[str]:
    """The words to start, each file in its place; raises BadOption, BadReference."""
    note = json.loads((prepared / _NOTE).read_text())
    for name, digest in note["files"].items():
        _check_file(Path(name), digest)
    words = note["words"]
    if program is not None:
        _fetch(program, note["members"])
        words = [word.replace(PLACE, str(program.path)) for word in words]
        _allow_running(Path(words[0]), program)
    return [_find_first(words[0]), *words[1:]]


def _list_members(program: Reference | None) -> dict[str, bool]:
    """The files of a folder, and whether each may be executed."""
    if program is None or not program.path.is_dir():
        return {}
    files = sorted(path for path in program.path.rglob("*") if path.is_file())
    return {path.relative_to(program.path).as_posix(): os.access(path, os.X_OK) for path in files}


def _fetch(program: Reference, members: dict[str, bool]) -> None:
    """Have all files of a folder here, those that may be executed so."""
    for name, is_executable in members.items():
        path = program.file(name)
        if is_executable:
            _allow_running(path, program)


def _allow_running(path: Path, program: Reference) -> None:
    """Make a file that a stack fetched executable: there it has no mode. One of the user's stays as it is."""
    is_fetched = program.fetch is not None or program.path.name == program.sha256
    if is_fetched and path.is_file() and not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _find_first(word: str) -> str:
    if "/" not in word:
        found = shutil.which(word)
        if found is None:
            raise BadOption(_FLAG, f"there is no program {word!r} on PATH here; name a file by ./{word}")
        return found
    path = Path(word)
    if not path.is_file():
        raise BadOption(_FLAG, f"there is no file {word!r} here; --program takes one along to a stack")
    if not os.access(path, os.X_OK):
        raise BadOption(_FLAG, f"{word} may not be executed: `chmod +x`, or put its interpreter before it")
    return word


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise BadReference(str(path), "is not here: --program takes a file along to a stack")
    if _digest(path) != digest:
        raise BadReference(str(path), "has changed since the run began: restore it, or choose a new folder")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
