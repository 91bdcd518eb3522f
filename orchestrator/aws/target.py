"""Where a run is to be done: from the words of `--on`, `--profile` and `--region`.

Owns these words. Imports the core's errors. When it is wrong, a run goes elsewhere than it was told to.
"""

from __future__ import annotations

from dataclasses import dataclass

from aliquot.errors import BadOption

LOCAL, REHEARSAL = "local", "rehearsal"
_AWS = "aws:"


@dataclass(frozen=True)
class Target:
    """Where a run is to be done.

    Args:
        on: "local", "rehearsal" or "aws:STACK".
        profile, region: of AWS; None for what boto3 finds.
    """

    on: str = LOCAL
    profile: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if self.on not in (LOCAL, REHEARSAL) and not self.stack:
            raise BadOption(
                "--on",
                f"{self.on!r} is not a place: local, aws:STACK (a stack that was deployed) or rehearsal",
            )
        for flag, value in (("--profile", self.profile), ("--region", self.region)):
            if value is not None and not self.stack:
                raise BadOption(flag, f"is for --on aws:STACK, and this run is on {self.on!r}")

    @property
    def stack(self) -> str:
        """The stack's name, empty where there is none."""
        return self.on.removeprefix(_AWS) if self.on.startswith(_AWS) else ""

    @property
    def is_local(self) -> bool:
        """Whether the run is done by processes of this machine, without a stack."""
        return self.on == LOCAL

    @property
    def is_rehearsal(self) -> bool:
        """Whether the stack is rehearsed on this machine."""
        return self.on == REHEARSAL
