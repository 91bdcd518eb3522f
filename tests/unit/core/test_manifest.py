"""A manifest is the same whether a laptop or a stack freezes it."""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import pytest

from aliquot import __version__
from aliquot.errors import BadOption
from aliquot.job import Job, Reference, Stage
from aliquot.manifest import Frozen, check_columns, freeze, identify, resolve_options, start_clock
from aliquot.readers import Source
from aliquot.stages import StageNote
from orchestrator.catalog import KnownJob
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


def find_reference(said, value):
    """As a stack finds one in its bucket; refuses what is no text."""
    if not isinstance(value, str):
        raise BadOption(said, "takes a key of the inbox")
    return MappingProxyType({"path": f"s3://bucket/{value}", "sha256": "1" * 64})


def resolve(given):
    return resolve_options(JOB, given, find_reference, lambda name: f"options.{name}")


def test_options_are_plain_values_however_references_are_found():
    """They become JSON; tests/unit/orchestrator/test_options.py has those of a command."""
    found = resolve({"stock": "a.csv", "limit": 2})
    stock = {"path": "s3://bucket/a.csv", "sha256": "1" * 64}
    assert found == {"stock": stock, "mode": "exact", "depth": 3, "limit": 2.0}
    assert [type(value) for value in found.values()] == [dict, str, int, float]


@pytest.mark.parametrize(
    ("given", "option", "reason"),
    [
        ({}, "options.stock", "is required: what is in stock"),
        ({"stock": "x", "mod": "near"}, "mod", "did you mean 'mode'? it takes stock, mode, depth, limit"),
        ({"stock": "x", "mode": "far"}, "options.mode", "'far' is not one of exact, near"),
        ({"stock": "x", "depth": 1.5}, "options.depth", "1.5 is a float; it takes a int"),
        ({"stock": "x", "depth": True}, "options.depth", "True is a bool; it takes a int"),
        ({"stock": 1}, "options.stock", "takes a key of the inbox"),
    ],
)
def test_options_are_refused_by_the_names_that_the_user_knows(given, option, reason):
    with pytest.raises(BadOption) as caught:
        resolve(given)
    assert caught.value.option == option
    assert reason in caught.value.reason


IDENTITY = {
    "job": "plans:job",
    "version": 4,
    "options": {"stock": "1" * 64, "mode": "exact", "depth": 3, "limit": None},
    "sources": [
        {
            "path": "/data/a.csv",
            "format": "csv",
            "is_gzip": False,
            "size_bytes": 10,
            "mtime_ns": 1,
            "ends_sha256": "0" * 64,
            "etag": None,
        }
    ],
    "columns": {"name": "title"},
    "keep": ["yield"],
}
MANIFEST = {
    "format": "aliquot/run/1",
    "aliquot": __version__,
    "job": "plan",
    "is_function": False,
    "stages": [StageNote("search").to_plain()],
    "identity": IDENTITY,
    "source_names": ["a.csv"],
    "search_path": [],
    "options": {
        "stock": {"path": "s3://bucket/a.csv", "sha256": "1" * 64},
        "mode": "exact",
        "depth": 3,
        "limit": None,
    },
    "code": "",
    "package": "2" * 64,
    "versions": {},
    "settings": {"window": 10},
}


def test_stack_freezes_what_workers_and_commands_read():
    """attach, resume and check_same read it, and workers of the release that wrote it: a change is seen."""
    request = Frozen(
        job=JOB,
        address="plans:job",
        options=resolve({"stock": "a.csv"}),
        sources=[SOURCE],
        source_names=["a.csv"],
        chosen={"name": "title"},
        keep=("yield",),
        package="2" * 64,
    )
    once = {"architecture": "arm64", "client_token": "abc", "created": "2026-11-22T12:00:00+00:00"}
    assert identify(request) == IDENTITY
    assert freeze(request, {"window": 10}, **once) == MANIFEST | once


def test_laptop_freezes_what_a_stack_does():
    options, chosen = resolve({"stock": "a.csv"}), {"name": "title"}
    known = KnownJob(JOB, "plans:job")
    request = Request(known, options, (SOURCE,), ("a.csv",), None, chosen, ("yield",))
    assert request.identity == IDENTITY
    said = make_manifest(request, {"window": 10}, "2" * 64)
    once = {name: said.pop(name) for name in ("architecture", "client_token", "created")}
    assert said == MANIFEST
    assert all(once.values())


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


def test_reference_is_known_by_its_content():
    options = resolve({"stock": "a.csv"})
    elsewhere = {**options, "stock": {**options["stock"], "path": "/elsewhere"}}
    found = [identify(Frozen(JOB, "plans:job", each, [SOURCE], ["a"])) for each in (options, elsewhere)]
    assert found[0] == found[1]
