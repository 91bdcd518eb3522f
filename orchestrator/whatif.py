"""Alternatives to a plan, side by side, and whether one fits its budgets: what `aliquot plan` says beside it.

    --what-if concurrency=100,1000 -> a table: wall time, its interval as a bar, dollars, what limits each
    --budget-time, --budget-usd    -> fits, does not, and what would

Owns these words and the table. Imports the estimates. When it is wrong, people choose by what is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aliquot.errors import BadOption
from orchestrator.estimate import Estimate
from orchestrator.forecast.draws import Interval
from orchestrator.progress import describe_seconds, describe_usd

if TYPE_CHECKING:
    from orchestrator.aws.estimate import StackEstimate

CONCURRENCY = "concurrency"
_BAR = 24
_LADDER = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000)
_MOST = 1_000_000


@dataclass(frozen=True)
class Budget:
    """What a run may take; None for no limit."""

    time_s: float | None = None
    usd: float | None = None

    def __bool__(self) -> bool:
        return self.time_s is not None or self.usd is not None

    def holds(self, wall_s: Interval, usd: Interval | None) -> bool:
        """Whether nine runs in ten would stay within it."""
        is_in_time = self.time_s is None or wall_s[2] <= self.time_s
        return is_in_time and (self.usd is None or usd is None or usd[2] <= self.usd)

    def to_plain(self, wall_s: Interval, usd: Interval | None) -> dict[str, Any] | None:
        """The limits, each with whether it holds, and whether both do; None where there is none."""
        if not self:
            return None
        usd = usd or (0.0, 0.0, 0.0)
        return {
            "time_s": self.time_s,
            "time": None if self.time_s is None else _judge(wall_s, self.time_s),
            "cost_usd": self.usd,
            "cost": None if self.usd is None else _judge(usd, self.usd),
            "fits": self.holds(wall_s, usd),
        }


@dataclass(frozen=True)
class Alternative:
    """The same work with so many tasks at a time."""

    concurrency: int
    wall_s: Interval
    usd: Interval | None
    limit: str


@dataclass(frozen=True)
class Considered:
    """A plan, and what was asked of it besides.

    Args:
        on_stack: None for a run on this machine.
    """

    here: Estimate
    on_stack: StackEstimate | None
    budget: Budget
    alternatives: Sequence[Alternative]

    def __str__(self) -> str:
        said = [str(self.on_stack or self.here)]
        if self.budget:
            said.append(describe_budget(self.here, self.on_stack, self.budget))
        if self.alternatives:
            said.append("\n" + describe_alternatives(self.alternatives))
        return "\n".join(said)

    def to_document(self) -> dict[str, Any]:
        """Plain values, for scripts (docs/json.md)."""
        here, there = self.here, self.on_stack
        wall_s, usd = (there.wall_s, there.usd) if there else (here.wall_s, None)
        names = ("n_records", "n_chunks", "n_bytes", "memory_mib", "n_sampled", "n_failed", "share_read")
        return {
            "format": "aliquot/plan/1",
            **{name: getattr(here, name) for name in names},
            "concurrency": there.place.window if there else here.workers,
            "start_s": here.start_s,
            "record_ms": _spread(here.record_ms),
            "wall_s": _spread(wall_s),
            "cost_usd": _spread(usd),
            "limit": there.limit if there else None,
            "budget": self.budget.to_plain(wall_s, usd),
            "alternatives": [
                {
                    "concurrency": each.concurrency,
                    "wall_s": _spread(each.wall_s),
                    "cost_usd": _spread(each.usd),
                    "limit": each.limit or None,
                }
                for each in self.alternatives
            ],
        }


def consider(
    here: Estimate, on_stack: StackEstimate | None, budget: Budget, what_if: Sequence[int]
) -> Considered:
    """An estimate beside budgets, and with so many tasks at a time."""
    return Considered(here, on_stack, budget, list_alternatives(here, on_stack, what_if) if what_if else ())


def parse_what_if(text: str) -> list[int]:
    """The numbers of `concurrency=100,1000`; raises BadOption."""
    name, _, values = text.partition("=")
    numbers = values.split(",")
    if name != CONCURRENCY or not all(
        each.isascii() and each.isdigit() and len(each) < 8 for each in numbers
    ):
        raise BadOption("--what-if", f"{text!r} is not of the form {CONCURRENCY}=100,1000,10000")
    wanted = sorted({int(each) for each in numbers})
    if not 1 <= wanted[0] <= wanted[-1] <= _MOST:
        raise BadOption("--what-if", f"{text!r}: from 1 to {_MOST:,} at a time")
    return wanted


def list_alternatives(
    here: Estimate, on_stack: StackEstimate | None, wanted: Sequence[int]
) -> list[Alternative]:
    """The plan with each of these many tasks at a time, or hosts of this machine."""
    if on_stack is None:
        return [Alternative(each, here.at(each).wall_s, None, "") for each in wanted]
    found = [(each, on_stack.at(each)) for each in wanted]
    return [Alternative(each, there.wall_s, there.usd, there.describe_strain()) for each, there in found]


def describe_alternatives(alternatives: Sequence[Alternative]) -> str:
    """A table with a bar for each interval of wall time: up to its lower end, and to its upper."""
    longest_s = max(each.wall_s[2] for each in alternatives)
    rows = [["at a time", "time", "", "dollars", "first limit"]]
    rows += [_list_cells(each, longest_s) for each in alternatives]
    if not any(row[3] for row in rows[1:]):
        rows = [row[:3] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) if not place else cell.ljust(width) for place, (cell, width) in cells)
        for cells in (list(enumerate(zip(row, widths, strict=True))) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _list_cells(each: Alternative, longest_s: float) -> list[str]:
    cost = _describe_interval(each.usd, describe_usd) if each.usd else ""
    wall = _describe_interval(each.wall_s, describe_seconds)
    return [f"{each.concurrency:,}", wall, _draw_bar(each.wall_s, longest_s), cost, each.limit]


def describe_budget(here: Estimate, on_stack: StackEstimate | None, budget: Budget) -> str:
    """Whether the plan fits, and what would where it does not, as lines."""
    wall_s, usd = (on_stack.wall_s, on_stack.usd) if on_stack else (here.wall_s, None)
    lines = []
    if budget.time_s is not None:
        lines.append(f"budget   {describe_seconds(budget.time_s)}: {_judge(wall_s, budget.time_s)}")
    if budget.usd is not None:
        said = _judge(usd, budget.usd) if usd else "fits: what runs here costs nothing"
        lines.append(f"budget   {describe_usd(budget.usd)}: {said}")
    if not budget.holds(wall_s, usd):
        lines.append(f"instead  {_find_fitting(here, on_stack, budget)}")
    return "\n".join(lines)


def _find_fitting(here: Estimate, on_stack: StackEstimate | None, budget: Budget) -> str:
    """The least concurrency that fits, or how near any comes."""
    tried = list_alternatives(here, on_stack, _LADDER)
    where = "tasks at a time" if on_stack else "workers, each with a core of its own,"
    for each in tried:
        if budget.holds(each.wall_s, each.usd):
            cost = f", {describe_usd(each.usd[0])}" if each.usd else ""
            return f"{each.concurrency:,} {where} fit: {describe_seconds(each.wall_s[0])}{cost}"
    quickest = min(tried, key=lambda each: each.wall_s[0])
    if budget.time_s is not None and quickest.wall_s[2] > budget.time_s:
        wall = describe_seconds(quickest.wall_s[0])
        return f"nothing is that quick: {quickest.concurrency:,} {where} take {wall}"
    cheapest = min((each for each in tried if each.usd), key=lambda each: each.usd[0] if each.usd else 0.0)
    cost = describe_usd(cheapest.usd[0]) if cheapest.usd else ""
    return f"nothing is that cheap in this time: {cheapest.concurrency:,} {where} cost {cost}"


def _judge(found: Interval, limit: float) -> str:
    if found[2] <= limit:
        return "fits"
    return "may not fit" if found[0] <= limit else "does not fit"


def _describe_interval(found: Interval, describe: Callable[[float], str]) -> str:
    median, low, high = map(describe, found)
    return median if low == high else f"{median} ({low} to {high})"


def _draw_bar(wall_s: Interval, longest_s: float) -> str:
    low, high = (max(1, round(_BAR * seconds / longest_s)) for seconds in wall_s[1:])
    return "█" * low + "░" * (high - low)


def _spread(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else dict(zip(("median", "low", "high"), found, strict=True))
