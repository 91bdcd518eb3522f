"""Three stacks as AWS's documentation describes them, none of which knows of Aliquot."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from orchestrator.rehearsal import rehearse

TEMPLATES = Path(__file__).parent / "templates"


def test_queue_with_partial_batch_failures():
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    with rehearse(TEMPLATES / "orders/template.yaml") as stack:
        sqs, s3 = boto3.client("sqs"), boto3.client("s3")
        for number in range(12):
            body = json.dumps({"id": number, "fails": number % 4})
            sqs.send_message(QueueUrl=stack.outputs["OrdersUrl"], MessageBody=body)
        assert stack.invocations() == []

        stack.drain()

        done = {each["Key"] for each in s3.list_objects_v2(Bucket=stack.outputs["ResultsBucket"])["Contents"]}
        assert done == {f"orders/{number}" for number in range(12) if number % 4 != 3}
        assert sorted(json.loads(each["Body"])["id"] for each in stack.dead_letters("Orders")) == [3, 7, 11]
        letters = sqs.receive_message(QueueUrl=stack.outputs["LettersUrl"], MaxNumberOfMessages=10)[
            "Messages"
        ]
        assert {each["MessageId"] for each in letters} == {
            each["MessageId"] for each in stack.dead_letters("Orders")
        }
        receives = [
            (json.loads(record["body"])["id"], int(record["attributes"]["ApproximateReceiveCount"]))
            for invocation in stack.invocations("Worker")
            for record in invocation.event["Records"]
        ]
        assert sorted(receives) == sorted(
            (number, receive) for number in range(12) for receive in range(1, min(number % 4, 2) + 2)
        )


def test_bucket_to_queue_to_function():
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ways-to-add-notification-config-to-bucket.html"""
    with rehearse(TEMPLATES / "thumbnails/template.yaml") as stack:
        s3 = boto3.client("s3")
        names = [f"incoming/a picture {number}.png" for number in range(6)]
        for name in [*names, "elsewhere/x.png"]:
            s3.put_object(Bucket=stack.outputs["Uploads"], Key=name, Body=b"\x89PNG and more")
        stack.drain()
        made = s3.list_objects_v2(Bucket=stack.outputs["Thumbnails"])["Contents"]
        assert {(each["Key"], each["Size"]) for each in made} == {(name, 4) for name in names}
        assert not [each for each in stack.invocations() if each.error]


@pytest.fixture(scope="module")
def words():
    with rehearse(TEMPLATES / "words/template.yaml") as stack:
        yield stack


def test_state_machine_maps_over_objects(words):
    """https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"""
    states = boto3.client("stepfunctions")
    text = {"id": "t1", "text": "one two\nthree flaky words\nfive broken six\n"}
    started = states.start_execution(stateMachineArn=words.outputs["Machine"], input=json.dumps(text))
    before = words.clock.now()
    words.drain()
    ended = states.describe_execution(executionArn=started["executionArn"])
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == [
        {"key": "t1/0000", "words": 2},
        {"key": "t1/0001", "words": 3},
        {"words": 0, "why": "ValueError"},
    ]
    assert words.clock.now() - before > 300 + 60, (
        "the wait and the pause of the retry were skipped, not left out"
    )


def test_event_starts_state_machine(words):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html"""
    detail = json.dumps({"id": "t2", "text": "only one line"})
    entry = {"Source": "texts", "DetailType": "Text dropped", "Detail": detail}
    boto3.client("events").put_events(Entries=[entry, {**entry, "Source": "other"}])
    words.drain()
    splits = [each for each in words.invocations("Split") if each.event["id"] == "t2"]
    assert [each.event for each in splits] == [{"id": "t2", "text": "only one line"}]
    runs = boto3.client("stepfunctions").list_executions(stateMachineArn=words.outputs["Machine"])[
        "executions"
    ]
    assert len({each["name"] for each in runs}) == len(runs)
    assert all(each["status"] == "SUCCEEDED" for each in runs)
