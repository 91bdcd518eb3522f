"""What a run is told to take on a stack, against figures that were worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aliquot.errors import BadOption
from aliquot.prices import Prices
from aliquot.spending import Tariff
from orchestrator.aws.estimate import StackEstimate, estimate_for, estimate_on_stack
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.target import Target
from orchestrator.budget import PRICES, read_prices
from orchestrator.estimate import Estimate

NOTHING = dict.fromkeys(
    (
        "lambda_gb_s_arm64",
        "lambda_gb_s_x86_64",
        "lambda_request",
        "s3_put",
        "s3_get",
        "sqs_request",
        "step_transition",
    ),
    0.0,
)
# 1,000 records of 0.6 s are 600 s of work: 20 slices of 30 s, of which 8 run at a time
LOCAL = Estimate(
    n_records=1000,
    n_chunks=10,
    n_bytes=20_000_000,
    workers=2,
    record_ms=(600.0, 600.0, 600.0),
    wall_s=(300.0, 300.0, 300.0),
    memory_mib=100,
    n_sampled=200,
    n_failed=0,
    start_s=3.0,
)
WINDOW = 8


def price(**prices: float) -> Tariff:
    """A tariff in which all else costs nothing."""
    return Tariff(Prices.from_plain({**NOTHING, **prices}), "arm64", 150.0)


def test_time_is_what_its_parts_add_up_to():
    """Upload 2 s, cold start 2 + 3, ramp 8 / 5 / 2, a tick 15, settling 20, work (600 + 20 x 0.4) / 8."""
    estimate = estimate_on_stack(LOCAL, price(), WINDOW)
    assert estimate.wall_s == pytest.approx((118.8, 118.8, 118.8))


def test_second_of_a_worker_is_counted_once_for_each_that_is_billed():
    """Slices 20 x (30 + 0.4) and 8 cold starts of 5 s; 10 tallies of 0.5 s; 15 s of merging in 3,008 MB."""
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)  # for a second of 1,769 MB
    estimate = estimate_on_stack(LOCAL, a_dollar, WINDOW)
    assert estimate.usd[0] == pytest.approx(608 + 40 + 5 + 15 * 3008 / 1769, abs=0.03)  # whole milliseconds
    assert estimate_on_stack(LOCAL, replace(a_dollar, architecture="x86_64"), WINDOW).usd[0] == 0


@pytest.mark.parametrize(
    ("name", "n_times"),
    [
        ("lambda_request", 20 + 10 + 2),  # slices, ticks; a merge and the publication
        ("s3_put", 10 + 20 + 10 * 6 + 16),  # chunks, outcomes, six listings a tick; merging
        ("s3_get", 20 * 4 + 10 * 4 + 20 * 4),  # of workers, of ticks, of merging
        ("sqs_request", 20 * 4 + 10),  # slices; ticks
        ("step_transition", 10 * 5 + 15),  # ticks; merging
    ],
)
def test_every_request_of_a_run_is_in_its_price(name, n_times):
    assert estimate_on_stack(LOCAL, price(**{name: 1.0}), WINDOW).usd[0] == pytest.approx(n_times)


def test_more_tasks_at_a_time_than_there_are_slices_change_nothing():
    """20 workers, not 500: ramp 20 / 5 / 2 s, work 608 / 20 s; people would be told of a ramp of 50 s."""
    estimate = estimate_on_stack(LOCAL, price(), 500)
    assert estimate.wall_s[0] == pytest.approx(2 + 5 + 2 + 15 + 20 + 30.4)


def test_record_is_never_shared_between_workers():
    """10 records of 60 s make 10 tasks, and no run is over before one of its records."""
    few = replace(LOCAL, n_records=10, n_chunks=1, n_bytes=0, record_ms=(60e3, 60e3, 60e3))
    estimate = estimate_on_stack(few, price(), WINDOW * 10)
    assert estimate.wall_s[0] == pytest.approx(5 + 1 + 15 + 20 + 60.4)


def test_chunk_is_a_task_however_little_work_it_is():
    """100 chunks of nothing: 100 requests of workers, 3 + 3 ticks in 45.8 s, merge and publication."""
    light = replace(LOCAL, n_chunks=100, n_bytes=0, record_ms=(0.0, 0.0, 0.0))
    estimate = estimate_on_stack(light, price(lambda_request=1.0), WINDOW)
    assert estimate.usd[0] == pytest.approx(100 + 6 + 2)


def test_spread_of_records_becomes_an_interval_around_the_mean():
    """The bootstrap's interval need not hold the mean of batches; what people read has to."""
    spread = replace(LOCAL, record_ms=(600.0, 500.0, 900.0))
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)
    mean, low, high = estimate_on_stack(spread, a_dollar, WINDOW).usd
    assert low < mean < high
    assert (mean, low) == pytest.approx((678.5, 576.0), abs=0.1)
    odd = estimate_on_stack(replace(LOCAL, record_ms=(600.0, 610.0, 620.0)), a_dollar, WINDOW)
    assert odd.usd[1] == odd.usd[0] < odd.usd[2]
    assert odd.wall_s[1] == odd.wall_s[0] < odd.wall_s[2]


def test_dataset_that_lies_in_s3_is_cut_there_and_not_uploaded():
    """100 GB in S3 are no three hours of a line that is never used: 6,667 s of 50 functions of 3,008 MB."""
    large, a_dollar = replace(LOCAL, n_bytes=100_000_000_000), price(lambda_gb_s_arm64=1024 / 1769)
    assert estimate_on_stack(large, price(), WINDOW).wall_s[0] == pytest.approx(10_116.8)
    there = estimate_on_stack(replace(large, is_in_s3=True), a_dollar, WINDOW)
    assert there.wall_s[0] == pytest.approx(116.8 + 30 + 133.33, abs=0.01)
    n_ticks = 3 + 280 // 15
    cut_s = 2 * 1491 * 2.236 + 9  # 1,491 parts, each counted and cut; three steps
    assert there.usd[0] == pytest.approx(648 + n_ticks / 2 + (15 + cut_s) * 3008 / 1769, abs=0.1)
    a_transition = price(step_transition=1.0)
    here, there = (
        estimate_on_stack(replace(large, is_in_s3=it), a_transition, WINDOW).usd[0] for it in (False, True)
    )
    n_more_ticks = 10_116 // 15 - 280 // 15
    assert there - here + 5 * n_more_ticks == pytest.approx(2 * 1491 * 4 + 2 * 3 + 2 + 3)
    small = estimate_on_stack(replace(LOCAL, is_in_s3=True), price(), WINDOW)  # one part: one function
    assert small.wall_s[0] == pytest.approx(116.8 + 30 + 1.333, abs=0.01)


def test_estimate_reads_well():
    one = replace(LOCAL, n_records=1, n_chunks=1, n_bytes=900, n_sampled=1)
    assert str(StackEstimate(one, 1, (40.0, 40.0, 40.0), (0.00121, 0.00119, 0.00121))).splitlines() == [
        "dataset  1 record in 1 chunk, 900 B",
        "time     about 40 s with at most 1 task at a time",
        "cost     $0.0012",
        "from a probe of 1 record here; intervals are of 90%",
    ]
    many = replace(LOCAL, n_records=9_998_731, n_chunks=4120, n_bytes=4_321_000_000)
    part = replace(many, n_failed=3, share_read=0.0155)
    probe = "from a probe of 200 records here, 3 of them failed, out of 1.55% of the dataset"
    assert str(StackEstimate(part, 500, (700.0, 600.0, 800.0), (12.4, 10.0, 15.0))).splitlines() == [
        "dataset  about 10,000,000 records in about 4,120 chunks, 4.32 GB",
        "time     about 12 min (10 min to 13 min) with at most 500 tasks at a time",
        "cost     $12.40 ($10.00 to $15.00)",
        f"{probe}; intervals are of 90%",
    ]


@pytest.fixture
def override(tmp_path, monkeypatch):
    """Give a user's file of prices its content."""

    def write(text: str) -> str:
        path = tmp_path / "prices.json"
        path.write_text(text)
        monkeypatch.setenv(PRICES, str(path))
        return str(path)

    return write


def test_rehearsal_is_priced_as_the_template_is_deployed(monkeypatch):
    """arm64, at most 500 tasks; or as many as `--workers` says."""
    monkeypatch.delenv(PRICES, raising=False)
    rehearsal = Target("rehearsal")
    arm64 = Tariff(Prices(), "arm64", 150.0)
    for workers, window in ((None, 500), (8, 8)):
        found = estimate_for(rehearsal, CloudSettings(workers), lambda: LOCAL)
        assert found == estimate_on_stack(LOCAL, arm64, window)


def test_prices_of_the_users_are_what_a_plan_counts_by(override):
    """At 1000 times the price of a worker's second the estimate is dearer, and by that alone."""
    override(json.dumps({"lambda_gb_s_arm64": 0.0133334, "as_of": "our contract"}))
    assert read_prices() == replace(Prices(), lambda_gb_s_arm64=0.0133334, as_of="our contract")
    found = estimate_for(Target("rehearsal"), CloudSettings(WINDOW), lambda: LOCAL)
    billed_s = 653 + 15 * 3008 / 1769
    assert found.usd[0] == pytest.approx(billed_s * 1769 / 1024 * 0.0133334, rel=1e-3)


def test_wrong_prices_are_told_before_anything_is_run(override):
    """A probe takes seconds; who waited for it would begin anew for a slip in a file."""
    override("[]")
    probed: list[bool] = []

    def estimate_here() -> Estimate:
        probed.append(True)
        return LOCAL

    with pytest.raises(BadOption, match=PRICES):
        estimate_for(Target("rehearsal"), CloudSettings(), estimate_here)
    assert not probed


def test_table_is_used_where_no_file_is_named(monkeypatch):
    for set_it in (lambda: monkeypatch.delenv(PRICES, raising=False), lambda: monkeypatch.setenv(PRICES, "")):
        set_it()
        assert read_prices() == Prices()


@pytest.mark.parametrize(
    ("text", "found", "allowed"),
    [
        ("s3_put: 1", "is not JSON", "object"),
        ("[1]", "is a list", "object"),
        ('{"s3_putt": 1}', "'s3_putt' is no price", "lambda_gb_s_arm64, lambda_gb_s_x86_64, lambda_request"),
        ('{"s3_put": -0.1}', "s3_put cannot be -0.1", "dollars, 0 or more"),
        ('{"s3_put": NaN}', "s3_put cannot be nan", "dollars, 0 or more"),
        ('{"s3_put": Infinity}', "s3_put cannot be inf", "dollars, 0 or more"),
        ('{"s3_put": "0.1"}', "s3_put cannot be '0.1'", "dollars, 0 or more"),
        ('{"s3_put": true}', "s3_put cannot be True", "dollars, 0 or more"),
        ('{"s3_put": null}', "s3_put cannot be None", "dollars, 0 or more"),
        ('{"as_of": 2026}', "as_of cannot be 2026", "text"),
    ],
)
def test_prices_that_cannot_be_are_refused_with_those_that_can(override, text, found, allowed):
    """A slip in the file must not plan by the table's prices, nor by none."""
    path = override(text)
    with pytest.raises(BadOption) as caught:
        read_prices()
    said = str(caught.value)
    assert said.startswith(f"option {PRICES}: {path}: ")
    assert found in said
    assert allowed in said


def test_file_of_prices_that_is_not_there_is_named_once(tmp_path, monkeypatch):
    path = str(tmp_path / "none.json")
    for given, reason in ((path, "No such file or directory"), (str(tmp_path), "Is a directory")):
        monkeypatch.setenv(PRICES, given)
        with pytest.raises(BadOption) as caught:
            read_prices()
        assert str(caught.value) == f"option {PRICES}: {given}: cannot be read: {reason}"
