"""Budgets on a stack: the bill, added up from what Lambda would charge, stays below; the rest is listed."""

from __future__ import annotations

import pytest

from aliquot.prices import Prices

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
    desk.write("slow.py", SLOW)
    data = desk.write_records(600)
    seen = len(cloud.stack.invocations())
    said = desk.aliquot(
        "run", "slow:f", data, "--out", "out", *ON, "--budget-usd", "0.0101", "--anyway", "--quiet"
    )
    cloud.hold()
    assert add_up(cloud.stack, seen) < 0.0101
    assert said.code in (0, 3), said.err
    summary = desk.summary()
    assert summary["done"] + summary["not_tried"] == 600
    assert desk.invoice()["total"] < 0.0101


def test_budget_that_pays_for_nothing_is_refused(desk):
    desk.write("slow.py", SLOW)
    words = ("run", "slow:f", desk.write_records(10), "--out", "out", *ON)
    said = desk.aliquot(*words, "--budget-usd", "0.001", "--anyway")
    assert said.code == 2
    assert "$0.001 cannot pay for one task and its merge" in said.err


def test_run_stops_when_its_time_is_up_and_goes_on_with_more(desk):
    desk.write("slow.py", SLOW)
    data = desk.write_records(600)
    words = ("run", "slow:f", data, "--out", "out", *ON, "--workers", "1")
    said = desk.aliquot(*words, "--budget-time", "5s", "--anyway")
    assert said.code == 3, said.err
    assert "aliquot resume out --budget-time MORE" in said.err
    assert desk.summary()["not_tried"] > 0
    said = desk.aliquot("resume", "out", "--budget-time", "10m")
    assert said.code == 0, said.err
    assert desk.table()["id"].to_pylist() == [f"r{i}" for i in range(600)]


def test_invoice_is_fetched_and_told(desk):
    desk.write("slow.py", SLOW)
    said = desk.aliquot("run", "slow:f", desk.write_records(20), "--out", "out", *ON)
    assert said.code == 0, said.err
    assert desk.invoice()["total"] > 0
    assert "cost" in desk.aliquot("show", "out").out
