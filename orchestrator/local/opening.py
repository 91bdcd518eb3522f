"""Opening a run's job: `prepare` once per run, then `open` in the process that hosts come from.

What fails without a reason of its own is tried once more in a fresh process. Another thread may end it. Owns
the choice between a zygote and processes of their own, and the folder of what was prepared. Imports the
core's `launch`. When it is wrong, a run starts with half-prepared files, or cannot be interrupted.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from hashlib import sha256
from json import dumps
from pathlib import Path

from aliquot.errors import OpenFailed
from aliquot.host import HostLimits
from aliquot.job import Stage
from aliquot.launch import Launcher, Opened, SpawnLauncher, ZygoteLauncher
from aliquot.loading import JobSpec
from aliquot.page import Page
from aliquot.processes import can_fork
from orchestrator.local.folder import explained
from orchestrator.request import Request


class Opening:
    """The launcher of a stage's hosts, from nothing to an open job.

    Args:
        stage: which is opened.
        ledger: the folder in which `prepared/` lies.
        is_anew: prepare although it was done before (the code has changed).
        say: told the phase that begins: "preparing", "opening".
    """

    def __init__(
        self,
        request: Request,
        stage: Stage,
        limits: HostLimits,
        ledger: Path,
        page: Page,
        *,
        is_anew: bool,
        say: Callable[[str], None],
    ) -> None:
        self._request, self._stage, self._limits, self._page = request, stage, limits, page
        self.prepared = name_prepared(request, ledger)
        self._is_anew, self._say = is_anew, say
        self._is_aborted = threading.Event()
        self.cpu_s = 0.0  # of `prepare` and `open`
        is_forking = can_fork() and stage.fork_safe
        self.launcher: Launcher = ZygoteLauncher(self._spec, limits, page) if is_forking else self._spawn()

    def open(self) -> Opened:
        """Prepare and open the job; raises what the job raised, twice where it could be tried again.

        Raises:
            UsageError: the job's own, or OpenFailed; also after `abort`.
        """
        opened = self._try_twice()
        if isinstance(self.launcher, ZygoteLauncher) and self.launcher.n_threads > 1:
            self.launcher.close()  # a fork would lose its threads, and whatever they hold locked
            self.launcher = self._spawn()
        return opened

    def abort(self) -> None:
        """End what is under way in another thread; may be called again until it has ended."""
        self._is_aborted.set()
        self.launcher.abort()

    def close(self) -> None:
        """End what was started besides hosts."""
        self.launcher.close()

    @property
    def _spec(self) -> JobSpec:
        known = self._request.known
        options, prepared = self._request.options, str(self.prepared)
        return JobSpec(known.address, known.search_path, options, prepared, self._stage.name)

    def _spawn(self) -> SpawnLauncher:
        return SpawnLauncher(self._spec, self._limits, self._page)

    def _try_twice(self) -> Opened:
        try:
            return self._prepare_and_open()
        except OpenFailed:
            self.launcher.close()
            if self._is_aborted.is_set():
                raise
            return self._prepare_and_open()

    def _prepare_and_open(self) -> Opened:
        whole = self.prepared / ".whole"
        if self._is_anew or not whole.exists():
            with explained(self.prepared):
                shutil.rmtree(self.prepared, ignore_errors=True)
                self.prepared.mkdir(parents=True)
            if self._request.known.job.prepare is not None:
                self._say("preparing")
                self.cpu_s += self.launcher.prepare()
            with explained(whole):
                whole.touch()
            self._is_anew = False
        self._say("opening")
        opened = self.launcher.open()
        self.cpu_s += opened.cpu_s
        return opened


def name_prepared(request: Request, ledger: Path) -> Path:
    """The folder that `prepare` writes, named by what it depends on."""
    identity = request.identity
    text = dumps([identity["job"], identity["version"], identity["options"]], sort_keys=True)
    return (ledger / "prepared" / sha256(text.encode()).hexdigest()[:16]).resolve()
