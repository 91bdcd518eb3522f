"""How long a manifest that was read is believed."""

from __future__ import annotations

from typing import Any

import pytest

from aliquot.errors import Undecodable
from aliquot.warm import FRESH_S, ManifestMemory


class Clocked:
    """A memory, its clock, and how often a manifest was read."""

    def __init__(self) -> None:
        self.now_s, self.n_reads = 1000.0, 0
        self.until_s: float | None = None
        self.memory = ManifestMemory(lambda: self.now_s)

    def read(self) -> dict[str, Any]:
        self.n_reads += 1
        return {"settings": {"until_s": self.until_s}}

    def recall(self, run: str = "run-1", epoch: int = 0) -> Any:
        return self.memory.recall(run, epoch, self.read)


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


def test_manifest_is_read_once_for_the_tasks_of_a_run(clocked):
    assert clocked.recall() is clocked.recall()
    assert clocked.n_reads == 1


@pytest.mark.parametrize("other", [("run-2", 0), ("run-1", 1)])
def test_other_run_or_epoch_has_its_own(clocked, other):
    """A resume opens the next epoch, with limits of its own."""
    clocked.recall()
    clocked.recall(*other)
    assert clocked.n_reads == 2


def test_limits_that_a_user_changes_are_seen_within_minutes(clocked):
    clocked.recall()
    clocked.now_s += FRESH_S
    clocked.recall()
    assert clocked.n_reads == 2


def test_time_that_is_up_may_have_been_put_off(clocked):
    """Otherwise a worker would answer a step a slice for minutes after a resume gave the run more time."""
    clocked.until_s = clocked.now_s + 5
    clocked.recall()
    clocked.now_s += 6
    clocked.until_s = clocked.now_s + 1000
    assert clocked.recall()["settings"]["until_s"] == clocked.until_s
    clocked.recall()
    assert clocked.n_reads == 2


def test_run_that_is_not_there_is_not_remembered(clocked):
    def refuse() -> dict[str, Any]:
        raise Undecodable("message", "names a run that is not there")

    clocked.recall()
    with pytest.raises(Undecodable):
        clocked.memory.recall("run-2", 0, refuse)
    with pytest.raises(Undecodable):
        clocked.memory.recall("run-2", 0, refuse)
    clocked.recall()
    assert clocked.n_reads == 1
