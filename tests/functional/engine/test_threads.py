"""A host of several threads keeps every promise of a host of one: what waits side by side fails apart."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from aliquot.bounds import Limits
from aliquot.chunk import Chunk
from aliquot.errors import OpenFailed
from aliquot.frames import Channel, pack_frame
from aliquot.host import HostLimits
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import Ended, HostProcess, SpawnLauncher
from aliquot.page import READ, Page
from aliquot.processes import choose_reader
from aliquot.supervisor import Supervisor
from aliquot.worker import OneTask
from tests.functional.engine.conftest import make_spec

N = 60
BAD = 23
MakeRun = Callable[..., Any]

FAULTS = {
    "segv": "crash",
    "exit": "crash",
    "garble": "crash",
    "alarm": "crash",
    "hang": "deadline",
    "keep the interpreter": "deadline",
    "fill": "memory",
    "ask for too much": "memory",
    "raise": "exception",
    "unencodable": "exception",
    "skip": "exception",
}


def _timeout_s(fault: str) -> float:
    """A short deadline where that is what is tested; other faults may take a while on a busy machine."""
    return 1.0 if FAULTS[fault] == "deadline" else 20.0


def _with(*faults: str, at: int = BAD) -> list[str]:
    """Records that wait a little, and some that fail from one place on."""
    does = ["sleep 0.01"] * N
    does[at : at + len(faults)] = faults
    return does


def _assert_only(run: Any, failed: dict[int, str], n: int = N) -> None:
    """All was done, each record answered once, and those that failed alone lack their rows."""
    assert run.is_done
    assert run.answered == [(0, index) for index in range(n)]
    assert run.kinds == failed, run.read()[1]
    assert run.numbers == {index: [] if index in failed else [index] for index in range(n)}
    assert (run.counts.n_answered, run.counts.n_failed) == (n, len(failed))


def test_records_wait_side_by_side(make_supervised_run: MakeRun, launcher: str) -> None:
    """Each of eight goes on when all of them are there."""
    run = make_supervised_run("one", ["meet 7 others"] * 16, threads=8, launcher=launcher, timeout_s=60)
    _assert_only(run, {}, 16)


def test_no_thread_waits_for_the_slowest(make_supervised_run: MakeRun) -> None:
    """Were there a step for all threads together, its slowest record would hold up those of the next."""
    run = make_supervised_run("one", ["wait for others"] + ["sleep 0.005"] * (N - 1), threads=4)
    _assert_only(run, {})


@pytest.mark.parametrize(
    ("job", "fault"),
    [("skips", fault) for fault in FAULTS] + [("ahead_8", fault) for fault in FAULTS if fault != "skip"],
)
def test_a_fault_costs_its_record_alone(make_supervised_run: MakeRun, job: str, fault: str) -> None:
    run = make_supervised_run(job, _with(fault), threads=6, timeout_s=_timeout_s(fault), memory_mib=300)
    _assert_only(run, {BAD: FAULTS[fault]})
    if FAULTS[fault] == "exception":
        assert run.counts.n_host_ends == 0


@pytest.mark.parametrize("fault", ["segv", "hang", "keep the interpreter"])
def test_a_fault_costs_its_record_alone_in_spawned_hosts(make_supervised_run: MakeRun, fault: str) -> None:
    run = make_supervised_run("one", _with(fault), threads=6, timeout_s=_timeout_s(fault), launcher="spawn")
    _assert_only(run, {BAD: FAULTS[fault]})


def test_records_that_hang_cost_no_more_than_their_deadline(make_supervised_run: MakeRun) -> None:
    """Whose threads are late is known at once: nobody waits for a deadline twice, and no other runs alone."""
    run = make_supervised_run("one", _with("hang", "hang", "hang"), threads=6, timeout_s=1.0)
    _assert_only(run, dict.fromkeys(range(BAD, BAD + 3), "deadline"))
    assert run.counts.n_host_ends <= 3


def test_faults_of_all_kinds_at_once(make_supervised_run: MakeRun) -> None:
    faults = ["segv", "raise", "hang", "exit", "unencodable", "keep the interpreter", "alarm"]
    run = make_supervised_run("one", _with(*faults), threads=4, lanes=2, timeout_s=1.0)
    _assert_only(run, {BAD + place: FAULTS[fault] for place, fault in enumerate(faults)})


def test_a_leak_is_blamed_on_no_record(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", ["leak"] * 20, threads=4, memory_mib=300)
    _assert_only(run, {}, 20)
    assert len(run.launcher.started) > 1


def test_memory_that_records_need_together_is_blamed_on_none(make_supervised_run: MakeRun) -> None:
    """Four times 100 MiB do not fit; one after the other they do."""
    _assert_only(make_supervised_run("one", ["hold 100"] * 5, threads=4, memory_mib=300), {}, 5)


@pytest.mark.long
def test_memory_that_runs_out_in_all_threads_at_once(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", ["meet and ask for too much"] * 8, threads=8, memory_mib=300)
    _assert_only(run, dict.fromkeys(range(8), "memory"), 8)


def test_a_thread_that_ends_ends_its_host(make_supervised_run: MakeRun, launcher: str) -> None:
    """Otherwise its records were waited for for ever."""
    until_s = time.monotonic() + 30
    with pytest.raises(OpenFailed, match=r"3 hosts in a row ended .*: the last exited with status 1"):
        make_supervised_run(
            "is_exhausted",
            [""] * 9,
            threads=4,
            launcher=launcher,
            should_stop=lambda _: time.monotonic() > until_s,
        )


def test_a_host_ends_with_its_pipe_whatever_its_threads_are_at() -> None:
    """Not every system ends a process with its parent, and Python's own exit waits for a record's pools."""
    page = Page.create()
    launcher = SpawnLauncher(make_spec("one"), HostLimits(8.0, 1000, 4), page)
    host = launcher.launch(0)
    body = Chunk(0, 1, {"n": [0], "do": ["hang in a pool"]}).to_bytes()
    host.channel.send({"op": "chunk", "chunk": str(ChunkId(0, 1)), "body": body})
    host.channel.send({"op": "step", "thread": 3, "first": 0, "end": 1, "budget_ms": 100})
    while host.channel.has_unsent or host.slots[3][READ] == 0:
        host.channel.flush()
        time.sleep(0.01)
    assert launcher.reap(host).status == 0
    page.close()


class Deaf(HostProcess):
    """A host that is a pipe with what it has said."""

    def kill(self) -> None:
        """Nothing runs."""


class Said:
    """A launcher of hosts of two threads that both ran out of memory, and said so before anybody listened."""

    job = "said"
    step_s = 0.1

    def __init__(self, page: Page) -> None:
        self._page = page

    def launch(self, _number: int) -> HostProcess:
        host_reads, we_write = os.pipe()
        we_read, host_writes = os.pipe()
        for thread in range(2):
            failure = [thread, "memory", "MemoryError", ""]
            said = {
                "op": "answer",
                "thread": thread,
                "first": thread,
                "end": thread + 1,
                "block": [b"", 0, 0],
            }
            said |= {"rows": 0, "kinds": {}, "failures": [failure], "wall_ns": 1, "cpu_ns": 1}
            os.write(host_writes, pack_frame(said))
        os.close(host_reads)
        os.close(host_writes)
        return Deaf(0, Channel(we_write, we_read), self._page.slots(0, 2), is_open=True)

    def reap(self, host: HostProcess) -> Ended:
        host.channel.close()
        return Ended(0, 0.0)


def test_an_answer_that_came_with_the_one_that_ended_its_host_counts_no_more() -> None:
    """Memory that ran out beside others ends the host; what its other threads had was taken back with it."""
    page, chunk = Page.create(), ChunkId(0, 2)
    limits = Limits(60.0, 100, threads=2)
    supervisor = Supervisor(
        cast(Any, Said(page)), 1, limits, choose_reader(), lambda _: b"", lambda *_: pytest.fail("was put")
    )
    tasks = OneTask(Task(chunk, chunk.all_records))
    supervisor.run(tasks, lambda counts: counts.n_host_ends > 0)
    assert supervisor.counts.n_answered == 0
    assert [task.spans for task in supervisor.leftover] == [chunk.all_records]
    page.close()


def test_rows_do_not_depend_on_the_number_of_threads(make_supervised_run: MakeRun) -> None:
    does = [{7: "exit", 20: "raise", 21: "unencodable"}.get(i, f"sleep 0.00{i % 4}") for i in range(90)]
    runs = [
        make_supervised_run("one", does, threads=threads, lanes=lanes, chunk_size=50)
        for threads, lanes in ((1, 1), (3, 1), (16, 2), (64, 1))
    ]
    assert runs[0].kinds == {7: "crash", 20: "exception", 21: "exception"}
    for run in runs:
        assert run.numbers == runs[0].numbers
        assert list(run.numbers) == list(range(90))
        assert run.read()[1] == runs[0].read()[1]


def test_outcomes_in_passing_are_apart_and_their_keys_are_short(make_supervised_run: MakeRun) -> None:
    """What is answered lies between what is not, in more pieces than one key may name."""
    does = [f"sleep {0.002 * (1 + index % 17)}" for index in range(400)]
    run = make_supervised_run("one", does, threads=32, slice_s=0.1)
    _assert_only(run, {}, 400)
    assert len(run.outcomes) > 1
    assert all(len(str(key.spans)) <= 120 for key in run.outcomes)


def test_time_that_is_up_ends_after_the_records_in_flight(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run(
        "one", ["sleep 0.02"] * 500, threads=8, is_over=lambda run: run.counts.n_answered >= 20
    )
    assert not run.is_done
    assert 20 <= len(run.answered) == run.counts.n_answered < 500
    (rest,) = run.leftover
    answered = {index for _, index in run.answered}
    assert set(rest.spans) == set(range(500)) - answered
    assert run.numbers == {index: [index] for index in answered}
    assert run.counts.n_host_ends == 0


def test_a_stop_waits_for_nobody_and_puts_what_was_answered(make_supervised_run: MakeRun) -> None:
    does = ["sleep 0.01"] * 30 + ["hang"] * 20
    run = make_supervised_run("one", does, threads=4, should_stop=lambda run: run.counts.n_answered >= 10)
    assert not run.is_done
    assert len(run.answered) == run.counts.n_answered >= 10
    assert run.numbers == {index: [index] for _, index in run.answered}


def test_a_host_that_is_killed_from_outside_costs_nothing(
    make_supervised_run: MakeRun, launcher: str
) -> None:
    killed: list[int] = []

    def kill_once(run: Any) -> bool:
        if not killed and run.counts.n_answered >= 20:
            killed.append(run.launcher.running[0])
            os.kill(killed[0], signal.SIGKILL)
        return False

    does = ["sleep 0.01"] * 150
    run = make_supervised_run("one", does, threads=8, lanes=2, launcher=launcher, should_stop=kill_once)
    _assert_only(run, {}, 150)
    assert len(run.launcher.started) >= 3
