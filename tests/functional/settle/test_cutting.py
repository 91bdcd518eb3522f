"""The state machine as it ships, over a small function in place of cut: what it hands out, and how often."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import boto3
import pytest

from orchestrator.rehearsal import rehearse
from tests.functional.functions import make_function

MACHINE = Path(__file__).resolve().parents[3] / "statemachine" / "settle.asl.json"
N_ITEMS = 30

# plan -> items -> number -> one item more -> number -> items -> seal; every third item has to come again
CUT = """
    import json, os
    import boto3

    s3, bucket, n_items = boto3.client("s3"), os.environ["BUCKET"], int(os.environ["ITEMS"])


    def put_once(key):
        is_there = bool(s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"))
        s3.put_object(Bucket=bucket, Key=key)
        return not is_there


    def hand_out(event, step, n, following):
        items = [{"run": event["run"], "step": step, "epoch": 3, "parts": [i, i + 1]} for i in range(n)]
        s3.put_object(Bucket=bucket, Key=f"{step}{n}.json", Body=json.dumps(items))
        return {"epoch": 3, "next": following, "parts_key": f"{step}{n}.json"}


    def handler(event, context):
        step = event["step"]
        if "parts" in event:
            number = event["parts"][0]
            return {"again": number % 3 == 0 and put_once(f"half/{step}/{number:02d}")}
        if step == "plan":
            if os.environ["REFUSES"]:
                return {"epoch": 3, "next": "done", "parts_key": ""}
            return hand_out(event, "count", n_items, "number")
        if step == "number":
            is_first = put_once("numbered")
            return hand_out(event, *(("count", 1, "number") if is_first else ("cut", n_items, "seal")))
        return {"epoch": 3, "next": "done", "parts_key": ""}
"""
TALLY = """
    def handler(event, context):
        return {"run": event["run"], "state": event["state"], "epoch": 3, "wait_s": 0, "phase": "done"}
"""


def write_template(folder, refuses=""):
    variables = {"BUCKET": {"Ref": "Bucket"}, "ITEMS": str(N_ITEMS), "REFUSES": refuses}
    arns = {f"{name}Arn": {"Fn::GetAtt": [name, "Arn"]} for name in ("Tally", "Cut")}
    machine = {
        "DefinitionString": MACHINE.read_text(),
        "DefinitionSubstitutions": {**arns, "ReduceArn": arns["TallyArn"], "Bucket": {"Ref": "Bucket"}},
        "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
    }
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Tally": make_function(TALLY, Timeout=10),
        "Cut": make_function(CUT, Timeout=10, Environment={"Variables": variables}),
        "Settle": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
    }
    path = folder / "template.json"
    path.write_text(json.dumps({"Resources": resources, "Outputs": {"Settle": {"Value": {"Ref": "Settle"}}}}))
    return path


def run_machine(stack, given):
    states, machine = boto3.client("stepfunctions"), stack.outputs["Settle"]
    states.start_execution(stateMachineArn=machine, name="r1-0", input=json.dumps(given))
    stack.drain()
    (found,) = states.list_executions(stateMachineArn=machine)["executions"]
    return found["status"]


def list_steps(stack):
    return [each.event["step"] for each in stack.invocations("Cut") if "parts" not in each.event]


@pytest.fixture(scope="module")
def cut_run(tmp_path_factory):
    with rehearse(write_template(tmp_path_factory.mktemp("cut"))) as stack:
        yield stack, run_machine(stack, {"run": "r1", "cut": True})


def test_steps_follow_each_other_as_they_are_answered(cut_run):
    stack, status = cut_run
    assert status == "SUCCEEDED"
    assert list_steps(stack) == ["plan", "number", "number", "seal"]


def test_every_item_is_handed_out_until_it_is_done(cut_run):
    stack, _ = cut_run
    asked = Counter(
        (each.event["step"], each.event["parts"][0])
        for each in stack.invocations("Cut")
        if "parts" in each.event
    )
    assert set(asked) == {(step, i) for step in ("count", "cut") for i in range(N_ITEMS)}
    assert {i for (step, i), n in asked.items() if step == "cut" and n == 2} == set(range(0, N_ITEMS, 3))
    assert asked["count", 0] == 3


def test_tallies_begin_in_the_epoch_of_the_cutting(cut_run):
    stack, _ = cut_run
    assert [each.event["state"] for each in stack.invocations("Tally")] == [{"epoch": 3}]


def test_dataset_that_is_refused_goes_on_to_be_published(tmp_path):
    with rehearse(write_template(tmp_path, refuses="yes")) as stack:
        assert run_machine(stack, {"run": "r1", "cut": True}) == "SUCCEEDED"
        assert list_steps(stack) == ["plan"]
        assert [each.event["state"] for each in stack.invocations("Tally")] == [{"epoch": 3}]


@pytest.mark.parametrize("given", [{"run": "r1"}, {"run": "r1", "cut": False}])
def test_run_that_was_submitted_in_chunks_is_not_cut(tmp_path, given):
    with rehearse(write_template(tmp_path)) as stack:
        assert run_machine(stack, given) == "SUCCEEDED"
        assert not stack.invocations("Cut")
