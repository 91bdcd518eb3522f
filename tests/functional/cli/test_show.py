"""What `aliquot show` explains of a run, to people and to scripts."""

from __future__ import annotations

import json


def shown(desk, *words):
    said = desk.aliquot("show", *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_show_says_where_time_went_and_gives_examples_of_each_kind(desk):
    desk.write(
        "mine.py",
        "import time\n"
        "def f(record):\n"
        "    n = int(record['id'][1:])\n"
        "    time.sleep(0.2 if n == 77 else 0.001)\n"
        "    if n == 5: time.sleep(100)\n"
        "    if n % 10 == 0: raise ValueError(n)\n",
    )
    words = ("run", "mine:f", desk.write_records(100), "--out", "out")
    said = desk.aliquot(*words, "--workers", "1", "--record-timeout", "1", "--max-failed", "20%")
    assert said.code == 0, said.err
    text = desk.aliquot("show", "out").out
    assert "stage     call: " in text
    assert " of hosts for 100 records, " in text
    assert "1 record at its deadline: 1 s of a host beside that" in text
    assert "failures  10 exception, 1 deadline" in text
    assert text.count(" exception: ValueError: ") == 3
    assert "data.csv:7 deadline: " in text
    assert text.endswith("next      aliquot resume out --retry failed --record-timeout 2\n")
    document = shown(desk, "out")
    assert document["format"] == "aliquot/show/1"
    assert (document["state"], document["place"], document["records"]) == ("finished", "local", 100)
    assert document["next"] == "aliquot resume out --retry failed --record-timeout 2"
    assert {each["kind"] for each in document["failures"]} == {"exception", "deadline"}
    (stage,) = document["stages"]
    assert (stage["stage"], stage["n_records"]) == ("call", 100)
    assert 0.2 < stage["host_s"] < 20
    assert len(document["sessions_s"]) == 1


def test_show_tells_a_run_at_work_from_one_that_was_killed(desk):
    """`resume` beside a process that works would be refused."""
    process = desk.begin("run", "jobs:slow", desk.write_records(2000), "--out", "my out")
    desk.wait_for(desk.calls)
    at_work = shown(desk, "my out")
    assert (at_work["state"], at_work["next"]) == ("running", None)
    assert f"process {process.pid} works in it" in at_work["said"]
    desk.end_all()
    killed = shown(desk, "my out")
    assert (killed["state"], killed["next"]) == ("unfinished", "aliquot resume 'my out'")
    assert killed["records"] == 2000


def test_show_of_no_run_is_an_error(desk):
    said = desk.aliquot("show", "nowhere", "--json")
    assert said.code == 2
    assert "nowhere: holds no run" in said.err
