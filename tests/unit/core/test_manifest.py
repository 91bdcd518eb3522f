"""A manifest is the same whether a laptop or a stack freezes it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest

from aliquot.errors import BadOption
from aliquot.job import Job, Reference, Stage
from aliquot.manifest import Frozen, check_columns, freeze, identify, resolve_options, start_clock
from aliquot.readers import Source
from orchestrator.catalog import KnownJob
from orchestrator.options import describe_reference
from orchestrator.options import resolve_options as resolve_here
from orchestrator.request import Request, make_manifest

SOURCE = Source("/data/a.csv", "csv", size_bytes=10, mtime_ns=1, ends_sha256="0" * 64)


class Record(NamedTuple):
    name: str


class Row(NamedTuple):
    length: int


@dataclass(frozen=True)
class Options:
    stock: Annotated[Reference, "what is in stock"]
    mode: Literal["exact", "near"] = "exact"
    depth: int = 3
    limit: float | None = None


JOB = Job("plan", 4, Options, (Stage("search", lambda *_: map),), reads=Record, writes=Row)


@pytest.fixture
def stock(tmp_path):
    path = tmp_path / "stock.csv"
    path.write_text("a\n")
    return path


def test_stack_and_laptop_resolve_options_alike(stock):
    for given in ({"stock": stock}, {"stock": stock, "mode": "near", "depth": 4, "limit": 2}):
        assert resolve_options(JOB, given, describe_reference, str) == resolve_here(JOB, given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"stock": "x", "mod": "near"},
        {"stock": "STOCK", "mode": "far"},
        {"stock": "STOCK", "depth": 1.5},
        {"stock": "STOCK", "depth": True},
        {"stock": 1},
    ],
)
def test_stack_and_laptop_refuse_options_alike(stock, given):
    given = {name: str(stock) if value == "STOCK" else value for name, value in given.items()}
    said = []
    for resolve in (
        resolve_here,
        lambda *found: resolve_options(*found, describe_reference, lambda n: f"--{n}"),
    ):
        with pytest.raises(BadOption) as caught:
            resolve(JOB, given)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_stack_and_laptop_freeze_alike(stock):
    """What one of them writes the other reads: attach, resume, check_same."""
    options = resolve_here(JOB, {"stock": stock})
    settings = {"window": 10}
    chosen, keep = {"name": "title"}, ("yield",)
    here = Request(KnownJob(JOB, "plans:job"), options, (SOURCE,), ("a.csv",), None, chosen, keep)
    there = Frozen(JOB, "plans:job", options, [SOURCE], ["a.csv"], chosen, keep)
    assert identify(there) == here.identity
    said = make_manifest(here, settings, "0" * 64)
    once = {name: said[name] for name in ("architecture", "client_token", "created")}
    assert freeze(replace(there, package="0" * 64), settings, **once) == said


def test_time_that_a_run_has_had_counts_against_its_budget():
    assert start_clock(1000.0, 60.0) == {"begun_s": 1000.0, "spent_s": 0.0, "until_s": 1060.0}
    assert start_clock(1000.0, 60.0, 45.0) == {"begun_s": 1000.0, "spent_s": 45.0, "until_s": 1015.0}
    assert start_clock(1000.0, None, 45.0) == {"begun_s": 1000.0, "spent_s": 45.0, "until_s": None}


def test_columns_are_held_against_the_job():
    check_columns(JOB, {"name": "title"}, ["yield"], str)
    for chosen, keep, field in (
        ({"nom": "title"}, (), "columns"),
        ({}, ["length"], "keep"),
        ({}, ["record"], "keep"),
    ):
        with pytest.raises(BadOption) as caught:
            check_columns(JOB, chosen, keep, str)
        assert caught.value.option == field
    with pytest.raises(BadOption, match="it takes every column as it is named"):
        check_columns(replace(JOB, reads=None), {"name": "x"}, (), str)


def test_reference_is_known_by_its_content(stock):
    options = resolve_here(JOB, {"stock": stock})
    elsewhere = {**options, "stock": {**options["stock"], "path": str(Path("/elsewhere"))}}
    found = [identify(Frozen(JOB, "plans:job", each, [SOURCE], ["a"])) for each in (options, elsewhere)]
    assert found[0] == found[1]
