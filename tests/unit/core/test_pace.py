"""Turns at a rate: as many as were promised and no more, whoever takes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aliquot.declaration import parse_rate
from aliquot.pace import Pace
from aliquot.page import Page

SECOND = 1_000_000_000


class Clock:
    """Time that passes only where somebody waits for it."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND
        self.slept_s: list[float] = []

    def read(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page.create()
    yield made
    made.close()


def _take(page: Page, clock: Clock, per_s: float, *turns: int) -> list[float]:
    """When these turns come, in seconds from the first."""
    pace, began_ns, found = Pace(page, per_s, clock.read, clock.sleep), clock.now_ns, []
    for n_turns in turns:
        pace.wait(n_turns, lambda _: None)
        found.append((clock.now_ns - began_ns) / 1e9)
    return found


def test_turns_come_at_the_rate_and_missed_ones_are_lost(page: Page) -> None:
    clock = Clock()
    assert _take(page, clock, 4, 1, 1, 1) == [0, 0.25, 0.5]
    clock.now_ns += 10 * SECOND
    assert _take(page, clock, 4, 1, 1) == [0, 0.25]


def test_a_list_of_rows_takes_a_turn_for_each(page: Page) -> None:
    assert _take(page, Clock(), 10, 5, 1) == [0, 0.5]


def test_turns_are_taken_a_second_ahead_at_most(page: Page) -> None:
    """A host that ends takes those with it; meanwhile it says until when it waits."""
    clock, told = Clock(), list[int]()
    pace = Pace(page, 1, clock.read, clock.sleep)
    pace.wait(20, told.append)
    assert page.pace[0] == 25 * SECOND
    pace.wait(1, told.append)
    assert clock.now_ns == 25 * SECOND
    assert told[0] == 5 * SECOND
    assert all(later > 5 * SECOND for later in told[1:])
    assert max(clock.slept_s) <= 1
    assert page.pace[0] == 26 * SECOND


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50), ("0.5/s", 0.5), ("600/min", 10), ("7200/h", 2), ("", 0)]
)
def test_rates_are_read(text: str, per_s: float) -> None:
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["50", "50/", "/s", "-1/s", "0/s", "1e3/s", "5/day", "50 /s", "9999999/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form 50/s, 600/min or 2000/h"):
        parse_rate(text)
