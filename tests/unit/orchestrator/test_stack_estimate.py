"""What a run is told to take on a stack, against figures that were worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aliquot.errors import BadOption, BadReference
from aliquot.folders import count_room
from aliquot.prices import Prices
from aliquot.spending import Tariff
from orchestrator.aws.estimate import StackEstimate, estimate_at, estimate_for
from orchestrator.aws.room import check_room
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.target import Target
from orchestrator.budget import PRICES, read_prices
from orchestrator.estimate import Estimate
from orchestrator.forecast.limits import Strain
from orchestrator.forecast.place import Place
from orchestrator.forecast.work import measure_work
from orchestrator.options import ReferenceSize
from orchestrator.quotas import QUOTAS

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
# 1,000 records of 0.6 s are 600 s of work: 10 chunks, and 13 tasks that are handed back
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
    open_s=3.0,
    draws=(measure_work([0.6] * 1000),),
)
WINDOW = 8


def price(**prices: float) -> Tariff:
    """A tariff in which all else costs nothing."""
    return Tariff(Prices.from_plain({**NOTHING, **prices}), "arm64", 150.0)


def estimate(local: Estimate, tariff: Tariff, window: int = WINDOW) -> StackEstimate:
    return estimate_at(local, Place(tariff, window))


def test_time_is_what_its_parts_add_up_to():
    """First ticks 5 s, cold start 2 + 3, ramp 5 + 5 a second to 8, work (600 + 23 x 0.4) / 8, settling."""
    cold_s, ramp_s, work_s, apart_s = 5 + 5, 0.6, 609.2, 0.8 * 30
    work_at_ramp_s = 0.6 * (5 + 8) / 2
    answered_s = cold_s + ramp_s + (work_s - work_at_ramp_s) / 8 + apart_s
    settled_s = 45 / 2 + 0.5  # at 8 tasks at a time the sixth tick waits so long
    merged_s = 5 + 0.1 * 23 + 5
    found = estimate(LOCAL, price())
    assert found.wall_s == pytest.approx((answered_s + settled_s + merged_s,) * 3, rel=0.06)


def test_second_of_a_worker_is_counted_once_for_each_that_is_billed():
    """Records 600 s, 23 tasks of 0.4 s and 8 cold starts of 5 s; tallies; merging 23 outcomes in 3,008 MB."""
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)  # for a second of 1,769 MB
    merging_s = 23 * 0.1 + 2 * 5.0
    usd = estimate(LOCAL, a_dollar).usd[0]
    assert usd == pytest.approx(600 + 9.2 + 40 + merging_s * 3008 / 1769, abs=10 * 0.5)  # ticks
    assert estimate(LOCAL, replace(a_dollar, architecture="x86_64")).usd[0] == 0


@pytest.mark.parametrize(
    ("name", "n_times"),
    [
        ("lambda_request", 23 + 2),  # tasks; a merge and the publication
        ("s3_put", 10 + 23 + 16),  # chunks, outcomes; merging
        ("s3_get", 23 * 4 + 23 * 4),  # of workers, of merging
        ("sqs_request", 23 * 4),
        ("step_transition", 15),  # merging
    ],
)
def test_every_request_of_a_run_is_in_its_price(name, n_times):
    """Besides those of its ticks, five to nine."""
    n_a_tick = {"lambda_request": 1, "s3_put": 6, "s3_get": 4, "sqs_request": 1, "step_transition": 5}[name]
    found = estimate(LOCAL, price(**{name: 1.0})).usd[0] - n_times
    assert 5 * n_a_tick <= found <= 9 * n_a_tick
    assert found == pytest.approx(round(found))


def test_record_is_never_shared_between_workers():
    """10 records of 60 s: no run is over before one of its records."""
    few = replace(LOCAL, n_records=10, n_chunks=1, n_bytes=0, draws=(measure_work([60.0] * 10),))
    assert estimate(few, price(), 80).wall_s[0] > 5 + 60 + 30


def test_chunk_is_a_task_however_little_work_it_is():
    light = replace(LOCAL, n_chunks=100, n_bytes=0, draws=(measure_work([0.0] * 1000),))
    assert 100 + 2 < estimate(light, price(lambda_request=1.0)).usd[0] < 100 + 2 + 12


def test_spread_of_the_work_becomes_an_interval():
    draws = tuple(measure_work([mean_s] * 1000) for mean_s in (0.4, 0.6, 0.9))
    spread = estimate(replace(LOCAL, draws=draws), price(lambda_gb_s_arm64=1024 / 1769))
    for median, low, high in (spread.wall_s, spread.usd):
        assert low < median < high
    assert spread.usd[0] == estimate(LOCAL, price(lambda_gb_s_arm64=1024 / 1769)).usd[0]


def test_dataset_that_lies_in_s3_is_cut_there_and_not_uploaded():
    """100 GB in S3 are no three hours of a line that is never used: 6,667 s of 50 functions of 3,008 MB."""
    large = replace(LOCAL, n_bytes=100_000_000_000)
    assert estimate(large, price()).wall_s[0] > 10_000
    there = estimate(replace(large, is_in_s3=True), price())
    assert 30 + 133 < there.wall_s[0] < 350
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)
    cut_s = 2 * 1491 * 2.236 + 9  # 1,491 parts, each counted and cut; three steps
    dearer = estimate(replace(large, is_in_s3=True), a_dollar).usd[0] - estimate(LOCAL, a_dollar).usd[0]
    assert dearer == pytest.approx(cut_s * 3008 / 1769, abs=20)


def test_plan_says_what_limits_it():
    heavy = replace(LOCAL, n_records=100_000, n_chunks=100, n_bytes=0, draws=(measure_work([6.0] * 100_000),))
    said = estimate(heavy, price(), 500).limit
    assert said.startswith("500 tasks at a time: a larger Concurrency")
    assert "nothing yet" in estimate(heavy, price(), 1000).limit
    long = replace(LOCAL, draws=(measure_work([0.001] * 999 + [600.0]),))
    assert estimate(long, price()).limit.startswith("the longest record, some 600 s")
    assert "data that lies in S3" in estimate(replace(LOCAL, n_bytes=10**10), price()).limit


def test_estimate_reads_well():
    one = replace(LOCAL, n_records=1, n_chunks=1, n_bytes=900, n_sampled=1)
    place, strained = Place(price(), 1), Strain(QUOTAS["chunks of a run"], 1)
    said = StackEstimate(one, place, (40.0,) * 3, (0.00121, 0.00119, 0.00121), "the work itself", strained)
    assert str(said).splitlines() == [
        "dataset  1 record in 1 chunk, 900 B",
        "time     about 40 s with at most 1 task at a time",
        "cost     $0.0012",
        "memory   50 MiB a worker: rung small",
        "limit    the work itself",
        "from a probe of 1 record here; intervals are of 90%",
    ]
    many = replace(LOCAL, n_records=9_998_731, n_chunks=4120, n_bytes=4_321_000_000)
    part = replace(many, n_failed=3, share_read=0.0155)
    probe = "from a probe of 200 records here, 3 of them failed, out of 1.55% of the dataset"
    part = replace(part, memory_mib=4000)
    place = Place(price(), 500)
    said = StackEstimate(part, place, (700.0, 600.0, 800.0), (12.4, 10.0, 15.0), "the ramp", strained)
    assert str(said).splitlines() == [
        "dataset  about 10,000,000 records in about 4,120 chunks, 4.32 GB",
        "time     about 12 min (10 min to 13 min) with at most 500 tasks at a time",
        "cost     $12.40 ($10.00 to $15.00)",
        "memory   2,000 MiB a worker: such records climb to rung medium, where the stack has it",
        "limit    the ramp",
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
        assert found == estimate_at(LOCAL, Place(arm64, window, may_wait=workers is None))


def test_prices_of_the_users_are_what_a_plan_counts_by(override):
    """At 1000 times the price of a worker's second the estimate is dearer, and by that alone."""
    page = (Path(__file__).parents[3] / "docs" / "stack.md").read_text()
    override(next(line for line in page.splitlines() if line.startswith("    {")))
    assert read_prices().source == "our contract"
    override(json.dumps({"lambda_gb_s_arm64": 0.0133334, "as_of": "our contract"}))
    assert read_prices() == replace(Prices(), lambda_gb_s_arm64=0.0133334, as_of="our contract")
    found = estimate_for(Target("rehearsal"), CloudSettings(WINDOW), lambda: LOCAL)
    billed_s = 650 + 12.3 * 3008 / 1769
    assert found.usd[0] == pytest.approx(billed_s * 1769 / 1024 * 0.0133334, rel=1e-2)


GB = 1_000_000_000
MIB = 1 << 20
STOCK = ReferenceSize("/data/stock.bin", "5" * 64, 3 * GB, 3 * GB)


def test_loading_is_in_the_time_and_the_price_of_every_cold_start():
    """3 GB at 50 MB/s are 60 s for each of 8 workers; on the way there, at 10 MB/s, 300 s, once."""
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)
    light, heavy = estimate(LOCAL, a_dollar), estimate(replace(LOCAL, references=(STOCK,)), a_dollar)
    assert heavy.usd[0] - light.usd[0] == pytest.approx(8 * 60, rel=0.02)
    assert heavy.wall_s[0] - light.wall_s[0] == pytest.approx(300 + 60, rel=0.05)
    assert heavy.loading_usd == pytest.approx(8 * 60)
    sent = estimate(replace(LOCAL, references=(STOCK,), sent=frozenset({STOCK.sha256})), a_dollar)
    assert heavy.wall_s[0] - sent.wall_s[0] == pytest.approx(300)
    assert sent.usd == heavy.usd


def test_every_request_of_loading_is_in_the_price():
    """A GET of each of 8 workers; prepared files count as references do."""
    light = estimate(LOCAL, price(s3_get=1.0)).usd[0]
    loaded = replace(LOCAL, references=(STOCK,), prepared_bytes=100)
    assert estimate(loaded, price(s3_get=1.0)).usd[0] - light == pytest.approx(8 * (1 + 1), abs=4)  # a tick


def test_plan_speaks_of_loading_where_it_matters():
    tariff = Tariff(Prices(), "arm64", 150.0)
    said = str(estimate(replace(LOCAL, references=(STOCK,)), tariff))
    assert "\nloading  each worker first fetches 3 GB: 60 s, $0.01" in said
    assert "; uploaded once: 3 GB, 5.0 min\n" in said
    folder = str(estimate(replace(LOCAL, references=(STOCK._replace(is_folder=True),)), tariff))
    assert "each worker fetches up to 3 GB" in folder
    assert "loading" not in str(estimate(replace(LOCAL, prepared_bytes=10_000_000), tariff))


def test_what_is_prepared_here_is_not_prepared_by_each_worker():
    """Only opening is: of crossref, a fifth of a second out of three."""
    slow = replace(LOCAL, start_s=103.0)
    assert estimate(slow, price()).wall_s[0] - estimate(LOCAL, price()).wall_s[0] == pytest.approx(100)
    a_dollar = price(lambda_gb_s_arm64=1024 / 1769)
    assert estimate(slow, a_dollar).usd == estimate(LOCAL, a_dollar).usd


def test_plan_refuses_what_has_no_room_in_the_workers():
    with pytest.raises(BadReference, match=r"stock.bin: needs 2,861 MiB, and .* 2,016 .*TmpMiB=3072 or more"):
        estimate_for(
            Target("rehearsal"), CloudSettings(), lambda: replace(LOCAL, references=(STOCK,)), is_cut=False
        )


def carry(**sizes_mib: int) -> list[ReferenceSize]:
    return [ReferenceSize(name, "", size * MIB, size * MIB) for name, size in sizes_mib.items()]


def test_room_counts_all_that_a_run_carries_and_says_what_to_do():
    check_room("prod", 2048, carry(a=1000, b=1016))
    check_room("prod", 2048, carry(a=1000), prepared_bytes=1016 * MIB)
    check_room("old", 0, carry(a=99_999))
    with pytest.raises(
        BadReference,
        match=r"^b: needs 1,017 MiB, with what goes beside it 2,017, .*'prod' .* 2,016 MiB .*=2560",
    ):
        check_room("prod", 2048, carry(a=1000, b=1017))
    with pytest.raises(BadReference, match=r"Lambda has 10,240 at most: give the job less"):
        check_room("prod", 2048, carry(a=10_240))


def test_of_a_folder_a_few_files_need_room_at_a_time():
    """A stock of 25 GB in shards of 280 MB; one that is a shard alone is there whole or not at all."""
    assert count_room([280] * 90) == 7 * 280
    assert count_room([3999, 1]) == 4000
    assert count_room([]) == 0
    check_room("prod", 2048, [ReferenceSize("stock", "", 25_000 * MIB, 7 * 280 * MIB, is_folder=True)])


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
