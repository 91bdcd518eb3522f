"""Progress on a terminal: a bar for each stage, beneath what they stand for, in as many columns as there are.

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
    describe_share,
    describe_speed,
)
from orchestrator.terminal import escape

_PER_S = 5
_LONGEST_NAME = 40  # of a stage, or of what is done before they work


class Screen:
    """What a session's progress looks like now, whenever it is drawn."""

    def __init__(self, session: Watched) -> None:
        self._session = session

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The lines, for rich."""
        now = self._session.progress
        yield _draw_bars(now)
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


def _draw_bars(now: Progress) -> Table:
    """A bar for each stage of a chain; of a job of one stage, for what it does."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, max_width=_LONGEST_NAME, overflow="ellipsis")
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    answered, n_total = count_answered(now)
    share = answered / n_total if n_total else None
    rows = [(each.name, each.share) for each in now.stages] or [(now.stage or now.phase, share)]
    for name, part in rows if now.phase == RUNNING else [(now.phase, None)]:
        bar = ProgressBar(None, pulse=True) if part is None else ProgressBar(1.0, part)
        table.add_row(Text(escape(name)), bar, "" if part is None else describe_share(part))
    return table
