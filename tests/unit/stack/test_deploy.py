"""What would be run to deploy a stack."""

from pathlib import Path

import pytest

from aliquot.errors import BadOption
from orchestrator.stack.deploy import merge_parameters, plan_deploy, run_deploy, spell_overrides
from orchestrator.stack.errors import DeployFailed
from orchestrator.stack.tools import Python

TEMPLATE = {"Parameters": {"Rungs": {}, "Architecture": {}}, "Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
PYTHON = Python("/bin/python3.13", "3.13")


def plan(parameters=None, profile=None, stack="prod"):
    return plan_deploy(stack, "us-east-1", profile, Path("/files"), TEMPLATE, parameters or {}, PYTHON)


def test_both_commands_get_place_and_parameters():
    """Layers are built for one processor: a build without the parameter would take the default's."""
    build, deploy = plan({"Architecture": "x86_64", "Rungs": "all"}, "lab").commands
    for command in (build, deploy):
        assert command[command.index("--parameter-overrides") + 1] == "Architecture=x86_64 Rungs=all"
        assert command[command.index("--region") + 1] == "us-east-1"
        assert command[command.index("--profile") + 1] == "lab"
    assert build[:4] == ("sam", "build", "--template-file", "/files/template.yaml")
    assert deploy[3] == f"{build[build.index('--build-dir') + 1]}/template.yaml"
    assert deploy[deploy.index("--stack-name") + 1] == "prod"


def test_nothing_is_passed_that_was_not_said():
    for command in plan().commands:
        assert not {"--profile", "--parameter-overrides"} & set(command)


def test_values_are_quoted_as_sam_reads_them():
    """SAM 1.170 splits at spaces, unescapes quotes and leaves backslashes."""
    given = {"KmsKeyArn": "", "CostCenter": 'lab "7"', "SubnetIds": "a,b", "RolePath": "/a/"}
    expected = 'KmsKeyArn="" CostCenter="lab \\"7\\"" SubnetIds=a,b RolePath=/a/'
    assert spell_overrides(given) == expected


def test_stack_that_stands_keeps_what_is_not_given():
    standing = {"Architecture": "x86_64", "Rungs": "small", "Dropped": "1"}
    assert merge_parameters(TEMPLATE["Parameters"], standing, {"Rungs": "all"}) == {
        "Architecture": "x86_64",
        "Rungs": "all",
    }


@pytest.mark.parametrize("name", ["", "7up", "my_stack", "a" * 65, "a b"])
def test_name_that_aws_refuses_is_refused_here(name):
    with pytest.raises(BadOption, match="--stack"):
        plan(stack=name)


def test_plan_says_commands_rights_and_cost():
    said = str(plan({"Rungs": "all", "Pollers": "provisioned"}))
    assert "PYTHON=/bin/python3.13 sam build" in said
    assert '"sqs:CreateQueue"' in said
    assert "about $3 a month" in said
    assert "provisioned pollers are billed" in said
    assert "about $1 a month" in str(plan())


def test_first_command_that_fails_is_the_last():
    ran = []

    def fail(command, environment):
        ran.append((command[1], environment["PYTHON"]))
        return 7

    with pytest.raises(DeployFailed, match="sam build: ended with status 7"):
        run_deploy(plan(), fail)
    assert ran == [("build", "/bin/python3.13")]
