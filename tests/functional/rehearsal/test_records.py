"""What a rehearsal remembers of AWS calls, and what it answers for rights that are missing."""

from __future__ import annotations

import boto3
import pytest

from orchestrator.rehearsal import Faults

READ = """
    import boto3, os
    s3 = boto3.client("s3")
    def handler(event, context):
        try:
            s3.get_object(Bucket=os.environ["BUCKET"], Key=event["key"])
        except s3.exceptions.ClientError as err:
            return [err.response["Error"]["Code"], err.response["ResponseMetadata"]["HTTPStatusCode"]]
        try:
            s3.head_object(Bucket=os.environ["BUCKET"], Key="absent")
        except s3.exceptions.ClientError as err:
            return err.response["ResponseMetadata"]["HTTPStatusCode"]
"""


def make_role(*statements):
    policy = {"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {"Statement": []}, "Policies": [policy]},
    }


def allow(action, resource):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


OBJECTS = {"Fn::Sub": "${Bucket.Arn}/*"}
BUCKET = {"Fn::GetAtt": ["Bucket", "Arn"]}


@pytest.mark.parametrize(
    ("statements", "absent"),
    [
        ([allow("s3:GetObject", OBJECTS)], ["AccessDenied", 403]),
        ([allow("s3:GetObject", OBJECTS), allow("s3:ListBucket", BUCKET)], ["NoSuchKey", 404]),
        ([allow(["s3:Get*", "s3:List*"], "*")], ["NoSuchKey", 404]),
    ],
)
def test_absent_key_is_forbidden_to_who_may_not_list(bench, statements, absent):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    variables = {"Variables": {"BUCKET": {"Ref": "Bucket"}}}
    stack = bench(
        {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Role": make_role(*statements),
            "Worker": bench.function(READ, Environment=variables),
        }
    )
    boto3.client("s3").put_object(Bucket=stack.outputs["Bucket"], Key="there", Body=b"")
    for key in ("absent", "there"):
        payload = f'{{"key": "{key}"}}'.encode()
        boto3.client("lambda").invoke(FunctionName=stack.outputs["Worker"], Payload=payload)
    assert [each.response for each in stack.invocations()] == [absent, absent[1]]


def test_every_call_is_logged_under_who_made_it(bench):
    code = """
        import boto3, os
        def handler(event, context):
            bucket, queue = os.environ["BUCKET"], os.environ["OTHER"]
            s3, sqs = boto3.client("s3"), boto3.client("sqs")
            s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")
            s3.head_object(Bucket=bucket, Key="a/b")
            s3.list_objects_v2(Bucket=bucket, Prefix="a/")
            s3.delete_object(Bucket=bucket, Key="a/b")
            sqs.send_message_batch(QueueUrl=queue, Entries=[{"Id": "1", "MessageBody": "x"}])
            boto3.client("events").put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])
            boto3.client("dynamodb").get_item(TableName="t", Key={"id": {"S": "1"}}) if event == 1 else None
            boto3.client("sts").get_caller_identity()
    """
    variables = {"Variables": {"BUCKET": {"Ref": "Bucket"}, "OTHER": {"Ref": "Other"}}}
    stack = bench(
        {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Tasks": bench.queue(),
            "Other": bench.queue(),
            "Worker": bench.function(code, Environment=variables),
            "M": bench.mapping("Tasks", "Worker"),
        }
    )
    boto3.client("sqs").send_message(QueueUrl=stack.outputs["Tasks"], MessageBody="x")
    stack.drain()
    (invocation,) = stack.invocations()
    assert invocation.error is None
    bucket = f"arn:aws:s3:::{stack.outputs['Bucket']}"
    queue = stack.outputs["Other"].rpartition("/")[2]
    made = [(each.action, each.resource) for each in stack.calls if each.request_id == invocation.request_id]
    assert made == [
        ("s3:PutObject", f"{bucket}/a/b"),
        ("s3:GetObject", f"{bucket}/a/b"),
        ("s3:ListBucket", bucket),
        ("s3:DeleteObject", f"{bucket}/a/b"),
        ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:123456789012:{queue}"),
        ("events:PutEvents", "arn:aws:events:us-east-1:123456789012:event-bus/default"),
        ("sts:GetCallerIdentity", "*"),
    ]
    polled = {each.action for each in stack.calls if each.caller == "Worker" and not each.request_id}
    assert polled == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert "sqs:SendMessage" in {each.action for each in stack.calls if each.caller == "client"}


PUT = """
    import boto3, os
    s3 = boto3.client("s3")
    def handler(event, context):
        for record in event["Records"]:
            s3.put_object(Bucket=os.environ["BUCKET"], Key=record["body"], Body=b"")
"""


def run_with(bench, faults, code=PUT, count=20):
    """Give the stack after 20 messages went through it with faults."""
    variables = {"Variables": {"BUCKET": {"Ref": "Bucket"}}}
    stack = bench(
        {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Tasks": bench.queue(),
            "Worker": bench.function(code, Environment=variables),
            "M": bench.mapping("Tasks", "Worker", BatchSize=1),
        },
        faults=faults,
        concurrency=2,
    )
    for number in range(count):
        boto3.client("sqs").send_message(QueueUrl=stack.outputs["Tasks"], MessageBody=f"{number:02}")
    stack.drain()
    keys = [
        each["Key"] for each in boto3.client("s3").list_objects_v2(Bucket=stack.outputs["Bucket"])["Contents"]
    ]
    assert keys == [f"{number:02}" for number in range(count)], "no message is lost to a fault"
    return stack


def test_duplicates_are_delivered_twice_and_lose_nothing(bench):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues.html"""
    stack = run_with(bench, Faults(seed=3, duplicate=0.4))
    bodies = [each.event["Records"][0]["body"] for each in stack.invocations()]
    hits = stack.fault_counts()["duplicate"]
    assert hits >= 2
    assert len(bodies) == 20 + hits


def test_delays_move_the_clock(bench):
    before = run_with(bench, Faults(seed=1, delay=0.3, delay_s=400))
    assert before.fault_counts()["delay"] > 0


def test_throttles_are_refusals_and_the_message_comes_back(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
    stack = run_with(bench, Faults(seed=2, throttle=0.3, limit=4))
    assert len(stack.refusals("Worker")) == stack.fault_counts()["throttle"] > 0


def test_killed_environments_are_errors_and_the_message_comes_back(bench):
    slow = PUT.replace(
        'record["body"], Body=b"")', 'record["body"], Body=b"")\n            import time; time.sleep(0.1)'
    )
    stack = run_with(bench, Faults(seed=5, kill=0.3, kill_after_s=0.1, limit=4), slow, count=10)
    errors = [each.error for each in stack.invocations() if each.error]
    assert 1 <= len(errors) <= stack.fault_counts()["kill"]
    assert all("signal: killed" in each["errorMessage"] for each in errors)


def test_failed_s3_calls_are_retried_by_boto3(bench):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"""
    stack = run_with(bench, Faults(seed=4, fail_s3=0.3, limit=5), count=8)
    failed = [each for each in stack.calls if each.status == 503]
    assert len(failed) == stack.fault_counts()["fail_s3"] > 0
    assert {each.caller for each in failed} == {"Worker"}
