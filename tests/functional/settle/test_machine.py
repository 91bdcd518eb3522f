"""The state machine as it ships, over small functions in place of tally and reduce: whom it calls, how often.

Two of AWS's limits end an execution: 25,000 events, and 256 KiB in a state.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import boto3
import pytest

from orchestrator.rehearsal import rehearse
from tests.functional.functions import make_function

MACHINE = Path(__file__).resolve().parents[3] / "statemachine" / "settle.asl.json"
MOST_EVENTS = 25_000
MOST_STATE_BYTES = 256 << 10
N_GROUPS = 40
TICKS_PER_LEG = 1000  # as settle.asl.json has it

# Answers "running" RUNNING times, then that the groups are to be merged; once more after each torn merge.
TALLY = """
    import json, os
    import boto3

    s3, bucket = boto3.client("s3"), os.environ["BUCKET"]


    def handler(event, context):
        n = (event["state"] or {"n": 0})["n"] + 1
        answer = {"run": event["run"], "state": {"n": n}, "epoch": 0, "wait_s": 20}
        if n <= int(os.environ["RUNNING"]):
            return answer | {"phase": "running"}
        groups = [
            {"run": event["run"], "epoch": 0, "group": group} for group in range(int(os.environ["GROUPS"]))
        ]
        s3.put_object(Bucket=bucket, Key="groups.json", Body=json.dumps(groups))
        return answer | {"phase": "settling", "groups_key": "groups.json"}
"""
# Tears what VOIDED names, once each; its answers, taken together, are larger than a state may be.
# Publish wants every group merged, then two of a second level.
REDUCE = """
    import json, os
    import boto3

    s3, bucket, n_groups = boto3.client("s3"), os.environ["BUCKET"], int(os.environ["GROUPS"])


    class UnreadableOutcome(Exception):
        pass


    def list_names(prefix):
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {int(each["Key"].removeprefix(prefix)) for each in found}


    def handler(event, context):
        if "group" not in event:
            return publish(event)
        group = event["group"]
        if group in json.loads(os.environ["VOIDED"]) and group not in list_names("voided/"):
            s3.put_object(Bucket=bucket, Key=f"voided/{group}")
            raise UnreadableOutcome(group)
        s3.put_object(Bucket=bucket, Key=f"merged/{group}")
        return {"padding": "x" * 10_000}


    def publish(event):
        merged = list_names("merged/")
        if not merged >= set(range(n_groups)):
            return {"phase": "torn", "groups_key": "", "detail": None}
        second = [event | {"group": n_groups + each} for each in range(2)]
        if not merged >= {each["group"] for each in second}:
            s3.put_object(Bucket=bucket, Key="second.json", Body=json.dumps(second))
            return {"phase": "again", "groups_key": "second.json", "detail": None}
        return {"phase": "done", "groups_key": "", "detail": json.loads(os.environ["DETAIL"])}
"""


def write_template(folder, *, ticks_per_leg, running, voided=(), detail=None):
    """Give a template with the machine that ships, but for how many ticks a leg has."""
    text = MACHINE.read_text()
    assert text.count(f'"NumericGreaterThanEquals": {TICKS_PER_LEG},') == 1
    text = text.replace(
        f'"NumericGreaterThanEquals": {TICKS_PER_LEG},', f'"NumericGreaterThanEquals": {ticks_per_leg},'
    )
    named = {"BUCKET": {"Ref": "Bucket"}, "RUNNING": str(running), "GROUPS": str(N_GROUPS)}
    named |= {"VOIDED": json.dumps(list(voided)), "DETAIL": json.dumps(detail or {"run": "r1", "ok": True})}
    more = {"Timeout": 10, "Environment": {"Variables": named}}
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Tally": make_function(TALLY, **more),
        "Reduce": make_function(REDUCE, **more),
        "Settle": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "DefinitionString": text,
                "DefinitionSubstitutions": {
                    "TallyArn": {"Fn::GetAtt": ["Tally", "Arn"]},
                    "ReduceArn": {"Fn::GetAtt": ["Reduce", "Arn"]},
                    "Bucket": {"Ref": "Bucket"},
                },
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        },
    }
    path = folder / "template.json"
    outputs = {"Settle": {"Value": {"Ref": "Settle"}}}
    path.write_text(json.dumps({"Resources": resources, "Outputs": outputs}))
    return path


def run_machine(stack, name="r1-0"):
    """Start it as `submit` does, and give every execution of it by name, ended."""
    states, machine = boto3.client("stepfunctions"), stack.outputs["Settle"]
    states.start_execution(stateMachineArn=machine, name=name, input=json.dumps({"run": "r1"}))
    stack.drain()
    found = states.list_executions(stateMachineArn=machine)["executions"]
    return {each["name"]: each for each in found}


def read_history(execution):
    pages = boto3.client("stepfunctions").get_paginator("get_execution_history")
    found = pages.paginate(executionArn=execution["executionArn"])
    return [event for page in found for event in page["events"]]


def list_groups(stack):
    """Give the groups that reduce was asked for, in the order of asking."""
    return [each.event["group"] for each in stack.invocations("Reduce") if "group" in each.event]


def count_publishes(stack):
    return sum("group" not in each.event for each in stack.invocations("Reduce"))


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A run of 10 ticks, the last of which settles, in legs of 4 ticks."""
    template = write_template(tmp_path_factory.mktemp("long"), ticks_per_leg=3, running=9)
    with rehearse(template) as stack:
        yield stack, run_machine(stack)


def test_leg_ends_in_a_successor_that_goes_on_where_it_stopped(long_run):
    stack, runs = long_run
    assert {name: each["status"] for name, each in runs.items()} == {
        "r1-0": "SUCCEEDED",
        "r1-0-1": "SUCCEEDED",
        "r1-0-2": "SUCCEEDED",
    }
    ticks = [each.event["state"] for each in stack.invocations("Tally")]
    assert ticks == [None, *({"n": n} for n in range(1, 10))]
    assert {each.event["run"] for each in stack.invocations()} == {"r1"}


def test_every_group_is_merged_once_level_by_level(long_run):
    stack, _ = long_run
    asked = list_groups(stack)
    assert sorted(asked[:N_GROUPS]) == list(range(N_GROUPS))
    assert sorted(asked[N_GROUPS:]) == [N_GROUPS, N_GROUPS + 1], "publish asked for a second level"
    assert count_publishes(stack) == 2


def test_leg_of_the_shipped_length_stays_below_the_most_events(long_run):
    """Events of a tick are counted, not believed; the rest is everything that is no tick."""
    _, runs = long_run
    histories = {name: read_history(each) for name, each in runs.items()}
    places = [
        place
        for place, event in enumerate(histories["r1-0"])
        if event.get("stateEnteredEventDetails", {}).get("name") == "Tick"
    ]
    (per_tick,) = {after - before for before, after in pairwise(places)}
    assert len(places) == 4
    rest = max(
        len(events) - per_tick * sum(each["type"] == "WaitStateEntered" for each in events)
        for events in histories.values()
    )
    assert per_tick * TICKS_PER_LEG + rest < MOST_EVENTS
    # a failed attempt adds three events: as many retries a tick, on the average, still fit
    assert (per_tick + 4 * 3) * TICKS_PER_LEG + rest < MOST_EVENTS


def test_states_stay_small_whatever_the_groups_answer(long_run):
    """40 answers of 10 kB are more than a state may hold: children answer nothing."""
    _, runs = long_run
    payloads = [
        text
        for each in runs.values()
        for event in read_history(each)
        for name, details in event.items()
        if name.endswith("Details") and isinstance(details, dict)
        for kind in ("input", "output", "parameters")
        if isinstance(text := details.get(kind), str)
    ]
    assert N_GROUPS * 10_000 > MOST_STATE_BYTES
    assert 100 < max(len(text.encode()) for text in payloads) < 16 << 10


def test_torn_groups_send_the_run_back_to_its_tallies(tmp_path):
    with rehearse(write_template(tmp_path, ticks_per_leg=3, running=1, voided=(3, 17))) as stack:
        runs = run_machine(stack)
        assert {name: each["status"] for name, each in runs.items()} == {"r1-0": "SUCCEEDED"}
        assert len(stack.invocations("Tally")) == 3, "running, settling, and settling after the tear"
        asked = Counter(group for group in list_groups(stack) if group < N_GROUPS)
        assert set(asked) == set(range(N_GROUPS))
        assert asked[3] == asked[17] == 2
        torn = [each for each in stack.invocations("Reduce") if each.error]
        assert {each.error["errorType"] for each in torn} == {"UnreadableOutcome"}
        assert len(torn) == 2
        assert count_publishes(stack) == 3, "torn, again, done"


def test_event_that_cannot_be_told_fails_the_execution_and_not_the_result(tmp_path):
    """Somebody waits for it; an alarm hears of executions that fail. EventBridge refuses what is no JSON."""
    with rehearse(write_template(tmp_path, ticks_per_leg=3, running=1, detail="{")) as stack:
        (execution,) = run_machine(stack).values()
        assert execution["status"] == "FAILED"
        described = boto3.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
        assert described["error"] == "AnnouncementFailed"
        asked = [each for each in stack.calls if each.action == "events:PutEvents"]
        assert len(asked) == 9, "once, and eight times more"
        assert sum("group" not in each.event for each in stack.invocations("Reduce")) == 2
