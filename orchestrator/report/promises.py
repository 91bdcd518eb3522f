"""What a run promised, and whether it was kept: coverage, failures, budgets, the plan's estimate.

    manifest, summary, invoice --judge_promises--> Promise: kept, broken, or nothing was asked

Pure. Owns these judgements, by the same limits as the run's own. Imports the core's failure limit. When it is
wrong, the report says that a run kept what it did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aliquot.failure_limit import FailureLimit
from orchestrator.explain import Explained
from orchestrator.progress import describe_count, describe_range, describe_seconds, describe_usd

KEPT, BROKEN, OPEN, NONE = "kept", "broken", "open", "none"


@dataclass(frozen=True)
class Promise:
    """One promise of a run.

    Args:
        state: KEPT, BROKEN, OPEN while the run goes, NONE where nothing was asked.
        said: the figures that it is judged by.
    """

    title: str
    state: str
    said: str


def judge_promises(told: Explained) -> list[Promise]:
    """What a run promised, and how it stands by what is delivered."""
    summary = told.summary
    if summary is None or not told.is_over:
        answered = Promise("Every record answered", OPEN, told.state.said)
        return [answered, *_list_ceilings(told.manifest["settings"]), *_judge_plan(told, None)]
    return [
        _judge_coverage(summary),
        _judge_failures(summary, told.manifest["settings"]),
        *_judge_budgets(told, summary),
        *_judge_plan(told, summary),
    ]


def _judge_coverage(summary: Mapping[str, Any]) -> Promise:
    answered = summary["done"] + summary["failed"]
    counted = answered + summary["not_tried"]
    said = f"{summary['done']:,} done, {summary['failed']:,} failed with a reason"
    said += f", {summary['not_tried']:,} not tried and listed" if summary["not_tried"] else ""
    if counted != summary["records"]:
        said += f": {counted:,} of {summary['records']:,} records are accounted for"
        return Promise("Nothing lost", BROKEN, said)
    return Promise("Nothing lost", KEPT, f"{describe_count(summary['records'], 'record')}: {said}")


def _judge_failures(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Promise:
    limit = FailureLimit.parse(str(settings["max_failed"]))
    tried = summary["done"] + summary["failed"]
    share = 100 * summary["failed"] / max(1, tried)
    said = f"{summary['failed']:,} of {tried:,} tried failed ({share:.2g}%); at most {limit} may"
    is_kept = limit.allows(summary["failed"], tried)
    return Promise("Few enough failed", KEPT if is_kept else BROKEN, said)


def _judge_budgets(told: Explained, summary: Mapping[str, Any]) -> Iterator[Promise]:
    settings, total = told.manifest["settings"], told.invoice["total"]
    most_s, most_usd = settings.get("budget_time_s"), settings.get("budget_usd")
    if most_s is not None:
        is_kept = summary["elapsed_s"] <= most_s or summary["not_tried"]
        said = f"{describe_seconds(summary['elapsed_s'])} of {describe_seconds(most_s)}"
        said += ": it stopped, and delivered what was finished" if summary["not_tried"] else ""
        yield Promise("Within its time", KEPT if is_kept else BROKEN, said)
    if most_usd is not None:
        said = f"{describe_usd(total)} of {describe_usd(most_usd)}"
        yield Promise("Within its budget", KEPT if total <= most_usd else BROKEN, said)
    if most_s is None and most_usd is None:
        yield Promise("Budget", NONE, "none was set, of time or dollars")


def _list_ceilings(settings: Mapping[str, Any]) -> Iterator[Promise]:
    """The budgets of a run that goes on."""
    most_s, most_usd = settings.get("budget_time_s"), settings.get("budget_usd")
    if most_s is not None:
        yield Promise("Within its time", OPEN, f"{describe_seconds(most_s)} at most")
    if most_usd is not None:
        yield Promise("Within its budget", OPEN, f"{describe_usd(most_usd)} at most")


def _judge_plan(told: Explained, summary: Mapping[str, Any] | None) -> Iterator[Promise]:
    settings, is_compared = told.manifest["settings"], False
    planned_s = settings.get("estimated_s")
    planned_usd = told.invoice.get("estimated") or settings.get("estimated_usd")
    if planned_s is not None:
        is_compared = True
        said = f"planned {describe_range(*planned_s)}"
        state = OPEN
        if summary is not None:
            low_s, high_s = planned_s[1:]
            is_kept = low_s <= summary["elapsed_s"] <= high_s or high_s < 1 > summary["elapsed_s"]
            state = KEPT if is_kept or summary["elapsed_s"] <= planned_s[0] else BROKEN
            said = f"took {describe_seconds(summary['elapsed_s'])}, {said}"
        yield Promise("Time as planned", state, said)
    if planned_usd:
        is_compared = True
        said, state = f"planned {describe_usd(planned_usd)}", OPEN
        if summary is not None:
            total = told.invoice["total"]
            times = total / planned_usd
            state = KEPT if times <= 1.5 else BROKEN
            said = f"cost {describe_usd(total)}, {said}: {times:.2g} times that"
        yield Promise("Cost as planned", state, said)
    if not is_compared:
        yield Promise("Plan", NONE, "no estimate was made for this run: a budget makes one, without --anyway")
