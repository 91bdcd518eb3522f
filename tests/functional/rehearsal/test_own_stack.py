"""The project's own template with layers of what is installed here: each handler finds what it imports."""

from __future__ import annotations

import json

import boto3
import pytest

from orchestrator.installed_layers import assemble_layers, plan_layers
from orchestrator.rehearsal import rehearse


@pytest.fixture(scope="module")
def stack(project_root, tmp_path_factory):
    """The stack, deployed once."""
    if missing := plan_layers(project_root).missing:
        pytest.skip(f"not installed here: {', '.join(map(str, missing))}")
    layers = assemble_layers(project_root, tmp_path_factory.mktemp("layers"))
    with rehearse(project_root / "template.yaml", code=layers) as found:
        yield found


def test_message_that_is_no_task_is_filed_by_worker_and_bury(stack):
    queues = [json.loads(stack.outputs["Queues"])["small"], stack.outputs["DeadLetterQueue"]]
    for url in queues:
        boto3.client("sqs").send_message(QueueUrl=url, MessageBody="no task")
    stack.drain()
    called = {each.function: each.error for each in stack.invocations()}
    assert called == {"SmallWorker": None, "Bury": None}
    found = boto3.client("s3").list_objects_v2(Bucket=stack.outputs["Bucket"], Prefix="unclaimed/")
    assert found["KeyCount"] == 2


@pytest.mark.parametrize("function", ["Tally", "Reduce"])
def test_event_of_a_run_that_is_not_there_reaches_the_core(stack, function):
    """An import that failed would be an error of another name."""
    payload = json.dumps({"run": "absent", "state": None, "epoch": 0})
    arn = stack.functions[function].arn
    boto3.client("lambda").invoke(FunctionName=arn, Payload=payload)
    (called,) = stack.invocations(function)
    assert called.error
    assert called.error["errorType"] not in {"Runtime.ImportModuleError", "Runtime.UserCodeSyntaxError"}, (
        called.error
    )
