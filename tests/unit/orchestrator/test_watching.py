"""Looking at a run on a stack: a watch of hours outlives some minutes without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from aliquot.errors import StoreError
from aliquot.stages import StageNote, split_legs
from orchestrator.aws.site import Pace
from orchestrator.aws.watching import Watch

PUBLISHED = SimpleNamespace(epoch=0)


class Network:
    """A run that is published at the last of several looks, of which some find no network."""

    def __init__(self, looks: str) -> None:
        self._looks = iter(looks)
        self.executions = SimpleNamespace(follow=self.follow)
        self.ledger = SimpleNamespace(
            is_sealed=True, list_chunks=list, list_outcomes=lambda _: [], list_voids=list, epoch=0
        )
        self.address = SimpleNamespace(run="june")
        self.is_over = False

    def follow(self, execution: Any) -> Any:
        look = next(self._looks)
        if look == "x":
            raise StoreError("s3://runs", "Could not connect to the endpoint URL")
        self.is_over = look == "!"
        return execution

    def find_published(self) -> Any:
        return PUBLISHED if self.is_over else None


def watch(looks: str) -> Any:
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    pace = Pace(shortest_s=0.0, longest_s=0.0)
    legs, beside = split_legs([StageNote("work")]), SimpleNamespace(look=lambda *_: None)
    made = Watch(Network(looks), legs, "out", pace, threading.Event(), nothing, beside)  # type: ignore[arg-type]
    return made.wait(SimpleNamespace(epoch=0, is_running=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("looks", ["!", "xxx!", "xxx.xxx.x!"])
def test_network_that_comes_back_ends_no_watch(looks: str) -> None:
    assert watch(looks) is PUBLISHED


def test_network_that_stays_away_is_told() -> None:
    """The run goes on in its stack; the same command watches it again."""
    with pytest.raises(StoreError, match="Could not connect"):
        watch(".xxxx!")
