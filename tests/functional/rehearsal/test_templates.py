"""What a template may hold, and what is refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import boto3
import pytest

from orchestrator.rehearsal import DeployFailed, UnsupportedTemplate, rehearse

ECHO = "def handler(event, context):\n    return event\n"


def refuse(bench, resources, **options):
    """Give the sentences of the refusal."""
    with pytest.raises(UnsupportedTemplate) as refusal:
        bench(resources, **options)
    return refusal.value.problems


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"Type": "Custom::Thing", "Properties": {"ServiceToken": "x"}}, "custom resource"),
        ({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "x"}}, "nested stacks"),
        ({"Type": "AWS::Pipes::Pipe"}, "pipes"),
        ({"Type": "AWS::Scheduler::Schedule"}, "EventBridge Scheduler"),
        ({"Type": "AWS::Logs::SubscriptionFilter"}, "logs"),
        ({"Type": "AWS::IoT::TopicRule"}, "IoT"),
        ({"Type": "AWS::Cognito::UserPool", "Properties": {"LambdaConfig": {"PreSignUp": "x"}}}, "Cognito"),
    ],
)
def test_resources_that_would_do_nothing_are_named(bench, resource, words):
    (problem,) = refuse(bench, {"Odd": resource})
    assert problem.startswith("Odd (")
    assert words in problem


def test_every_problem_is_named_at_once(bench):
    mapping = bench.mapping("Table", "Worker", StartingPosition="LATEST", FilterCriteria={"Filters": []})
    problems = refuse(
        bench,
        {
            "Table": {"Type": "AWS::DynamoDB::Table"},
            "Worker": bench.function(ECHO, Runtime="nodejs22.x"),
            "M": mapping,
        },
    )
    assert [each.split(" ")[0] for each in problems] == ["Worker", "M", "M"]
    assert "nodejs22.x" in problems[0]
    assert "AWS::DynamoDB::Table" in problems[1]
    assert "FilterCriteria" in problems[2]


def test_settings_that_aws_refuses_are_refused(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    queue, worker = bench.queue(), bench.function(ECHO)
    large = bench.mapping("Tasks", "Worker", BatchSize=100)
    assert (
        "MaximumBatchingWindowInSeconds" in refuse(bench, {"Tasks": queue, "Worker": worker, "M": large})[0]
    )
    both = bench.mapping(
        "Tasks",
        "Worker",
        ScalingConfig={"MaximumConcurrency": 5},
        ProvisionedPollerConfig={"MinimumPollers": 2},
    )
    assert "exclude each other" in refuse(bench, {"Tasks": queue, "Worker": worker, "M": both})[0]


def test_what_is_ignored_on_purpose_is_left_out(bench):
    odd = {"Type": "Custom::Thing", "Properties": {"ServiceToken": "x"}}
    path = bench.write({"Tasks": bench.queue()})
    template = json.loads(path.read_text())
    template["Resources"]["Odd"] = odd
    path.write_text(json.dumps(template))
    with rehearse(path, ignore=["Odd"]) as stack:
        assert stack.outputs["Tasks"]


def test_event_that_sam_makes_a_resource_of_may_be_ignored(bench):
    """Its name is told by the refusal alone."""
    schedule = {"Type": "ScheduleV2", "Properties": {"ScheduleExpression": "rate(1 day)"}}
    properties = {"Runtime": "python3.13", "Handler": "index.handler", "InlineCode": ECHO}
    worker = {
        "Type": "AWS::Serverless::Function",
        "Properties": {**properties, "Events": {"Nightly": schedule}},
    }
    path = bench.write({"Worker": worker}, Transform="AWS::Serverless-2016-10-31")
    with pytest.raises(UnsupportedTemplate, match="WorkerNightly"), rehearse(path):
        pass
    with rehearse(path, ignore=["WorkerNightly"]) as stack:
        boto3.client("lambda").invoke(FunctionName=stack.outputs["Worker"], Payload=b"1")
        assert [each.response for each in stack.invocations("Worker")] == [1]


def test_parameters_are_checked(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(
        """
        Parameters:
          Size: {Type: String, AllowedValues: [small, large], Default: small}
          Name: {Type: String}
        Conditions:
          IsLarge: !Equals [!Ref Size, large]
        Resources:
          Always: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "${Name}-a"}}
          Sometimes: {Type: AWS::SQS::Queue, Condition: IsLarge}
        Outputs:
          Url: {Value: !If [IsLarge, !Ref Sometimes, !Ref Always]}
          Name: {Value: !GetAtt Always.QueueName}
        """
    )
    with pytest.raises(UnsupportedTemplate, match="parameter Name has no default"), rehearse(path):
        pass
    with (
        pytest.raises(UnsupportedTemplate, match="Size is 'huge'"),
        rehearse(path, parameters={"Size": "huge", "Name": "n"}),
    ):
        pass
    with rehearse(path, parameters={"Name": "n"}) as stack:
        assert stack.outputs["Name"] == "n-a"
        assert len(boto3.client("sqs").list_queues()["QueueUrls"]) == 1
    with rehearse(path, parameters={"Name": "n", "Size": "large"}) as stack:
        assert "Sometimes" in stack.outputs["Url"]


def test_reference_to_nothing_fails_the_deployment(bench):
    with pytest.raises(DeployFailed):
        bench({"Tasks": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Nobody"}}}})


def test_types_that_moto_does_not_know_are_left_out_and_named(bench):
    policy = {"Queues": [{"Ref": "Tasks"}], "PolicyDocument": {"Statement": []}}
    resources = {
        "Tasks": bench.queue(),
        "Policy": {"Type": "AWS::SQS::QueuePolicy", "Properties": policy},
        "Worker": bench.function(
            ECHO, Environment={"Variables": {"P": {"Ref": "Policy"}, "S": {"Fn::Sub": "${Policy}/${Tasks}"}}}
        ),
    }
    stack = bench(resources)
    assert stack.inert == {"Policy": "AWS::SQS::QueuePolicy"}
    assert stack.functions["Worker"].environment["P"] == "not-deployed-Policy"


def test_code_may_be_given_as_folder_or_archive(bench, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "index.py").write_text("def handler(event, context):\n    return 'folder'\n")
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("index.py", "def handler(event, context):\n    return 'archive'\n")
    resources = {
        "One": bench.function("", Code={"S3Bucket": "b", "S3Key": "k"}),
        "Two": bench.function("", Code={"ImageUri": "x"}, PackageType="Image"),
    }
    problems = refuse(bench, resources)
    assert "Two" in problems[0]
    assert "give its code" in problems[0]
    stack = bench(resources, code={"One": folder, "Two": archive})
    for name in ("One", "Two"):
        boto3.client("lambda").invoke(FunctionName=stack.outputs[name])
    assert [each.response for each in stack.invocations()] == ["folder", "archive"]


def test_missing_code_is_named(bench):
    worker = bench.function("", Code="nowhere")
    layered = bench.function(ECHO, Layers=["arn:aws:lambda:us-east-1:1:layer:theirs:3"])
    problems = refuse(bench, {"Worker": worker, "Other": layered})
    assert "nowhere" in problems[0]
    assert "arn:aws:lambda:us-east-1:1:layer:theirs:3" in problems[1]


def test_rehearsals_may_follow_each_other_in_one_process(bench):
    for _ in range(2):
        with rehearse(bench.write({"Tasks": bench.queue(QueueName="same")})) as stack:
            url = stack.outputs["Tasks"]
            boto3.client("sqs").send_message(QueueUrl=url, MessageBody="x")
            names = ["ApproximateNumberOfMessages"]
            found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
            assert found["Attributes"]["ApproximateNumberOfMessages"] == "1"


EVERYTHING = Path(__file__).parent / "templates/everything"


@pytest.mark.parametrize(
    ("parameters", "functions"),
    [
        ({}, ["SmallWorker"]),
        (
            {
                "Choice": "all",
                "Pollers": "provisioned",
                "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k",
                "PermissionsBoundary": "arn:aws:iam::123456789012:policy/b",
                "SubnetIds": "subnet-1,subnet-2",
                "SecurityGroupIds": "sg-1",
            },
            ["SmallWorker", "MediumWorker"],
        ),
    ],
)
def test_template_of_many_features_behind_conditions_is_deployed(parameters, functions):
    code = {"DepsLayer": EVERYTHING / "shared"}
    with rehearse(EVERYTHING / "template.yaml", parameters=parameters, code=code) as stack:
        assert list(stack.functions) == functions
        assert stack.functions["SmallWorker"].memory_mib == 1769
        assert ("MediumUrl" in stack.outputs) == (len(functions) == 2)
        boto3.client("sqs").send_message(QueueUrl=stack.outputs["Tasks"], MessageBody="x")
        boto3.client("s3").put_object(Bucket=stack.outputs["Inbox"], Key="a.order.json", Body=b"{}")
        stack.drain()
        assert [each.error for each in stack.invocations()] == [None, None]
        assert {each.source for each in stack.invocations()} == {"SmallWorkerTasks", "states"}


def test_layer_that_sam_would_build_has_to_be_given():
    with (
        pytest.raises(UnsupportedTemplate, match="DepsLayer has to be built"),
        rehearse(EVERYTHING / "template.yaml"),
    ):
        pass
