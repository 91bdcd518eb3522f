"""Progress on a terminal: a bar, and beneath it what it stands for, in as many columns as there are.

    running  ━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━  50%
    1,000 of 2,000, 100 records/s, 10 s left
    100 failed (90 exception, 10 parse)
    $0.12 of $5.00 spent

Every line is cut to the terminal's width, so that nothing wraps and scrolls. Colours follow NO_COLOR. Owns
these lines. Imports rich and `progress`. When it is wrong, a waiting person reads rubbish.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.progress import (
    RUNNING,
    Progress,
    Watched,
    count_answered,
    describe_answered,
    describe_cost,
    describe_failed,
    describe_speed,
)
from orchestrator.terminal import escape

_PER_S = 5


class Screen:
    """What a session's progress looks like now, whenever it is drawn."""

    def __init__(self, session: Watched) -> None:
        self._session = session

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The lines, for rich."""
        now = self._session.progress
        yield _draw_bar(now)
        for line in list_lines(now):
            yield Text(escape(line), no_wrap=True, overflow="ellipsis")


def list_lines(now: Progress) -> list[str]:
    """What stands beneath the bar: nothing until records are worked on."""
    if now.phase != RUNNING:
        return []
    lines = [f"{describe_answered(now)}, {describe_speed(now)}"]
    if now.n_failed:
        lines.append(describe_failed(now))
    cost = describe_cost(now)
    return [*lines, f"{cost} spent"] if cost else lines


def show_bars(session: Watched, is_over: threading.Event, to: TextIO) -> None:
    """Draw until the session is over; then nothing of it stays."""
    console = Console(file=to)
    with Live(Screen(session), console=console, refresh_per_second=_PER_S, transient=True):
        is_over.wait()


def _draw_bar(now: Progress) -> Table:
    answered, n_total = count_answered(now)
    is_known = now.phase == RUNNING and n_total > 0
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(n_total, answered) if is_known else ProgressBar(None, pulse=True)
    table.add_row(now.phase, bar, f"{100 * answered / n_total:.0f}%" if is_known else "")
    return table
