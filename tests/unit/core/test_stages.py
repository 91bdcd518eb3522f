"""Chains of stages: what may be declared, and how a manifest holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from aliquot.errors import JobError
from aliquot.job import MOST_STAGES, RECORD, Best, Job, Stage
from aliquot.stages import StageNote, are_stages, read_legs, split_legs


@dataclass(frozen=True)
class Options:
    """How deep a chain goes."""

    depth: int = 1


class Leaf(NamedTuple):
    """A row between two stages."""

    target: int
    leaf: str


def _open(*_: Any) -> Any:
    return iter


def _job(*stages: Stage) -> Job:
    return Job("toy", 1, Options, stages)


def test_an_exchange_begins_a_leg():
    job = _job(
        Stage("expand", _open),
        Stage("check", _open),
        Stage("stock", _open, exchange="leaf"),
        Stage("rank", _open, exchange=RECORD),
        Stage("draw", _open),
    )
    legs = split_legs([StageNote.of(stage) for stage in job.list_stages(Options())])
    assert [[stage.name for stage in leg.stages] for leg in legs] == [
        ["expand", "check"],
        ["stock"],
        ["rank", "draw"],
    ]
    assert [leg.tells_records for leg in legs] == [True, False, True]


def test_options_may_decide_the_chain():
    def chain(options: Options) -> tuple[Stage, ...]:
        return tuple(Stage(f"expand{depth}", _open) for depth in range(options.depth))

    job = Job("toy", 1, Options, chain)
    assert [stage.name for stage in job.list_stages(Options(3))] == ["expand0", "expand1", "expand2"]
    with pytest.raises(JobError, match="declares 0 stages; a job has 1 to 16"):
        job.list_stages(Options(0))


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((), "declares 0 stages"),
        (tuple(Stage(f"s{n}", _open) for n in range(MOST_STAGES + 1)), "declares 17 stages"),
        ((Stage("a", _open), Stage("a", _open)), "each needs a name of its own"),
        ((Stage("A b", _open),), "must be named by a-z"),
        ((Stage("a", _open, exchange="leaf"),), "is the first and exchanges nothing"),
        ((Stage("a", _open), Stage("b", _open, splits=True)), "splits groups and has none"),
        ((Stage("a", _open, memory_mib=0),), r"memory_mib=0; it takes a whole number from 1"),
        ((Stage("a", _open, concurrency=True),), "concurrency=True"),
        ((Stage("a", _open, writes=dict),), "must be a NamedTuple"),
        (
            (Stage("a", _open, whole=True, rate="5/s"),),
            "such a stage is the first, of one thread, without a rate",
        ),
        ((Stage("a", _open, whole=True, threads=2),), "such a stage is the first, of one thread"),
        ((Stage("a", _open), Stage("b", _open, whole=True)), "such a stage is the first"),
        ((Stage("a", _open, whole=True), Stage("b", _open)), "has to exchange by a column of theirs"),
        ((Stage("a", _open, best=Best(0, "q", "s")), Stage("b", _open, exchange="q")), "at least 1 goes on"),
        ((Stage("a", _open, best=Best(1, "q", "s")), Stage("b", _open)), "has to exchange by that column"),
        (
            (Stage("a", _open, best=Best(1, RECORD, "s")), Stage("b", _open, exchange=RECORD)),
            "has to exchange by that column",
        ),
        (
            (Stage("a", _open), Stage("b", _open, exchange="leaf", origin="of"), Stage("c", _open)),
            "'c' names no origin, and 'b' before it does",
        ),
        (
            (Stage("a", _open), Stage("b", _open, exchange="leaf", origin="of", writes=Leaf)),
            "names the origin 'of', which is no column",
        ),
    ],
)
def test_what_cannot_be_a_chain_is_refused_where_it_is_declared(stages, said):
    with pytest.raises(JobError, match=said):
        _job(*stages)


def test_records_without_rows_are_not_known_behind_an_exchange():
    stages = (Stage("a", _open), Stage("b", _open, exchange=RECORD))
    with pytest.raises(JobError, match="count them in its summary"):
        Job("toy", 1, Options, stages, without_rows="unsolved")


def test_a_manifest_holds_all_of_a_stage():
    stage = Stage("a", _open, memory_mib=512, concurrency=3, best=Best(5, "query", "score"))
    behind = Stage("b", _open, exchange="query", splits=True, origin="of")
    plain = [StageNote.of(each).to_plain() for each in (stage, behind)]
    assert are_stages(plain)
    first, second = read_legs({"stages": plain})
    assert (first.last, second.first) == (StageNote.of(stage), StageNote.of(behind))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": 5},
        {"exchange": "leaf"},
        {"splits": 1},
        {"memory_mib": -1},
        {"best": {"n": 1}},
        {"best": 3},
        {"more": 1},
    ],
)
def test_a_garbled_stage_is_seen(change):
    assert not are_stages([{**StageNote("a").to_plain(), **change}])
    assert not are_stages([])
    assert not are_stages({"name": "a"})
