"""What a run asks of AWS, counted on the rehearsal: a bill by requests, and the waits of every slice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aliquot import spending
from aliquot.message import MOST_CHILDREN
from benchmarks.cloud.requests import (
    N_ENVIRONMENTS,
    Counted,
    Slice,
    count_runs,
    rehearse_short_slices,
    run_crossref,
    run_resting,
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Counted]]:
    """Two runs with slices of a second: how many processes opened the first's job, and all requests."""
    folder: Path = tmp_path_factory.mktemp("requests")
    with rehearse_short_slices(folder) as stack:
        n_opened = run_resting(folder)
        run_crossref(folder)
        yield n_opened, count_runs(stack)


@pytest.fixture
def slices(ran: tuple[int, Counted]) -> list[Slice]:
    return ran[1].slices


def list_kinds(slices: list[Slice], kind: str) -> list[Slice]:
    found = [each for each in slices if each.kind == kind]
    assert found, f"no slice was {kind!r}"
    return found


def test_slice_in_a_warm_environment_asks_for_its_chunk_and_the_stop_marker_alone(slices):
    for each in list_kinds(slices, "done in one slice"):
        assert each.requests == {"get chunks": 1, "get stop": 1, "put outcomes": 1, "hide": 1}


def test_hand_back_is_one_request_more_for_every_ten_tasks(slices):
    for each in list_kinds(slices, "handed back"):
        sent = each.requests["send"]
        assert each.requests == {"get chunks": 1, "get stop": 1, "put outcomes": 1, "hide": 1, "send": sent}
        assert 1 <= sent <= -(-MOST_CHILDREN // 10)
    assert min(each.requests["send"] for each in slices if each.kind == "handed back") == 1


def test_warm_environment_opens_its_job_and_fetches_what_it_needs_once(ran):
    """References, prepared files and the manifest are asked for by each environment's first slice alone."""
    n_opened, counted = ran
    assert n_opened <= N_ENVIRONMENTS
    kept = {"get references", "get prepared", "get manifest.json"}
    first = list_kinds(counted.slices, "an environment's first")
    assert kept <= {name for each in first for name in each.requests}
    assert len(first) <= 2 * N_ENVIRONMENTS
    assert not [each for each in counted.slices if not each.is_first and kept & each.requests.keys()]
    prepared = {each.run for each in first if each.requests["get prepared"]}
    assert [each for each in counted.slices if each.run in prepared and not each.is_first]


def test_later_delivery_looks_before_it_works_and_before_it_hands_back(slices):
    again = [each for each in slices if each.receives > 1]
    assert again, "no message came twice"
    for each in again:
        assert each.requests["list"] <= 5  # outcomes and voids, twice; prepared files
        assert each.requests["put redelivered"] <= 1


def test_bill_counts_no_fewer_requests_than_there_are(ran):
    """`measure_spend` goes by keys alone: what it takes a task, a delivery and a tick for was counted."""
    _, counted = ran
    for each in counted.slices:
        gets = sum(n for name, n in each.requests.items() if name.startswith("get ") and not each.is_first)
        assert gets <= spending.GETS_PER_OUTCOME
        if each.kind == "delivered again":
            noted = each.requests["list"] + each.requests["put redelivered"]
            assert noted <= spending._PUTS_PER_REDELIVERY
        else:
            assert each.requests["put outcomes"] <= spending.PUTS_PER_OUTCOME
    n_sqs = sum(each.requests["hide"] + each.requests["send"] for each in counted.slices)
    n_sqs += round(sum(counted.per_message.values()) * len(counted.slices))
    assert n_sqs <= spending._SQS_PER_OUTCOME * len(counted.slices)
    going_on = [each for each in counted.ticks if not each["put roster"]]
    assert going_on
    for each in going_on:
        assert sum(n for name, n in each.items() if name.startswith("get ")) <= spending._GETS_PER_TICK
        assert each["list"] < spending._LISTINGS_PER_TICK  # a budget asks for one more
    assert counted.transitions["a tick"] <= spending._TRANSITIONS_PER_TICK
