"""The folder of a run on a stack: DIR/cloud.json says where its ledger is; what is fetched lies beside.

    DIR/cloud.json                   the run's address, written before anything is put
    DIR/ledger/                      the lock, what `prepare` wrote, the note of what was fetched
    DIR/result/ failures.* summary.json ...   as of a local run

Owns the address. Imports the local backend's lock. When it is wrong, a repeated command begins a second run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aliquot.errors import BadOption, FolderInUse
from aliquot.keys import spell_word
from aliquot.store import FolderStore
from orchestrator.local.folder import RunFolder

CLOUD = "cloud.json"
FORMAT = "aliquot/cloud/1"


@dataclass(frozen=True)
class CloudAddress:
    """Where a run is, and what was asked.

    Args:
        stack, region, profile: of AWS; the profile None where boto3 finds credentials without.
        bucket, run: the run's objects are under `s3://<bucket>/runs/<run>/`.
        state_machine: ARN of what drives it.
        token: of the command that began it; a manifest with another one is another run's.
        kms_key: ARN of the key that encrypts what is put; empty for the bucket's own way.
        is_rehearsal: whether the stack was rehearsed; then it is gone.
        manifest: as it is put first, or was found where the run was begun elsewhere.
    """

    stack: str
    region: str
    profile: str | None
    bucket: str
    run: str
    state_machine: str
    token: str
    kms_key: str = ""
    is_rehearsal: bool = False
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """The stack as `--on` names it."""
        return "rehearsal" if self.is_rehearsal else f"aws:{self.stack}"

    @property
    def said(self) -> str:
        """What a folder with this address holds, for messages."""
        return "holds a rehearsal" if self.is_rehearsal else f"holds a run on {self.on}"

    @property
    def encryption(self) -> dict[str, str]:
        """Arguments of every put that say how it is encrypted."""
        if not self.kms_key:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}


def find_address(folder: Path) -> CloudAddress | None:
    """The address of the run in a folder, None where it holds none on a stack; raises FolderInUse."""
    try:
        plain = json.loads((folder / CLOUD).read_bytes())
        said = plain.pop("format")
        if said != FORMAT:
            raise FolderInUse(str(folder), f"holds a run of format {said!r}; this release reads {FORMAT!r}")
        return _check_address(CloudAddress(**plain))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise FolderInUse(str(folder / CLOUD), f"is damaged ({err}): choose a new folder") from err


def _check_address(address: CloudAddress) -> CloudAddress:
    """An address as it was; raises TypeError where a field is of another kind."""
    others: dict[str, Any] = {"profile": str | None, "is_rehearsal": bool, "manifest": dict}
    for each in fields(address):
        if not isinstance(getattr(address, each.name), others.get(each.name, str)):
            raise TypeError(f"{each.name} cannot be that")
    return address


def check_region(address: CloudAddress, folder: Path, region: str | None) -> None:
    """Raise BadOption where the user takes a run to be in another region than it is."""
    if region is not None and region != address.region:
        raise BadOption("--region", f"the run in {folder} is in {address.region}, not in {region}")


def refuse_place(profile: str | None, region: str | None) -> None:
    """Raise BadOption where a local run is given either."""
    for flag, value in (("--profile", profile), ("--region", region)):
        if value is not None:
            raise BadOption(flag, "is for a run on a stack, and this one is here")


def read_address(folder: Path, wanted: str, region: str | None = None) -> CloudAddress:
    """The address of the run on a stack in a folder; raises FolderInUse where there is none.

    Args:
        wanted: the command that needs one.
        region: where the user takes it to be; raises BadOption where it is elsewhere.
    """
    address = find_address(folder)
    if address is None and RunFolder(folder).has_run:
        raise FolderInUse(
            str(folder),
            f"holds a local run, and `aliquot {wanted}` is for runs on a stack: "
            f"`aliquot resume {folder}` goes on with it",
        )
    if address is None:
        raise FolderInUse(str(folder), "holds no run: `aliquot run ... --on aws:STACK --out` begins one")
    check_region(address, folder, region)
    if address.is_rehearsal:
        raise FolderInUse(
            str(folder),
            "holds a rehearsal, which ended with its command and leaves nothing to go on with: "
            "run that command again",
        )
    return address


def write_address(folder: Path, address: CloudAddress) -> None:
    """Write DIR/cloud.json, whole or not at all; raises StoreError."""
    plain = {"format": FORMAT, **asdict(address)}
    FolderStore(folder).put(CLOUD, json.dumps(plain, indent=1).encode())


def name_run(job: str, token: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """A run's id: the date, the job's word, and six hexadecimal digits of the token."""
    return f"{now():%Y%m%d}-{spell_word(job.rpartition(':')[2])}-{token[:6]}"


def make_token() -> str:
    """What tells one command's run from another's."""
    return uuid.uuid4().hex
