"""The stages of a leg, open and ready for hosts: how many each may have, with how much memory.

Stages of a leg run side by side, each in hosts of its own: they share the machine's memory, its cores are
shared out by the system. Owns that division. Imports `opening` and the core's `supervisor`. When it is wrong,
a machine holds more hosts than fit, or is idle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aliquot.bounds import Counts, Limits
from aliquot.host import HostLimits
from aliquot.job import Stage
from aliquot.launch import Opened
from aliquot.ledger import Ledger
from aliquot.page import Page
from aliquot.processes import choose_reader
from aliquot.stages import find_rate, find_threads
from aliquot.supervisor import PutOutcome, Supervisor
from orchestrator.local.folder import explained
from orchestrator.local.opening import Opening
from orchestrator.local.settings import ResolvedSettings
from orchestrator.request import Request


@dataclass(frozen=True)
class Room:
    """What the hosts of a stage may take of this machine.

    Args:
        n_hosts: side by side.
        memory_mib: private memory of each.
        most_memory_mib: of a single host, for records that ran out of memory beside others.
    """

    n_hosts: int
    memory_mib: int
    most_memory_mib: int


def share_room(stage: Stage, n_stages: int, resolved: ResolvedSettings) -> Room:
    """What a stage may take beside the others of its leg.

    As many hosts as there are workers, fewer where the stage says so, or where so many with the memory that
    it needs would not fit. A ceiling that the user gave holds for each host of every stage.
    """
    n_hosts = min(resolved.workers, stage.concurrency or resolved.workers)
    share_mib = max(1, resolved.most_memory_mib // n_stages)
    if stage.memory_mib is not None:
        n_hosts = max(1, min(n_hosts, share_mib // stage.memory_mib))
    if resolved.is_memory_given:
        return Room(n_hosts, resolved.memory_mib, resolved.most_memory_mib)
    return Room(n_hosts, max(1, share_mib // n_hosts), resolved.most_memory_mib)


class StageHosts:
    """One stage: its job open, hosts to be had.

    Args:
        threads: of each of them.
        per_s: records that all of them begin a second; 0 for no limit.
    """

    def __init__(
        self,
        stage: Stage,
        room: Room,
        opening: Opening,
        opened: Opened,
        settings: ResolvedSettings,
        threads: int,
        per_s: float,
    ) -> None:
        self.stage, self.room = stage, room
        self.opened = opened
        self._opening = opening
        self._timeout_s = settings.record_timeout_s
        self._threads = threads
        self._retries, self._per_s = settings.retries, per_s

    def supervise(
        self, ledger: Ledger, put: PutOutcome, counts: Counts, *, has_all: bool = False
    ) -> Supervisor:
        """A supervisor of new hosts.

        Args:
            has_all: of one host with all the memory that may be had, for what ran out of it beside others.
        """
        room = self.room
        memory_mib = room.most_memory_mib if has_all else room.memory_mib
        threads = 1 if has_all else self._threads
        limits = Limits(
            self._timeout_s,
            memory_mib,
            defers_memory=not has_all and room.most_memory_mib > room.memory_mib,
            threads=threads,
            rate_per_s=self._per_s,
            retries=self._retries,
            is_whole=self.stage.whole,
        )
        self._opening.launcher.limit(limits.of_host)
        return Supervisor(
            launcher=self._opening.launcher,
            n_lanes=1 if has_all else room.n_hosts,
            limits=limits,
            reader=choose_reader(),
            read_object=ledger.leg.view,
            put_outcome=put,
            counts=counts,
        )


class LegHosts:
    """The stages of a leg, opened one after the other; a context that ends what they started.

    Args:
        ledger: the folder in which `prepared/` lies.
        is_anew: prepare although it was done before (the code has changed).
        say: told the phase that begins.
    """

    def __init__(
        self,
        request: Request,
        stages: Sequence[Stage],
        settings: ResolvedSettings,
        ledger: Path,
        *,
        is_anew: bool,
        say: Callable[[str], None],
    ) -> None:
        self._request, self._stages, self._settings = request, stages, settings
        self._ledger, self._is_anew, self._say = ledger, is_anew, say
        self._pages: list[Page] = []
        self._openings: list[Opening] = []
        self._is_aborted = False
        self.stages: list[StageHosts] = []

    @property
    def cpu_s(self) -> float:
        """Processor time of `prepare` and `open`."""
        return sum(opening.cpu_s for opening in self._openings)

    def open(self) -> Self:
        """Prepare and open the job's stages.

        Raises:
            UsageError: the job's own, or OpenFailed; also after `abort`.
        """
        for stage in self._stages:
            self._open(stage, is_first=not self.stages)
        return self

    def abort(self) -> None:
        """End what is under way in another thread; may be called again until it has ended."""
        self._is_aborted = True
        for opening in list(self._openings):
            opening.abort()

    def close(self) -> None:
        """End what was started besides hosts."""
        for opening in self._openings:
            opening.close()
        for page in self._pages:
            page.close()
        self._openings, self._pages, self.stages = [], [], []

    def _open(self, stage: Stage, *, is_first: bool) -> None:
        with explained(Path(tempfile.gettempdir())):
            self._pages.append(Page.create())
        room = share_room(stage, len(self._stages), self._settings)
        limits = HostLimits(self._settings.record_timeout_s, room.memory_mib)
        opening = Opening(
            self._request,
            stage,
            limits,
            self._ledger,
            self._pages[-1],
            is_anew=self._is_anew and is_first,
            say=self._say,
        )
        self._openings.append(opening)
        if self._is_aborted:
            opening.abort()
        per_s = find_rate(self._request.stages, stage, self._settings.rate)
        opened = opening.open()
        threads = find_threads(len(self._request.stages), opened.threads, self._settings.threads)
        self.stages.append(StageHosts(stage, room, opening, opened, self._settings, threads, per_s))
