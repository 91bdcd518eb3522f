"""What a user may choose of a run on a stack because it changes no row; the cloud's twin of local settings.

Owns its defaults and its checks against a stack; those that every run has are `limits`'. Imports the core's
`manifest` and `spending`. When it is wrong, a run asks for more than the stack gives, or records are given up
that had time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aliquot.errors import BadOption
from aliquot.manifest import start_clock
from aliquot.spending import MOST_TASKS, Tariff, afford_window, estimate_least_usd
from orchestrator.budget import read_prices
from orchestrator.limits import check_limits
from orchestrator.stack.outputs import StackOutputs

_BESIDE_RECORD_S = 90.0  # of a worker's timeout: its slice, and a minute


@dataclass(frozen=True)
class CloudSettings:
    """Limits of a run on a stack; raises BadOption where one of them cannot be.

    Args:
        window: tasks at a time; None for the stack's concurrency.
        record_timeout_s: a record's deadline.
        max_failed: as the user wrote it: "5%" or "12".
        ending: "parquet" or "csv", of what is fetched.
        threads: of each host; None for as many as the job's stage declares.
        rate: records that the run begins in a time, "50/s"; None for what the job's stage declares.
        retries: how often a record is tried again; None for as often as the job's stage says.
        budget_usd, budget_time_s: ceilings of the whole run; None for no limit.
        estimated_usd: what a plan said that it would cost, for its invoice; None where none was made.
        estimated_s: what it said that it would take, and its 90% interval.
    """

    window: int | None = None
    record_timeout_s: float = 60.0
    max_failed: str = "5%"
    ending: str = "parquet"
    threads: int | None = None
    rate: str | None = None
    retries: int | None = None
    budget_usd: float | None = None
    budget_time_s: float | None = None
    estimated_usd: float | None = None
    estimated_s: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_limits(
            workers=self.window,
            record_timeout_s=self.record_timeout_s,
            max_failed=self.max_failed,
            ending=self.ending,
            threads=self.threads,
            rate=self.rate,
            retries=self.retries,
            budget_usd=self.budget_usd,
            budget_time_s=self.budget_time_s,
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], **chosen: Any) -> CloudSettings:
        """Those of a manifest, with what is `chosen` (not None) instead."""
        given = {**plain, **{name: value for name, value in chosen.items() if value is not None}}
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def fit(self, stack: StackOutputs, *, is_cut: bool = False) -> CloudSettings:
        """The same with the window decided: what the stack has, or less where a budget is at stake.

        Args:
            is_cut: the dataset lies in S3, where the stack cuts it.
        Raises:
            BadOption: a record may take longer than there, or the budget pays for no task.
        """
        check_record_timeout(self.record_timeout_s, stack.name, stack.record_timeout_s)
        window = self.window or min(stack.concurrency or MOST_TASKS, MOST_TASKS)
        if self.budget_usd is not None:
            tariff = make_tariff(stack)
            least_usd = estimate_least_usd(tariff, is_cut=is_cut)
            if self.budget_usd <= least_usd:
                work = "cutting the dataset, one task and its merge" if is_cut else "one task and its merge"
                reason = f"${self.budget_usd:g} cannot pay for {work} (${least_usd:.4f})"
                raise BadOption("--budget-usd", reason)
            window = afford_window(tariff, self.budget_usd, window)
        return replace(self, window=window)

    def freeze(self, stack: StackOutputs) -> dict[str, Any]:
        """Plain values for a manifest, with what the run is priced by and until when it may go on."""
        facts = {"tariff": make_tariff(stack).to_plain(), "concurrency": stack.concurrency}
        return self.go_on(facts, spent_s=0.0)

    def go_on(self, frozen: Mapping[str, Any], spent_s: float) -> dict[str, Any]:
        """Those of a manifest with these limits instead, from now on.

        Args:
            spent_s: wall time that the run has had.
        """
        return {**frozen, **self.to_plain(), **start_clock(time.time(), self.budget_time_s, spent_s)}


def make_tariff(stack: StackOutputs) -> Tariff:
    """What a run on a stack is priced by; raises BadOption where the user's prices cannot be."""
    return Tariff(read_prices(), stack.architecture, _BESIDE_RECORD_S + stack.record_timeout_s)


def check_record_timeout(asked_s: float, stack: str, allowed_s: float) -> None:
    """Raise BadOption where a record may take longer than the stack's functions can wait for it."""
    if asked_s > allowed_s:
        raise BadOption(
            "--record-timeout",
            f"{asked_s:g} s are more than the {allowed_s:g} s that stack {stack!r} allows a record: "
            "deploy it with a larger RecordTimeout",
        )
