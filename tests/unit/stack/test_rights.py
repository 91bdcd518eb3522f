"""The policy of whoever deploys is read off the template."""

import re
from pathlib import Path

from orchestrator.stack.parameters import read_template
from orchestrator.stack.rights import ALWAYS, BY_TYPE, list_rights, make_policy

ROOT = Path(__file__).parents[3]
TYPES = {each["Type"] for each in read_template(ROOT)["Resources"].values()}


def actions(policy):
    return {action for each in policy["Statement"] for action in each["Action"]}


def test_every_type_of_the_template_has_its_rights():
    """A resource that is added to the template without its rights fails at whoever deploys it next."""
    assert TYPES - BY_TYPE.keys() == set()


def test_rights_follow_the_types():
    few = actions(make_policy(list_rights(["AWS::SQS::Queue"], {}), "prod"))
    assert "sqs:CreateQueue" in few
    assert "iam:PassRole" not in few
    assert "iam:PassRole" in actions(make_policy(list_rights(TYPES, {}), "prod"))


def test_key_and_network_ask_for_more():
    plain = actions(make_policy(list_rights(TYPES, {"KmsKeyArn": "", "SubnetIds": ""}), "prod"))
    more = actions(make_policy(list_rights(TYPES, {"KmsKeyArn": "arn", "SubnetIds": "a"}), "prod"))
    assert {action.partition(":")[0] for action in more - plain} == {"kms", "ec2"}


def test_roles_and_functions_are_the_stacks_own():
    """Who may deploy must not be able to change every role of the account."""
    for statement in make_policy(list_rights(TYPES, {}), "Prod")["Statement"]:
        if any(action.startswith(("iam:", "sqs:", "states:")) for action in statement["Action"]):
            assert all("Prod-" in arn for arn in statement["Resource"])
        if "s3:DeleteBucketPolicy" in statement["Action"]:
            assert statement["Resource"] == ["arn:*:s3:::prod-*"]


def test_actions_are_spelt_as_iam_does():
    for each in [*ALWAYS, *BY_TYPE.values()]:
        for action in each.actions:
            assert re.fullmatch(r"[a-z0-9]+:[A-Z][A-Za-z]+", action)
