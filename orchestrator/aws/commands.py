"""What is said to a run on a stack in one go: stop; this folder is yours; how do you stand.

Owns these three. No lock is taken for the first and the last: somebody may be watching the run at the time.
Imports the run's objects. When it is wrong, a run cannot be stopped.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aliquot.coverage import Coverage
from aliquot.crossing import find_reached
from aliquot.errors import BadOption, FolderInUse
from aliquot.ledger import CANCELLED, Ledger
from aliquot.stages import read_legs
from orchestrator.aws.executions import Execution
from orchestrator.aws.folder import CloudAddress, find_address, read_address, write_address
from orchestrator.aws.run import CloudRun, Published
from orchestrator.aws.site import reach
from orchestrator.local.folder import RunFolder
from orchestrator.stack.aws import make_session
from orchestrator.stack.outputs import find_stack, parse_place

_ADDRESS = re.compile(r"s3://([a-z0-9.-]+)/runs/([A-Za-z0-9_-]+)/?")


@dataclass(frozen=True)
class Standing:
    """How a run on a stack stands.

    Args:
        manifest: what was asked.
        execution: what drives it, or drove it; None where it was not begun.
        published: what it published since, None where nothing.
        ledger: its objects.
    """

    manifest: dict[str, Any]
    is_sealed: bool
    coverage: Coverage
    execution: Execution | None
    published: Published | None
    ledger: Ledger


def cancel(folder: Path, profile: str | None = None) -> str:
    """Stop the folder's run; gives what is true then, as a sentence."""
    run = _reach(folder, "cancel", profile)
    read_manifest(run, folder)
    name, epoch = run.address.run, run.ledger.epoch
    execution = run.executions.find_latest(epoch)
    if execution is None:
        return f"run {name} was not begun yet: nothing works on it"
    if not execution.is_running:
        return f"run {name} is over already: `aliquot watch {folder}` fetches what finished"
    run.ledger.stop(epoch, CANCELLED, {"at": time.time()})
    return f"run {name} is being stopped: `aliquot watch {folder}` fetches what finished"


def attach(
    text: str, folder: Path, on: str | None = None, profile: str | None = None, region: str | None = None
) -> None:
    """Make `folder` the folder of a run that was begun elsewhere.

    Args:
        text: `s3://BUCKET/runs/RUN`.
        on: its stack, where its manifest does not say.
    Raises:
        BadOption: there is no such run.
        FolderInUse: the folder holds another one.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise BadOption("RUN", f"{text!r} is not of the form s3://BUCKET/runs/RUN")
    session = make_session(profile, region)
    address = CloudAddress("", session.region_name, profile, match[1], match[2], "", "")
    manifest = CloudRun(address, reach(profile, session.region_name)).ledger.read_manifest()
    if manifest is None:
        raise BadOption("RUN", f"there is no run {match[2]!r} in the bucket {match[1]!r}")
    address = _complete(address, manifest, on)
    with RunFolder(folder) as run_folder:
        before = find_address(folder)
        if run_folder.has_run or (before is not None and before.run != address.run):
            raise FolderInUse(str(folder), "holds another run: choose a new folder")
        write_address(folder, address)


def look(folder: Path, profile: str | None = None) -> Standing:
    """How the folder's run stands; raises UsageError, StoreError where AWS could not be asked."""
    run = _reach(folder, "show", profile)
    manifest = read_manifest(run, folder)
    execution = run.executions.find_latest(run.ledger.epoch)
    published = run.find_published()
    if published is not None and execution is not None and published.epoch < execution.epoch:
        published = None
    is_sealed = run.ledger.is_sealed
    leg, ledger = find_reached(run.ledger, read_legs(manifest))
    return Standing(manifest, is_sealed, ledger.measure(leg.last.name), execution, published, run.ledger)


def read_manifest(run: CloudRun, folder: Path) -> dict[str, Any]:
    """The run's manifest; raises FolderInUse where there is none (any more)."""
    manifest = run.ledger.read_manifest()
    if manifest is None:
        raise FolderInUse(
            str(folder),
            f"its run {run.address.run} is not in the bucket {run.address.bucket}: it was never begun, or it "
            "has expired; the command that began it, with a new --out, begins it afresh",
        )
    return manifest


def _complete(address: CloudAddress, manifest: dict[str, Any], on: str | None) -> CloudAddress:
    """The address with its stack: named by the user, or by the manifest."""
    if on is not None:
        stack = find_stack(parse_place(on), make_session(address.profile, address.region))
        said = {"name": stack.name, "region": stack.region, "state_machine": stack.state_machine_arn}
        said["kms_key"] = stack.kms_key_arn
    elif manifest.get("stack"):
        said = manifest["stack"]
    else:
        raise BadOption("--on", f"run {address.run} does not say its stack: give --on aws:STACK")
    return CloudAddress(
        stack=said["name"],
        region=said["region"],
        profile=address.profile,
        bucket=address.bucket,
        run=address.run,
        state_machine=said["state_machine"],
        token=manifest["client_token"],
        kms_key=said["kms_key"],
        manifest=manifest,
    )


def _reach(folder: Path, wanted: str, profile: str | None) -> CloudRun:
    address = read_address(folder, wanted)
    return CloudRun(address, reach(profile or address.profile, address.region))
