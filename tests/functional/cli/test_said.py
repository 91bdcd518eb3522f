"""What the command says: help, jobs, plans, progress, and what a folder holds."""

from __future__ import annotations

import os
import pty
import re
import threading

import pytest

from orchestrator.cli import cli

HEAVY = {"pyarrow", "boto3", "rich", "rdkit", "numpy"}


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["run", "crossref", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(desk, words):
    """Help is what people ask for most, and on a slow disk these packages take seconds."""
    said = desk.script_with("-X", "importtime", "-m", "orchestrator.cli", *words)
    assert said.code == 0, said.err
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in said.err.splitlines()}
    assert "click" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("command", [[], *([name] for name in cli.commands)])
def test_help_ends_in_an_example_on_a_line_of_its_own(desk, command):
    """An example that is wrapped into a paragraph cannot be copied."""
    said = desk.aliquot(*command, "--help")
    examples = [line for line in said.out.splitlines() if line.startswith("  aliquot ")]
    assert examples
    assert "\\" not in said.out


def test_help_lists_every_command_under_a_heading_and_cuts_none_short(desk):
    said = desk.aliquot("--help").out.partition("\nRun:\n")[2]
    listed = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(cli.commands)
    assert "..." not in said


def test_help_of_a_job_lists_its_options(desk):
    said = desk.aliquot("run", "crossref", "--help")
    for phrase in (
        "--templates",
        "[exact|substructure]",
        "--skip-bad-templates",
        "--max-failed",
        "[default: exact]",
    ):
        assert phrase in said.out
    own, _, every = said.out.partition("Options of the job:")[2].partition("\nOptions:\n")
    assert "--templates" in own
    assert "--max-failed" in every
    examples = [line for line in said.out.splitlines() if line.startswith("  aliquot ")]
    assert examples == [
        "  aliquot run crossref reactions.rsmi.gz --templates templates.csv --out runs/crossref"
    ]
    plain = desk.aliquot("plan", "jobs:one", "--help").out
    assert "\n  aliquot plan jobs:one DATA\n" in plain


def test_jobs_are_listed_aligned_and_wrapped(desk):
    said = desk.aliquot("jobs")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "crossref"
    assert max(map(len, lines)) <= 100
    for job in said.out.split("\n\n"):
        helps = [re.match(r"  --\S+( [A-Z=]+)?\s+", line) for line in job.splitlines()]
        assert len({found.end() for found in helps if found}) <= 1
    assert "--templates PATH" in said.out
    assert "exact|substructure; " in said.out
    assert "MODULE:FUNCTION" in lines


def test_plan_writes_nothing_and_says_the_same_twice(desk):
    data = desk.write_records(500)
    before = sorted(desk.folder.rglob("*"))
    plans = [desk.aliquot("plan", "jobs:one", data, "--workers", "2") for _ in range(2)]
    assert [plan.code for plan in plans] == [0, 0], plans[0].err
    after = [path for path in sorted(desk.folder.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before
    counts = [re.findall(r"^dataset.*$|a probe of .*", plan.out, re.MULTILINE) for plan in plans]
    assert counts[0] == counts[1]
    assert counts[0][0].startswith("dataset  500 records in 1 chunk, ")
    assert re.search(
        r"^time     (less than a second|about .*) on 2 workers; .* ms a record", plans[0].out, re.MULTILINE
    )


def test_plan_of_slow_records_gives_time_with_an_interval(desk):
    desk.write("mine.py", "import time\ndef f(record):\n    time.sleep(0.01 * (len(record['smiles']) % 3))\n")
    said = desk.aliquot("plan", "mine:f", desk.write_records(20_000), "--workers", "2")
    assert said.code == 0, said.err
    found = re.search(r"time     about \S+ min \(\S+ min to \S+ min\) on 2 workers; (\S+) ms", said.out)
    assert found, said.out
    assert 5 < float(found[1]) < 20  # 8.6 ms and what sleeping adds


DEPENDENT = {
    "neighbours": """
def open_it(options, prepared):
    def go(records):
        records = list(records)
        return iter([[{"n": len(records)}] for record in records])
    return go
""",
    "counting": """
def open_it(options, prepared):
    seen = []
    def go(records):
        for record in records:
            seen.append(record)
            yield [{"n": len(seen)}]
    return go
""",
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_plan_refuses_a_job_whose_rows_depend_on_other_records(desk, name):
    desk.write(
        f"{name}.py",
        "import dataclasses\nfrom aliquot import Job, Stage\n"
        "@dataclasses.dataclass(frozen=True)\nclass Options:\n    pass\n"
        f"{DEPENDENT[name]}"
        "job = Job('mine', version=1, options=Options, stages=(Stage('go', open_it),))\n",
    )
    said = desk.aliquot("plan", f"{name}:job", desk.write_records(50))
    assert said.code == 2
    assert "a record's rows may depend on that record only" in said.err


def test_plan_takes_rows_with_columns_of_their_own_for_what_they_are(desk):
    """A column that only a neighbour's row has is no dependence; nor is a record that fails now and then."""
    desk.write(
        "mine.py",
        "calls = []\n"
        "def f(record):\n"
        "    n = int(record['id'][1:])\n"
        "    calls.append(n)\n"
        "    assert len(calls) != 6\n"
        "    return {'a' if n % 2 else 'b': n}\n",
    )
    said = desk.aliquot("plan", "mine:f", desk.write_records(30))
    assert said.code == 0, said.err
    assert "probe of 30 records, 1 of them failed" in said.out


def test_plan_refuses_what_cannot_be_read_twice_or_has_nothing(desk):
    desk.write("header.csv", "id\n")
    said = desk.aliquot("plan", "jobs:one", "header.csv")
    assert said.code == 2
    assert said.err == "aliquot: header.csv: holds no records\nnext: aliquot plan jobs:one --help\n"


def test_show_says_where_a_run_stands(desk):
    data = desk.write_records(30)
    assert desk.aliquot("run", "jobs:every_third", data, "--out", "out").code == 3
    shown = desk.aliquot("show", "out")
    assert shown.code == 0
    for phrase in (
        "job       jobs:every_third (version 1",
        "dataset   data.csv",
        "state     finished",
        "records   30: 20 done, 10 failed, 0 not tried",
        "10 exception",
        "data.csv:2 exception: ValueError: no 0",
        "next      aliquot resume out --retry failed",
    ):
        assert phrase in shown.out
    (desk.folder / "jobs.py").unlink()  # a folder can be looked at where its code is not
    assert desk.aliquot("show", "out").out == shown.out


def test_progress_is_lines_where_there_is_no_terminal(desk):
    """One line every few seconds, with how far it is and how long it takes still."""
    data = desk.write_records(600)
    said = desk.aliquot("run", "jobs:slow", data, "--out", "out", "--workers", "2")
    assert said.code == 0
    lines = [line for line in said.err.splitlines() if " records/s, " in line]
    assert lines
    assert re.match(r"[\d,]+ of 600 records \(\d+%\), 0 failed, \d+ records/s, .* left", lines[0])
    assert "\x1b" not in said.err
    assert said.out == ""


def test_progress_is_a_bar_on_a_terminal_and_nothing_when_quiet(desk):
    data = desk.write_records(100)
    ours, theirs = pty.openpty()
    process = desk.begin("run", "jobs:slow", data, "--out", "out", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    reader = threading.Thread(target=_drain, args=(ours, shown))
    reader.start()
    assert process.wait(30) == 0
    reader.join(10)
    text = shown.decode()
    assert "records/s" in text
    assert "━" in text
    assert "100 of 100 records done" in text
    quiet = desk.aliquot("run", "jobs:one", data, "--out", "quiet", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def _drain(fd, into):
    try:
        while piece := os.read(fd, 1 << 16):
            into += piece
    except OSError:  # the other end is closed
        pass
    os.close(fd)


def test_other_systems_get_one_clear_line(desk):
    said = desk.python("import sys, orchestrator.cli\nsys.platform = 'win32'\norchestrator.cli.main()\n")
    assert said.code == 2
    assert said.err == "Aliquot runs on Linux and macOS; this is win32. On Windows use WSL 2.\n"


def test_text_of_a_dataset_does_not_reach_the_terminal_as_commands(desk):
    """An id that clears the screen or turns text around would show a reader what its writer chose."""
    desk.write("mine.py", "def f(record):\n    raise ValueError(record['id'])\n")
    desk.write("data.csv", "id,smiles\n\x1b[2Jgone,C\n\u202etxet,C\n")
    said = desk.aliquot("run", "mine:f", "data.csv", "--out", "out")
    assert said.code == 3
    shown = said.err + desk.aliquot("show", "out").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[2Jgone" in shown
