"""`aliquot doctor`: a line for each check, and a status for scripts."""

import json

import pytest

from aliquot.errors import BadOption
from orchestrator.stack.outputs import find_stack


def read_lines(said):
    """Each line's level by its subject."""
    return {line[6:19].strip(): line[:4].strip() for line in said.output.splitlines()}


@pytest.fixture
def quotas(monkeypatch):
    """The account's quotas, which moto has not, and drift, of which it knows nothing."""
    from botocore.client import BaseClient

    call = BaseClient._make_api_call
    limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}
    answers = {
        "GetAccountSettings": {"AccountLimit": limits},
        "DetectStackDrift": {"StackDriftDetectionId": "1"},
        "DescribeStackDriftDetectionStatus": {
            "DetectionStatus": "DETECTION_COMPLETE",
            "StackDriftStatus": "IN_SYNC",
        },
    }
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda self, name, given: answers.get(name) or call(self, name, given),
    )
    return limits


def test_machine_is_checked_without_a_stack(account):
    said = account.aliquot("doctor")
    assert said.exit_code == 0, said.output
    assert {"python", "cores", "memory", "processes", "rdkit", "disk", "aws"} <= read_lines(said).keys()


@pytest.mark.usefixtures("quotas")
def test_stack_that_is_well_says_so_line_by_line(account):
    account.make_stack()
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert said.exit_code == 0, said.output
    found = read_lines(said)
    assert found.pop("template") == "warn"  # the test's is a small one
    assert set(found.values()) == {"ok"}
    assert list(found) == [
        "credentials",
        "region",
        "stack",
        "concurrency",
        "memory",
        "job crossref",
        "drift",
        "queues",
        "dead letters",
    ]


@pytest.mark.usefixtures("quotas")
def test_other_versions_are_a_failure(account, make_stack_template):
    versions = {"aliquot": "0.0.1", "jobs": {"crossref": 1}, "rdkit": "2020.1", "numpy": "1"}
    account.make_stack(body=make_stack_template(Versions=json.dumps(versions)))
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert said.exit_code == 1
    (line,) = [each for each in said.output.splitlines() if each.startswith("fail")]
    assert "rdkit is 2020.1 on the stack" in line
    assert "aliquot deploy --stack prod" in line


def test_new_account_is_warned_of_its_limit(account, quotas):
    quotas["UnreservedConcurrentExecutions"] = quotas["ConcurrentExecutions"] = 10
    account.make_stack()
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert read_lines(said)["concurrency"] == "warn"
    assert said.exit_code == 0


@pytest.mark.usefixtures("quotas")
def test_tasks_and_dead_letters_that_wait_are_told(account):
    account.make_stack()
    outputs = find_stack("prod", account.session)
    sqs = account.session.client("sqs")
    for url in (outputs.queues["small"], outputs.dead_letter_queue):
        sqs.send_message(QueueUrl=url, MessageBody="{}")
    said = account.aliquot("doctor", "--on", "aws:prod")
    found = read_lines(said)
    assert (found["queues"], found["dead letters"]) == ("warn", "warn")
    assert "1 small tasks at hand, 0 runs under way" in said.output


def test_check_that_is_not_allowed_is_a_warning(account, monkeypatch):
    """A user may submit runs without the right to look for drift."""
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    call = BaseClient._make_api_call
    denied = {"Error": {"Code": "AccessDenied", "Message": "not you"}}

    def refuse(self, name, given):
        if name in ("GetAccountSettings", "DetectStackDrift", "GetTemplate"):
            raise ClientError(denied, name)
        return call(self, name, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    account.make_stack()
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert said.exit_code == 0, said.output
    found = read_lines(said)
    assert [found[name] for name in ("concurrency", "drift", "template")] == ["warn"] * 3
    assert "not allowed: not you" in said.output


def test_stack_that_is_not_there_is_a_failure(account):
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert said.exit_code == 1
    assert said.output.splitlines()[-1].startswith("fail  stack")


def test_wrong_words_are_refused(account):
    assert isinstance(account.aliquot("doctor", "--on", "prod").exception, BadOption)
    assert isinstance(account.aliquot("doctor", "--profile", "lab").exception, BadOption)


@pytest.mark.parametrize("command", ["deploy", "destroy", "doctor"])
def test_help_ends_in_an_example_on_a_line_of_its_own(account, command):
    said = account.aliquot(command, "--help").output
    assert [line for line in said.splitlines() if line.startswith(f"  aliquot {command}")]
    assert "--profile" in said
    assert "--region" in said
    assert "\\" not in said
