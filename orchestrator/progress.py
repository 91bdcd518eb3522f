"""Progress for people: bars on a terminal (`screen`), a plain line every few seconds elsewhere.

Owns what a waiting person is told. Imports `screen`, when a terminal is there. It reads a session's progress
and changes nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

_LINE_S = 5.0
RUNNING = "running"


@dataclass(frozen=True)
class StageProgress:
    """How far one stage of a chain is: what it answered, of how much; None where nobody knows."""

    name: str
    n_answered: int
    n_total: int | None

    @property
    def share(self) -> float | None:
        """What is answered, from 0 to 1."""
        return None if not self.n_total else min(1.0, self.n_answered / self.n_total)


@dataclass(frozen=True)
class Progress:
    """How far a session is.

    Args:
        phase: RUNNING while records are worked on, else what it does instead.
        n_done, n_failed: records of the whole run that are answered, as far as the session knows.
        n_total: records of the dataset, an estimate while it is being read; None where nobody knows.
        n_session: records answered in this session.
        running_s: seconds that this session has worked on records.
        stage: behind an exchange the stage that is worked on: what is counted are its groups, not records.
        kinds: failures by kind, of those that the session has looked at.
        spent_usd: dollars that the run has cost so far; None where it costs none.
        budget_usd: that it may cost; None for no limit.
        stages: of a chain, in its order; empty for a job of one stage.
    """

    phase: str
    n_done: int
    n_failed: int
    n_total: int | None
    n_session: int
    running_s: float
    stage: str = ""
    kinds: Mapping[str, int] = field(default_factory=dict)
    spent_usd: float | None = None
    budget_usd: float | None = None
    stages: Sequence[StageProgress] = ()

    @property
    def unit(self) -> str:
        """What is counted."""
        return "groups" if self.stage else "records"


class Watched(Protocol):
    """What can be asked how far it is, by any thread: a session of any backend."""

    @property
    def progress(self) -> Progress:
        """How far it is."""


def show_progress(
    session: Watched, is_over: threading.Event, *, quiet: bool, to: TextIO | None = None
) -> None:
    """Wait until the session is over, showing how far it is."""
    to = to or sys.stderr
    if quiet:
        is_over.wait()
    elif is_notebook():
        from orchestrator.notebook import show_in_place

        show_in_place(session, is_over)
    elif to.isatty() and os.environ.get("TERM") != "dumb":  # such a terminal cannot go back in a line
        from orchestrator.screen import show_bars

        show_bars(session, is_over, to)
    else:
        while not is_over.wait(_LINE_S):
            print(describe_progress(session.progress), file=to, flush=True)


def is_notebook() -> bool:
    """Whether this process is a notebook's kernel, whose cells can be written again."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return hasattr(shell, "kernel")


def describe_progress(progress: Progress) -> str:
    """One line: phase, records done of all, failed by kind, speed, time left, cost."""
    if progress.phase != RUNNING:
        return progress.phase
    answered, n_total = count_answered(progress)
    share = f" ({100 * answered / n_total:.0f}%)" if n_total else ""
    stage = f"{progress.stage}: " if progress.stage else ""
    parts = [
        f"{stage}{describe_answered(progress)} {progress.unit}{share}",
        describe_failed(progress),
        describe_speed(progress),
    ]
    return ", ".join([*parts, *filter(None, [describe_cost(progress), describe_stages(progress)])])


def count_answered(progress: Progress) -> tuple[int, int]:
    """Records that are answered, and of how many; 0 where nobody knows. What is an estimate gives way."""
    answered = progress.n_done + progress.n_failed
    return answered, max(progress.n_total, answered) if progress.n_total else 0


def describe_answered(progress: Progress) -> str:
    """Records that are answered of all."""
    answered, n_total = count_answered(progress)
    return f"{answered:,}{f' of {n_total:,}' if n_total else ''}"


def describe_failed(progress: Progress) -> str:
    """How many failed, and of which kinds as far as somebody looked: 12 failed (9 exception, 3 others)."""
    n_others = progress.n_failed - sum(progress.kinds.values())
    ranked = sorted(progress.kinds.items(), key=lambda each: -each[1])
    said = [f"{count:,} {kind}" for kind, count in ranked]
    said += [f"{n_others:,} others"] if said and n_others > 0 else []
    return f"{progress.n_failed:,} failed" + (f" ({', '.join(said)})" if said else "")


def describe_cost(progress: Progress) -> str:
    """What the run has cost so far, and of what budget; empty where it costs nothing."""
    if progress.spent_usd is None:
        return ""
    limit = "" if progress.budget_usd is None else f" of {describe_usd(progress.budget_usd)}"
    return f"{describe_usd(progress.spent_usd)}{limit}"


def describe_stages(progress: Progress) -> str:
    """How far each stage of a chain is: embed 100%, cluster 20%; empty for a job of one."""
    return ", ".join(f"{each.name} {describe_share(each.share)}" for each in progress.stages)


def describe_share(share: float | None) -> str:
    """A part of a whole; a dash where nobody knows."""
    return "-" if share is None else f"{100 * share:.0f}%"


def describe_speed(progress: Progress) -> str:
    """Records a second and the time left."""
    if not progress.n_session or progress.running_s <= 0:
        return "starting"
    per_s = progress.n_session / progress.running_s
    left = ""
    if progress.n_total:
        n_left = max(0, progress.n_total - progress.n_done - progress.n_failed)
        left = f", {describe_seconds(n_left / per_s)} left"
    return f"{per_s:,.0f} {progress.unit}/s{left}"


def describe_seconds(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 45 s, 2.5 min, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def describe_ms(milliseconds: float) -> str:
    """A record's time: 0.81 ms, 12 ms, 2 s."""
    if milliseconds >= 1000:
        return describe_seconds(milliseconds / 1000)
    return f"{milliseconds:.3g} ms" if milliseconds >= 0.01 else "under 0.01 ms"


def describe_range(mean_s: float, low_s: float, high_s: float) -> str:
    """A duration with its interval, in one unit where words for both ends are the same."""
    if high_s < 1:
        return "less than a second"
    mean, low, high = map(describe_seconds, (mean_s, low_s, high_s))
    return f"about {mean}" if low == high else f"about {mean} ({low} to {high})"


def describe_count(number: int, noun: str) -> str:
    """So many of something: 1 record, 2,000 records."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def describe_exchange(found: Mapping[str, Any]) -> str:
    """What went through an exchange, and how uneven its groups are."""
    moved = f"{describe_count(found['rows'], 'row')} in {describe_count(found['groups'], 'group')}"
    largest = describe_count(found["largest_rows"], "row")
    return f"{moved}; the largest, {found['largest_key']}, has {largest}"


def list_some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more:,} more" if more > 0 else "")


def describe_usd(usd: float) -> str:
    """Dollars, with as many digits as say something: $12.40, $0.31, $0.0042."""
    return f"${usd:,.2f}" if usd >= 0.1 else f"${usd:.4f}"
