"""Where a run's objects lie: a folder, with the promises that a bucket gives.

`put` is all or nothing; `put_once` decides between writers; a listing shows what was put before it. A
temporary file, fsync, link or rename, fsync of the folder: what was acknowledged survives a power cut.

Owns every file of a run's ledger. Imports the standard library and `errors`. When it is wrong, nothing else
can be right.
"""

from __future__ import annotations

import errno
import mmap
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from aliquot.errors import AlreadyPut, StoreError

_TEMPORARY = ".put-"
_LEAST_MAPPED_BYTES = (
    1 << 18
)  # of fewer, reading costs no more than mapping them, and leaves no descriptor open


class Store(Protocol):
    """Objects by key; what both stores promise (the other is `aliquot.aws.S3Store`)."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object, replacing what was there; raises StoreError."""

    def put_once(self, key: str, body: bytes) -> None:
        """Write an object that nobody wrote before; raises AlreadyPut, StoreError."""

    def get(self, key: str) -> bytes:
        """An object's bytes; raises StoreError where there is none."""

    def view(self, key: str) -> bytes | memoryview:
        """An object's bytes, perhaps read as they are looked at; raises StoreError where there is none."""

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """Bytes of an object from `first` on, fewer where it ends; raises StoreError where there is none."""

    def has(self, key: str) -> bool:
        """Whether there is such an object; raises StoreError where that cannot be told."""

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted; raises StoreError."""


class PrefixStore:
    """What lies in a store under a prefix, by keys relative to it."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def put(self, key: str, body: bytes) -> None:
        """As of the store."""
        self._store.put(self._prefix + key, body)

    def put_once(self, key: str, body: bytes) -> None:
        """As of the store."""
        self._store.put_once(self._prefix + key, body)

    def get(self, key: str) -> bytes:
        """As of the store."""
        return self._store.get(self._prefix + key)

    def view(self, key: str) -> bytes | memoryview:
        """As of the store."""
        return self._store.view(self._prefix + key)

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """As of the store."""
        return self._store.get_range(self._prefix + key, first, n_bytes)

    def has(self, key: str) -> bool:
        """As of the store."""
        return self._store.has(self._prefix + key)

    def list_keys(self, prefix: str) -> list[str]:
        """As of the store."""
        return [key.removeprefix(self._prefix) for key in self._store.list_keys(self._prefix + prefix)]


class FolderStore:
    """Objects as files under `root`; a key's slashes are folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, body: bytes) -> None:
        """Write an object, replacing what was there; raises StoreError."""
        with _explained(key):
            temporary = self._write_aside(key, body)
            temporary.replace(self.root / key)
            _sync_folder(temporary.parent)

    def put_once(self, key: str, body: bytes) -> None:
        """Write an object that nobody wrote before; raises AlreadyPut, StoreError."""
        with _explained(key):
            temporary = self._write_aside(key, body)
            try:
                os.link(temporary, self.root / key)
            except FileExistsError:
                raise AlreadyPut(key) from None
            finally:
                temporary.unlink()
            _sync_folder(temporary.parent)

    def get(self, key: str) -> bytes:
        """An object's bytes; raises StoreError where there is none."""
        with _explained(key):
            return (self.root / key).read_bytes()

    def view(self, key: str) -> bytes | memoryview:
        """An object's bytes, mapped where they are many; raises StoreError where there is none."""
        with _explained(key), (self.root / key).open("rb", buffering=0) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if n_bytes < _LEAST_MAPPED_BYTES:
                return file.readall()
            with suppress(OSError):  # a map holds a descriptor, and of these there may be no more
                return memoryview(mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_READ))
            return file.readall()

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """Bytes of an object from `first` on, fewer where it ends; raises StoreError where there is none."""
        with _explained(key), (self.root / key).open("rb") as file:
            file.seek(first)
            return file.read(n_bytes)

    def has(self, key: str) -> bool:
        """Whether there is such an object; raises StoreError where that cannot be told."""
        with _explained(key):
            return (self.root / key).is_file()

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix` (a folder, ending in a slash), sorted; raises StoreError.

        Hidden files are half written, or left by file managers and network file systems: none of them ours.
        """
        found: list[str] = []
        with _explained(prefix):
            for folder, _, names in os.walk(self.root / prefix, onerror=_raise_unless_missing):
                start = Path(folder).relative_to(self.root).as_posix()
                found.extend(f"{start}/{name}" for name in names if not name.startswith("."))
        return sorted(found)

    def sweep(self) -> None:
        """Remove what a killed writer left half written. Only for the process that works in the folder."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.startswith(_TEMPORARY):
                    Path(folder, name).unlink(missing_ok=True)

    def _write_aside(self, key: str, body: bytes) -> Path:
        target = self.root / key
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, then the same command goes on from here",
    errno.EDQUOT: "the disk quota is used up: free some space, then the same command goes on from here",
    errno.EACCES: "permission denied: choose a folder that you can write to",
    errno.EROFS: "the file system is read-only: choose a folder that you can write to",
    errno.ENOENT: "there is no such object",
}


@contextmanager
def _explained(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        reason = _REASONS.get(err.errno or 0, err.strerror or str(err))
        raise StoreError(str(err.filename or key), reason) from err


def _raise_unless_missing(err: OSError) -> None:
    if not isinstance(err, FileNotFoundError):
        raise err


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
