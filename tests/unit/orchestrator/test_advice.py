"""The command to type after an error: one that can be typed as it stands, and helps."""

from __future__ import annotations

import inspect
import shlex

import click
import pytest

from aliquot import errors
from aliquot.errors import (
    AliquotError,
    BadOption,
    BudgetReached,
    DatasetError,
    Detached,
    FolderInUse,
    Interrupted,
    OverBudget,
    StoreError,
    TooManyFailed,
    Undecodable,
    UnknownJob,
)
from orchestrator.advice import Typed, find_next, has_run
from orchestrator.cli import cli
from orchestrator.ending import describe_error
from orchestrator.stack import errors as stack_errors

RUN = ["run", "crossref", "data.csv", "--templates", "t.csv", "--out", "my/run"]


def advise(err, words=RUN, *, is_run=True):
    return find_next(err, Typed(words, cli.commands, lambda _: is_run))


@pytest.mark.parametrize(
    ("err", "words", "wanted"),
    [
        (Interrupted("my run"), RUN, "aliquot resume 'my run'"),
        (Interrupted("r", "its run was not begun yet"), ["resume", "r"], "aliquot resume r"),
        (Detached("r", "june"), RUN, "aliquot watch r"),
        (TooManyFailed(6, 10, "5%", False), RUN, "aliquot show my/run"),
        (TooManyFailed(6, 10, "5%", False), ["resume", "r"], "aliquot show r"),
        (
            BudgetReached("r", "time is up"),
            [*RUN, "--budget-time", "90s"],
            "aliquot resume r --budget-time 180s",
        ),
        (BudgetReached("r", "budget reached"), [*RUN, "--budget-usd=2.5"], "aliquot resume r --budget-usd 5"),
        (BudgetReached("r", "budget reached"), ["watch", "r"], "aliquot show r"),
        (OverBudget("--budget-usd", "too much"), ["run", "x"], "aliquot run x --anyway"),
        (UnknownJob("crosref", "no"), RUN, "aliquot jobs"),
        (BadOption("--mode", "no"), RUN, "aliquot run crossref --help"),
        (
            DatasetError("data.csv", "is gone"),
            ["plan", "crossref", "data.csv"],
            "aliquot plan crossref --help",
        ),
        (click.UsageError("no"), ["run", "--out", "o"], "aliquot run --help"),
        (click.UsageError("no such command"), ["rum"], "aliquot --help"),
        (StoreError("k", "the disk is full"), ["run", "a b"], "aliquot run 'a b'"),
        (Undecodable("x", "is no object"), ["decode", "x"], "aliquot decode --help"),
        (
            stack_errors.MissingTool("boto3", "is not installed", 'pip install "aliquot[aws]"'),
            RUN,
            'pip install "aliquot[aws]"',
        ),
        (
            stack_errors.NoSuchStack("prod", "eu-west-1", "is none"),
            RUN,
            "aliquot deploy --dry-run --stack prod --region eu-west-1",
        ),
        (errors.BadOption("--region", "none is set"), ["deploy"], "aliquot deploy --region us-east-1"),
        (errors.BadOption("--region", "no such"), ["deploy", "--region", "x"], "aliquot deploy --help"),
        (stack_errors.VersionSkew("prod", ("rdkit",), "install"), RUN, "aliquot doctor --on aws:prod"),
        (stack_errors.AwsRefused("listing", "denied", "ask"), RUN, "aliquot doctor"),
        (
            stack_errors.AwsRefused("listing", "denied", "ask"),
            [*RUN, "--on", "aws:prod", "--region=eu-west-1"],
            "aliquot doctor --on aws:prod --region eu-west-1",
        ),
        (
            stack_errors.AwsRefused("listing", "denied", "ask"),
            ["destroy", "--stack", "prod", "--profile", "lab"],
            "aliquot doctor --on aws:prod --profile lab",
        ),
        (stack_errors.AwsRefused("listing", "denied", "ask"), ["doctor"], "aliquot doctor --help"),
        (stack_errors.DestroyRefused("prod", "runs"), ["destroy"], "aliquot runs --on aws:prod"),
    ],
)
def test_advice_follows_from_the_error_and_what_was_typed(err, words, wanted):
    assert advise(err, words) == wanted


def test_a_folder_with_a_run_is_shown_and_others_are_looked_for():
    assert advise(FolderInUse("r", "holds another run")) == "aliquot show r"
    assert advise(FolderInUse("r", "holds no run"), is_run=False) == "aliquot runs"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["resume", "--retry", "failed", "r"], "aliquot show r"),
        (["watch", "--profile", "lab", "r"], "aliquot show r"),
        (["attach", "s3://bucket/runs/june", "r"], "aliquot show r"),
        (["run", "jobs:one", "data.csv", "--out=r"], "aliquot show r"),
        (
            ["index", "fingerprints", "a.smi", "--out", "lib"],
            "aliquot index fingerprints a.smi --out lib",
        ),
    ],
)
def test_the_run_whose_records_failed_is_found_among_the_words(words, wanted):
    """What stands first behind the command may be a flag's value, or an address."""
    typed = Typed(words, cli.commands, "r".__eq__)
    assert find_next(TooManyFailed(6, 10, "5%", False), typed) == wanted


def test_words_that_are_no_path_hold_no_run(tmp_path):
    assert not has_run("x" * 5000)
    assert not has_run(str(tmp_path))


@pytest.mark.parametrize("module", [errors, stack_errors])
def test_every_error_is_followed_by_a_command_that_there_is(module):
    values = {"int": 7, "bool": True, "tuple[tuple[int, str], ...]": (), "tuple[str, ...]": ("x",)}
    for kind in vars(module).values():
        if not (isinstance(kind, type) and issubclass(kind, AliquotError)):
            continue
        fields = [
            field for field in inspect.signature(kind.__init__).parameters.values() if field.name != "self"
        ]
        is_plain = any(field.kind is field.VAR_POSITIONAL for field in fields)
        err = kind("x") if is_plain else kind(*(values.get(str(field.annotation), "x") for field in fields))
        program, command, *_ = shlex.split(advise(err))
        assert (program, command in cli.commands) == ("aliquot", True), kind


def test_an_error_ends_with_the_command_and_says_it_once():
    assert describe_error(Interrupted("r"), "aliquot resume r") == (
        "aliquot: interrupted; what is done is kept: aliquot resume r"
    )
    assert (
        describe_error(BadOption("--x", "no"), "aliquot jobs")
        == "aliquot: option --x: no\nnext: aliquot jobs"
    )
