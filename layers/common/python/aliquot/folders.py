"""A folder as one reference: a list of its files, by name, size and SHA-256, and the digest of that list.

    folder --list_folder--> Listing --to_bytes--> an object, of which the SHA-256 is the folder's
    bytes --read_listing--> Listing, checked: names stay in the folder

Owns this form. Imports the checks of `notes`. When it is wrong, two folders of one content have two
names, or a file is put where it should not be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aliquot.envelope import is_count
from aliquot.errors import Undecodable
from aliquot.notes import check_fields, is_text, read_note

FORMAT = "aliquot/folder/1"
MOST_BYTES = 16 << 20  # of a listing: some 150,000 files
_FILES_AT_A_TIME = 7  # one that each of a worker's hosts maps, 6 at most, and the next


@dataclass(frozen=True)
class Member:
    """One file of a folder."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Listing:
    """All files of a folder, those of its folders too, by name from it on."""

    members: Mapping[str, Member]

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sum(each.size_bytes for each in self.members.values())

    @property
    def room_bytes(self) -> int:
        """What of it a worker has to have room for."""
        return count_room([each.size_bytes for each in self.members.values()])

    @property
    def sha256(self) -> str:
        """The folder's digest: of its names and contents, wherever it lies."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The same bytes for the same files."""
        files = [[name, each.size_bytes, each.sha256] for name, each in sorted(self.members.items())]
        return json.dumps({"format": FORMAT, "files": files}, ensure_ascii=False).encode()


def count_room(sizes: Collection[int]) -> int:
    """What a worker has to have room for of files of these sizes, bytes: they make room for each other."""
    return min(sum(sizes), _FILES_AT_A_TIME * max(sizes, default=0))


def list_folder(folder: Path) -> Listing:
    """What a folder holds, each file read once; raises OSError."""
    return Listing({name: _describe(folder / name) for name in sorted(_list_names(folder))})


def read_listing(key: str, body: bytes) -> Listing:
    """A listing as it was put; raises Undecodable."""
    if len(body) > MOST_BYTES:
        raise Undecodable(key, f"has {len(body):,} bytes, and a folder's list {MOST_BYTES:,} at most")
    note = read_note(key, body)
    check_fields(key, note, format=FORMAT.__eq__, files=_are_files)
    return Listing({name: Member(size_bytes, sha256) for name, size_bytes, sha256 in note["files"]})


def _list_names(folder: Path) -> Iterator[str]:
    return (each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def _describe(path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(file.tell(), digest)


def _are_files(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_file, value))


def _is_file(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 3 and is_text(value[0]) and is_count(value[1])):
        return False
    return is_inside(value[0]) and is_digest(value[2])


def is_inside(name: str) -> bool:
    """Whether a file of this name lies in the folder that it is put into."""
    path = PurePosixPath(name)
    return not path.is_absolute() and bool(path.parts) and ".." not in path.parts and "\0" not in name


def is_digest(value: Any) -> bool:
    """Whether a value is a SHA-256 as objects are named by it."""
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
