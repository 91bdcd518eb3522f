"""Progress on a terminal: lines that fit it, whatever they hold."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.progress import RUNNING, Progress, StageProgress
from orchestrator.screen import Screen

LARGE = Progress(
    RUNNING,
    n_done=1_234_567,
    n_failed=12_345,
    n_total=10_000_000,
    n_session=1_234_567,
    running_s=100.0,
    kinds={"exception": 12_000, "deadline": 345},
    spent_usd=12.4,
    budget_usd=5000.0,
)


class Session:
    def __init__(self, progress):
        self.progress = progress


def draw(progress, width, **environ):
    to = io.StringIO()
    console = Console(
        file=to, width=width, force_terminal=True, _environ={"TERM": "xterm-256color", **environ}
    )
    console.print(Screen(Session(progress)))
    return to.getvalue()


def lines_of(progress, width):
    return draw(progress, width, NO_COLOR="1").splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("progress", [LARGE, replace(LARGE, n_total=None), replace(LARGE, phase="opening")])
def test_no_line_is_wider_than_the_terminal(progress, width):
    """A line that wraps is drawn anew below the last one, and a run of hours scrolls a terminal away."""
    assert all(cell_len(line) <= width for line in lines_of(progress, width))


def test_sixty_columns_hold_what_a_large_run_says():
    bar, counts, failed, cost = lines_of(LARGE, 60)
    assert bar.startswith("running")
    assert bar.endswith("12%")
    assert counts == "1,246,912 of 10,000,000, 12,346 records/s, 12 min left"
    assert failed == "12,345 failed (12,000 exception, 345 deadline)"
    assert cost == "$12.40 of $5,000.00 spent"


def test_what_does_not_fit_is_cut_not_wrapped():
    kinds = {f"kind-{number}": 1 for number in range(20)}
    *_, failed, _ = lines = lines_of(replace(LARGE, kinds=kinds), 60)
    assert len(lines) == 4
    assert failed.endswith("…")


def test_each_stage_of_a_chain_has_a_bar_of_its_own():
    stages = (StageProgress("embed", 50, 50), StageProgress("a" * 60, 1, 5), StageProgress("join", 0, None))
    first, second, third, *_ = lines_of(replace(LARGE, stages=stages), 60)
    assert (first.split()[0], first.split()[-1]) == ("embed", "100%")
    assert (second.split()[0], second.split()[-1]) == (f"{'a' * 39}…", "20%")
    assert third.startswith("join")
    assert "%" not in third


def test_kinds_from_elsewhere_cannot_move_the_cursor():
    hostile = replace(LARGE, kinds={"\x1b[2J[red]": 12_345})
    assert "\\x1b[2J[red]" in draw(hostile, 200, NO_COLOR="1")


def test_colours_follow_no_color():
    assert "\x1b[38;5;" in draw(LARGE, 80)
    assert "\x1b[38;5;" not in draw(LARGE, 80, NO_COLOR="1")
