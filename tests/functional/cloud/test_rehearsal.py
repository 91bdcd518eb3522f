"""`--on rehearsal`: the stack for one command, on this machine; nothing of it is left."""

from __future__ import annotations

import signal

import psutil


def test_rehearsed_run_gives_the_rows_of_a_local_one(desk):
    data = desk.write_records(100)
    assert desk.aliquot("run", "jobs:one", data, "--out", "here").code == 0
    said = desk.aliquot("run", "jobs:one", data, "--out", "out", "--on", "rehearsal", "--code", ".")
    assert said.code == 0, said.err
    assert desk.table().equals(desk.table("here"))
    assert "a rehearsal, which is over" in desk.aliquot("show", "out").out
    for command in ("resume", "watch", "cancel"):
        said = desk.aliquot(command, "out")
        assert said.code == 2
        assert "leaves nothing to go on with" in said.err
    again = desk.aliquot("run", "jobs:one", data, "--out", "out", "--on", "rehearsal", "--code", ".")
    assert again.code == 0, again.err


def test_interrupted_rehearsal_says_that_nothing_is_left(desk):
    data = desk.write_records(100)
    process = desk.begin("run", "jobs:one", data, "--out", "out", "--on", "rehearsal", "--code", ".")
    desk.wait_for(desk.address)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = desk.end(process)
    assert said.code == 130
    assert "a rehearsal leaves nothing to go on with" in said.err
    desk.wait_for(lambda: not any(each.is_running() and each.status() != "zombie" for each in family), 10)
