"""What a run carries to its workers: how much it is, how long fetching it takes, whether `/tmp` holds it.

Owns these figures, which plans count by and submissions are refused by. Imports the core's cache.
When it is wrong, a run is submitted whose workers cannot open it, or costs more than was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from aliquot.cache import SPARED_BYTES
from aliquot.errors import BadReference
from orchestrator.options import ReferenceSize

# AWS tells no figure for a function's network. Users report 400 to 700 Mbit/s from S3: this is the lower end.
# It is not measured here: in rehearsals and SAM's containers S3 is this machine.
FETCH_BYTES_PER_S = 50e6
MOST_TMP_MIB = 10_240
_MIB, _STEP_MIB = 1 << 20, 512
_TOLD_S = 1.0  # of fetching, from which on a plan speaks of it


@dataclass(frozen=True)
class Carry:
    """What each worker fetches before it can open the job.

    Args:
        sizes: bytes of each reference by its path, and of what was prepared.
        unsent_bytes: of them, which the stack has not yet.
        has_folders: of which workers fetch the files that they come to need; it is counted as all of them.
    """

    sizes: Mapping[str, int]
    unsent_bytes: int = 0
    has_folders: bool = False

    @property
    def n_bytes(self) -> int:
        """Of all of it."""
        return sum(self.sizes.values())

    @property
    def fetch_s(self) -> float:
        """What a cold start takes longer for it."""
        return self.n_bytes / FETCH_BYTES_PER_S

    @property
    def n_requests(self) -> int:
        """GETs of a cold start."""
        return len(self.sizes)

    @property
    def is_told(self) -> bool:
        """Whether it matters."""
        return self.fetch_s >= _TOLD_S


def check_room(
    stack: str, tmp_mib: int, references: Iterable[ReferenceSize], prepared_bytes: int = 0
) -> None:
    """Raise BadReference where workers have no room for what has to be there at a time.

    Of a folder these are a few files: they make room for each other.

    Args:
        tmp_mib: of the stack's workers; 0 where the stack, of an earlier release, does not say.
        references: that the run carries.
        prepared_bytes: of what the job's `prepare` wrote.
    """
    carried = name_sizes([(each.path, each.room_bytes) for each in references], prepared_bytes)
    room_bytes, needed_bytes = tmp_mib * _MIB - SPARED_BYTES, sum(carried.values())
    if not tmp_mib or needed_bytes <= room_bytes:
        return
    largest = max(carried, key=lambda path: carried[path])
    beside = needed_bytes - carried[largest]
    also = f", with what goes beside it {needed_bytes / _MIB:,.0f}" if beside else ""
    wanted_mib = _STEP_MIB * ceil((needed_bytes + SPARED_BYTES) / _MIB / _STEP_MIB)
    remedy = f"deploy it with TmpMiB={wanted_mib} or more"
    if wanted_mib > MOST_TMP_MIB:
        remedy = f"Lambda has {MOST_TMP_MIB:,} at most: give the job less"
    raise BadReference(
        largest,
        f"needs {carried[largest] / _MIB:,.0f} MiB{also}, and workers of stack {stack!r} have room for "
        f"{room_bytes / _MIB:,.0f} MiB in /tmp: {remedy}",
    )


def name_sizes(references: Iterable[tuple[str, int]], prepared_bytes: int) -> dict[str, int]:
    """The sizes of what a run carries, by what people call it."""
    prepared = {"what was prepared": prepared_bytes} if prepared_bytes else {}
    return {**dict(references), **prepared}
