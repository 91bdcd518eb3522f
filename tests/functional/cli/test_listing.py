"""`aliquot runs` finds what lies below a folder, whatever state it is in."""

from __future__ import annotations

import json


def test_runs_below_a_folder_are_listed_newest_first(desk):
    data = desk.write_records(30)
    assert desk.aliquot("run", "jobs:one", data, "--out", "runs/first").code == 0
    assert desk.aliquot("run", "jobs:every_third", data, "--out", "runs/deep/er/second").code == 3
    desk.write("runs/broken/ledger/manifest.json", "[")
    desk.write("runs/.hidden/ledger/manifest.json", "{}")
    said = desk.aliquot("runs", "runs")
    assert said.code == 0
    head, *lines = (line.split() for line in said.out.splitlines())
    assert head == ["run", "state", "records", "failed", "cost", "begun", "job"]
    assert [line[0] for line in lines[:2]] == ["runs/deep/er/second", "runs/first"]
    assert lines[0][1:4] == ["finished", "30", "10"]
    assert lines[0][-1] == "jobs:every_third"
    assert lines[2][:2] == ["runs/broken", "unreadable"]
    assert len(lines) == 3
    assert "aliquot show RUN explains one" in said.err
    found = json.loads(desk.aliquot("runs", "--json").out)  # from the folder above
    assert [each["run"] for each in found["runs"]] == [line[0] for line in lines]
    assert found["runs"][1] == {
        "run": "runs/first",
        "place": "local",
        "state": "finished",
        "said": "finished",
        "job": "jobs:one",
        "begun": found["runs"][1]["begun"],
        "records": 30,
        "failed": 0,
        "cost_usd": 0.0,
    }


def test_a_run_at_work_is_listed_as_one(desk):
    desk.begin("run", "jobs:slow", desk.write_records(2000), "--out", "out")
    desk.wait_for(desk.calls)
    assert json.loads(desk.aliquot("runs", "--json").out)["runs"][0]["state"] == "running"


def test_no_runs_are_told_with_the_command_that_begins_one(desk):
    said = desk.aliquot("runs")
    assert (said.code, said.out) == (0, "")
    assert "no runs here: `aliquot run ... --out DIR` begins one" in said.err
    assert json.loads(desk.aliquot("runs", "--json").out)["runs"] == []


def test_what_cannot_be_listed_is_refused(desk):
    for words, phrase in (
        (("runs", "nowhere"), "nowhere: is not a folder"),
        (("runs", "jobs.py"), "jobs.py: is not a folder"),
        (("runs", ".", "--on", "aws:prod"), "name one"),
        (("runs", "--on", "prod"), "is not of the form aws:STACK"),
        (("runs", "--region", "eu-west-1"), "--region: is for a run on a stack"),
    ):
        said = desk.aliquot(*words)
        assert (said.code, phrase in said.err) == (2, True), said.err
        assert said.err.splitlines()[-1] == "next: aliquot runs --help"
