"""Each workaround has a canary here, on plain moto: the day that one fails, moto has mended it.

Then the function in `workarounds` or `replacements` that the test's docstring names can go.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import re
import time
import zipfile

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID

from orchestrator.rehearsal import replacements, workarounds
from tests.functional.functions import make_function

REGION = "us-east-1"
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/any"
LAMBDA_ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
SUCCEED = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})


# no mistake of moto's, so that there is none to watch
WITHOUT_CANARY = {
    "configure_moto": "its own settings, and empty stores",
    "empty_definition": "the half of make_state_machines that comes before the stack is made",
    "forget_references": "the half of drop_unknown that looks at who refers to it",
    "keep_time_for_queues": "the clock is the rehearsal's",
    "make_deployable": "calls the others",
    "replace_content": "nobody puts a layer's content into S3 here",
    "replace_parts_of_moto": "calls the others",
    "wait_by_clock": "the clock is the rehearsal's",
}


@pytest.fixture(autouse=True)
def moto(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(config={"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}):
        yield


def make_stack(resources, outputs=None):
    """Give the outputs of a stack that moto has made of resources."""
    client = boto3.client("cloudformation")
    template = {"Resources": {"Role": LAMBDA_ROLE, **resources}, "Outputs": outputs or {}}
    client.create_stack(StackName="canary", TemplateBody=json.dumps(template))
    described = client.describe_stacks(StackName="canary")["Stacks"][0].get("Outputs", [])
    return {each["OutputKey"]: each["OutputValue"] for each in described}


def make_failing(**properties):
    code = "def handler(event, context):\n    raise RuntimeError\n"
    return make_function(code, FunctionName="f", **properties)


def zip_nothing():
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def make_queue(name="q", **attributes):
    return boto3.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def test_every_workaround_has_its_canary():
    """A workaround that nobody watches stays when moto is mended, and then stands in its way."""
    made = {
        name
        for module in (workarounds, replacements)
        for name, each in inspect.getmembers(module, inspect.isfunction)
        if each.__module__ == module.__name__ and not name.startswith("_")
    }
    canaries = [each for name, each in globals().items() if name.startswith("test_moto_still_")]
    watched = set(re.findall(r"\w+", " ".join(inspect.getdoc(each) or "" for each in canaries)))
    assert made - watched == set(WITHOUT_CANARY)


def test_moto_still_swallows_messages():
    """switch_mapping_off: an enabled mapping deletes messages, though the function would have failed."""
    mapping = {"FunctionName": "f", "EventSourceArn": {"Fn::GetAtt": ["Tasks", "Arn"]}, "BatchSize": 10}
    urls = make_stack(
        {
            "Tasks": {"Type": "AWS::SQS::Queue"},
            "Worker": make_failing(),
            "M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping, "DependsOn": "Worker"},
        },
        {"Url": {"Value": {"Ref": "Tasks"}}},
    )
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=urls["Url"], MessageBody="x")
    assert "Messages" not in sqs.receive_message(QueueUrl=urls["Url"])


def test_moto_still_drops_layers():
    """replace_code: a function made by CloudFormation has no layers."""
    layer = boto3.client("lambda").publish_layer_version(LayerName="l", Content={"ZipFile": zip_nothing()})
    make_stack({"Worker": make_failing(Layers=[layer["LayerVersionArn"]])})
    assert not boto3.client("lambda").get_function_configuration(FunctionName="f").get("Layers")


def test_moto_still_keeps_nothing_in_lists():
    """drop_nothing: CloudFormation takes AWS::NoValue out of a list."""
    said = {"Fn::Join": ["-", ["a", {"Ref": "AWS::NoValue"}, "b"]]}
    assert make_stack({"Worker": make_failing()}, {"Said": {"Value": said}})["Said"] == "a-None-b"


def test_moto_still_gives_layers_no_id():
    """read_id: what `Ref` gives for a layer is no ARN."""
    properties = {"LayerName": "l", "Content": {"S3Bucket": "code", "S3Key": "l.zip"}}
    boto3.client("s3").create_bucket(Bucket="code")
    boto3.client("s3").put_object(Bucket="code", Key="l.zip", Body=zip_nothing())
    layer = {"Type": "AWS::Lambda::LayerVersion", "Properties": properties}
    outputs = make_stack({"Layer": layer}, {"Arn": {"Value": {"Ref": "Layer"}}})
    assert not outputs["Arn"].startswith("arn:")


def test_moto_still_loses_state_machines():
    """make_state_machines: the interpreter does not find a state machine made by CloudFormation."""
    properties = {"StateMachineName": "m", "DefinitionString": SUCCEED, "RoleArn": ROLE}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    outputs = make_stack({"Machine": machine}, {"Arn": {"Value": {"Ref": "Machine"}}})
    states = boto3.client("stepfunctions")
    with pytest.raises(states.exceptions.StateMachineDoesNotExist):
        states.start_execution(stateMachineArn=outputs["Arn"], name="x")


def test_moto_still_names_no_executions():
    """name_executions: an execution without a given name is called None."""
    states = boto3.client("stepfunctions")
    machine = states.create_state_machine(name="m", definition=SUCCEED, roleArn=ROLE)["stateMachineArn"]
    assert states.start_execution(stateMachineArn=machine)["executionArn"].endswith(":None")


def test_moto_still_starts_no_execution_from_a_state():
    """spell_arguments_of_executions: a state's StateMachineArn reaches the API as it is written."""
    states = boto3.client("stepfunctions")
    target = states.create_state_machine(name="target", definition=SUCCEED, roleArn=ROLE)["stateMachineArn"]
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Parameters": {"StateMachineArn": target, "Name": "x"},
        "End": True,
    }
    definition = json.dumps({"StartAt": "Start", "States": {"Start": start}})
    machine = states.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]
    started = states.start_execution(stateMachineArn=machine, name="y")["executionArn"]
    while (ended := states.describe_execution(executionArn=started))["status"] == "RUNNING":
        time.sleep(0.01)
    assert ended["status"] == "FAILED"
    assert states.list_executions(stateMachineArn=target)["executions"] == []


def test_moto_still_tolerates_failed_items_of_maps():
    """fail_maps_with_their_items: a distributed map succeeds though its only item failed."""
    each = {
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Fail",
            "States": {"Fail": {"Type": "Fail", "Error": "Bad"}},
        },
        "End": True,
    }
    states = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": "Each", "States": {"Each": each}})
    machine = states.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]
    started = states.start_execution(stateMachineArn=machine, name="x", input="[1]")["executionArn"]
    while (ended := states.describe_execution(executionArn=started))["status"] == "RUNNING":
        time.sleep(0.01)
    assert ended["status"] == "SUCCEEDED"


def test_moto_still_forgets_notifications():
    """set_notifications: a bucket made by CloudFormation has no notifications."""
    wanted = {"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": ["Queue", "Arn"]}}
    bucket = {"BucketName": "bucket", "NotificationConfiguration": {"QueueConfigurations": [wanted]}}
    make_stack({"Queue": {"Type": "AWS::SQS::Queue"}, "B": {"Type": "AWS::S3::Bucket", "Properties": bucket}})
    found = boto3.client("s3").get_bucket_notification_configuration(Bucket="bucket")
    assert "QueueConfigurations" not in found


@pytest.mark.parametrize(
    "kind", ["AWS::SQS::QueuePolicy", "AWS::Lambda::EventInvokeConfig", "AWS::SNS::Subscription"]
)
def test_moto_still_knows_no_queue_policies(kind):
    """drop_unknown, make_subscriptions."""
    from moto.cloudformation.parsing import get_model_map

    assert kind not in get_model_map()


def test_moto_still_knows_no_subscriptions():
    """make_subscriptions."""
    from moto.cloudformation.parsing import get_model_map

    assert "AWS::SNS::Subscription" not in get_model_map()


def test_moto_still_loses_trace_headers():
    """stamp_messages: system attributes of a batch's messages do not arrive."""
    sqs, url = boto3.client("sqs"), make_queue()
    header = {
        "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    }
    entry = {"Id": "1", "MessageBody": "x", "MessageSystemAttributes": header}
    sqs.send_message_batch(QueueUrl=url, Entries=[entry])
    (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert "AWSTraceHeader" not in message["Attributes"]


def test_moto_still_forgets_where_dead_letters_come_from():
    """receive_by_our_rules: a dead letter has no DeadLetterQueueSourceArn."""
    sqs, letters = boto3.client("sqs"), make_queue("letters")
    arn = sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = make_queue("tasks", RedrivePolicy=policy, VisibilityTimeout="0")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    for _ in range(2):
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
        time.sleep(0.01)
    (message,) = sqs.receive_message(QueueUrl=letters, AttributeNames=["All"])["Messages"]
    assert "DeadLetterQueueSourceArn" not in message["Attributes"]


def test_moto_still_counts_characters_of_messages():
    """refuse_oversized, in `gateway`: a message of 2 MiB passes, if it is of 1 Mi characters."""
    body = "\u00e9" * 1024 * 1024
    sent = boto3.client("sqs").send_message(QueueUrl=make_queue(), MessageBody=body)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def test_moto_still_runs_no_function():
    """defer_invokes: without Docker, a function that would fail answers its event."""
    make_stack({"Worker": make_failing()})
    answer = boto3.client("lambda").invoke(FunctionName="f", Payload=b'{"a": 1}')
    assert json.load(answer["Payload"]) == {"a": 1}


def test_moto_still_reaches_no_functions():
    """reach_all_targets: a rule with a function as target raises."""
    make_stack({"Worker": make_failing()})
    events = boto3.client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["s"]}')
    arn = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:f"
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    with pytest.raises(NotImplementedError):
        events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])


def test_moto_still_quotes_slashes_of_keys():
    """spell_keys: S3 writes a/b+c, moto writes a%2Fb+c."""
    assert "a%2Fb+c" in announce("a/b c", "s3:ObjectCreated:*")


def test_moto_still_spells_events_of_s3_in_its_own_way():
    """spell_s3_event: AWS has `etag`, a version only where there are versions, a sequencer for each put."""
    sqs, events, s3 = boto3.client("sqs"), boto3.client("events"), boto3.client("s3")
    url = make_queue()
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="r", EventPattern='{"source": ["aws.s3"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": arn}])
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    for _ in range(2):
        s3.put_object(Bucket="bucket", Key="k", Body=b"")
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    objects = [json.loads(each["Body"])["detail"]["object"] for each in found]
    assert "eTag" in objects[0]
    assert objects[0]["version-id"] == "null"
    assert len({each["sequencer"] for each in objects}) == 1


def test_moto_still_lets_schedules_hear_events():
    """hears: a rule with a schedule and no pattern starts at its times alone."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = make_queue()
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="r", ScheduleExpression="rate(1 day)")
    events.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": arn}])
    events.put_events(Entries=[{"Source": "any", "DetailType": "any", "Detail": "{}"}])
    assert "Messages" in sqs.receive_message(QueueUrl=url)


def test_moto_still_announces_tags_with_every_put():
    """drop_tag_events_of_puts: an object without tags announces its tags."""
    assert "ObjectTagging:Put" in announce("a", "s3:ObjectTagging:*")


def announce(key, event):
    """Give what arrives in a queue when an object is put."""
    sqs, s3, url = boto3.client("sqs"), boto3.client("s3"), make_queue()
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.create_bucket(Bucket="bucket")
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": [event]}]}
    s3.put_bucket_notification_configuration(Bucket="bucket", NotificationConfiguration=wanted)
    s3.put_object(Bucket="bucket", Key=key, Body=b"")
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return " ".join(each["Body"] for each in found)


def test_moto_still_makes_a_client_per_task():
    """reuse_clients: the interpreter's clients are not kept."""
    from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

    assert boto_client_for(REGION, "sqs") is not boto_client_for(REGION, "sqs")
