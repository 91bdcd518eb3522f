"""What a user may choose of a run on a stack because it changes no row; the cloud's twin of local settings.

Owns its defaults and its checks, those against a stack included. Imports the failure limit. When it is wrong,
a run asks for more than the stack gives, or records are given up that had time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aliquot.errors import BadOption
from aliquot.failure_limit import FailureLimit
from orchestrator.results import ENDINGS
from orchestrator.stack.outputs import StackOutputs

MOST_TASKS = 1000


@dataclass(frozen=True)
class CloudSettings:
    """Limits of a run on a stack; raises BadOption where one of them cannot be.

    Args:
        window: tasks at a time; None for the stack's concurrency.
        record_timeout_s: a record's deadline.
        max_failed: as the user wrote it: "5%" or "12".
        ending: "parquet" or "csv", of what is fetched.
    """

    window: int | None = None
    record_timeout_s: float = 60.0
    max_failed: str = "5%"
    ending: str = "parquet"

    def __post_init__(self) -> None:
        if self.window is not None and self.window <= 0:
            raise BadOption("--workers", f"{self.window} is not positive")
        if self.record_timeout_s <= 0:
            raise BadOption("--record-timeout", f"{self.record_timeout_s} is not positive")
        if self.ending not in ENDINGS:
            raise BadOption("--format", f"{self.ending!r} is not one of {', '.join(ENDINGS)}")
        FailureLimit.parse(self.max_failed)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], **chosen: Any) -> CloudSettings:
        """Those of a manifest, with what is `chosen` (not None) instead."""
        given = {**plain, **{name: value for name, value in chosen.items() if value is not None}}
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def fit(self, stack: StackOutputs) -> CloudSettings:
        """The same with the window decided; raises BadOption where a record may take longer than there."""
        check_record_timeout(self.record_timeout_s, stack.name, stack.record_timeout_s)
        if self.window is not None:
            return self
        return replace(self, window=min(stack.concurrency or MOST_TASKS, MOST_TASKS))


def check_record_timeout(asked_s: float, stack: str, allowed_s: float) -> None:
    """Raise BadOption where a record may take longer than the stack's functions can wait for it."""
    if asked_s > allowed_s:
        raise BadOption(
            "--record-timeout",
            f"{asked_s:g} s are more than the {allowed_s:g} s that stack {stack!r} allows a record: "
            "deploy it with a larger RecordTimeout",
        )
