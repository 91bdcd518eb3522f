"""What moto 5.2.5 cannot take of a template, one function each; a canary test fails when moto mends one.

What it gets wrong later is in `replacements`. Imports moto, boto3 and this package. When it is wrong, the
stack in moto differs from the template's.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.rehearsal.template import Template

if TYPE_CHECKING:
    from orchestrator.rehearsal.deploy import Deployment

_PLAIN_CODE = "def handler(event, context):\n    raise RuntimeError('moto does not run this')\n"


# ---- before the stack is made --------------------------------------------------------------------------


def make_deployable(template: Template) -> Template:
    """Give the template as moto can take it; changes it in place."""
    for name, resource in template["Resources"].items():
        properties = resource.setdefault("Properties", {})
        match resource["Type"]:
            case "AWS::Lambda::EventSourceMapping":
                switch_mapping_off(properties)
            case "AWS::Lambda::Function":
                replace_code(properties)
            case "AWS::Lambda::LayerVersion":
                replace_content(name, properties)
            case "AWS::StepFunctions::StateMachine":
                empty_definition(name, properties)
    return template


def switch_mapping_off(properties: dict[str, Any]) -> None:
    """Keep moto's stand-in from delivering: it hands over one record each, and deletes it whatever happens.

    test_moto_still_swallows_messages fails on the day that this is mended.
    """
    properties["Enabled"] = False


def replace_code(properties: dict[str, Any]) -> None:
    """Give moto some code to hold: it would look for the real one in its S3.

    Layers go too, since moto drops them: test_moto_still_drops_layers.
    """
    properties["Code"] = {"ZipFile": _PLAIN_CODE}
    properties.pop("Layers", None)
    if properties.pop("PackageType", "Zip") == "Image":
        properties |= {"Handler": "index.handler", "Runtime": "python3.13"}


def replace_content(name: str, properties: dict[str, Any]) -> None:
    """Give moto an empty layer to hold: it would look for the real one in its S3."""
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    properties["Content"] = {"ZipFile": base64.b64encode(buffer.getvalue()).decode()}
    properties.setdefault("LayerName", name)


def empty_definition(name: str, properties: dict[str, Any]) -> None:
    """Keep a state machine's place in the stack: what it does is given to the interpreter later."""
    properties.setdefault("StateMachineName", f"rehearsal-{name}")
    for key in ("Definition", "DefinitionS3Location", "DefinitionSubstitutions"):
        properties.pop(key, None)
    properties["DefinitionString"] = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})


def drop_unknown(template: Template) -> dict[str, str]:
    """Take out of the template, in place, the types that moto does not know; give them by name.

    What refers to one gets a name that stands for it. moto only warns, and then fails at the reference:
    test_moto_still_knows_no_queue_policies.
    """
    from moto.cloudformation.parsing import get_model_map

    resources = template["Resources"]
    dropped = {name: each["Type"] for name, each in resources.items() if each["Type"] not in get_model_map()}
    for name in dropped:
        del resources[name]
    for resource in resources.values():
        waits = resource.pop("DependsOn", [])
        left = [each for each in ([waits] if isinstance(waits, str) else waits) if each not in dropped]
        if left:
            resource["DependsOn"] = left
    for key in ("Resources", "Outputs"):
        if key in template:
            template[key] = forget_references(template[key], dropped)
    return dropped


def forget_references(value: Any, dropped: Mapping[str, str]) -> Any:
    """Give a value in which references to what was dropped are plain names."""
    if isinstance(value, list):
        return [forget_references(each, dropped) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("Ref") in dropped:
        return f"not-deployed-{value['Ref']}"
    target = value.get("Fn::GetAtt")
    name = target.split(".")[0] if isinstance(target, str) else target[0] if target else None
    if name in dropped:
        return f"not-deployed-{name}"
    if isinstance(text := value.get("Fn::Sub"), str):
        found = re.sub(
            r"\$\{(\w+)[^}]*\}", lambda m: f"not-deployed-{m[1]}" if m[1] in dropped else m[0], text
        )
        return {"Fn::Sub": found}
    return {key: forget_references(each, dropped) for key, each in value.items()}


# ---- after the stack is made ---------------------------------------------------------------------------


def read_id(resource: Any) -> str:
    """Give a resource's physical id; a layer has none in moto, and `Ref` gives the very object.

    test_moto_still_gives_layers_no_id fails on the day that this is mended.
    """
    return str(getattr(resource, "physical_resource_id", None) or resource.arn)


def drop_nothing(value: Any) -> Any:
    """Give a resolved value whose lists lack what was AWS::NoValue: moto leaves None in its place.

    test_moto_still_keeps_nothing_in_lists fails on the day that this is mended.
    """
    if isinstance(value, list):
        return [drop_nothing(each) for each in value if each is not None]
    if isinstance(value, dict):
        return {key: drop_nothing(each) for key, each in value.items()}
    return value


def make_state_machines(deployment: Deployment, written: Template, folder: Path) -> None:
    """Create state machines through the API: CloudFormation puts them where the interpreter does not look.

    Definitions in files and their substitutions, which moto does not do, are resolved here.
    test_moto_still_loses_state_machines fails on the day that this is mended.
    """
    import boto3

    names = deployment.list_deployed("AWS::StepFunctions::StateMachine")
    for name, properties in names.items():
        source = (written["Resources"].get(name) or {}).get("Properties") or properties
        client = boto3.client("stepfunctions", region_name=deployment.region)
        client.create_state_machine(
            name=deployment.get_id(name).rpartition(":")[2],
            definition=_read_definition(deployment, source, folder),
            roleArn=str(properties.get("RoleArn", "arn:aws:iam::123456789012:role/states")),
            type=str(properties.get("StateMachineType", "STANDARD")),
        )


def _read_definition(deployment: Deployment, source: Mapping[str, Any], folder: Path) -> str:
    if uri := source.get("DefinitionUri"):
        text = (folder / str(uri)).read_text(encoding="utf-8")
        text = json.dumps(yaml.safe_load(text)) if not str(uri).endswith(".json") else text
    elif "DefinitionString" in source:
        text = str(deployment.resolve(source["DefinitionString"]))
    else:
        text = json.dumps(deployment.resolve(source.get("Definition", {})))
    for key, value in (deployment.resolve(source.get("DefinitionSubstitutions") or {})).items():
        text = text.replace(f"${{{key}}}", str(value))
    return text


def set_notifications(deployment: Deployment) -> None:
    """Set the buckets' notifications through the API, since moto's CloudFormation leaves them out.

    test_moto_still_forgets_notifications fails on the day that this is mended.
    """
    import boto3

    for name, properties in deployment.list_deployed("AWS::S3::Bucket").items():
        if wanted := properties.get("NotificationConfiguration"):
            boto3.client("s3", region_name=deployment.region).put_bucket_notification_configuration(
                Bucket=deployment.get_id(name), NotificationConfiguration=_translate_notifications(wanted)
            )


def make_subscriptions(deployment: Deployment) -> None:
    """Subscribe to topics through the API, since moto's CloudFormation knows no AWS::SNS::Subscription.

    test_moto_still_knows_no_subscriptions fails on the day that this is mended.
    """
    import boto3

    for properties in deployment.list_deployed("AWS::SNS::Subscription").values():
        attributes = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in properties.items()
            if key in {"FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"}
        }
        boto3.client("sns", region_name=deployment.region).subscribe(
            TopicArn=properties["TopicArn"],
            Protocol=properties["Protocol"],
            Endpoint=properties.get("Endpoint", ""),
            Attributes=attributes,
        )


_KINDS = {
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
}


def _translate_notifications(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Give the API's form of what CloudFormation calls a NotificationConfiguration."""
    found: dict[str, Any] = {}
    for key, (theirs, target, arn) in _KINDS.items():
        for each in wanted.get(key) or []:
            entry: dict[str, Any] = {arn: each[target], "Events": [each["Event"]]}
            if rules := ((each.get("Filter") or {}).get("S3Key") or {}).get("Rules"):
                entry["Filter"] = {"Key": {"FilterRules": rules}}
            found.setdefault(theirs, []).append(entry)
    if "EventBridgeConfiguration" in wanted:
        found["EventBridgeConfiguration"] = {}
    return found
