"""Lambda's Invoke, asynchronous events, and what starts functions besides queues."""

from __future__ import annotations

import json
import time

import boto3
import pytest

ECHO = """
    def handler(event, context):
        return event
"""
FAIL = """
    def handler(event, context):
        raise ValueError("no")
"""


def read_queue(stack, name):
    found = boto3.client("sqs").receive_message(QueueUrl=stack.outputs[name], MaxNumberOfMessages=10)
    return [each["Body"] for each in found.get("Messages", [])]


def test_invoke_answers_payload_version_and_log(bench):
    """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""
    stack = bench({"Worker": bench.function(ECHO)})
    client = boto3.client("lambda")
    answer = client.invoke(FunctionName=stack.functions["Worker"].arn, Payload=b'{"a": 1}', LogType="Tail")
    assert json.load(answer["Payload"]) == {"a": 1}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert client.invoke(FunctionName=stack.outputs["Worker"], InvocationType="DryRun")["StatusCode"] == 204
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_invoke_answers_errors_of_handlers_as_payload(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html"""
    stack = bench({"Worker": bench.function(FAIL)})
    answer = boto3.client("lambda").invoke(FunctionName=stack.outputs["Worker"], Payload=b"{}")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    payload = json.load(answer["Payload"])
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "no")


def test_reserved_concurrency_answers_too_many_requests(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""
    stack = bench({"Worker": bench.function(ECHO, ReservedConcurrentExecutions=0)})
    client = boto3.client("lambda")
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName=stack.outputs["Worker"], Payload=b"{}")


def test_function_may_wait_for_another_when_all_slots_are_taken(bench):
    code = """
        import boto3, json, os
        def handler(event, context):
            inner, payload = os.environ["INNER"], json.dumps(event)
            return json.load(boto3.client("lambda").invoke(FunctionName=inner, Payload=payload)["Payload"])
    """
    variables = {"Variables": {"INNER": {"Ref": "Inner"}}}
    stack = bench(
        {"Inner": bench.function(ECHO), "Outer": bench.function(code, Environment=variables)}, concurrency=1
    )
    answer = boto3.client("lambda").invoke(FunctionName=stack.outputs["Outer"], Payload=b'"hello"')
    assert json.load(answer["Payload"]) == "hello"
    assert [each.source for each in stack.invocations()] == ["Outer", "invoke"]


def test_asynchronous_event_is_tried_three_times_over_three_minutes(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""
    worker = bench.function(FAIL, DeadLetterConfig={"TargetArn": {"Fn::GetAtt": ["Letters", "Arn"]}})
    stack = bench({"Letters": bench.queue(), "Worker": worker})
    client = boto3.client("lambda")
    name = stack.outputs["Worker"]
    assert client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')["StatusCode"] == 202
    assert stack.invocations() == []
    counts = []
    for seconds in (0, 30, 35, 60, 65, 600):
        stack.advance(seconds)
        counts.append(len(stack.invocations()))
    assert counts == [1, 1, 2, 2, 3, 3]
    assert [json.loads(each) for each in read_queue(stack, "Letters")] == [{"a": 1}]


def test_on_failure_destination_gets_a_report(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"""
    config = {
        "FunctionName": {"Ref": "Worker"},
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Failed", "Arn"]}}},
    }
    stack = bench(
        {
            "Failed": bench.queue(),
            "Worker": bench.function(FAIL),
            "Config": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": config},
        }
    )
    boto3.client("lambda").invoke(
        FunctionName=stack.outputs["Worker"], InvocationType="Event", Payload=b'"x"'
    )
    stack.drain()
    (report,) = (json.loads(each) for each in read_queue(stack, "Failed"))
    assert report["requestPayload"] == "x"
    assert report["requestContext"]["approximateInvokeCount"] == 2
    assert report["responsePayload"]["errorType"] == "ValueError"


def test_bucket_notifies_function_directly(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/with-s3.html"""
    wanted = {"Event": "s3:ObjectCreated:*", "Function": {"Fn::GetAtt": ["Worker", "Arn"]}}
    bucket = {"NotificationConfiguration": {"LambdaConfigurations": [wanted]}}
    stack = bench(
        {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": bucket}, "Worker": bench.function(ECHO)}
    )
    boto3.client("s3").put_object(Bucket=stack.outputs["Bucket"], Key="a/b c", Body=b"12345")
    stack.drain()
    (record,) = stack.invocations()[0].event["Records"]
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert (record["s3"]["object"]["key"], record["s3"]["object"]["size"]) == ("a/b+c", 5)


def make_rule(**properties):
    return {"Type": "AWS::Events::Rule", "Properties": properties}


def test_rule_over_a_buckets_events_reaches_function_and_queue(bench):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html"""
    pattern = {"source": ["aws.s3"], "detail": {"object": {"key": [{"suffix": ".run.json"}]}}}
    targets = [
        {"Id": "f", "Arn": {"Fn::GetAtt": ["Worker", "Arn"]}},
        {"Id": "q", "Arn": {"Fn::GetAtt": ["Copies", "Arn"]}, "InputPath": "$.detail.object.key"},
    ]
    bucket = {"NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}}
    stack = bench(
        {
            "Inbox": {"Type": "AWS::S3::Bucket", "Properties": bucket},
            "Copies": bench.queue(),
            "Worker": bench.function(ECHO),
            "Dropped": make_rule(EventPattern=pattern, Targets=targets),
        }
    )
    for key in ("june.run.json", "june.csv"):
        boto3.client("s3").put_object(Bucket=stack.outputs["Inbox"], Key=key, Body=b"{}")
    stack.drain()
    (event,) = (each.event for each in stack.invocations())
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["detail"]["object"]["key"] == "june.run.json"
    assert time.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert read_queue(stack, "Copies") == ['"june.run.json"']


def test_disabled_rule_delivers_nothing(bench):
    targets = [{"Id": "f", "Arn": {"Fn::GetAtt": ["Worker", "Arn"]}}]
    rule = make_rule(EventPattern={"source": ["x"]}, State="DISABLED", Targets=targets)
    stack = bench({"Worker": bench.function(ECHO), "Rule": rule})
    boto3.client("events").put_events(Entries=[{"Source": "x", "DetailType": "y", "Detail": "{}"}])
    stack.drain()
    assert stack.invocations() == []


def test_schedule_fires_when_it_is_told_to(bench):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html"""
    targets = [{"Id": "f", "Arn": {"Fn::GetAtt": ["Worker", "Arn"]}, "Input": '{"tick": 1}'}]
    rule = make_rule(ScheduleExpression="rate(5 minutes)", Targets=targets)
    stack = bench({"Worker": bench.function(ECHO), "Every": rule})
    stack.drain()
    assert stack.invocations() == []
    stack.fire("Every")
    stack.drain()
    assert [each.event for each in stack.invocations()] == [{"tick": 1}]


def test_topic_reaches_function(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html"""
    subscription = {
        "Protocol": "lambda",
        "TopicArn": {"Ref": "Topic"},
        "Endpoint": {"Fn::GetAtt": ["Worker", "Arn"]},
    }
    stack = bench(
        {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Worker": bench.function(ECHO),
            "Sub": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
        }
    )
    boto3.client("sns").publish(TopicArn=stack.outputs["Topic"], Message="hello")
    stack.drain()
    (record,) = stack.invocations()[0].event["Records"]
    assert record["Sns"]["Message"] == "hello"


def run_machine(bench, definition, code=ECHO, given="{}", limit_s=20.0):
    """Give the stack and how an execution of the machine ended."""
    machine = {
        "DefinitionString": {"Fn::Sub": json.dumps(definition)},
        "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
    }
    stack = bench(
        {
            "Tasks": bench.queue(),
            "Worker": bench.function(code),
            "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
        }
    )
    states = boto3.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=stack.outputs["Machine"], input=given)["executionArn"]
    stack.drain(limit_s)
    return stack, states.describe_execution(executionArn=arn)


def test_state_past_256_kib_fails_the_execution(bench):
    """https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
    task = {"Type": "Task", "Resource": "${Worker.Arn}", "End": True}
    code = "def handler(event, context): return 'x' * 300_000"
    _, ended = run_machine(bench, {"StartAt": "T", "States": {"T": task}}, code)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_execution_that_waits_for_a_token_is_left_and_goes_on_when_it_comes(bench):
    """https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html"""
    parameters = {"QueueUrl": "${Tasks}", "MessageBody": {"token.$": "$$.Task.Token"}}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": parameters,
        "End": True,
    }
    stack, before = run_machine(bench, {"StartAt": "T", "States": {"T": task}})
    assert before["status"] == "RUNNING"
    token = json.loads(read_queue(stack, "Tasks")[0])["token"]
    states = boto3.client("stepfunctions")
    states.send_task_success(taskToken=token, output='{"done": true}')
    stack.drain()
    after = states.describe_execution(executionArn=before["executionArn"])
    assert (after["status"], json.loads(after["output"])) == ("SUCCEEDED", {"done": True})


def test_inline_map_and_choice_run(bench):
    """https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html"""
    task = {"Type": "Task", "Resource": "${Worker.Arn}", "End": True}
    each = {"Type": "Map", "ItemProcessor": {"StartAt": "T", "States": {"T": task}}, "Next": "Many?"}
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$[2]", "IsPresent": True, "Next": "Yes"}],
        "Default": "No",
    }
    states = {"Each": each, "Many?": choice, "Yes": {"Type": "Succeed"}, "No": {"Type": "Fail"}}
    stack, ended = run_machine(bench, {"StartAt": "Each", "States": states}, given="[1, 2, 3]")
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [1, 2, 3])
    assert sorted(each.event for each in stack.invocations()) == [1, 2, 3]
