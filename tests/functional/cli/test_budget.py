"""A budget of wall time on this machine: a ceiling, with what finished delivered and the rest listed."""

from __future__ import annotations

import time

import pytest

N_RECORDS = 2000
SLOW = """
import time
from pathlib import Path

def briefly(record):
    time.sleep(0.001)
    return {"id": record["id"]}

def slow(record):
    time.sleep(0 if Path("hurry").exists() else 0.05)
    return {"id": record["id"]}
"""


@pytest.fixture
def data(desk):
    desk.write("timed.py", SLOW)
    return desk.write_records(N_RECORDS)


def test_plan_that_exceeds_its_budget_is_refused_unless_told_to_go_on(desk, data):
    """Records that sleep 2 s; the probe, of 200 of them, is short."""
    words = ("run", "timed:briefly", data, "--workers", "1")
    said = desk.aliquot(*words, "--out", "out", "--budget-time", "1.5s")
    assert said.code == 2
    assert "the plan takes about" in said.err
    assert "--anyway" in said.err
    assert not (desk.folder / "out").exists()


def test_run_stops_when_its_time_is_up_and_goes_on_with_more(desk, data):
    began_s = time.monotonic()
    words = ("run", "timed:slow", data, "--workers", "2")
    said = desk.aliquot(*words, "--out", "out", "--budget-time", "3s", "--anyway")
    assert said.code == 4
    assert "aliquot resume out --budget-time MORE" in said.err
    assert time.monotonic() - began_s < 3 + 10  # the machine may be busy; the whole run is 50 s
    done = desk.summary()["done"]
    assert 0 < done < N_RECORDS
    assert [row["id"] for row in desk.rows()] == [row["id"] for row in desk.rows()[:done]]
    assert sum(row["last"] - row["first"] + 1 for row in desk.read("not_tried")) == N_RECORDS - done
    again = desk.aliquot("resume", "out")  # the same total, which is used up
    assert again.code == 4
    desk.write("hurry", "")
    advised = desk.aliquot("show", "out").out.splitlines()[-1]  # `resume` alone would stop at once
    assert advised.startswith("next      aliquot resume out --budget-time ")
    assert float(advised.split()[-1].removesuffix("s")) >= 6
    assert desk.aliquot("resume", "out", "--budget-time", "10m").code == 0
    assert [row["id"] for row in desk.rows()] == [f"r{i}" for i in range(N_RECORDS)]


def test_money_is_no_limit_to_what_costs_none(desk):
    assert (
        desk.aliquot("run", "jobs:counted", desk.write_records(5), "--out", "o", "--budget-usd", "1").code
        == 0
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget-time", "soon"), "'soon' is not a time: 90s, 10m, 1.5h or 2d"),
        (("--budget-time", "0"), "'0' is not a time"),
        (("--budget-usd", "0"), "0 is not in the range x>0"),
    ],
)
def test_budget_that_cannot_be_is_refused(desk, words, said):
    refused = desk.aliquot("run", "jobs:counted", desk.write_records(5), "--out", "out", *words)
    assert refused.code == 2
    assert said in refused.err
