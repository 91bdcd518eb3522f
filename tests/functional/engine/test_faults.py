"""A fault in one record costs that record alone, whatever the fault, the job's shape and the launcher."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import pytest

from aliquot.errors import BadReference, OpenFailed, Undecodable

N = 24
BAD = 13
MakeRun = Callable[..., Any]

FAULTS = {
    "segv": "crash",
    "exit": "crash",
    "abort": "crash",
    "garble": "crash",
    "alarm": "crash",
    "hang": "deadline",
    "fill": "memory",
    "raise": "exception",
    "unencodable": "exception",
}


def _timeout_s(fault: str) -> float:
    """A short deadline where that is what is tested; other faults may take a while on a busy machine."""
    return 0.5 if fault == "hang" else 20.0


def _with(fault: str, at: int = BAD, n: int = N) -> list[str]:
    return [fault if index == at else "" for index in range(n)]


def _assert_only(run: Any, failed: dict[int, str], n: int = N) -> None:
    """All was done, each record answered once, and those that failed alone lack their rows."""
    assert run.is_done
    assert run.answered == [(0, index) for index in range(n)]
    assert run.kinds == failed
    assert run.numbers == {index: [] if index in failed else [index] for index in range(n)}
    assert (run.counts.n_answered, run.counts.n_failed) == (n, len(failed))


@pytest.mark.parametrize("job", ["one", "ahead_8", "ahead_all"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_record_alone(make_supervised_run: MakeRun, job: str, fault: str) -> None:
    run = make_supervised_run(job, _with(fault), timeout_s=_timeout_s(fault), memory_mib=250)
    _assert_only(run, {BAD: FAULTS[fault]})
    assert run.counts.n_host_ends <= 2, "a poison record costs two hosts at most"


@pytest.mark.parametrize("fault", ["segv", "hang", "fill"])
def test_a_fault_costs_its_record_alone_in_spawned_hosts(make_supervised_run: MakeRun, fault: str) -> None:
    run = make_supervised_run(
        "ahead_8", _with(fault), timeout_s=_timeout_s(fault), memory_mib=250, launcher="spawn"
    )
    _assert_only(run, {BAD: FAULTS[fault]})


def test_many_faults_cost_their_records_alone(make_supervised_run: MakeRun) -> None:
    faults = {0: "segv", 1: "exit", 5: "raise", 6: "segv", 11: "hang", 12: "unencodable", 23: "abort"}
    does = [faults.get(index, "") for index in range(N)]
    run = make_supervised_run("one", does, timeout_s=0.5, lanes=2)
    _assert_only(run, {index: FAULTS[fault] for index, fault in faults.items()})


def test_what_killed_a_record_is_said(make_supervised_run: MakeRun) -> None:
    faults = {1: "segv", 3: "exit", 5: "hang", 7: "raise"}
    run = make_supervised_run("one", [faults.get(index, "") for index in range(9)], timeout_s=0.5)
    failures = run.read()[1]
    assert failures[1].message == "its process was killed by SIGSEGV"
    assert failures[3].message == "its process exited with status 7"
    assert failures[5].message == "took longer than 0.5 s"
    assert failures[7].message == "ValueError: on purpose"
    assert 'toy_jobs.py"' in failures[7].traceback
    assert run.counts.kinds == {"crash": 2, "deadline": 1, "exception": 1}


@pytest.mark.parametrize("job", ["one", "ahead_8", "ahead_all"])
def test_a_leak_is_blamed_on_no_record(make_supervised_run: MakeRun, job: str) -> None:
    """30 MiB a record against 300: hosts die of memory again and again, and every record is done."""
    run = make_supervised_run(job, ["leak"] * 20, memory_mib=300)
    _assert_only(run, {}, 20)
    assert len(run.launcher.started) > 1


def test_a_leak_over_slow_records_is_blamed_on_no_record(make_supervised_run: MakeRun) -> None:
    """A step of theirs is one record long, and alone in its step; its host has a past all the same."""
    _assert_only(make_supervised_run("one", ["leak slowly"] * 13, memory_mib=300), {}, 13)


def test_a_leak_over_suspects_is_blamed_on_none_of_them(make_supervised_run: MakeRun) -> None:
    """Twelve suspects run alone one after the other, and together fill the host that they run in."""
    _assert_only(make_supervised_run("ahead_all", [""] * 21 + ["leak slowly"] * 12, memory_mib=300), {}, 33)


@pytest.mark.parametrize("job", ["one", "ahead_8"])
def test_a_leak_that_ends_in_an_exception_is_blamed_on_no_record(
    make_supervised_run: MakeRun, job: str
) -> None:
    """What is mapped and never touched is seen by the limit alone, and reaches the job as a MemoryError."""
    run = make_supervised_run(job, ["leak untouched"] * 20, memory_mib=300)
    _assert_only(run, {}, 20)
    assert len(run.launcher.started) > 1


def test_memory_that_one_record_cannot_have_is_that_record_s_failure(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", _with("ask for too much"), memory_mib=300)
    _assert_only(run, {BAD: "memory"})
    assert run.read()[1][BAD].message.startswith("MemoryError")


def test_a_leak_is_blamed_on_no_record_in_spawned_hosts(make_supervised_run: MakeRun) -> None:
    _assert_only(make_supervised_run("one", ["leak"] * 20, memory_mib=300, launcher="spawn"), {}, 20)


def test_a_deadline_is_kept_to_a_second(make_supervised_run: MakeRun) -> None:
    run = make_supervised_run("one", _with("hang", 0, 1), timeout_s=0.5)
    assert 0.5 <= run.elapsed_s < 1.5
    ahead = make_supervised_run("ahead_8", _with("hang", 0, 1), timeout_s=0.5)
    assert 0.5 <= ahead.elapsed_s < 2.0


def test_a_host_that_its_own_timer_ended_missed_its_deadline(make_supervised_run: MakeRun) -> None:
    """A supervisor that waits for a slow disk comes late; the host's own timer must not look like a crash."""
    does = ["hang"] + ["sleep 0.05"] * 8
    puts_s = chain([1.2] * 3, repeat(0.0))  # the hang's deadline is over in the first of them
    run = make_supervised_run(
        "one", does, timeout_s=0.5, lanes=2, slice_s=0.1, on_put=lambda _: time.sleep(next(puts_s))
    )
    assert run.kinds == {0: "deadline"}
    assert run.counts.n_host_ends == 1, "a deadline is filed at once, a crash only when it comes again"


@pytest.mark.parametrize("memory_mib", [300])
def test_large_supervisor_makes_no_crash_a_memory_failure(
    make_supervised_run: MakeRun, memory_mib: int
) -> None:
    """Linux counts what a process had resident before its exec, when it was a copy of the supervisor."""
    held = b"x" * (400 << 20)
    run = make_supervised_run("one", _with("segv", 2, 4), launcher="spawn", memory_mib=memory_mib)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 > memory_mib
    assert len(held) == 400 << 20
    assert run.kinds == {2: "crash"}


def test_what_a_job_prints_is_no_frame(
    make_supervised_run: MakeRun, launcher: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_supervised_run("one", ["print"] * 3, launcher=launcher)
    _assert_only(run, {}, 3)
    said = capfd.readouterr()
    assert said.err.count("printed by the job") == 3
    assert said.out == ""


def test_hosts_that_die_before_they_read_end_the_run(make_supervised_run: MakeRun, launcher: str) -> None:
    """Otherwise a broken job would start hosts for ever."""
    seen: list[Any] = []
    with pytest.raises(OpenFailed, match=r"3 hosts in a row ended .*: the last exited with status 5"):
        make_supervised_run("dies_unread", [""] * 5, launcher=launcher, before_start=seen.append)
    assert len(seen[0].launcher.started) == 3


def test_a_job_larger_than_the_ceiling_is_told_as_such(make_supervised_run: MakeRun) -> None:
    with pytest.raises(OpenFailed, match=r"private memory; the ceiling is 150 MiB"):
        make_supervised_run("is_large", ["sleep 1"] * 5, launcher="spawn", memory_mib=150)


def test_a_job_that_cannot_be_called_ends_the_run_with_its_reason(
    make_supervised_run: MakeRun, launcher: str
) -> None:
    with pytest.raises(OpenFailed, match="TypeError: 'NoneType' object is not iterable"):
        make_supervised_run("is_no_iterator", [""] * 5, launcher=launcher)


def test_a_crash_in_open_is_told(make_launcher: Callable[[str, str], Any], launcher: str) -> None:
    with pytest.raises(OpenFailed):
        make_launcher(launcher, "dies_in_open").open()


def test_an_error_in_open_is_told_with_the_job_s_own_frames(
    make_launcher: Callable[[str, str], Any], launcher: str
) -> None:
    with pytest.raises(OpenFailed) as caught:
        make_launcher(launcher, "breaks").open()
    assert caught.value.reason == "RuntimeError: no model here"
    assert 'toy_jobs.py"' in caught.value.traceback.splitlines()[1]


def test_a_usage_error_in_open_keeps_its_class_and_fields(
    make_launcher: Callable[[str, str], Any], launcher: str
) -> None:
    with pytest.raises(BadReference) as caught:
        make_launcher(launcher, "refuses").open()
    assert (caught.value.path, caught.value.rows, caught.value.n_bad) == (
        "templates.csv",
        ((2, "no arrow"),),
        3,
    )


def test_prepare_runs_in_a_process_of_its_own(
    make_launcher: Callable[[str, str], Any], launcher: str, tmp_path: Any
) -> None:
    made = make_launcher(launcher, "prepares")
    made.prepare()
    made.open()
    assert int((tmp_path / "made").read_text()) > 0


def test_a_crash_in_prepare_is_told(make_launcher: Callable[[str, str], Any], launcher: str) -> None:
    with pytest.raises(OpenFailed):
        make_launcher(launcher, "dies_in_prepare").prepare()


def test_a_chunk_that_is_damaged_on_disk_is_told(make_supervised_run: MakeRun) -> None:
    def damage(run: Any) -> None:
        path = run.ledger.store.root / run.ledger.list_chunks()[0].key
        body = bytearray(path.read_bytes())
        body[-3] ^= 1
        path.write_bytes(body)

    with pytest.raises(Undecodable, match="checksum"):
        make_supervised_run("one", [""] * 5, before_start=damage)
