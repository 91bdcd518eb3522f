"""The stages of one run that a worker's environment holds open, each a zygote that hosts are forked from.

A warm environment starts with a fork. Tasks of several stages of a run may come to one function: stages stay
open beside each other while what they hold is little, else the one that is not asked for is closed.

Owns these processes. Imports `launch`. When it is wrong, environments open models at every task, or hold more
than fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aliquot.errors import OpenFailed
from aliquot.host import HostLimits
from aliquot.launch import Opened, ZygoteLauncher
from aliquot.loading import JobSpec
from aliquot.page import Page
from aliquot.processes import ProcessReader

_IDLE_SHARE = 0.25  # of a worker's memory, by stages that are open and not asked for


@dataclass(frozen=True)
class OpenStage:
    """A stage whose hosts can be had, and in how many threads each works."""

    launcher: ZygoteLauncher
    page: Page
    threads: int

    def close(self) -> None:
        """End its processes."""
        self.launcher.close()
        self.page.close()


class OpenStages:
    """The stages of the run that was worked on last.

    Args:
        reader: of processes' memory.
        memory_mib: of the worker's hosts together.
    """

    def __init__(self, reader: ProcessReader, memory_mib: int) -> None:
        self._reader, self._memory_mib = reader, memory_mib
        self._stages: dict[str, OpenStage] = {}
        self.run = ""

    def find(self, run: str, stage: str) -> OpenStage | None:
        """A stage that is open; None where it is to be opened."""
        return self._stages.get(stage) if run == self.run else None

    def open(
        self, run: str, spec: JobSpec, limits: HostLimits, job: str, versions: Mapping[str, Any]
    ) -> OpenStage:
        """Open a stage; of another run what was open is closed.

        Args:
            job: its name, for errors.
            versions: that the run was begun with.
        Raises:
            OpenFailed: the job cannot be opened here, or is another.
        """
        self._make_room(run)
        page = Page.create()
        launcher = ZygoteLauncher(spec, limits, page, is_silent=True)
        self.run = run
        try:
            opened = launcher.open()
            _refuse_versions(job, versions, opened)
        except BaseException:
            launcher.close()
            page.close()
            raise
        self._stages[spec.stage] = OpenStage(launcher, page, opened.threads)
        return self._stages[spec.stage]

    def close(self) -> None:
        """End the processes that the last run's stages live in."""
        for stage in self._stages.values():
            stage.close()
        self._stages, self.run = {}, ""

    def _make_room(self, run: str) -> None:
        held = sum(self._reader.read_private_mib(each.launcher.pid) for each in self._stages.values())
        if run != self.run or held > _IDLE_SHARE * self._memory_mib:
            self.close()


def _refuse_versions(job: str, versions: Mapping[str, Any], opened: Opened) -> None:
    """Raise OpenFailed where what may change rows is not of the version that the run was begun with."""
    wanted = {name: said for name, said in versions.items() if name != "python"}
    other = [
        f"{name} is {opened.versions.get(name)} here and {said} where the run was begun"
        for name, said in wanted.items()
        if opened.versions.get(name) != said
    ]
    if other:
        choice = "deploy the stack as it was and resume, or begin a new run"
        raise OpenFailed(job, f"{'; '.join(other)}: {choice}")
