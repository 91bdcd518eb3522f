"""Which objects a dataset in buckets is made of: `s3://bucket/key`, `s3://bucket/folder/` or a glob.

The words mean what they mean for files: a folder is all that lies under it with a known ending, `*` stops at
a slash, `**` does not, hidden names are left out. Each object is pinned by its ETag: what is read later is
what was found, or an error.

Owns the names and the order of objects. What lists a bucket is an argument. Imports its neighbours and the
standard library. When it is wrong, a run in a stack and one on a laptop read other records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aliquot.errors import DatasetError
from aliquot.readers.sources import FORMATS, KNOWN, Source, find_ending

SCHEME = "s3://"


class Listed(NamedTuple):
    """An object of a bucket as a listing shows it."""

    key: str
    size_bytes: int
    etag: str


Listing = Callable[[str, str], Iterable[Listed]]


def is_object(path: str) -> bool:
    """Whether a path names something in a bucket."""
    return path.startswith(SCHEME)


def split_url(url: str) -> tuple[str, str]:
    """The bucket and the key of `s3://bucket/key`; raises DatasetError."""
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    if not is_object(url) or not bucket:
        raise DatasetError(url, "is not s3://BUCKET/KEY")
    return bucket, key


def find_objects(items: Sequence[str], list_objects: Listing) -> tuple[Source, ...]:
    """The sources that `items` name, in the order given, within a glob or a folder by key.

    Args:
        list_objects: gives the objects of a bucket whose keys begin with a prefix, in order of keys.

    Raises:
        DatasetError: an item that matches nothing, or an ending that is not known.
    """
    return tuple(source for item in items for source in _expand(item, list_objects))


def _expand(item: str, list_objects: Listing) -> list[Source]:
    bucket, pattern = split_url(item)
    is_folder = pattern.endswith("/") or not pattern
    literal = pattern if is_folder else re.split(r"[*?[]", pattern, maxsplit=1)[0]
    listed = list(list_objects(bucket, literal))
    if not is_folder:
        exact = [found for found in listed if found.key == pattern] or [
            found for found in list_objects(bucket, pattern) if found.key == pattern and literal != pattern
        ]
        if exact:  # before globbing: a key may have brackets in it
            return [_describe(bucket, found) for found in exact]
        if literal == pattern:
            raise DatasetError(item, _explain_missing(pattern, listed))
        matches = re.compile(translate_glob(pattern)).fullmatch
        listed = [found for found in listed if matches(found.key) and not found.key.endswith("/")]
        if not listed:
            raise DatasetError(item, "matches no object")
        return [_describe(bucket, found) for found in listed]
    visible = [found for found in listed if not _is_hidden(found.key[len(pattern) :])]
    known = [found for found in visible if find_ending(found.key) is not None]
    if not known:
        raise DatasetError(item, f"holds no object with a known ending; known are {KNOWN}")
    return [_describe(bucket, found) for found in known]


def _explain_missing(key: str, listed: Sequence[Listed]) -> str:
    if any(found.key.startswith(f"{key}/") for found in listed):
        return "there is no such object; to read all that lies under it end it in a slash"
    return "there is no such object"


def _is_hidden(rest: str) -> bool:
    return any(name.startswith(".") for name in rest.split("/"))


def _describe(bucket: str, found: Listed) -> Source:
    path = f"{SCHEME}{bucket}/{found.key}"
    ending = find_ending(found.key)
    if ending is None:
        raise DatasetError(path, f"has an ending that says nothing about its format; known are {KNOWN}")
    is_gzip = found.key.lower().endswith(".gz")
    return Source(path, FORMATS[ending], is_gzip, found.size_bytes, etag=found.etag)


def translate_glob(pattern: str) -> str:
    """The regular expression of a glob as `glob.glob(recursive=True)` reads it."""
    parts = pattern.split("/")
    text = ""
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == "**":
            text += r"(?:[^/.][^/]*/)*" + (r"[^/.][^/]*" if is_last else "")
            continue
        hidden = r"(?!\.)" if part[:1] in ("*", "?", "[") else ""
        text += hidden + _translate_name(part) + ("" if is_last else "/")
    return text


def _translate_name(part: str) -> str:
    pieces = re.split(r"(\*+|\?|\[!?\]?[^\]]*\])", part)
    return "".join(_translate_piece(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))


def _translate_piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    inside = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
    is_not = inside.startswith("!")
    inside = inside.removeprefix("!").replace("^", r"\^").replace("]", r"\]")
    return f"(?!/)[{'^' if is_not else ''}{inside}]"
