"""What a user may choose of any run: told what cannot be before anything begins, here or on a stack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aliquot.errors import BadOption
from aliquot.job import RECORD, Job, Stage
from aliquot.loading import NoOptions
from aliquot.stages import find_rate
from orchestrator.aws.settings import CloudSettings
from orchestrator.budget import parse_duration
from orchestrator.limits import check_rate
from orchestrator.local.settings import Settings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), (" 1.5h ", 5400), ("2d", 172_800), (3, 3), (100 / 3, 100 / 3)],
)
def test_time_is_written_as_people_write_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5 m", "1w", "nan", "inf", float("nan"), "9" * 400])
def test_other_texts_are_no_time(text):
    """One of 400 digits is an infinity of seconds, which a manifest cannot say."""
    with pytest.raises(BadOption, match="--budget-time"):
        parse_duration(text)


@pytest.mark.parametrize("settings", [Settings, CloudSettings])
@pytest.mark.parametrize(
    ("flag", "wrong"),
    [
        ("--record-timeout", {"record_timeout_s": 0.0}),
        ("--record-timeout", {"record_timeout_s": float("nan")}),
        ("--record-timeout", {"record_timeout_s": float("inf")}),
        ("--max-failed", {"max_failed": "many"}),
        ("--threads", {"threads": 0}),
        ("--threads", {"threads": 65}),
        ("--rate", {"rate": "50"}),
        ("--retries", {"retries": -1}),
        ("--retries", {"retries": 101}),
        ("--format", {"ending": "xls"}),
        ("--budget-usd", {"budget_usd": 0.0}),
        ("--budget-usd", {"budget_usd": float("nan")}),
        ("--budget-usd", {"budget_usd": float("inf")}),
        ("--budget-time", {"budget_time_s": 0.0}),
    ],
)
def test_limits_are_held_alike_by_both_backends(settings, flag, wrong):
    settings()
    with pytest.raises(BadOption, match=flag):
        settings(**wrong)


@pytest.mark.parametrize(("settings", "wrong"), [(Settings, {"workers": 0}), (CloudSettings, {"window": 0})])
def test_somebody_has_to_work(settings, wrong):
    with pytest.raises(BadOption, match="--workers"):
        settings(**wrong)


def _open(*_: object) -> Any:
    raise AssertionError


def test_a_rate_is_for_a_stage_that_has_one_and_that_its_place_can_keep():
    chain = Stage("find", _open), Stage("ask", _open)
    rated = chain[0], replace(chain[1], rate="5/s")
    apart = chain[0], replace(rated[1], exchange=RECORD)
    for stages, rate, is_on_stack in (
        (chain[:1], "9/s", True),
        (rated, "9/s", False),
        (apart, None, True),
        (chain, None, True),
    ):
        check_rate(Job("j", 1, NoOptions, stages), stages, rate, is_on_stack=is_on_stack)
    with pytest.raises(BadOption, match=r"--rate: .* none of them declares"):
        check_rate(Job("j", 1, NoOptions, chain), chain, "9/s", is_on_stack=False)
    with pytest.raises(BadOption, match="stage 'ask' of job 'j' has a rate, which a stack keeps"):
        check_rate(Job("j", 1, NoOptions, rated), rated, None, is_on_stack=True)
    assert [find_rate(rated, stage, "9/s") for stage in rated] == [0, 9]
    assert [find_rate(rated, stage, None) for stage in rated] == [0, 5]
