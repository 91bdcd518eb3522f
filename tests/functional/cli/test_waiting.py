"""Records that wait, by the command: an `async` function, a rate for the run, tries; killed and resumed."""

from __future__ import annotations

import json
import signal
import time

import pytest

JOBS = """
import asyncio, os
from dataclasses import dataclass

from aliquot import Job, Stage, TryAgain

tried = set()

async def fetch(record):
    number = int(record["id"].removeprefix("r"))
    await asyncio.sleep(0.005 * (1 + number % 5))
    if number == 57:
        os._exit(3)
    if number == 111:
        await asyncio.sleep(1000)
    if number % 50 == 3:
        raise ValueError(f"no {number}")
    return {"number": number}

def ask_again(record):
    if record["id"] not in tried:
        tried.add(record["id"])
        raise TryAgain("busy", after_s=0.05)
    return {"id": record["id"]}

@dataclass(frozen=True)
class Options:
    pass

rated = Job("rated", 1, Options, (Stage("fetch", lambda *_: fetch, threads=4, rate="40/s"),))
"""


@pytest.fixture
def mine(desk):
    desk.write("mine.py", JOBS)
    return desk


@pytest.mark.long
def test_a_killed_async_run_resumes_and_says_what_one_at_a_time_says(mine):
    data = mine.write_records(160)
    limits = ("--record-timeout", "1", "--max-failed", "9%", "--workers", "2")
    words = ("run", "mine:fetch", data, *limits)
    process = mine.begin(*words, "--rate", "200/s", "--out", "killed")
    mine.wait_for(lambda: mine.outcomes("killed"))
    process.send_signal(signal.SIGKILL)
    mine.end(process)
    for command in ((*words, "--out", "killed"), (*words, "--threads", "1", "--out", "plain")):
        said = mine.aliquot(*command)
        assert said.code == 0, said.err
    assert mine.table("killed").equals(mine.table("plain"))
    assert mine.read("failures", "killed") == mine.read("failures", "plain")
    kinds = {row["record"]: row["kind"] for row in mine.read("failures", "plain")}
    assert kinds == {57: "crash", 111: "deadline", **dict.fromkeys((3, 53, 103, 153), "exception")}


def test_a_job_declares_its_rate_and_the_command_changes_it(mine):
    data = mine.write_records(40)
    for more, least_s in (((), 0.97), (("--rate", "1200/min"), 1.95)):
        began_s = time.monotonic()
        said = mine.aliquot("run", "mine:rated", data, "--out", f"out{least_s}", "--max-failed", "2", *more)
        assert said.code == 0, said.err
        assert time.monotonic() - began_s > least_s
    said = mine.aliquot("run", "mine:rated", data, "--out", "out", "--rate", "often")
    assert (said.code, "option --rate: 'often' is not of the form 50/s" in said.err) == (2, True), said.err


def test_tries_are_counted_in_the_summary_and_may_be_none(mine):
    data = mine.write_records(4)
    assert mine.aliquot("run", "mine:ask_again", data, "--out", "out", "--workers", "1").code == 0
    assert json.loads((mine.folder / "out" / "summary.json").read_text())["retries"] == 4
    assert "retries   4: tries beyond each record's first" in mine.aliquot("show", "out").out
    said = mine.aliquot("run", "mine:ask_again", data, "--out", "none", "--retries", "0")
    assert said.code == 3
    assert {row["message"] for row in mine.read("failures", "none")} == {"TryAgain: busy"}
