"""A run's job prepared and opened on this machine, before anything is put or paid; what it wrote, uploaded.

`prepare` runs in a host process here, so that a template that does not parse is told at once, and workers
find its output under `runs/<run>/prepared/`. Owns that upload. Imports the local backend's opening. When it
is wrong, workers open a half-prepared job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aliquot.carried import PREPARED
from aliquot.host import HostLimits
from aliquot.launch import Opened
from aliquot.page import Page
from orchestrator.aws.run import CloudRun
from orchestrator.local.opening import Opening
from orchestrator.local.settings import Settings
from orchestrator.request import Request


class Preparing:
    """Prepares and opens a request's job here.

    Args:
        ledger: the folder in which `prepared/` lies, kept between sessions.
        say: told the phase that begins.
    """

    def __init__(
        self, request: Request, record_timeout_s: float, ledger: Path, say: Callable[[str], None]
    ) -> None:
        self._page = Page.create()
        limits = HostLimits(record_timeout_s, Settings(workers=1).resolve().memory_mib)
        self._opening = Opening(
            request, request.stages[0], limits, ledger, self._page, is_anew=False, say=say
        )

    def open(self) -> Opened:
        """The code and the versions that the job opens with; raises what it raised, and after `abort`."""
        return self._opening.open()

    def abort(self) -> None:
        """End what is under way in another thread."""
        self._opening.abort()

    @property
    def n_bytes(self) -> int:
        """Of what `prepare` wrote."""
        return sum(path.stat().st_size for path in _list_files(self._opening.prepared))

    def upload(self, run: CloudRun) -> None:
        """Put what `prepare` wrote, file by file, unless it is there; raises StoreError."""
        folder = self._opening.prepared
        for path in _list_files(folder):
            key = f"{PREPARED}{path.relative_to(folder).as_posix()}"
            if not run.objects.has(key):
                run.objects.put_file(key, path)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """End what was started, when the block ends."""
        try:
            yield
        finally:
            self._opening.close()
            self._page.close()


def _list_files(folder: Path) -> Iterator[Path]:
    """What was prepared, in order; the mark that it is whole stays here."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".whole")
