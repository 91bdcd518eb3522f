"""`aliquot doctor`: a line for each check, a status for scripts. Every check is in test_doctor_broken.py."""

import pytest

from aliquot.errors import BadOption
from orchestrator.stack.outputs import find_stack


def read_lines(said):
    """Each line's level by its subject."""
    return {line[6:19].strip(): line[:4].strip() for line in said.output.splitlines()}


@pytest.fixture
def unknown(monkeypatch):
    """What moto does not know: quotas, drift, and whether policies allow something."""
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
        "SimulatePrincipalPolicy": {"EvaluationResults": []},
    }
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda self, name, given: answers.get(name) or call(self, name, given),
    )


def test_machine_is_checked_without_a_stack(account):
    said = account.aliquot("doctor")
    assert said.exit_code == 0, said.output
    assert {"python", "cores", "memory", "processes", "rdkit", "disk", "aws"} <= read_lines(said).keys()


@pytest.mark.usefixtures("unknown")
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


@pytest.mark.usefixtures("unknown")
def test_stack_without_functions_is_a_failure(account):
    """What is left of a stack that somebody took apart: nobody reads its queues."""
    account.make_stack()
    said = account.aliquot("doctor", "--on", "aws:prod")
    assert said.exit_code == 1
    found = read_lines(said)
    assert (found["mappings"], found["receives"], found["packages"]) == ("fail", "fail", "warn")


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
