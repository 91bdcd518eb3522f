"""The table of what plans held: intervals, their width, the model's own error, and every miss.

Owns these figures. Imports `cases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.plans.cases import LIGHT, Held

_CLOSE = 0.1
_INTRODUCTION = """\
# Plans, held to reality

`make bench-plan`, seed {seed} (1 is what the model was made with): {n_cases} cases, planned from a sample of
200 records, then run. Here: two workers, 16 s of records that keep their host busy (asleep: the two cores
have other work), by the command's own probe and run. Simulated: a stack in memory on a scripted clock with
the engine's own tallies, slices and hand-backs, 20 to 200 workers, standard and provisioned pollers, 4 to 400
chunks; in a window: the same with `--workers`, or a budget. Error: of the model, given the true times.

- The 90% interval of wall time held what was measured in **{n_held} of {n_cases}** (85 to 97 of 100 wanted),
  that of dollars in {n_usd_held} of {n_usd}.
- Of light tails it is {median:.0%} wide in the median, {most:.0%} at the most (20% wanted).
- Given the true times, the model was within 10% of wall time in {close} of {n_cases}.
"""


def describe(held: Sequence[Held], seed: int) -> str:
    """The page."""
    n_held = sum(each.is_held for each in held)
    n_usd = [each for each in held if each.usd is not None]
    n_usd_held = sum(each.is_usd_held for each in n_usd)
    light = [each.width for each in held if each.times in LIGHT]
    close = sum(abs(each.error) <= _CLOSE for each in held)
    lines = [
        _INTRODUCTION.format(
            seed=seed,
            n_cases=len(held),
            n_held=n_held,
            n_usd_held=n_usd_held,
            n_usd=len(n_usd),
            median=median(light),
            most=max(light),
            close=close,
        ),
        "| where | times | order | cases | held | dollars held | width | error, median | within 10% |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, str, str], list[Held]] = {}
    for each in sorted(held, key=lambda each: (each.where, each.times, each.order)):
        groups.setdefault((each.where, each.times, each.order), []).append(each)
    lines += [_describe_group(*group, same) for group, same in groups.items()]
    lines += ["", "## Misses", "", "| where | times | order | interval | measured | given the times |"]
    lines += ["|---|---|---|---|---:|---:|"]
    lines += [_describe_miss(each) for each in held if not each.is_held]
    return "\n".join(lines) + "\n"


def _describe_group(where: str, times: str, order: str, same: Sequence[Held]) -> str:
    usd = f"{sum(each.is_usd_held for each in same)}" if same[0].usd else "-"
    close = sum(abs(each.error) <= _CLOSE for each in same)
    width, error = (median(getattr(each, field) for each in same) for field in ("width", "error"))
    return (
        f"| {where} | {times} | {order} | {len(same)} | {sum(each.is_held for each in same)} "
        f"| {usd} | {width:.0%} | {error:+.1%} | {close} |"
    )


def _describe_miss(each: Held) -> str:
    return (
        f"| {each.where} | {each.times} | {each.order} | {each.wall_s[1]:.1f} to {each.wall_s[2]:.1f} s "
        f"| {each.measured_s:.1f} s | {each.known_s:.1f} s |"
    )
