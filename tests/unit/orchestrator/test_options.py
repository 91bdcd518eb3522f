"""A job's options: what a user may give, and what a host gets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

import click
import pytest

from aliquot.errors import BadOption, BadReference
from aliquot.job import Job, Reference, Stage, read_fields
from orchestrator.jobflags import find_job_word, make_flag, split_options
from orchestrator.options import check_references, resolve_options


@dataclass(frozen=True)
class Options:
    table: Annotated[Reference, "the table"]
    stock: Annotated[Reference | None, "another"] = None
    mode: Annotated[Literal["exact", "loose"], "how"] = "exact"
    depth: Annotated[int, "how deep"] = 3
    scale: float = 1.0
    label: str | None = None
    strict: bool = True
    fast: bool = False


JOB = Job("toy", version=1, options=Options, stages=(Stage("go", lambda _, __: iter),))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a\n")
    return path


def test_options_become_plain_values_defaults_included(table):
    resolved = resolve_options(JOB, {"table": str(table), "scale": 2, "label": None})
    digest = hashlib.sha256(b"a\n").hexdigest()
    assert resolved == {
        "table": {"path": str(table.resolve()), "sha256": digest},
        "stock": None,
        "mode": "exact",
        "depth": 3,
        "scale": 2.0,
        "label": None,
        "strict": True,
        "fast": False,
    }
    assert isinstance(resolved["scale"], float)


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        ({}, "--table: is required: the table"),
        ({"table": None}, "--table: is required"),
        ({"table": "absent.csv"}, "absent.csv: No such file"),
        ({"table": 3}, "takes a path"),
        ({"mod": "exact"}, "did you mean 'mode'? it takes table, stock, mode"),
        ({"mode": "none"}, "'none' is not one of exact, loose"),
        ({"depth": "3"}, "'3' is a str; it takes a int"),
        ({"depth": True}, "True is a bool"),
        ({"depth": 1.5}, "1.5 is a float"),
        ({"strict": 1}, "1 is a int; it takes a bool"),
        ({"scale": "x"}, "it takes a float"),
    ],
)
def test_values_that_do_not_fit_are_refused_naming_the_flag(table, given, phrase):
    with pytest.raises(BadOption) as caught:
        resolve_options(JOB, {"table": str(table), **given} if given else {})
    assert phrase in str(caught.value)


def test_reference_that_changed_is_refused(table):
    """Half a result of one table and half of another would be nobody's."""
    resolved = resolve_options(JOB, {"table": table})
    check_references(JOB, resolved)
    table.write_text("b\n")
    with pytest.raises(BadReference, match="has changed since the run began"):
        check_references(JOB, resolved)


def parse(words):
    flags = [make_flag(option) for option in read_fields(Options)]
    command = click.Command("toy", params=flags, callback=lambda **given: given)
    options, rest = split_options(command.main(words, standalone_mode=False))
    assert rest == {}
    return options


def test_flags_follow_from_the_declaration():
    found = parse(["--table", "t"])
    assert found.pop("table") == "t"
    assert found == {option.name: option.default for option in read_fields(Options) if option.name != "table"}
    words = "--table t --mode loose --depth 5 --no-strict --fast --label x"
    found = parse(words.split())
    changed = {"table": "t", "mode": "loose", "depth": 5, "label": "x", "strict": False, "fast": True}
    assert found == {"stock": None, "scale": 1.0} | changed


@pytest.mark.parametrize("words", ["", "--table t --mode other", "--table t --depth x", "--table t --odd"])
def test_flags_that_do_not_fit_are_usage_errors(words):
    with pytest.raises(click.UsageError):
        parse(words.split())


def test_what_flags_give_can_be_resolved(table):
    """A flag that was not given must be as good as an option that was not."""
    assert resolve_options(JOB, parse(["--table", str(table)])) == resolve_options(JOB, {"table": str(table)})


OWN = [click.Option(["--out"]), click.Option(["--quiet"], is_flag=True)]


@pytest.mark.parametrize(
    ("words", "job"),
    [
        ("toy data.csv --out d", "toy"),
        ("typo data:1.csv", "typo"),
        ("--out d toy data.csv", "toy"),
        ("--out a:b toy data.csv", "toy"),
        ("--quiet mod:f data.csv", "mod:f"),
        ("--table t.csv toy data.csv", "toy"),
        ("--table t.csv mod:f data.csv", "mod:f"),
        ("--help", None),
        ("--out d", None),
    ],
)
def test_job_is_found_among_the_words(words, job):
    assert find_job_word(words.split(), OWN, lambda: ["toy"]) == job
