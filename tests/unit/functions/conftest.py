"""The template as it is deployed, and handlers as Lambda imports them, under moto."""

import importlib.util
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from orchestrator.rehearsal.template import fill_parameters, load_template
from orchestrator.rehearsal.transform import transform_template

ROOT = Path(__file__).parents[3]
REGION = "us-east-1"
_GONE = object()


@dataclass(frozen=True)
class Deployed:
    """A transformed template whose conditions are decided; references stay as they are."""

    resources: dict[str, Any]
    outputs: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, Any]:
        return {
            name: each.get("Properties", {}) for name, each in self.resources.items() if each["Type"] == kind
        }


def _decide(  # noqa: C901, PLR0912 - a case for each function
    value: Any, parameters: dict[str, str], conditions: dict[str, Any], mappings: dict[str, Any]
) -> Any:
    """A value with Fn::If, conditions, mappings and parameters done."""

    def again(each: Any) -> Any:
        return _decide(each, parameters, conditions, mappings)

    if isinstance(value, list):
        return [found for each in value if (found := again(each)) is not _GONE]
    if not isinstance(value, dict):
        return value
    match next(iter(value.items()), None):
        case ("Ref", "AWS::NoValue"):
            found = _GONE
        case ("Ref", name) if name in parameters:
            found = parameters[name]
        case ("Condition", str(name)) if len(value) == 1:
            found = again(conditions[name])
        case ("Fn::If", [name, yes, no]):
            found = again(yes if again(conditions[name]) else no)
        case ("Fn::Equals", [left, right]):
            found = again(left) == again(right)
        case ("Fn::Not", [negated]):
            found = not again(negated)
        case ("Fn::And", parts):
            found = all(map(again, parts))
        case ("Fn::Select", [place, parts]):
            found = again(parts)[place]
        case ("Fn::Join", [glue, {"Ref": name}]) if name in parameters:
            found = parameters[name].replace(",", glue)
        case ("Fn::FindInMap", [table, row, column]):
            found = mappings[table][again(row)][column]
        case _:
            found = {key: part for key, each in value.items() if (part := again(each)) is not _GONE}
    return found


@pytest.fixture(scope="session")
def written() -> dict[str, Any]:
    return load_template(ROOT / "template.yaml")


@pytest.fixture(scope="session")
def deploy(written: dict[str, Any]) -> Callable[..., Deployed]:
    """What SAM makes of the template with these parameters."""
    made: dict[tuple[tuple[str, str], ...], Deployed] = {}

    def deploy_with(**given: str) -> Deployed:
        key = tuple(sorted(given.items()))
        if key not in made:
            made[key] = _transform(written, given)
        return made[key]

    return deploy_with


def _transform(written: dict[str, Any], given: dict[str, str]) -> Deployed:
    parameters = fill_parameters(written, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        found = transform_template(written, parameters)
    conditions = found.get("Conditions", {})
    given_to = (parameters, conditions, found.get("Mappings", {}))
    resources = {
        name: _decide(each, *given_to)
        for name, each in found["Resources"].items()
        if "Condition" not in each or _decide(conditions[each["Condition"]], *given_to)
    }
    return Deployed(resources, _decide(found["Outputs"], *given_to))


@dataclass
class Context:
    """What Lambda hands to a handler."""

    remaining_ms: int = 150_000
    function_name: str = "worker"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:worker"
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass
class Stack:
    """A bucket and a queue in moto, and the handlers over them."""

    bucket: str
    queue_url: str
    context: Context = field(default_factory=Context)

    def load(self, function: str) -> ModuleType:
        """A handler's module, imported anew as in a cold start."""
        path = ROOT / "functions" / function / "app.py"
        spec = importlib.util.spec_from_file_location(f"app_{function}_{uuid.uuid4().hex}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def receive(self, body: str) -> dict[str, Any]:
        """The event of a message that was sent and received."""
        sqs = boto3.client("sqs")
        sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)
        found = sqs.receive_message(QueueUrl=self.queue_url, AttributeNames=["All"])["Messages"]
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
                "messageAttributes": {},
                "md5OfBody": each["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:small",
                "awsRegion": REGION,
            }
            for each in found
        ]
        return {"Records": records}

    def list_keys(self) -> list[str]:
        found = boto3.client("s3").list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in found.get("Contents", ())]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # the worker sets it: put it back
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="run-bucket")
        url = boto3.client("sqs").create_queue(QueueName="small", Attributes={"VisibilityTimeout": "900"})[
            "QueueUrl"
        ]
        variables = {
            "ALIQUOT_BUCKET": "run-bucket",
            "ALIQUOT_QUEUES": json.dumps({"small": url}),
            "ALIQUOT_RUNG": "small",
            "ALIQUOT_HOSTS": "1",
            "ALIQUOT_MEMORY_MIB": "1400",
            "ALIQUOT_SLICE_S": "30",
            "ALIQUOT_JOBS": "{}",
            "ALIQUOT_ENCRYPTION": "{}",
            "ALIQUOT_STACK": "prod",
            "ALIQUOT_STATE_MACHINE": f"arn:aws:states:{REGION}:123456789012:stateMachine:prod-settle",
            "ALIQUOT_INBOX": "inbox",
            "ALIQUOT_DATA_BUCKETS": "",
            "ALIQUOT_RECORD_TIMEOUT_S": "60",
            "ALIQUOT_CONCURRENCY": "500",
            "ALIQUOT_ARCHITECTURE": "arm64",
            "AWS_REGION": REGION,
            "POWERTOOLS_SERVICE_NAME": f"test-{uuid.uuid4().hex}",  # loggers live as long as their name
            "POWERTOOLS_METRICS_NAMESPACE": "Aliquot/test",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield Stack("run-bucket", url)
