"""Records that wait, for a service or for their turn: on an event loop, at a rate, tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aliquot.errors import JobError
from aliquot.outcome import OutcomeReader

N = 40
BAD = 13
MakeRun = Callable[..., Any]

FAULTS = {
    "hang": "deadline",
    "refuse": "deadline",
    "block 1000": "deadline",
    "segv": "crash",
    "raise": "exception",
    "end": "exception",
    "unencodable": "exception",
}


def _assert_only(run: Any, failed: dict[int, str], n: int = N) -> None:
    assert run.is_done
    assert run.answered == [(0, index) for index in range(n)]
    assert run.kinds == failed, run.read()[1]
    assert run.numbers == {index: [] if index in failed else [index] for index in range(n)}


def _count_retries(run: Any) -> int:
    return sum(OutcomeReader(run.ledger.store.get(str(key))).n_retries for key in run.outcomes)


def _find_begins(run: Any) -> list[float]:
    return sorted(row[2] for rows in run.read()[0].values() for row in rows)


@pytest.mark.parametrize("job", ["in_flight", "yields"])
def test_records_are_in_flight_side_by_side(make_supervised_run: MakeRun, launcher: str, job: str) -> None:
    """Each of eight goes on when all of them are there."""
    _assert_only(make_supervised_run(job, ["meet"] * 8, threads=8, launcher=launcher), {}, 8)


def test_faults_on_an_event_loop_cost_their_records_alone(make_supervised_run: MakeRun) -> None:
    """One that keeps the loop from the others too, though it makes all of them late."""
    does = ["sleep 0.01"] * N
    does[BAD : BAD + len(FAULTS)] = FAULTS
    run = make_supervised_run("in_flight", does, threads=6, lanes=2, timeout_s=1.0)
    _assert_only(run, {BAD + place: kind for place, kind in enumerate(FAULTS.values())})


def test_a_late_coroutine_is_cancelled_and_its_host_goes_on(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("in_flight", ["hang", "sleep 0.01", "hang"] * 4, threads=8, timeout_s=0.5)
    _assert_only(run, {n: "deadline" for n in range(12) if n % 3 != 1}, 12)
    assert run.counts.n_host_ends == 0
    assert run.read()[1][0].message == "took longer than 0.5 s"


def test_one_that_blocks_the_loop_makes_no_other_late(make_supervised_run: MakeRun) -> None:
    """Past their deadline by its fault, they would be cancelled, or filed, once the loop turns again."""
    does = ["sleep 0.4", "block 1.1", "sleep 0.4", "sleep 0.4"]
    run = make_supervised_run("in_flight", does, threads=4, timeout_s=1.0)
    assert run.kinds.keys() <= {1}
    assert len(run.answered) == 4


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("opens_async", "`open` of a stage is `async`: what it returns may be"),
        ("whole_async", "takes chunks whole, by a function that is not `async`"),
    ],
)
def test_what_cannot_be_async_is_told(make_supervised_run: MakeRun, job: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        make_supervised_run(job, ["sleep 0"])


def test_a_deadline_while_the_loop_is_kept_costs_no_other_its_turn(make_supervised_run: MakeRun) -> None:
    """A record may be late before the loop has come to begin it."""
    run = make_supervised_run("in_flight", ["block 0.22", *["sleep 0"] * 7], threads=8, timeout_s=0.15)
    assert {failure.kind for failure in run.read()[1].values()} <= {"deadline"}


@pytest.mark.parametrize("job", ["one", "in_flight"])
def test_a_rate_is_kept_by_all_hosts_and_blames_nobody_who_waits(
    make_supervised_run: MakeRun, launcher: str, job: str
) -> None:
    """16 threads wait 1.6 s for a turn where a record may take one, one hangs and one crashes."""
    does = [{5: "hang", 11: "segv"}.get(index, "") for index in range(24)]
    run = make_supervised_run(job, does, threads=8, lanes=2, rate_per_s=10, timeout_s=1.0, launcher=launcher)
    _assert_only(run, {5: "deadline", 11: "crash"}, 24)
    begins = _find_begins(run)
    for apart in (5, 12):  # a thread that is woken late is late for itself
        spans = [later - earlier for earlier, later in zip(begins, begins[apart:], strict=False)]
        assert min(spans) > (apart - 2) / 10, spans


def test_time_that_is_up_waits_for_no_turn(make_supervised_run: MakeRun) -> None:
    """Else a slice of a stack, or a budget, would end when the last of its threads had its turn."""
    run = make_supervised_run(
        "one", [""] * 30, threads=8, rate_per_s=0.5, is_over=lambda run: run.counts.n_answered >= 1
    )
    assert run.elapsed_s < 5
    assert (len(run.answered), run.counts.n_host_ends) == (1, 0)
    assert [task.spans for task in run.leftover] == [
        run.leftover[0].chunk.all_records - run.outcomes[0].spans
    ]


def test_each_try_takes_a_turn(make_supervised_run: MakeRun) -> None:
    """Ten records and ten tries more are twenty turns of a busy service."""
    run = make_supervised_run("tries", ["1"] * 10, threads=10, rate_per_s=10)
    _assert_only(run, {}, 10)
    assert run.elapsed_s > 19 / 10


def test_tries_are_bounded_counted_and_within_the_deadline(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("tries", ["", "2", "1 after 0.1", "9", "1 after 60"], threads=5, timeout_s=2)
    _assert_only(run, {3: "exception", 4: "exception"}, 5)
    said = {index: failure.message for index, failure in run.read()[1].items()}
    assert said[3].startswith("TryAgain: busy (3 tries; another")
    assert said[4].startswith("TryAgain: busy (1 try; another 60.")
    assert _count_retries(run) == 2 + 1 + 2
    assert make_supervised_run("tries", ["1", "2"], retries=1).kinds == {1: "exception"}
