"""Records that wait, many at a time, by the command: a plain function told to, a job that declares it."""

from __future__ import annotations

import signal

import pytest

JOBS = """
import os, threading, time
from dataclasses import dataclass
from pathlib import Path

from aliquot import Job, Stage

meeting = threading.Barrier(8)

def meet(record):
    meeting.wait(30)
    return {"id": record["id"]}

def wait_in_vain_for_others(record):
    try:
        meeting.wait(0.1)
    except threading.BrokenBarrierError:
        return {"id": record["id"]}
    raise ValueError("not alone")

def fetch(record):
    number = int(record["id"].removeprefix("r"))
    with open("calls.txt", "a") as file:
        file.write(record["id"] + chr(10))
    time.sleep(0.005 * (1 + number % 5))
    if number == 57:
        os._exit(3)
    if number == 111:
        time.sleep(1000)
    if number % 50 == 3:
        raise ValueError(f"no {number}")
    return {"number": number}

@dataclass(frozen=True)
class Options:
    pass

def open_it(options, prepared):
    return lambda records: map(meet, records)

def open_fetch(options, prepared):
    return lambda records: map(fetch, records)

meets = Job("meets", version=1, options=Options, stages=(Stage("meet", open_it, threads=8),))

busy = threading.Lock()

def be_alone(record):
    if not busy.acquire(blocking=False):
        raise ValueError("not alone")
    time.sleep(0.01)
    busy.release()
    return {"id": record["id"]}

def open_alone(options, prepared):
    return lambda records: map(be_alone, records)

def open_groups(options, prepared):
    return lambda groups: map(meet, (group.rows[0] for group in groups))

chain = Job("chain", version=1, options=Options, stages=(
    Stage("alone", open_alone), Stage("meet", open_groups, exchange="id", threads=2)))
fetches = Job("fetches", version=1, options=Options, stages=(Stage("fetch", open_fetch),))
"""


@pytest.fixture
def mine(desk):
    desk.write("mine.py", JOBS)
    return desk


def test_threads_of_a_function_and_of_a_job(mine):
    """Each of eight records goes on when all of them are there."""
    data = mine.write_records(16)
    for job, told in (("mine:meet", ["--threads", "8"]), ("mine:meets", [])):
        out = job.partition(":")[2]
        said = mine.aliquot("run", job, data, "--out", out, "--workers", "1", *told)
        assert said.code == 0, said.err
        assert [row["id"] for row in mine.rows(out)] == [f"r{number}" for number in range(16)]


def test_one_thread_is_what_a_function_has(mine):
    data = mine.write_records(4)
    said = mine.aliquot("run", "mine:wait_in_vain_for_others", data, "--out", "out", "--workers", "1")
    assert said.code == 0, said.err
    assert len(mine.rows()) == 4


def test_job_that_declares_no_threads_is_not_called_by_several(mine):
    """It may not bear them; a wrong row would show nowhere."""
    data = mine.write_records(4)
    said = mine.aliquot("run", "mine:fetches", data, "--out", "out", "--threads", "2")
    assert said.code == 2
    assert "job 'fetches' takes one record at a time: no stage of it declares `threads`" in said.err
    assert not (mine.folder / "out").exists()


def test_threads_are_for_the_stages_that_declare_them(mine):
    """One that declares none may not bear them, whatever another stage of its job does."""
    data = mine.write_records(16)
    said = mine.aliquot("run", "mine:chain", data, "--out", "out", "--workers", "1", "--threads", "8")
    assert said.code == 0, said.err
    assert len(mine.rows()) == 16


@pytest.mark.long
def test_plan_tells_the_time_of_all_threads_together(mine):
    """A record waits 50 ms, and eight do so at a time."""
    mine.write("naps.py", "import time\ndef nap(record):\n    time.sleep(0.05)\n    return record\n")
    data = mine.write_records(24)
    said = {
        threads: mine.python(
            f"""
            import aliquot, naps

            if __name__ == "__main__":
                print(aliquot.plan(naps.nap, {data!r}, workers=1, threads={threads}).estimate.record_ms[0])
            """
        )
        for threads in (1, 8)
    }
    assert float(said[1].out) >= 50, said[1].err
    assert 6 <= float(said[8].out) < float(said[1].out) / 2, said[8].err


@pytest.mark.long
def test_a_killed_run_resumes_and_says_what_one_thread_says(mine):
    """A record that crashes, one that hangs and some that raise among those that wait."""
    data = mine.write_records(200)
    limits = ("--record-timeout", "2", "--max-failed", "9%")
    words = ("run", "mine:fetch", data, "--threads", "16", "--workers", "2", *limits)
    process = mine.begin(*words, "--out", "killed")
    mine.wait_for(lambda: mine.outcomes("killed"))
    process.send_signal(signal.SIGKILL)
    mine.end(process)
    for command in ((*words, "--out", "killed"), ("run", "mine:fetch", data, "--out", "plain", *limits)):
        said = mine.aliquot(*command)
        assert said.code == 0, said.err
    assert mine.table("killed").equals(mine.table("plain"))
    assert mine.read("failures", "killed") == mine.read("failures", "plain")
    kinds = {row["record"]: row["kind"] for row in mine.read("failures", "plain")}
    assert kinds == {57: "crash", 111: "deadline", **dict.fromkeys((3, 53, 103, 153), "exception")}
