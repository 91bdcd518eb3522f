"""Kills from outside cost nothing, and nothing outlives whoever started it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

MakeRun = Callable[..., Any]

SUPERVISOR = """
import sys
from pathlib import Path
from aliquot.chunk import Chunk
from aliquot.host import HostLimits
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.launch import SpawnLauncher, ZygoteLauncher
from aliquot.loading import JobSpec
from aliquot.page import Page
from aliquot.processes import choose_reader
from aliquot.bounds import Limits
from aliquot.supervisor import Supervisor

address, kind, do, timeout_s, threads = sys.argv[1:]
page = Page.create()
limits = HostLimits(float(timeout_s), 1000, int(threads))
launcher = {"zygote": ZygoteLauncher, "spawn": SpawnLauncher}[kind](JobSpec(address), limits, page)
launcher.open()
n = 100_000
body = Chunk(0, n, {"n": list(range(n)), "do": [do] * n}, provenance=((0, 0, 1),)).to_bytes()

class Tasks:
    is_exhausted = False
    def next_task(self):
        if not self.is_exhausted:
            self.is_exhausted = True
            return Task(ChunkId(0, n), ChunkId(0, n).all_records)

is_told = False
def tell(counts):
    global is_told
    is_begun = counts.n_answered or not do.startswith("sleep")
    if not is_told and is_begun and all(lane.sent and lane.is_open for lane in supervisor._lanes):
        print(*(lane.host.pid for lane in supervisor._lanes), flush=True)
        is_told = True
    return False

limits = Limits(float(timeout_s), 1000, threads=int(threads))
supervisor = Supervisor(launcher, 2, limits, choose_reader(), lambda chunk: body, lambda *put: None)
supervisor.run(Tasks(), tell)
"""


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _assert_gone(pids: list[int], limit_s: float) -> float:
    started_s = time.monotonic()
    while any(map(_is_alive, pids)):
        assert time.monotonic() - started_s < limit_s, "hosts outlive their supervisor"
        time.sleep(0.01)
    return time.monotonic() - started_s


def _orphan_hosts(launcher: str, do: str, timeout_s: float, threads: int = 1) -> tuple[list[int], float]:
    """Kill a supervisor at work; gives its processes and the seconds that the last of them lived on."""
    address = f"{Path(__file__).with_name('toy_jobs.py')}:one"
    command = [sys.executable, "-c", SUPERVISOR, address, launcher, do, str(timeout_s), str(threads)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        hosts = [int(pid) for pid in process.stdout.readline().split()]
        assert len(hosts) == 2
        assert all(map(_is_alive, hosts))
        descendants = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
    return hosts, _assert_gone([*hosts, *descendants], 10)


def test_hosts_outlive_a_killed_supervisor_by_less_than_a_second(launcher: str) -> None:
    _, lived_s = _orphan_hosts(launcher, "sleep 0.005", 60)
    assert lived_s < 1


def test_a_host_inside_a_record_outlives_its_supervisor_by_the_record_s_deadline(launcher: str) -> None:
    """A long call into C hears nothing of a closed pipe; the timer that was armed before it does."""
    _, lived_s = _orphan_hosts(launcher, "hang", 1.0)
    assert lived_s < 1.0 + 0.5 + 0.3


def test_a_host_of_threads_outlives_its_supervisor_by_no_record(launcher: str) -> None:
    """The thread that reads the pipe is in no record, however long those take that are in one."""
    _, lived_s = _orphan_hosts(launcher, "hang", 60, threads=4)
    assert lived_s < 1


def test_a_host_of_threads_whose_interpreter_is_held_outlives_it_by_the_deadline(launcher: str) -> None:
    _, lived_s = _orphan_hosts(launcher, "keep the interpreter", 1.0, threads=4)
    assert lived_s < 1.0 + 0.5 + 0.3


OPENER = """
import sys
from aliquot.host import HostLimits
from aliquot.launch import SpawnLauncher, ZygoteLauncher
from aliquot.loading import JobSpec
from aliquot.page import Page

address, kind = sys.argv[1:]
launcher = {"zygote": ZygoteLauncher, "spawn": SpawnLauncher}[kind]
launcher(JobSpec(address), HostLimits(60.0, 1000), Page.create()).open()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_job_that_is_being_opened_ends_with_its_supervisor(launcher: str) -> None:
    """Loading a model may take minutes, in which nobody reads the pipe that was closed."""
    address = f"{Path(__file__).with_name('toy_jobs.py')}:opens_slowly"
    command = [sys.executable, "-c", OPENER, address, launcher]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "opening\n"
        children = [child.pid for child in psutil.Process(process.pid).children()]
        assert children
        process.kill()
    _assert_gone(children, 1)


def _kill_once(choose: Callable[[Any], int], after: int) -> Callable[[Any], bool]:
    """A `should_stop` that never stops, and once, after some records, kills a process."""
    killed: list[int] = []

    def look(run: Any) -> bool:
        if not killed and run.counts.n_answered >= after:
            killed.append(choose(run))
            os.kill(killed[0], signal.SIGKILL)
        return False

    return look


def _assert_nothing_was_lost(run: Any, n: int) -> None:
    assert run.is_done
    assert run.answered == [(0, index) for index in range(n)]
    assert run.kinds == {}
    assert run.numbers == {index: [index] for index in range(n)}


@pytest.mark.parametrize("job", ["one", "ahead_8"])
def test_a_host_that_is_killed_from_outside_costs_nothing(
    make_supervised_run: MakeRun, launcher: str, job: str
) -> None:
    kill_a_host = _kill_once(lambda run: run.launcher.running[0], 20)
    run = make_supervised_run(job, ["sleep 0.003"] * 120, launcher=launcher, lanes=2, should_stop=kill_a_host)
    _assert_nothing_was_lost(run, 120)
    assert len(run.launcher.started) >= 3


def test_a_host_that_is_killed_in_a_slow_record_costs_nothing(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run(
        "one", ["sleep 0.12"] * 8, should_stop=_kill_once(lambda run: run.launcher.running[0], 4)
    )
    _assert_nothing_was_lost(run, 8)


def test_a_zygote_that_is_killed_costs_nothing(
    make_supervised_run: MakeRun, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its hosts go on; the next host that is wanted comes from a new one."""
    kill_the_zygote = _kill_once(lambda run: run.launcher.inner._process.pid, 20)
    does = ["sleep 0.003"] * 120
    does[60] = does[61] = does[100] = "exit"
    run = make_supervised_run("one", does, launcher="zygote", lanes=2, should_stop=kill_the_zygote)
    assert run.is_done
    assert run.answered == [(0, index) for index in range(120)]
    assert run.kinds == {60: "crash", 61: "crash", 100: "crash"}
    assert "Traceback" not in capfd.readouterr().err


def test_no_process_and_no_descriptor_is_left(make_supervised_run: MakeRun, launcher: str) -> None:
    """A long session starts many runs."""
    does = ["", "exit", "", "hang", ""]
    make_supervised_run("one", does, launcher=launcher, timeout_s=0.3)  # what is opened once is open by now
    gc.collect()
    me = psutil.Process()
    before = me.num_fds(), {child.pid for child in me.children(recursive=True)}
    run = make_supervised_run("one", does, launcher=launcher, timeout_s=0.3, lanes=2)
    gc.collect()
    assert (me.num_fds(), {child.pid for child in me.children(recursive=True)}) == before
    assert not any(map(_is_alive, run.launcher.started))
    assert sorted(run.launcher.started) == sorted(run.launcher.reaped)
