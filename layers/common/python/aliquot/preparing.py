"""A run's job prepared and opened once in a stack, where no orchestrator has done it.

    nothing there? -> `prepare` and `open` in processes of their own -> `prepared/...`, and last
    `prepared.whole`: what the job opened with;  the job refuses? -> the epoch ends with its reason

May be called twice, or killed and called again: what is put comes out the same. Owns these objects. Imports
`launch` and `carried`. When it is wrong, workers open a half-prepared job, or a run goes on that cannot.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aliquot.carried import Carried
from aliquot.errors import OpenFailed, UsageError
from aliquot.host import HostLimits
from aliquot.launch import Opened, ZygoteLauncher
from aliquot.ledger import OPEN_FAILED, Ledger
from aliquot.loading import JobSpec
from aliquot.manifest import are_versions
from aliquot.notes import check_fields, read_note
from aliquot.page import Page

WHOLE = "prepared.whole"
_ROOM_S = 15.0  # kept of an invocation's time for putting what was prepared


class Preparing:
    """Prepares the job of one run.

    Args:
        limits: of hosts; none is started here.
    """

    def __init__(self, run: str, ledger: Ledger, carried: Carried, limits: HostLimits) -> None:
        self._run, self._ledger, self._carried, self._limits = run, ledger, carried, limits

    def take(self, manifest: Mapping[str, Any], epoch: int, remaining_s: float) -> dict[str, Any]:
        """The epoch, and what follows in it: "plan", or "done" where the job refused or the epoch has ended.

        Args:
            epoch: that was open when the run was begun.
            remaining_s: of the invocation.
        Raises:
            StoreError: it is to be tried again.
        """
        if self._ledger.is_stopped(epoch):
            return {"next": "done", "epoch": epoch}
        # by the machine that submitted it, which notes the code that it opened; or here
        is_prepared = bool(manifest["code"]) or self._ledger.store.has(WHOLE)
        if not is_prepared:
            try:
                self._prepare(manifest, remaining_s)
            except UsageError as err:
                message = self._carried.spell_references(str(err), manifest["options"])
                self._ledger.stop(epoch, OPEN_FAILED, {"message": message})
                return {"next": "done", "epoch": epoch}
        return {"next": "plan", "epoch": epoch}

    def _prepare(self, manifest: Mapping[str, Any], remaining_s: float) -> None:
        spec = self._carried.localize(self._run, manifest)
        folder = Path(spec.prepared)
        shutil.rmtree(folder)
        folder.mkdir()
        opened = self._open(spec, remaining_s - _ROOM_S)
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            self._carried.put_prepared(self._run, path, folder)
        said = {"code": opened.code, "versions": dict(opened.versions)}
        self._ledger.store.put(WHOLE, json.dumps(said).encode())

    def _open(self, spec: JobSpec, within_s: float) -> Opened:
        """What the job says when it is prepared and opened; raises what it raised, or OpenFailed."""
        page = Page.create()
        launcher = ZygoteLauncher(spec, self._limits, page, is_silent=True)
        is_late = threading.Event()

        def abort() -> None:
            is_late.set()
            launcher.abort()

        timer = threading.Timer(within_s, abort)
        timer.start()
        try:
            launcher.prepare()
            return launcher.open()
        except OpenFailed as err:
            if is_late.is_set():
                reason = f"takes longer to prepare and to open than the {within_s:.0f} s that there are"
                raise OpenFailed(spec.address, reason) from err
            raise
        finally:
            timer.cancel()
            launcher.close()
            page.close()


def find_versions(ledger: Ledger, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The versions that a run was begun with: those of its manifest, or of where its job was prepared."""
    found: dict[str, str] = dict(manifest.get("versions", {}))
    if not found and ledger.store.has(WHOLE):
        said = read_note(WHOLE, ledger.store.get(WHOLE))
        check_fields(WHOLE, said, versions=are_versions)
        found = said["versions"]
    return found
