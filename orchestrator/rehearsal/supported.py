"""Says what of a template a rehearsal cannot do, before anything is deployed.

Pure. When it is wrong, a function is never called and nobody says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.rehearsal.template import Template

_NEVER = {
    "AWS::CloudFormation::CustomResource": "a custom resource is not called",
    "AWS::CloudFormation::Macro": "macros are not run",
    "AWS::CloudFormation::Stack": "nested stacks are not deployed",
    "AWS::Serverless::Application": "nested applications are not deployed",
    "AWS::Pipes::Pipe": "pipes do not run",
    "AWS::Scheduler::Schedule": "EventBridge Scheduler starts nothing; rules with schedules do, by `fire`",
    "AWS::Logs::SubscriptionFilter": "lines of logs are not delivered",
    "AWS::IoT::TopicRule": "messages of IoT are not delivered",
    "AWS::Lambda::CapacityProvider": "functions run in environments of their own only",
}
_SOURCES = {"AWS::SQS::Queue"}


def list_problems(template: Template, given_code: Mapping[str, object]) -> list[str]:
    """Name everything in a transformed template that would not work here.

    Args:
        given_code: functions and layers whose code the caller names.
    """
    return [
        f"{name} ({resource['Type']}): {problem}"
        for name, resource in template["Resources"].items()
        for problem in _judge(name, resource, template["Resources"], given_code)
    ]


def _judge(
    name: str, resource: Mapping[str, Any], resources: Mapping[str, Any], given_code: Mapping[str, object]
) -> Iterator[str]:
    kind, properties = str(resource["Type"]), resource.get("Properties") or {}
    if kind in _NEVER or kind.startswith("Custom::"):
        yield _NEVER.get(kind, _NEVER["AWS::CloudFormation::CustomResource"])
    elif kind == "AWS::Lambda::Function":
        runtime = str(properties.get("Runtime", "python3"))
        if not runtime.startswith("python"):
            yield f"runtime {runtime}; only Python handlers run here"
        is_certain = "Condition" not in resource  # of the others only those are looked at that are wanted
        if properties.get("PackageType") == "Image" and is_certain and name not in given_code:
            yield describe_image(name)
    elif kind == "AWS::Lambda::EventSourceMapping":
        yield from _judge_mapping(properties, resources)
    elif kind == "AWS::Cognito::UserPool" and properties.get("LambdaConfig"):
        yield "triggers of Cognito are not called"


def describe_image(name: str) -> str:
    """Say what a function that ships as an image needs here."""
    return f"a container image; give its code with code={{'{name}': ...}}"


def _judge_mapping(properties: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    source = properties.get("EventSourceArn")
    if isinstance(source, dict) and "Fn::GetAtt" in source:
        target = source["Fn::GetAtt"]
        kind = resources.get(target[0] if isinstance(target, list) else target.split(".")[0], {}).get("Type")
        if kind not in _SOURCES:
            yield f"event source {kind}; SQS queues are the ones that are polled"
    elif isinstance(source, str) and ":sqs:" not in source:
        yield f"event source {source}; SQS queues are the ones that are polled"
    elif source is None:
        yield "an event source outside of AWS; SQS queues are the ones that are polled"
    if "FilterCriteria" in properties:
        yield "FilterCriteria; messages are not filtered here"
    batch, window = properties.get("BatchSize", 10), properties.get("MaximumBatchingWindowInSeconds", 0)
    if isinstance(batch, int) and batch > 10 and window == 0:
        yield f"BatchSize {batch} needs MaximumBatchingWindowInSeconds of at least 1, AWS refuses it"
    if "ProvisionedPollerConfig" in properties and "MaximumConcurrency" in (
        properties.get("ScalingConfig") or {}
    ):
        yield "MaximumConcurrency and provisioned pollers exclude each other, AWS refuses it"
