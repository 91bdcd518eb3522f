"""What cannot be sent to a stack is said in one sentence with what to do, before anything is put there."""

from __future__ import annotations

import pytest

ON = "aws:rehearsal"
NOWHERE = {  # no credentials, and none to be looked for
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("--on", "cloud"), "local, aws:STACK (a stack that was deployed) or rehearsal"),
        (("--on", ON), "add `--code .`"),
        (("--on", "rehearsal"), "add `--code .`"),
        (("--on", ON, "--code", "nowhere"), "is not a folder"),
        (("--on", ON, "--code", ".", "--memory", "100"), "--memory: is for local runs"),
        (("--on", ON, "--code", ".", "--profile", "nobody"), "no profile 'nobody'"),
        (
            ("--on", "rehearsal", "--code", ".", "--record-timeout", "nan"),
            "nan is not within a year of seconds",
        ),
        (("--profile", "lab"), "--profile: is for --on aws:STACK"),
        (("--region", "eu-west-1"), "--region: is for --on aws:STACK"),
    ],
)
def test_words_that_cannot_be_are_refused(desk, words, phrase):
    said = desk.aliquot("run", "jobs:one", desk.write_records(5), "--out", "out", *words)
    assert (said.code, phrase in said.err) == (2, True), said.err
    assert not desk.address()


def test_missing_credentials_are_told_with_the_way_to_get_them(desk):
    words = ("run", "jobs:one", desk.write_records(5), "--out", "out", "--on", "aws:prod", "--code", ".")
    said = desk.aliquot(*words, "--region", "us-east-1", **NOWHERE)
    assert said.code == 2
    assert "no credentials of AWS were found: run `aws configure`, or give --profile" in said.err
    said = desk.aliquot(*words, **NOWHERE)
    assert (said.code, "no region is set" in said.err) == (2, True), said.err


def test_datasets_in_s3_are_read_by_stacks_alone(desk):
    for words in ((), ("--on", "rehearsal", "--code", ".")):
        said = desk.aliquot("run", "jobs:one", "s3://bucket/data.csv", "--out", "out", *words)
        assert (said.code, "s3://bucket/data.csv: lies in S3" in said.err) == (2, True), said.err
    desk.write_records(5)
    words = ("--out", "out", "--on", ON, "--code", ".")
    said = desk.aliquot("run", "jobs:one", "s3://bucket/data.csv", "data.csv", *words)
    assert (said.code, "other inputs do not" in said.err) == (2, True), said.err


def test_stack_that_is_not_there_is_named(desk, cloud):
    said = desk.aliquot(
        "run", "jobs:one", desk.write_records(5), "--out", "o", "--on", "aws:prod", "--code", "."
    )
    assert said.code == 2
    assert "stack 'prod' in us-east-1" in said.err
    assert "rehearsal" in said.err
    assert cloud.list_keys("runs/") == []


def test_records_that_take_too_long_for_the_stack_are_refused(desk, cloud):
    data = desk.write_records(5)
    words = ("--out", "o", "--on", ON, "--code", ".", "--record-timeout", "5000")
    said = desk.aliquot("run", "jobs:one", data, *words)
    assert (said.code, "RecordTimeout" in said.err) == (2, True), said.err
    assert cloud.list_keys("runs/") == []


def test_what_is_wrong_with_job_or_data_is_told_before_anything_is_put(desk, cloud, project_root):
    """A template that does not parse must cost nothing, and nobody a look into a log."""
    desk.write("empty.csv", "id\n")
    said = desk.aliquot("run", "jobs:one", "empty.csv", "--out", "o", "--on", ON, "--code", ".")
    assert (said.code, "holds no records" in said.err) == (2, True), said.err
    desk.write("bad.csv", "id,smarts\na,no smarts\n")
    reactions = str(project_root / "examples/crossref/reactions.rsmi")
    said = desk.aliquot("run", "crossref", reactions, "--templates", "bad.csv", "--out", "p", "--on", ON)
    assert (said.code, "bad.csv" in said.err) == (2, True), said.err
    assert cloud.list_keys("") == []


def test_local_runs_have_no_stack_to_ask(desk):
    assert desk.aliquot("run", "jobs:one", desk.write_records(5), "--out", "out").code == 0
    for command in ("watch", "cancel"):
        said = desk.aliquot(command, "out")
        assert said.code == 2
        assert f"`aliquot {command}` is for runs on a stack: `aliquot resume out` goes on with it" in said.err
    for words in (("show", "out", "--profile", "lab"), ("resume", "out", "--region", "eu-west-1")):
        said = desk.aliquot(*words)
        assert (said.code, "is for a run on a stack, and this one is here" in said.err) == (2, True), said.err
    said = desk.aliquot("run", "jobs:one", "data.csv", "--out", "out", "--on", ON, "--code", ".")
    assert (said.code, "holds a local run" in said.err) == (2, True), said.err


def test_code_folder_serves_local_runs_too(desk):
    """The same command must find the same module, whatever --on says."""
    desk.write("elsewhere/far.py", "def f(record):\n    return {'id': record['id']}\n")
    data = desk.write_records(5)
    assert desk.aliquot("run", "far:f", data, "--out", "out").code == 2
    said = desk.aliquot("run", "far:f", data, "--out", "out", "--code", "elsewhere")
    assert said.code == 0, said.err
    assert desk.aliquot("resume", "out").code == 0
