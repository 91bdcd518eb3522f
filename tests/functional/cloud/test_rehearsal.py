"""`--on rehearsal`: the stack for one command, on this machine; nothing of it is left."""

from __future__ import annotations

import signal

import psutil
import pytest


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


@pytest.mark.long
def test_a_program_goes_to_a_stack_with_all_that_it_needs(desk):
    """A folder: what it runs and what that reads. There they have no mode, and names of their content."""
    desk.write("tools/bin/number", '#!/bin/sh\nexec awk -f "$(dirname "$0")/../number.awk"\n').chmod(0o755)
    desk.write("tools/number.awk", 'BEGIN { FS = OFS = "\\t" } { print $1, length($2) }\n')
    data = desk.write_records(100)
    words = ["run", "exec", data, "--lines", "tsv", "--columns", "id,n"]
    words += ["--program", "tools", "--command", "{program}/bin/number"]
    assert desk.aliquot(*words, "--out", "here").code == 0
    said = desk.aliquot(*words, "--out", "there", "--on", "rehearsal")
    assert said.code == 0, said.err
    assert desk.table("there").equals(desk.table("here"))
    assert desk.table("there")["n"].to_pylist()[:8] == ["1", "2", "3", "4", "5", "6", "7", "1"]


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
