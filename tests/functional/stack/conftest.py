"""A stack in moto with the outputs of ours, and a `sam` that notes how it was called."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from aliquot import __version__
from orchestrator.catalog import find_job
from orchestrator.stackcli import COMMANDS

REGION = "us-east-1"
FAKE_SAM = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done > "$SAM_NOTES/$1"
printf '%s\\n' "$PYTHON" > "$SAM_NOTES/python"
test -f "$3" || test "$1" != build || exit 9
exit "${SAM_STATUS:-0}"
"""


def make_template(description: str = "Aliquot: a stack", **outputs: str | None) -> str:
    """A template with our outputs over a bucket, two queues and a state machine."""
    versions = {
        "aliquot": __version__,
        "python": "3.13",
        "jobs": {"crossref": find_job("crossref").job.version},
    }
    for name in find_job("crossref").job.needs:
        versions[name] = metadata.version(name)
    found = {
        "Bucket": {"Ref": "RunBucket"},
        "Queues": {"Fn::Sub": '{"small": "${SmallTasks}"}'},
        "DeadLetterQueue": {"Ref": "DeadLetters"},
        "StateMachineArn": {"Ref": "Settle"},
        "Versions": json.dumps(versions),
        "Architecture": {"Ref": "Architecture"},
        "AllowCode": "false",
        "Concurrency": "500",
        "KmsKeyArn": "",
        **outputs,
    }
    return json.dumps(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": description,
            "Parameters": {"Architecture": {"Type": "String", "Default": "arm64"}},
            "Resources": {
                "RunBucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
                "SmallTasks": {"Type": "AWS::SQS::Queue"},
                "DeadLetters": {"Type": "AWS::SQS::Queue"},
                "Settle": {
                    "Type": "AWS::StepFunctions::StateMachine",
                    "Properties": {
                        "DefinitionString": '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}',
                        "RoleArn": "arn:aws:iam::123456789012:role/settle",
                    },
                },
            },
            "Outputs": {name: {"Value": value} for name, value in found.items() if value is not None},
        }
    )


@dataclass
class Account:
    """AWS in this process, and the commands run against it."""

    session: Any

    def make_stack(self, name: str = "prod", body: str | None = None, **parameters: str) -> None:
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        self.session.client("cloudformation").create_stack(
            StackName=name, TemplateBody=body or make_template(), Parameters=given
        )

    def list_stacks(self) -> list[str]:
        found = self.session.client("cloudformation").describe_stacks()["Stacks"]
        return [each["StackName"] for each in found if each["StackStatus"] != "DELETE_COMPLETE"]

    def aliquot(self, *words: str) -> Result:
        return CliRunner().invoke(click.Group(commands={each.name: each for each in COMMANDS}), list(words))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield Account(boto3.Session(region_name=REGION))


@dataclass
class Sam:
    """What the `sam` on PATH was called with."""

    folder: Path

    def words(self, command: str) -> list[str]:
        path = self.folder / command
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    notes, programs = tmp_path / "notes", tmp_path / "bin"
    notes.mkdir()
    put_program(programs / "sam", FAKE_SAM)
    put_program(programs / "make", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SAM_NOTES", str(notes))
    return Sam(notes)


def put_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a program beside `sam`."""
    return lambda name, text: put_program(tmp_path / "bin" / name, text)


@pytest.fixture
def make_stack_template() -> Callable[..., str]:
    """Makes a template with other outputs."""
    return make_template
