"""Budgets on a stack: the bill, added up from what Lambda would charge, stays below; the rest is listed."""

from __future__ import annotations

import json
import re

import pytest

from aliquot.prices import Prices
from aliquot.spending import Tariff, estimate_least_usd

pytestmark = pytest.mark.usefixtures("cloud")

ON = ("--on", "aws:rehearsal", "--code", ".")
SLOW = "import time\ndef f(record):\n    time.sleep(0.02)\n    return {'id': record['id']}\n"


def add_up(stack, seen: int) -> float:
    """Dollars of the functions' time and requests since an invocation."""
    prices = Prices()
    invocations = stack.invocations()[seen:]
    memory_mb = {name: spec.memory_mib for name, spec in stack.functions.items()}
    seconds = sum(
        prices.memory_s("arm64", memory_mb[each.function]) * each.billed_ms / 1000 for each in invocations
    )
    return seconds + len(invocations) * prices.lambda_request


def test_run_stops_before_its_bill_reaches_the_budget(desk, cloud):
    """Some ticks' worth above the least: one at a time, the run's six chunks would take seven."""
    n_records, row = 1500, "C" * 4000
    desk.write("data.csv", "id,smiles\n" + "".join(f"r{i},{row}\n" for i in range(n_records)))
    budget_usd = round(estimate_least_usd(Tariff(Prices(), "arm64", 150.0)) + 5e-4, 6)
    seen = len(cloud.stack.invocations())
    words = ("run", "jobs:one", "data.csv", "--out", "out", *ON, "--anyway", "--quiet")
    said = desk.aliquot(*words, "--budget-usd", str(budget_usd))
    cloud.hold()
    assert add_up(cloud.stack, seen) < budget_usd
    assert said.code == 4, said.err
    summary, first_settling_usd = desk.summary(), desk.invoice()["settling"]["total"]
    assert 0 < summary["done"] < n_records
    assert summary["done"] + summary["not_tried"] == n_records
    first_usd = desk.invoice()["total"]
    assert first_usd < budget_usd
    following = f"aliquot resume out --budget-usd {2 * budget_usd:g}"
    assert f"next      {following}\n" in desk.aliquot("show", "out").out
    assert following in (desk.folder / "out" / "report.html").read_text()
    cloud.go()
    said = desk.aliquot("resume", "out", "--budget-usd", "1", "--quiet")
    assert said.code == 0, said.err
    assert desk.table().num_rows == n_records
    invoice = desk.invoice()
    assert first_usd < invoice["total"] < 1  # a new total, what was spent included
    assert invoice["settling"]["total"] > first_settling_usd


def test_budget_that_pays_for_nothing_is_refused(desk):
    desk.write("slow.py", SLOW)
    words = ("run", "slow:f", desk.write_records(10), "--out", "out", *ON)
    said = desk.aliquot(*words, "--budget-usd", "0.001", "--anyway")
    assert said.code == 2
    assert "$0.001 cannot pay for one task and its merge" in said.err


@pytest.mark.long
def test_run_stops_when_its_time_is_up_and_goes_on_with_more(desk):
    """A minute's work, of which the rest is done at once when it is resumed."""
    slow = SLOW.replace("0.02", f"0 if Path({str(desk.folder / 'hurry')!r}).exists() else 0.1")
    desk.write("slow.py", f"from pathlib import Path\n{slow}")
    data = desk.write_records(600)
    words = ("run", "slow:f", data, "--out", "out", *ON, "--workers", "1")
    said = desk.aliquot(*words, "--budget-time", "3s", "--anyway")
    assert said.code == 4, said.err
    assert "aliquot resume out --budget-time MORE" in said.err
    assert desk.summary()["not_tried"] > 0
    desk.write("hurry", "")
    said = desk.aliquot("resume", "out", "--budget-time", "10m")
    assert said.code == 0, said.err
    assert desk.table()["id"].to_pylist() == [f"r{i}" for i in range(600)]


def test_invoice_is_fetched_and_told(desk):
    """Against what was planned, where a budget made a plan."""
    desk.write("slow.py", SLOW)
    words = ("run", "slow:f", desk.write_records(20), *ON)
    said = desk.aliquot(*words, "--out", "out")
    assert said.code == 0, said.err
    assert desk.invoice()["total"] > 0
    assert desk.invoice()["estimated"] is None
    assert "cost" in desk.aliquot("show", "out").out
    said = desk.aliquot(*words, "--out", "planned", "--budget-usd", "1")
    assert said.code == 0, said.err
    assert 0 < desk.invoice("planned")["estimated"] < 1
    assert re.search(r"cost: \$[0-9.]+, planned \$[0-9.]+ \(planned/invoice\.json\)", said.err)


def read_usd(plan: str) -> float:
    """The dollars that a plan says, before their interval."""
    return float(re.search(r"^cost +\$([0-9.,]+)", plan, re.MULTILINE)[1].replace(",", ""))


def test_plan_says_time_and_dollars_and_puts_nothing(desk, cloud):
    """By the prices of the user's file where there is one: at 1000 times the price 1000 times the dollars."""
    before = cloud.list_keys("")
    words = ("plan", "jobs:one", desk.write_records(400), *ON, "--workers", "3")
    said = desk.aliquot(*words)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("dataset  400 records in 1 chunk, ")
    assert re.fullmatch(r"time     about \d+ s( \(.*\))? with at most 3 tasks at a time", lines[1])
    assert 0.001 < read_usd(said.out) < 0.02
    assert lines[5] == "from a probe of 200 records here; intervals are of 90%"
    times = {name: 1000 * value for name, value in Prices().to_plain().items() if isinstance(value, float)}
    desk.write("prices.json", json.dumps(times))
    dear = desk.aliquot(*words, ALIQUOT_PRICES="prices.json")
    assert 500 < read_usd(dear.out) / read_usd(said.out) < 2000
    desk.write("prices.json", '{"s3_put": -1}')
    refused = desk.aliquot(*words, ALIQUOT_PRICES="prices.json")
    assert (refused.code, refused.out) == (2, "")
    assert "ALIQUOT_PRICES: prices.json: s3_put cannot be -1: dollars, 0 or more" in refused.err
    assert cloud.list_keys("") == before


def test_dataset_in_s3_is_planned_and_held_to_its_budget(desk, cloud):
    """Its plan says what that of the same file says, and a budget needs no `--anyway`."""
    data = desk.write_records(50)
    s3 = cloud.stack.client("s3")
    s3.create_bucket(Bucket="datasets")
    s3.upload_file(str(desk.folder / data), "datasets", "june/data.csv")
    here, there = (desk.aliquot("plan", "jobs:one", each, *ON) for each in (data, "s3://datasets/june/"))
    assert there.code == 0, there.err
    assert there.out.splitlines()[0] == here.out.splitlines()[0]
    words = ("run", "jobs:one", "s3://datasets/june/", "--out", "out", *ON)
    said = desk.aliquot(*words, "--budget-time", "1s")
    assert (said.code, "the plan takes about" in said.err) == (2, True), said.err
