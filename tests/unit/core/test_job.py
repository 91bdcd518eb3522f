"""What a job may declare is checked where it is declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import JobError
from aliquot.job import MOST_THREADS, Job, Stage


@dataclass(frozen=True)
class Options:
    """None."""


def _open(_options: Options, _prepared: Path) -> Any:
    def answer(records: Iterable[Any]) -> Iterator[Any]:
        return iter([[] for _ in records])

    return answer


@pytest.mark.parametrize("threads", [1, 2, MOST_THREADS])
def test_a_stage_has_threads_up_to_a_host_s_places_on_the_page(threads: int) -> None:
    (stage,) = Job("fetch", 1, Options, (Stage("get", _open, threads=threads),)).list_stages(Options())
    assert stage.threads == threads


@pytest.mark.parametrize("step_s", [0.05, 1.5, float("nan"), "1", True])
def test_steps_are_of_a_tenth_of_a_second_to_one(step_s: Any) -> None:
    """A budget, a stop and the end of a slice wait for the steps under way."""
    with pytest.raises(JobError, match=r"stage 'get' has step_s=.*; it takes 0.1 to 1.0 s"):
        Job("fetch", 1, Options, (Stage("get", _open, step_s=step_s),))


@pytest.mark.parametrize("threads", [0, -1, MOST_THREADS + 1, 1.5, True, "16", None])
def test_other_numbers_of_threads_are_refused(threads: Any) -> None:
    with pytest.raises(JobError, match=rf"stage 'get' asks for {threads!r} threads; a host has 1 to 64"):
        Job("fetch", 1, Options, (Stage("get", _open, threads=threads),))
