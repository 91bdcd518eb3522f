"""Which files a dataset is made of, in which order, and what they are known by.

Owns the endings, the order and the digest of sources. Imports the standard library and `aliquot.errors`.
When it is wrong, record numbers differ between two runs of one command, or a changed input goes unseen.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aliquot.errors import DatasetError

STDIN = "-"
ENDS_BYTES = 64 << 10
INDEX, INDEX_MAGIC = "index", b"ALIQUOT INDEX 1\n"
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".smi": "smi",
    ".smiles": "smi",
    ".rsmi": "rsmi",
    ".fasta": "fasta",
    ".fa": "fasta",
    ".faa": "fasta",
    ".fna": "fasta",
    ".sdf": "sdf",
}
KNOWN = f"{', '.join(FORMATS)} (each also with .gz)"


@dataclass(frozen=True)
class Source:
    """One input of a dataset, and what tells whether it has changed.

    Args:
        path: as given or found; "-" is stdin.
        format: "csv", "tsv", "jsonl", "parquet", "smi", "rsmi", "fasta", "sdf" or "index"; "" for stdin,
            whose format shows in its first lines, when it is read.
        is_gzip: by its ending; stdin's shows when it is read.
        size_bytes, mtime_ns: of the file as it lies there; None for stdin.
        ends_sha256: of the first and last 64 KiB (of the whole where it is no longer); None for stdin.
        etag: of an object in a bucket, which has neither of the two before; None elsewhere.
    """

    path: str
    format: str
    is_gzip: bool = False
    size_bytes: int | None = None
    mtime_ns: int | None = None
    ends_sha256: str | None = None
    etag: str | None = None


def find_sources(items: Sequence[str | os.PathLike[str]]) -> tuple[Source, ...]:
    """The sources that `items` name, in the order given, within a glob or a folder by path.

    Args:
        items: each a file, a glob (`**` goes down), a folder (all its files with a known ending, however
            deep, hidden ones left out) or "-" for stdin, which is not touched here.

    Raises:
        DatasetError: an item that matches nothing, an unknown ending, an unreadable file, "-" twice.
    """
    given = [os.fspath(item) for item in items]
    if given.count(STDIN) > 1:
        raise DatasetError(STDIN, "stands twice among the inputs, and stdin can be read once")
    return tuple(source for item in given for source in _expand(item))


def _expand(item: str) -> Iterator[Source]:
    if item == STDIN:
        yield Source(STDIN, "")
    elif Path(item).is_dir():
        yield from map(_describe, _list_folder(item))
    elif os.path.lexists(item):  # before globbing: a file may have brackets in its name
        yield _describe(item)
    elif glob.has_magic(item):
        yield from map(_describe, _list_glob(item))
    else:
        raise DatasetError(item, "there is no such file or folder")


def _list_glob(pattern: str) -> list[str]:
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files too
    paths = sorted({path for path in found if not Path(path).is_dir()})  # `**/**` gives some twice
    if found and not paths:
        raise DatasetError(pattern, "matches folders only; name a folder itself to read all that is in it")
    if not paths:
        raise DatasetError(pattern, "matches no file")
    return paths


def _list_folder(folder: str) -> list[str]:
    paths = sorted(path for path in _walk(folder) if find_ending(path) is not None)
    if not paths:
        raise DatasetError(folder, f"holds no file with a known ending; known are {KNOWN}")
    return paths


def _walk(folder: str) -> Iterator[str]:
    def refuse(err: OSError) -> None:
        raise DatasetError(err.filename or folder, f"cannot be listed: {err.strerror}") from err

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (str(Path(parent, name)) for name in names if not name.startswith("."))


def find_ending(path: str) -> str | None:
    """The ending of a path that tells its format, without `.gz`; None where it tells none."""
    name = Path(path).name.lower().removesuffix(".gz")
    return next((ending for ending in FORMATS if name.endswith(ending)), None)


def _describe(path: str) -> Source:
    ending = find_ending(path)
    try:
        status = Path(path).stat()
        is_file = stat.S_ISREG(status.st_mode)
        is_index = is_file and _is_index(path)
        if ending is None and not is_index:
            raise DatasetError(path, f"has an ending that says nothing about its format; known are {KNOWN}")
        if not is_file:
            raise DatasetError(path, "is not a regular file; pipe it in and give - instead")
        digest = _digest_ends(path, status.st_size)
    except OSError as err:
        raise DatasetError(path, f"cannot be read: {err.strerror}") from err
    name = INDEX if is_index or ending is None else FORMATS[ending]
    is_gzip = not is_index and path.lower().endswith(".gz")
    return Source(path, name, is_gzip, status.st_size, status.st_mtime_ns, digest)


def _is_index(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(len(INDEX_MAGIC)) == INDEX_MAGIC


def _digest_ends(path: str, size_bytes: int) -> str:
    with Path(path).open("rb") as file:
        digest = sha256(file.read(ENDS_BYTES))
        file.seek(max(ENDS_BYTES, size_bytes - ENDS_BYTES))
        digest.update(file.read(ENDS_BYTES))
    return digest.hexdigest()
