"""Files that a function keeps in its `/tmp` from run to run: the least recently used make room for others.

    hold what is to be open -> find: here, and as it was kept? -> else make_room, write it, keep it

A file that is held is never removed: the open job maps it. Of a folder that is a reference the files are not
held: hosts ask for them one by one, and a file that is removed while one of them maps it stays whole for it,
but takes its room until it lets go. What was kept is told again by its size, inode
and times of change, which costs a stat: whatever changes a file in `/tmp` is a process of this environment,
and leaves these behind. Where they differ, and of what an earlier process of the environment has left, the
SHA-256 decides; what has none is removed. Bytes that rot without a write are not seen by it.

Owns the folder alone: one process for one folder. Imports `errors`. When it is wrong, `/tmp` fills up, or a
job is opened with another file than was asked for.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aliquot.errors import NoRoom

SPARED_BYTES = 32 << 20  # of /tmp: for what jobs write there
_CONTENT = re.compile(r"references/[0-9a-f]{64}(/.+)?")  # what has a digest, and may outlive the process
_UNFINISHED = re.compile(r".*\.[0-9a-f]{32}")  # what a fetch was at when it was killed
_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class Kept:
    """What is in the cache under one name: its bytes, and the files that it is, as they were.

    `stamps` are empty where it is not known how it came here.
    """

    name: str
    size_bytes: int
    stamps: tuple[tuple[Path, _Stamp], ...] = ()


def choose_evicted(
    kept: Iterable[Kept], is_held: Callable[[str], bool], missing_bytes: int
) -> list[str] | None:
    """The names to remove so that so many bytes come free, None where what is held does not allow it.

    Args:
        kept: the least recently used first.
    """
    chosen: list[str] = []
    for each in kept:
        if missing_bytes <= 0:
            break
        if not is_held(each.name):
            chosen.append(each.name)
            missing_bytes -= each.size_bytes
    return chosen if missing_bytes <= 0 else None


def _read_free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Cache:
    """A folder of files, and of folders that are kept as one.

    Args:
        folder: made when it is first used.
        most_bytes: of the disk that it lies on, what else lies there counted in.
        free_bytes: tells what is free of a disk.
    """

    def __init__(self, folder: Path, most_bytes: int, free_bytes: Callable[[Path], int] = _read_free) -> None:
        self.folder = folder
        self._most_bytes, self._free_bytes = most_bytes, free_bytes
        self._kept: dict[str, Kept] | None = None  # the least recently used first
        self._held: frozenset[str] = frozenset()

    def hold(self, names: Iterable[str]) -> None:
        """Remove none of these, nor what lies in them, until others are held.

        The first call takes over what an earlier process has left.
        """
        self._list()
        self._held = frozenset(names)

    def find(self, name: str, sha256: str = "") -> Path | None:
        """Where something lies that is as it was kept; None where it is not, or not any more.

        Args:
            sha256: of a file's content, where that is known.
        """
        kept = self._list().pop(name, None)
        if kept is None:
            return None
        path = self.folder / name
        if not _is_unchanged(kept):
            if not sha256 or _digest(path) != sha256:
                _remove(path)
                return None
            kept = _measure(name, path)
        self._list()[name] = kept
        return path

    def make_room(self, name: str, n_bytes: int) -> None:
        """Remove the least recently used until so many bytes fit.

        Raises:
            NoRoom: they never will, and nothing was removed; or what was removed is still mapped.
        """
        kept = self._list()
        used_bytes = sum(each.size_bytes for each in kept.values())
        free_bytes = self._free_bytes(self.folder)
        room_bytes = min(self._most_bytes - used_bytes, free_bytes) - SPARED_BYTES
        evicted = choose_evicted(kept.values(), self._is_held, n_bytes - room_bytes)
        if evicted is None:
            held_bytes = sum(each.size_bytes for each in kept.values() if self._is_held(each.name))
            freed_bytes = room_bytes + used_bytes - held_bytes
            raise NoRoom(name, n_bytes, max(0, freed_bytes), self._most_bytes)
        for each in evicted:
            self.drop(each)
        freed_bytes = self._free_bytes(self.folder) - SPARED_BYTES
        if evicted and freed_bytes < n_bytes:
            raise NoRoom(name, n_bytes, max(0, freed_bytes), self._most_bytes)

    def keep(self, name: str) -> Path:
        """Note what was written under a name, file or folder, as whole; its path."""
        path = self.folder / name
        self._list().pop(name, None)
        self._list()[name] = _measure(name, path)
        return path

    def drop(self, name: str) -> None:
        """Remove what lies under a name, and forget it."""
        self._list().pop(name, None)
        _remove(self.folder / name)

    def _is_held(self, name: str) -> bool:
        return any(name == held or name.startswith(f"{held}/") for held in self._held)

    def _list(self) -> dict[str, Kept]:
        if self._kept is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._kept = {each.name: each for each in _take_over(self.folder)}
        return self._kept


def _take_over(folder: Path) -> list[Kept]:
    """What an earlier process has left that a digest can vouch for, the oldest first; the rest is removed."""
    found: list[tuple[int, Kept]] = []
    for path in [each for each in folder.rglob("*") if each.is_file()]:
        name, said = path.relative_to(folder).as_posix(), path.stat()
        if _CONTENT.fullmatch(name) and not _UNFINISHED.fullmatch(name):
            found.append((said.st_mtime_ns, Kept(name, said.st_size)))
        else:
            path.unlink()
    return [kept for _, kept in sorted(found, key=lambda each: each[0])]


def _measure(name: str, path: Path) -> Kept:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    stamps = [(each, _stamp(each)) for each in files]
    return Kept(name, sum(stamp[0] for _, stamp in stamps), tuple(stamps))


def _is_unchanged(kept: Kept) -> bool:
    try:
        return bool(kept.stamps) and all(_stamp(path) == stamp for path, stamp in kept.stamps)
    except FileNotFoundError:
        return False


def _stamp(path: Path) -> _Stamp:
    said = path.stat()
    return said.st_size, said.st_ino, said.st_mtime_ns, said.st_ctime_ns


def _digest(path: Path) -> str:
    """A file's SHA-256; empty where there is none to be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
