"""How work is shared: slices, halves that are handed over, and a result that knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

MakeRun = Callable[..., Any]


def _pids(run: Any) -> set[int]:
    return {row[1] for rows in run.read()[0].values() for row in rows}


def test_one_chunk_uses_two_hosts(make_supervised_run: MakeRun, launcher: str) -> None:
    """A dataset of one chunk must not run on one core."""
    run = make_supervised_run("one", ["sleep 0.004"] * 200, lanes=2, launcher=launcher)
    assert len(_pids(run)) == 2
    assert len(run.outcomes) >= 2


def test_the_spans_of_all_outcomes_are_apart_and_cover_everything(make_supervised_run: MakeRun) -> None:
    does = ["exit" if index % 37 == 5 else "sleep 0.002" for index in range(150)]
    run = make_supervised_run("one", does, lanes=3, chunk_size=40, slice_s=0.05)
    assert run.answered == [(index // 40, index % 40) for index in range(150)]


def test_what_a_step_had_no_time_for_is_done_by_the_next(make_supervised_run: MakeRun) -> None:
    """Records that were quick promise a long step; those that follow are slow, and the step ends early."""
    run = make_supervised_run("one", [""] * 5 + ["sleep 0.04"] * 25)
    assert run.is_done
    assert run.answered == [(0, index) for index in range(30)]


def test_outcomes_are_put_at_least_every_slice(make_supervised_run: MakeRun) -> None:
    """What a killed run loses is bounded by the slice."""
    run = make_supervised_run("one", ["sleep 0.02"] * 60, slice_s=0.2)
    times = [at for at, _ in run.puts]
    assert len(times) >= 4
    assert max(b - a for a, b in pairwise(times)) < 1.0


def test_an_answered_slice_is_put_while_a_record_hangs(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", ["sleep 0.01"] * 10 + ["sleep 1"], slice_s=0.2)
    assert len(run.puts) >= 2
    assert run.puts[-1][0] - run.puts[-2][0] > 0.5


@pytest.mark.parametrize("job", ["one", "ahead_8", "ahead_all"])
def test_rows_do_not_depend_on_the_number_of_lanes(make_supervised_run: MakeRun, job: str) -> None:
    does = [{7: "exit", 20: "raise", 21: "unencodable"}.get(index, "") for index in range(90)]
    runs = [make_supervised_run(job, does, lanes=lanes, chunk_size=50) for lanes in (1, 2, 3)]
    assert runs[0].kinds == {7: "crash", 20: "exception", 21: "exception"}
    for run in runs:
        assert run.numbers == runs[0].numbers
        assert list(run.numbers) == list(range(90))
        assert run.read()[1] == runs[0].read()[1]


def test_a_heavy_record_does_not_hold_back_what_is_behind_it(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", ["sleep 2.5"] + ["sleep 0.003"] * 100, lanes=2)
    done_s = {record: rows[0][2] for record, rows in run.read()[0].items()}
    assert sum(at_s < done_s[0] for at_s in done_s.values()) == 100


def test_stop_ends_at_once_and_puts_what_was_answered(make_supervised_run: MakeRun, launcher: str) -> None:
    does = ["sleep 0.01"] * 30 + ["hang"] * 5
    run = make_supervised_run(
        "one", does, launcher=launcher, should_stop=lambda run: run.counts.n_answered >= 10
    )
    assert not run.is_done
    assert run.elapsed_s < 5, "a record that hangs for ten is not waited for"
    assert len(run.answered) == run.counts.n_answered >= 10
    assert run.numbers == {index: [index] for _, index in run.answered}
    gap = run.ledger.settle("work", 0).not_tried
    assert sum(map(len, gap.values())) == 35 - len(run.answered)


def test_first_failure_counts_are_seen_as_they_happen(make_supervised_run: MakeRun) -> None:
    """A run that fails everywhere is stopped after its first records, not after its last."""
    run = make_supervised_run("one", ["raise"] * 500, should_stop=lambda run: run.counts.n_failed >= 20)
    assert not run.is_done
    assert 20 <= run.counts.n_failed < 500


def test_a_task_of_many_holes_leaves_outcomes_of_few(make_supervised_run: MakeRun) -> None:
    """A resumed run asks for what is missing; the spans of an outcome stand in its key, a file's name."""
    run = make_supervised_run("one", [""] * 200, leave_out=range(0, 200, 2))
    assert run.is_done
    assert run.answered == [(0, index) for index in range(1, 200, 2)]
    assert len(run.outcomes) > 1
    assert all(len(str(key.spans)) <= 120 for key in run.outcomes)
    assert run.numbers == {index: [index] for index in range(1, 200, 2)}
