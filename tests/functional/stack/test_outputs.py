"""Finding a stack in CloudFormation, and what is said where there is none."""

import pytest

from aliquot.errors import BadOption
from orchestrator.stack.aws import explained
from orchestrator.stack.deploy import find_standing
from orchestrator.stack.errors import AwsRefused, NoSuchStack
from orchestrator.stack.outputs import find_stack, make_session


def test_stack_is_found_by_its_name(account):
    account.make_stack()
    found = find_stack("prod", account.session)
    assert (found.name, found.region, found.architecture) == ("prod", "us-east-1", "arm64")
    assert found.queues["small"].startswith("https://sqs.us-east-1.")
    assert found.state_machine_arn.startswith("arn:aws:states:us-east-1:")
    assert (found.concurrency, found.allow_code, found.record_timeout_s) == (500, False, 60.0)


def test_stack_that_is_not_there_names_those_that_are(account):
    """The usual cause is a slip of the pen; foreign stacks are nobody's business."""
    shop = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
    for name, body in (("prod", None), ("dev", None), ("shop", shop)):
        account.make_stack(name, body)
    with pytest.raises(NoSuchStack, match=r"'prdo' in us-east-1: there is none .* region: dev, prod$"):
        find_stack("prdo", account.session)
    with pytest.raises(NoSuchStack, match="is not Aliquot's"):
        find_stack("shop", account.session)


def test_stack_of_another_region_is_told_by_the_region(account):
    account.make_stack()
    with pytest.raises(NoSuchStack, match=r"in eu-west-1: .* no other .* --region or --profile"):
        find_stack("prod", make_session(region="eu-west-1"))


def test_stack_is_absent_also_for_those_who_may_not_list_stacks(account, monkeypatch):
    """The policy of `deploy --dry-run` allows a look at the one stack, before there is one."""
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    call = BaseClient._make_api_call

    def refuse_listing(self, name, given):
        if name == "DescribeStacks" and "StackName" not in given:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, name)
        return call(self, name, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse_listing)
    with pytest.raises(
        NoSuchStack, match=r"none of that name, nor others to be seen \(not allowed: not you\)"
    ):
        find_stack("prod", account.session)
    assert find_standing("prod", account.session) == {}


def test_profile_that_is_not_there_names_those_that_are(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[profile lab]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadOption, match=r"no profile 'lob' in ~/.aws; there are: lab"):
        make_session("lob", "us-east-1")
    assert make_session("lab").region_name == "eu-west-1"
    with pytest.raises(BadOption, match="option --region: no region is set"):
        make_session()


def test_missing_credentials_are_told(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(AwsRefused, match="no credentials of AWS were found: run `aws configure`"):
        find_stack("prod", make_session(region="us-east-1"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "have expired: log in again"),
        ("InvalidClientTokenId", "AWS does not know these credentials"),
        ("AccessDenied", "not allowed: no right: ask for this right"),
        ("Throttling", "Throttling: no right"),
    ],
)
def test_answers_of_aws_become_sentences(code, said):
    from botocore.exceptions import ClientError

    with pytest.raises(AwsRefused, match=said), explained("looking"):
        raise ClientError({"Error": {"Code": code, "Message": "no right"}}, "DescribeStacks")
