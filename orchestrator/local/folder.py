"""A run's folder: DIR, what lies in it, and that one process works in it at a time.

    DIR/ledger/                      every object of the run (see aliquot.keys)
    DIR/result/ failures.* summary.json ...   what is delivered

Owns the lock, and what is said when the file system refuses. When it is wrong, two processes write one run.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from aliquot.errors import FolderInUse, StoreError
from aliquot.ledger import Ledger
from aliquot.processes import was_alive_at
from aliquot.store import FolderStore

LEDGER = "ledger"

_ELSEWHERE = "choose a folder that you can write to"
_AGAIN = "free some space and run the same command again, it goes on from here"
_REASONS = {
    errno.ENOSPC: f"the disk is full: {_AGAIN}",
    errno.EDQUOT: f"the disk quota is used up: {_AGAIN}",
    errno.EACCES: f"permission denied: {_ELSEWHERE}",
    errno.EPERM: f"permission denied: {_ELSEWHERE}",
    errno.EROFS: f"the file system is read-only: {_ELSEWHERE}",
    errno.ENOTDIR: f"a file is in the way: {_ELSEWHERE}",
    errno.EEXIST: f"a file is in the way: {_ELSEWHERE}",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what the file system refuses as StoreError, in words."""
    try:
        yield
    except OSError as err:
        reason = _REASONS.get(err.errno or 0, (err.strerror or str(err)).lower())
        raise StoreError(str(err.filename or path), reason) from err


class RunFolder:
    """The folder of one run, locked while it is entered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = FolderStore(path / LEDGER)
        self.ledger = Ledger(self._store)
        self._lock = -1

    @property
    def ledger_path(self) -> Path:
        """Where the run's objects lie."""
        return self.path / LEDGER

    @property
    def has_run(self) -> bool:
        """Whether a run was begun here."""
        return self.ledger.read_manifest() is not None

    def __enter__(self) -> Self:
        """Create the folder where it is not there, and lock it; raises FolderInUse, StoreError."""
        self._refuse_foreign()
        with explained(self.path):
            (self.path / LEDGER).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LEDGER / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._take_lock()
                self._store.sweep()
            except BaseException:
                os.close(self._lock)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode() or "unknown"
            raise FolderInUse(
                str(self.path), f"process {holder} works in it: wait for it, or end it"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise FolderInUse(str(self.path), "is a file: --out names a folder")
        is_foreign = self.path.is_dir() and not (self.path / LEDGER).is_dir() and any(self.path.iterdir())
        if is_foreign:
            raise FolderInUse(
                str(self.path), "holds files that are no run's: choose an empty or a new folder"
            )


def find_worker(path: Path) -> int | None:
    """The process that works in a run's folder now; None where none does.

    The lock is tried only where the process that had it last is there: whoever begins just then is refused.
    """
    lock = path / LEDGER / "lock"
    try:
        with lock.open("rb") as file:
            pid, written_s = int(file.read(20)), os.fstat(file.fileno()).st_mtime
            if not was_alive_at(pid, written_s):
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return pid
    except (OSError, ValueError):
        return None
    return None


def open_folder(path: Path) -> RunFolder:
    """The folder of a run that was begun; raises FolderInUse where there is none."""
    folder = RunFolder(path)
    if not path.is_dir() or not folder.has_run:
        raise FolderInUse(str(path), "holds no run: `aliquot run ... --out` begins one")
    return folder
