"""`aliquot destroy`: a stack goes when nobody needs it, its bucket stays."""

import time

import pytest

from orchestrator.stack.errors import DestroyRefused, NoSuchStack
from orchestrator.stack.outputs import find_stack


@pytest.fixture
def put(account):
    """Puts an object into the stack's bucket."""
    account.make_stack()
    bucket = find_stack("prod", account.session).bucket
    s3 = account.session.client("s3")

    def put_object(key):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")

    put_object.bucket = bucket
    return put_object


def test_stack_without_results_goes_and_its_bucket_stays(account, put):
    put("results/r1/result-0000/result/part-00000-00000.parquet")  # a run that never was published
    said = account.aliquot("destroy", "--stack", "prod")
    assert said.exit_code == 0, said.output
    assert account.list_stacks() == []
    assert f"aws s3 rb s3://{put.bucket} --force" in said.output


def test_results_that_nobody_fetched_keep_the_stack(account, put):
    for run in ("r1", "r2"):
        put(f"results/{run}/published/0000.json")
    put("results/r1/fetched")
    said = account.aliquot("destroy", "--stack", "prod")
    assert isinstance(said.exception, DestroyRefused)
    assert "of 1 runs were not fetched (r2)" in str(said.exception)
    assert account.list_stacks() == ["prod"]
    assert account.aliquot("destroy", "--stack", "prod", "--even-unfetched").exit_code == 0
    assert account.list_stacks() == []


def test_result_that_was_published_after_fetching_is_unfetched(account, put):
    """A resume publishes once more, and what lies at the user's is the earlier epoch's."""
    put("results/r1/published/0000.json")
    put("results/r1/fetched")
    time.sleep(1.1)  # S3 counts in seconds
    put("results/r1/published/0001.json")
    said = account.aliquot("destroy", "--stack", "prod")
    assert isinstance(said.exception, DestroyRefused)


def test_runs_under_way_keep_the_stack_whatever_is_said(account):
    account.make_stack()
    account.session.client("stepfunctions").start_execution(
        stateMachineArn=find_stack("prod", account.session).state_machine_arn, name="june-0", input="{}"
    )
    said = account.aliquot("destroy", "--stack", "prod", "--even-unfetched")
    assert isinstance(said.exception, DestroyRefused)
    assert "runs are under way (june-0)" in str(said.exception)
    assert account.list_stacks() == ["prod"]


def test_only_our_stacks_can_be_destroyed(account):
    account.make_stack("shop", '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}')
    said = account.aliquot("destroy", "--stack", "shop")
    assert isinstance(said.exception, NoSuchStack)
    assert account.list_stacks() == ["shop"]


def test_stack_that_never_was_whole_can_be_removed(account):
    """CloudFormation leaves one behind whose creation failed, and nothing can be deployed over it."""
    body = '{"Description": "Aliquot: a stack", "Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
    account.make_stack("prod", body)
    assert account.aliquot("destroy", "--stack", "prod").exit_code == 0
    assert account.list_stacks() == []
