"""A run's folder over several commands: exit codes, what is refused, what is done again and what is not."""

from __future__ import annotations

import os
import signal

import pytest


def test_failures_within_the_limit_end_well_beyond_it_do_not(desk):
    """Exit 0 and 3 differ only in the verdict: everything is tried and delivered in both."""
    data = desk.write_records(30)
    words = ("run", "jobs:every_third", data, "--out", "out")
    within = desk.aliquot(*words, "--max-failed", "10")
    assert within.code == 0
    assert sum("10 failed" in line for line in within.err.splitlines()) == 1
    beyond = desk.aliquot(*words, "--max-failed", "9")
    assert beyond.code == 3
    assert "10 of 30 records failed (limit 9)" in beyond.err
    assert len(desk.rows()) == 20
    assert desk.aliquot("run", "jobs:every_third", data, "--out", "new").code == 3
    assert len(desk.rows("new")) == 20
    assert not (desk.folder / "new" / "not_tried.parquet").exists()


def test_run_where_all_fails_stops_early_and_lists_what_was_not_tried(desk):
    data = desk.write_records(1000)
    said = desk.aliquot("run", "jobs:fail_slowly", data, "--out", "out", "--workers", "2")
    assert said.code == 3
    assert "stopped" in said.err
    assert "the first: ValueError: never works" in said.err
    summary = desk.summary()
    assert summary["records"] == 1000
    assert 100 < summary["failed"] < 500
    assert summary["failed"] + summary["not_tried"] == 1000
    ranges = desk.read("not_tried")
    assert list(ranges[0]) == ["first", "last", "source"]
    assert {row["source"] for row in ranges} == {data}
    left_out = {number for row in ranges for number in range(row["first"], row["last"] + 1)}
    failed = {row["record"] for row in desk.read("failures")}
    assert len(left_out) == summary["not_tried"]
    assert left_out | failed == set(range(1000))
    assert "stopped: too many failed" in desk.aliquot("show", "out").out
    # `resume` with a limit that allows it goes through the rest
    words = ("resume", "out", "--max-failed", "100%", "--quiet")
    assert desk.aliquot(*words).code == 0
    assert desk.summary()["failed"] == 1000
    assert not (desk.folder / "out" / "not_tried.parquet").exists()


def test_settled_run_does_nothing_again_and_ends_the_same(desk):
    data = desk.write_records(20)
    words = ("run", "jobs:counted", data, "--out", "out")
    assert desk.aliquot(*words).code == 0
    before = {path: path.stat().st_mtime_ns for path in (desk.folder / "out").glob("*.parquet")}
    again = desk.aliquot(*words)
    resumed = desk.aliquot("resume", "out")
    assert (again.code, resumed.code) == (0, 0)
    assert "20 of 20 records done" in again.err
    assert sorted(desk.calls()) == sorted(f"r{i}" for i in range(20))
    assert before == {path: path.stat().st_mtime_ns for path in (desk.folder / "out").glob("*.parquet")}
    # what was deleted, or is wanted in another format, is delivered again without a call
    (desk.folder / "out" / "summary.json").unlink()
    assert desk.aliquot(*words, "--format", "csv").code == 0
    assert len(desk.calls()) == 20
    assert desk.summary()["rows"] == 20
    delivered = sorted(path.name for path in (desk.folder / "out").iterdir())
    assert delivered == ["failures.csv", "ledger", "report.html", "result", "summary.json"]


def test_run_that_failed_exits_the_same_again(desk):
    data = desk.write_records(30)
    words = ("run", "jobs:every_third", data, "--out", "out", "--quiet")
    assert [desk.aliquot(*words).code for _ in range(2)] == [3, 3]
    assert desk.aliquot("resume", "out", "--max-failed", "50%").code == 0


def test_other_input_or_options_are_refused_naming_what_differs(desk, project_root):
    sample = project_root / "examples" / "crossref"
    lines = (sample / "reactions.rsmi").read_text().splitlines(keepends=True)[:4]
    data = desk.write("data.rsmi", "".join(lines))
    templates = desk.write("templates.csv", (sample / "templates.csv").read_text())
    words = ("run", "crossref", "data.rsmi", "--templates", "templates.csv", "--out", "out")
    assert desk.aliquot(*words, "--max-failed", "50%").code == 0

    other = desk.aliquot(*words, "--mode", "substructure", "--keep", "id")
    assert other.code == 2
    assert "--mode was exact, now substructure" in other.err
    assert "keep was [], now ['id']" in other.err

    os.utime(data, (1, 1))
    touched = desk.aliquot(*words)
    assert touched.code == 2
    assert "data.rsmi has changed: written to since" in touched.err
    data.write_text("".join(lines[:3]))
    shorter = desk.aliquot(*words)
    assert shorter.code == 2
    assert "data.rsmi has changed:" in shorter.err
    assert " B, now " in shorter.err

    templates.write_text(templates.read_text() + "extra,[C:1]>>[C:1]\n")
    assert "--templates has other content" in desk.aliquot(*words).err
    resumed = desk.aliquot("resume", "out")
    assert resumed.code == 2
    assert "has changed since the run began" in resumed.err


def test_piped_input_that_differs_is_refused(desk):
    """A pipe has no size and no date: what comes is held against what was stored."""
    words = ("run", "jobs:counted", "-", "--out", "out")
    first = b"id,n\nr0,0\nr1,1\n"
    assert desk.aliquot(*words, stdin=first).code == 0
    assert desk.aliquot(*words, stdin=first).code == 0
    assert len(desk.calls()) == 2
    for other in (b"id,n\nr0,0\nr2,1\n", b"id,n\nr0,0\n", first + b"r2,2\n"):
        said = desk.aliquot(*words, stdin=other)
        assert said.code == 2, other
        assert "begun with other input" in said.err
    assert desk.aliquot("resume", "out").code == 0


def test_changed_code_is_refused_until_it_is_wanted(desk):
    """Also where the run is finished: rows of the old code must not pass for the new code's."""
    desk.write("mine.py", "def f(record):\n    return {'version': 1}\n")
    data = desk.write_records(10)
    words = ("run", "mine:f", data, "--out", "out")
    assert desk.aliquot(*words).code == 0
    desk.write("mine.py", "def f(record):\n    return {'version': 2}\n")
    for refused in (desk.aliquot(*words), desk.aliquot("resume", "out")):
        assert refused.code == 2
        assert "other code" in refused.err
        assert "aliquot resume out --new-code" in refused.err
    assert desk.aliquot("resume", "out", "--new-code").code == 0
    assert [row["version"] for row in desk.rows()] == [1] * 10
    assert desk.aliquot(*words).code == 0


def test_failed_records_are_tried_again_and_only_they(desk):
    data = desk.write_records(10)
    said = desk.aliquot("run", "jobs:fail_once", data, "--out", "out", "--max-failed", "3")
    assert said.code == 0
    assert [row["record"] for row in desk.read("failures")] == [3, 7]
    desk.write("mended", "")
    assert desk.aliquot("resume", "out", "--retry", "failed").code == 0
    assert [row["id"] for row in desk.rows()] == [f"r{i}" for i in range(10)]
    assert desk.read("failures") == []
    assert sorted(desk.calls()[8:]) == ["r3", "r7"]  # two hosts: in either order
    assert desk.aliquot("resume", "out").code == 0
    assert len(desk.calls()) == 10


def test_retry_of_many_failures_is_not_stopped_for_them(desk):
    """250 of 2,000 fail once more: they are 12% of the run, though all of what is tried."""
    desk.write(
        "mine.py",
        "import jobs, time\n"
        "def f(record):\n"
        "    if int(record['id'][1:]) % 8 == 0:\n"
        "        jobs.note(record)\n"
        "        time.sleep(0.004)\n"
        "        raise ValueError\n"
        "    return record\n",
    )
    data = desk.write_records(2000)
    assert desk.aliquot("run", "mine:f", data, "--out", "out", "--max-failed", "15%").code == 0
    assert len(desk.calls()) == 250
    assert desk.aliquot("resume", "out", "--retry", "failed").code == 0
    assert len(desk.calls()) == 500
    assert desk.summary()["failed"] == 250


def test_short_dataset_is_run_through_and_finished(desk):
    """Of 150 records that all fail, how many were tried would be chance."""
    said = desk.aliquot("run", "jobs:fail", desk.write_records(150), "--out", "out")
    assert said.code == 3
    assert "finished: 150 of 150 records failed" in said.err
    assert "state     finished" in desk.aliquot("show", "out").out


def test_run_that_is_through_when_it_could_be_stopped_is_finished(desk):
    """One host answers for 85 records, then for all that are left: there is nothing to stop."""
    words = ("run", "jobs:fail", desk.write_records(210), "--out", "out", "--workers", "1")
    said = desk.aliquot(*words)
    assert said.code == 3
    is_through = desk.summary()["not_tried"] == 0  # as ever, but where the machine stands still for 0.1 s
    assert ("finished: 210 of 210 records failed" in said.err) is is_through


def test_two_processes_do_not_share_a_folder(desk):
    data = desk.write_records(1000)
    first = desk.begin("run", "jobs:slow", data, "--out", "out")
    desk.wait_for(desk.calls)
    second = desk.aliquot("run", "jobs:slow", data, "--out", "out")
    assert second.code == 2
    assert f"process {first.pid} works in it" in second.err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=20)
    assert first.returncode == 130


def test_request_that_never_opened_may_be_mended(desk):
    """A first command with a mistake must not hold its folder against the second."""
    data = desk.write_records(5)
    desk.write("mine.py", "import nothing_of_this_name\ndef f(record):\n    return {'a': 1}\n")
    words = ("run", "mine:f", data, "--out", "out")
    assert desk.aliquot(*words).code == 2
    templates = desk.write("templates.csv", "id,smarts\na,no smarts\n")
    crossref = ("run", "crossref", data, "--column", "reaction=smiles", "--out", "out", "--templates")
    assert desk.aliquot(*crossref, str(templates)).code == 2
    desk.write("mine.py", "def f(record):\n    return {'a': 1}\n")
    said = desk.aliquot(*words)
    assert said.code == 0, said.err
    assert len(desk.rows()) == 5


def test_damaged_outcome_is_done_again(desk):
    """An outcome whose bytes rot between two commands costs its own records' work and nothing else."""
    data = desk.write_records(40)
    words = ("run", "jobs:counted", data, "--out", "out", "--workers", "1")
    assert desk.aliquot(*words).code == 0
    rows = desk.rows()
    outcome = next((desk.folder / "out" / "ledger" / "outcomes").rglob("*~*"))
    outcome.write_bytes(outcome.read_bytes()[:-20])
    (desk.folder / "out" / "summary.json").unlink()
    said = desk.aliquot(*words)
    assert said.code == 0, said.err
    assert desk.rows() == rows
    assert len(desk.calls()) > 40


@pytest.mark.parametrize("name", ["file", "full"])
def test_folder_that_is_no_runs_is_refused(desk, name):
    data = desk.write_records(3)
    desk.write("file", "")
    desk.write("full/thesis.txt", "")
    said = desk.aliquot("run", "jobs:one", data, "--out", name)
    assert said.code == 2
    assert said.err.startswith(f"aliquot: {name}: ")
    assert sorted(path.name for path in (desk.folder / "full").iterdir()) == ["thesis.txt"]


def test_record_that_ran_out_of_memory_beside_others_has_all_of_it_alone(desk):
    """80% of what is free, by one host at last; never more than what the user allows."""
    desk.write(
        "small_machine.py",
        "import orchestrator.cli, orchestrator.local.settings as settings\n"
        "settings.read_free_mib = lambda: 750\n"
        "orchestrator.cli.main()\n",
    )
    desk.write(
        "mine.py",
        "import time\n"
        "def f(record):\n"
        "    held = b'x' * ((400 if record['id'] == 'r3' else 1) << 20)\n"
        "    time.sleep(0.06)\n"
        "    return {'id': record['id'], 'n': len(held)}\n",
    )
    data = desk.write_records(10)
    words = ("run", "mine:f", data, "--workers", "2", "--max-failed", "50%")
    assert desk.script("small_machine.py", *words, "--out", "out").code == 0
    assert len(desk.rows()) == 10
    assert desk.script("small_machine.py", *words, "--memory", "300", "--out", "held").code == 0
    (failure,) = desk.read("failures", "held")
    assert failure["kind"] == "memory"
    assert "the ceiling is 300 MiB" in failure["message"]
