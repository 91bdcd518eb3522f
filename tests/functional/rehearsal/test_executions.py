"""State machines that start each other, which a long run needs: an execution ends at 25,000 events.

https://docs.aws.amazon.com/step-functions/latest/dg/tutorial-continue-new.html
"""

from __future__ import annotations

import json

import boto3
import pytest

ROLE_ARN = "arn:aws:iam::123456789012:role/any"
LEGS = {
    "StartAt": "WhichLeg",
    "States": {
        "WhichLeg": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.leg", "NumericLessThan": 3, "Next": "HandOver"}],
            "Default": "End",
        },
        "HandOver": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution",
            "Parameters": {
                "StateMachineArn.$": "$$.StateMachine.Id",
                "Name.$": "States.Format('leg-{}', States.MathAdd($.leg, 1))",
                "Input": {"leg.$": "States.MathAdd($.leg, 1)", "by.$": "$$.Execution.Id"},
            },
            "End": True,
        },
        "End": {"Type": "Succeed"},
    },
}
# starts `Target` twice under one name; the second input is the state's own
TWICE = {
    "StartAt": "First",
    "States": {
        "First": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution",
            "Parameters": {"StateMachineArn": "${Target}", "Name": "same", "Input": {"of": "first"}},
            "ResultPath": "$.first",
            "Next": "Pause",
        },
        "Pause": {"Type": "Wait", "SecondsPath": "$.pause_s", "Next": "Second"},
        "Second": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution",
            "Parameters": {"StateMachineArn": "${Target}", "Name": "same", "Input": {"of.$": "$.of"}},
            "ResultPath": "$.second",
            "Catch": [
                {
                    "ErrorEquals": ["StepFunctions.ExecutionAlreadyExistsException"],
                    "ResultPath": "$.refusal",
                    "Next": "Refused",
                }
            ],
            "End": True,
        },
        "Refused": {"Type": "Pass", "End": True},
    },
}
SLEEPS = {
    "StartAt": "Sleep",
    "States": {"Sleep": {"Type": "Wait", "Seconds": 60, "Next": "End"}, "End": {"Type": "Succeed"}},
}


EACH = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "IsBad",
                "States": {
                    "IsBad": {
                        "Type": "Choice",
                        "Choices": [{"Variable": "$", "NumericGreaterThan": 0, "Next": "Bad"}],
                        "Default": "Good",
                    },
                    "Bad": {"Type": "Fail", "Error": "Bad"},
                    "Good": {"Type": "Succeed"},
                },
            },
            "Catch": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Failed"}],
            "End": True,
        },
        "Failed": {"Type": "Succeed"},
    },
}


def make_machine(definition, **substitutions):
    found = {"DefinitionString": json.dumps(definition), "RoleArn": ROLE_ARN}
    if substitutions:
        found["DefinitionSubstitutions"] = substitutions
    return {"Type": "AWS::StepFunctions::StateMachine", "Properties": found}


def describe(arn):
    return boto3.client("stepfunctions").describe_execution(executionArn=arn)


def test_machine_starts_its_successor(bench):
    stack = bench({"Legs": make_machine(LEGS)})
    states, machine = boto3.client("stepfunctions"), stack.outputs["Legs"]
    first = states.start_execution(stateMachineArn=machine, name="leg-0", input='{"leg": 0}')["executionArn"]
    stack.drain()
    runs = states.list_executions(stateMachineArn=machine)["executions"]
    assert {each["name"]: each["status"] for each in runs} == {f"leg-{n}": "SUCCEEDED" for n in range(4)}
    answer = json.loads(describe(first)["output"])
    assert answer["ExecutionArn"].endswith(":leg-1"), "spelt as states spell it, not as the API does"
    assert json.loads(describe(answer["ExecutionArn"])["input"]) == {"leg": 1, "by": first}
    history = states.get_execution_history(executionArn=first)["events"]
    kinds = [each["type"] for each in history]
    assert kinds[3:8] == [
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
    ]


@pytest.mark.parametrize(
    ("given", "is_refused"),
    [
        ({"of": "first", "pause_s": 0}, False),
        ({"of": "second", "pause_s": 0}, True),
        ({"of": "first", "pause_s": 90}, True),
    ],
    ids=["the same while it runs", "another input", "the same when it has ended"],
)
def test_name_is_started_once(bench, given, is_refused):
    """https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""
    twice = make_machine(TWICE, Target={"Ref": "Target"})
    stack = bench({"Target": make_machine(SLEEPS), "Twice": twice})
    states = boto3.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=stack.outputs["Twice"], input=json.dumps(given))
    stack.drain()
    assert describe(arn["executionArn"])["status"] == "SUCCEEDED"
    answer = json.loads(describe(arn["executionArn"])["output"])
    assert len(states.list_executions(stateMachineArn=stack.outputs["Target"])["executions"]) == 1
    if is_refused:
        assert answer["refusal"]["Error"] == "StepFunctions.ExecutionAlreadyExistsException"
    else:
        assert answer["second"]["ExecutionArn"] == answer["first"]["ExecutionArn"]


@pytest.mark.parametrize(
    ("tolerated", "given", "is_caught"),
    [
        ({}, [0, 0, 0], False),
        ({}, [0, 1, 0], True),
        ({"ToleratedFailureCount": 1}, [0, 1, 0], False),
        ({"ToleratedFailureCount": 1}, [1, 1, 0], True),
        ({"ToleratedFailurePercentage": 50.5}, [1, 0], False),
        ({"ToleratedFailurePercentage": 50.5}, [1, 1, 0], True),
        ({"ToleratedFailureCount": 2, "ToleratedFailurePercentage": 50.5}, [1, 1, 0], True),
    ],
)
def test_map_fails_past_what_it_tolerates(bench, tolerated, given, is_caught):
    """https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"""
    each = {**EACH["States"]["Each"], **tolerated}
    stack = bench({"Each": make_machine({**EACH, "States": {**EACH["States"], "Each": each}})})
    states = boto3.client("stepfunctions")
    started = states.start_execution(stateMachineArn=stack.outputs["Each"], input=json.dumps(given))
    stack.drain()
    history = states.get_execution_history(executionArn=started["executionArn"])["events"]
    entered = [each["stateEnteredEventDetails"]["name"] for each in history if "Entered" in each["type"]]
    assert describe(started["executionArn"])["status"] == "SUCCEEDED"
    assert entered == ["Each", "Failed"] if is_caught else ["Each"]
