"""Reads functions, mappings and roles out of a deployment, in our own terms.

Imports this package. When it is wrong, a handler runs with another timeout, memory or layer than deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.code import CodeFinder
from orchestrator.rehearsal.deploy import Deployment
from orchestrator.rehearsal.errors import DeployFailed, UnsupportedTemplate
from orchestrator.rehearsal.policies import Statement, list_statements
from orchestrator.rehearsal.records import FunctionSpec, MappingSpec
from orchestrator.rehearsal.requests import ACCOUNT
from orchestrator.rehearsal.supported import describe_image
from orchestrator.rehearsal.workarounds import read_id


def describe_functions(
    deployment: Deployment, code: CodeFinder, given: Mapping[str, Path | str]
) -> dict[str, FunctionSpec]:
    """Give every function of the stack, by its name in the template.

    Raises:
        UnsupportedTemplate: code that is not found.
    """
    layers = _find_layers(deployment, code)
    configs = deployment.list_deployed("AWS::Lambda::EventInvokeConfig").values()
    found = {}
    for name, properties in deployment.list_deployed("AWS::Lambda::Function").items():
        physical = deployment.get_id(name)
        config: Mapping[str, Any] = next((each for each in configs if each["FunctionName"] == physical), {})
        found[name] = FunctionSpec(
            logical=name,
            name=physical,
            arn=f"arn:aws:lambda:{deployment.region}:{ACCOUNT}:function:{physical}",
            handler=_name_handler(properties),
            memory_mib=int(properties.get("MemorySize", 128)),
            timeout_s=float(properties.get("Timeout", 3)),
            role_arn=str(properties.get("Role", "")),
            task_root=code.find_function(name),
            layers=tuple(_pick_layer(each, layers, given, code) for each in properties.get("Layers") or []),
            environment=_read_variables(properties),
            reserved=_read_int(properties.get("ReservedConcurrentExecutions")),
            allows_loops=properties.get("RecursiveLoop") == "Allow",
            retry_attempts=int(config.get("MaximumRetryAttempts", 2)),
            event_age_s=float(config.get("MaximumEventAgeInSeconds", 21_600)),
            is_image=properties.get("PackageType") == "Image",
            **_read_failure(properties, config),
        )
    images = [
        f"{name} (AWS::Lambda::Function): {describe_image(name)}"
        for name, properties in deployment.list_deployed("AWS::Lambda::Function").items()
        if properties.get("PackageType") == "Image" and name not in given
    ]
    if images or code.problems:
        raise UnsupportedTemplate(images or code.problems)
    return found


def _name_handler(properties: Mapping[str, Any]) -> str:
    """What is called: of an image, its command where the template says one."""
    command = properties.get("ImageConfig", {}).get("Command") or [""]
    return str(properties.get("Handler", command[0]))


def _find_layers(deployment: Deployment, code: CodeFinder) -> dict[str, Path]:
    found = {}
    for name, properties in deployment.list_deployed("AWS::Lambda::LayerVersion").items():
        content = properties.get("Content")
        written = content.get("S3Key", name) if isinstance(content, dict) else name
        found[deployment.get_id(name)] = code.find_layer(written)
    return found


def _pick_layer(
    layer: Any, layers: Mapping[str, Path], given: Mapping[str, Path | str], code: CodeFinder
) -> Path:
    arn = layer if isinstance(layer, str) else read_id(layer)
    if arn in given:
        return Path(given[arn]).resolve()
    if arn not in layers:
        code.problems.append(
            f"layer {arn} is not in the template: give its folder with code={{'{arn}': ...}}"
        )
        return Path()
    return layers[arn]


def _read_variables(properties: Mapping[str, Any]) -> dict[str, str]:
    variables = (properties.get("Environment") or {}).get("Variables") or {}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in variables.items()
    }


def _read_int(value: Any) -> int | None:
    return None if value is None else int(value)


def _read_failure(properties: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    destination = ((config.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    letters = (properties.get("DeadLetterConfig") or {}).get("TargetArn")
    return {"failure_arn": destination or letters, "failure_is_destination": bool(destination)}


def describe_mappings(deployment: Deployment, functions: Mapping[str, FunctionSpec]) -> list[MappingSpec]:
    """Give the event source mappings of the stack.

    Raises:
        DeployFailed: what AWS refuses, too: a queue that shows messages again before the function has ended.
    """
    by_name = {spec.name: name for name, spec in functions.items()}
    found = []
    for name, properties in deployment.list_deployed("AWS::Lambda::EventSourceMapping").items():
        function = by_name[str(properties["FunctionName"]).split(":function:")[-1].split(":")[0]]
        spec = MappingSpec(
            logical=name,
            function=function,
            queue_arn=str(properties["EventSourceArn"]),
            batch_size=int(properties.get("BatchSize", 10)),
            window_s=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
            reports_items="ReportBatchItemFailures" in (properties.get("FunctionResponseTypes") or []),
            max_concurrency=_read_int((properties.get("ScalingConfig") or {}).get("MaximumConcurrency")),
            is_enabled=str(properties.get("Enabled", True)).lower() == "true",
        )
        _check_visibility(deployment, spec, functions[function])
        found.append(spec)
    return found


def _check_visibility(deployment: Deployment, spec: MappingSpec, function: FunctionSpec) -> None:
    from moto.sqs.models import sqs_backends

    queue: Any = sqs_backends[ACCOUNT][deployment.region].get_queue(spec.queue_arn.rpartition(":")[2])
    visibility_s = float(queue.visibility_timeout)
    if visibility_s < function.timeout_s:
        reason = (
            f"Queue visibility timeout: {visibility_s:g} seconds is less than "
            f"Function timeout: {function.timeout_s:g} seconds"
        )
        raise DeployFailed(spec.logical, reason)


def describe_roles(deployment: Deployment) -> dict[str, list[Statement]]:
    """Give the statements of every role's policies, by the role's ARN."""
    found: dict[str, list[Statement]] = {}
    ids: dict[str, str] = {}
    for name, properties in deployment.list_deployed("AWS::IAM::Role").items():
        arn = str(deployment.resolve({"Fn::GetAtt": [name, "Arn"]}))
        ids[deployment.get_id(name)] = arn
        documents = [each["PolicyDocument"] for each in properties.get("Policies") or [] if each]
        found[arn] = list_statements(documents)
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for properties in deployment.list_deployed(kind).values():
            for role in properties.get("Roles") or []:
                found.setdefault(ids.get(role, role), []).extend(
                    list_statements([properties["PolicyDocument"]])
                )
    return found
