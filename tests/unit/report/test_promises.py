"""What the report says of a run's promises is what its figures say, not what was hoped for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.explain import Explained, State
from orchestrator.report.commands import spell_command
from orchestrator.report.promises import judge_promises


def told(summary: dict[str, Any], invoice: dict[str, Any] | None = None, **settings: Any) -> Explained:
    whole = {"records": 100, "done": 90, "failed": 10, "not_tried": 0, "elapsed_s": 50.0, "failures": {}}
    manifest = {
        "job": "words:count",
        "is_function": True,
        "identity": {
            "job": "words:count",
            "sources": [{"path": "a b.csv"}],
            "columns": {"x": "y"},
            "keep": ["k"],
        },
        "options": {},
        "settings": {"max_failed": "5%", "record_timeout_s": 60.0, **settings},
        "source_names": ["a b.csv"],
    }
    return Explained(
        Path("runs/a"), manifest, State("finished", "finished"), summary={**whole, **summary},
        invoice={"total": 0.0, **(invoice or {})},
    )  # fmt: skip


def states(explained: Explained) -> dict[str, str]:
    return {promise.title: promise.state for promise in judge_promises(explained)}


def test_promises_are_kept_or_broken_by_the_figures():
    assert states(told({})) == {
        "Nothing lost": "kept",
        "Few enough failed": "broken",
        "Budget": "none",
        "Plan": "none",
    }
    assert states(told({"records": 101}))["Nothing lost"] == "broken"
    assert states(told({}, max_failed="10"))["Few enough failed"] == "kept"


def test_budgets_and_plans_stand_beside_what_was_taken():
    asked = {"budget_usd": 1.0, "budget_time_s": 60.0, "estimated_s": (20.0, 15.0, 30.0)}
    found = states(told({}, {"total": 1.2, "estimated": 0.5}, **asked))
    assert found["Within its budget"] == "broken"
    assert found["Within its time"] == "kept"
    assert found["Time as planned"] == "broken"
    assert found["Cost as planned"] == "broken"
    found = states(told({"elapsed_s": 22.0}, {"total": 0.6, "estimated": 0.5}, **asked))
    assert found["Within its budget"] == found["Time as planned"] == found["Cost as planned"] == "kept"
    assert states(told({"elapsed_s": 61.0}, **asked))["Within its time"] == "broken"
    stopped = {"elapsed_s": 61.0, "done": 80, "not_tried": 10}
    assert states(told(stopped, **asked))["Within its time"] == "kept"


def test_a_run_that_goes_on_is_not_judged_by_what_it_delivered_before():
    """Stopped by its budget, resumed with more: the invoice and summary in its folder are of the stop."""
    asked = {
        "budget_usd": 1.0,
        "budget_time_s": 60.0,
        "estimated_s": (20.0, 15.0, 30.0),
        "estimated_usd": 0.5,
    }
    again = replace(told({}, {"total": 0.9}, **asked), state=State("running", "running: 90 of 100"))
    assert set(states(again).values()) == {"open"}
    assert {"Within its budget", "Within its time", "Time as planned", "Cost as planned"} < {*states(again)}


def test_the_command_says_what_was_chosen_and_survives_a_shell():
    chosen = {"threads": 4, "rate": "50/s", "retries": 0, "max_failed": "10", "budget_time_s": 90.0}
    explained = told({}, **chosen)
    explained.manifest["options"]["table"] = {"n m": {"path": "n.parquet", "sha256": "0"}}
    assert spell_command(explained) == (
        "aliquot run words:count 'a b.csv' --table 'n m=n.parquet' --column x=y --keep k --max-failed 10 "
        "--threads 4 --rate 50/s --retries 0 --budget-time 90s --out runs/a-again"
    )
