"""What a campaign counts, and the table that it prints.

Owns these figures. Imports nothing of the project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ran:
    """One run of the campaign.

    Args:
        backend, case, number: which; `backend:number` is what `--only` takes.
        faults: injected, by kind.
        lost, doubled: records that are not as often in the answer as they should.
        over_usd: by how much it went over its budget.
        trouble: what else was wrong; empty where nothing was.
        slow_down: wall time over that of the undisturbed run.
    """

    backend: str
    case: str
    number: int
    faults: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    over_usd: float = 0.0
    trouble: str = ""
    elapsed_s: float = 0.0
    slow_down: float = 1.0

    @property
    def is_good(self) -> bool:
        """Whether the contract held."""
        return not (self.lost or self.doubled or self.over_usd or self.trouble)

    @property
    def name(self) -> str:
        """Which it is."""
        return f"{self.backend}:{self.number}"


def describe_failure(ran: Ran, seed: int) -> str:
    """What went wrong in a run, and the command that runs it alone."""
    return (
        f"FAILED {ran.name} ({ran.case}): {ran.lost} lost, {ran.doubled} doubled, ${ran.over_usd:.6f} over; "
        f"{ran.trouble}\n  again: python -m benchmarks.chaos --seed {seed} --only {ran.name} --keep"
    )


def describe_campaign(runs: Sequence[Ran], seed: int, elapsed_s: float) -> str:
    """The table of a campaign."""
    by_kind: Counter[str] = Counter()
    for ran in runs:
        by_kind.update(ran.faults)
    backends = Counter(ran.backend for ran in runs)
    slowest = max(runs, key=lambda ran: ran.slow_down, default=None)
    rows: list[tuple[str, object]] = [
        ("seed", seed),
        ("runs", f"{len(runs)} ({', '.join(f'{name} {count}' for name, count in sorted(backends.items()))})"),
        ("faults injected", sum(by_kind.values())),
        *((f"  {kind}", count) for kind, count in sorted(by_kind.items())),
        ("runs without a fault", sum(not ran.faults for ran in runs)),
        ("records lost", sum(ran.lost for ran in runs)),
        ("records doubled", sum(ran.doubled for ran in runs)),
        ("spend over budget", f"${sum(ran.over_usd for ran in runs):.6f}"),
        ("runs that failed", sum(not ran.is_good for ran in runs)),
        ("worst slow-down", f"{slowest.slow_down:.1f}x ({slowest.name}, {slowest.case})" if slowest else "-"),
        ("median slow-down", f"{_median(ran.slow_down for ran in runs):.1f}x"),
        ("time", f"{elapsed_s:.0f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0
