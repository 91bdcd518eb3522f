"""Requests dropped into the inbox, end to end: from the file to the published event."""

from __future__ import annotations

import json
import re

import pytest

import aliquot
from aliquot.ledger import OPEN_FAILED, SETTLED, TIME_REACHED
from orchestrator.rehearsal.policies import is_allowed
from tests.functional.rights import find_roles, list_missing, read_policy_of_submitters


def test_dropped_request_becomes_a_published_result(played):
    run = played.run_of("june")
    (event,) = played.events_of(run)
    detail = event["detail"]
    assert (event["source"], event["detail-type"]) == ("aliquot", "Run published")
    assert {**detail, "cost_usd": None, "counts": None} == {
        "format": "aliquot/event/1",
        "stack": "rehearsal",
        "run": run,
        "epoch": 0,
        "job": "crossref",
        "request": f"s3://{played.inbox}/june.run.json",
        "reason": SETTLED,
        "ok": True,
        "counts": None,
        "cost_usd": None,
        "result": {
            "prefix": f"s3://{played.bucket}/results/{run}/result-0000/",
            "rows": f"s3://{played.bucket}/results/{run}/result-0000/result/",
        },
    }
    counts = detail["counts"]
    assert counts["records"] == 60 == counts["done"] + counts["failed"]
    assert 0 < detail["cost_usd"] < 1
    assert len(played.rows(run)) == counts["rows"] > 0


def test_folder_can_follow_a_run_that_a_request_began(played, tmp_path):
    """With what the answer says, and nothing else."""
    _, said = played.answer("june")
    run = aliquot.attach(said["ledger"], tmp_path / "june", region="us-east-1").wait(quiet=True)
    assert run.result.to_table().to_pylist() == played.rows(said["run"])
    assert run.summary["records"] == 60


def test_job_was_prepared_once_in_the_stack(played):
    run = played.run_of("june")
    prepared = [each for each in played.stack.invocations("SmallWorker") if each.event.get("prepare") == run]
    assert [each.response for each in prepared] == [{"next": "plan", "epoch": 0}]
    store = played.ledger(run).store
    said = json.loads(store.get("prepared.whole"))
    assert len(said["code"]) == 64
    assert set(said["versions"]) == {"python", "rdkit", "numpy"}
    assert {"prepared.whole"} < set(store.list_keys("prepared"))


def test_dataset_of_several_files_is_cut_in_the_stack(played):
    run = played.run_of("july")
    _, said = played.answer("july")
    names = [f"r{i}" for i in range(300) if i != 7]
    assert [row["name"] for row in played.rows(run)] == [*names, *names, *(f"p{i}" for i in range(50))]
    (event,) = played.events_of(run)
    assert event["detail"]["counts"] == {
        "records": 650,
        "done": 648,
        "failed": 2,
        "not_tried": 0,
        "rows": 648,
    }
    assert said["objects"] == 3
    parts = json.loads(played.ledger(run).store.get("cut/numbers.json"))["parts"]
    assert len(parts) >= 3


def test_refused_requests_are_answered_beside_them_in_words(played, refused):
    answers = {name: played.answer(f"refused/{name}") for name in refused if name != "no-templates"}
    said = {name: (kind, answer.get("field")) for name, (kind, answer) in answers.items()}
    assert said == {name: ("rejected", refused[name][1]) for name in answers}
    for name, (_, answer) in answers.items():
        assert refused[name][2] in answer["reason"], name
        assert answer["request"]["key"] == f"refused/{name}.run.json"


def test_mended_request_takes_the_refusal_away(played):
    assert played.answer("refused/no-templates")[0] == "accepted"


def test_event_that_comes_again_begins_nothing(played):
    before, after = played.n_executions
    assert before == after > 0
    taken = [
        each.response["run"]
        for each in played.stack.invocations("Intake")
        if each.event["detail"]["object"]["key"] == "june.run.json"
    ]
    assert len(taken) == 2
    assert len(set(taken)) == 1
    assert len(played.events_of(taken[0])) == 1


def test_job_that_refuses_ends_its_run_with_the_reason(played):
    run = played.run_of("broken")
    (stop,) = played.ledger(run).list_stops()
    assert stop.reason == OPEN_FAILED
    assert f"s3://{played.inbox}/references/broken.csv" in stop.facts["message"]
    (event,) = played.events_of(run)
    assert (event["detail"]["reason"], event["detail"]["ok"]) == (OPEN_FAILED, False)
    assert "nonsense" not in json.dumps(event)
    assert not played.ledger(run).store.has("cut/plan-0.json")


def test_run_that_reaches_its_budget_is_published_and_told(played):
    """Of time: one of dollars that lets a run begin pays for so few records."""
    run = played.run_of("over")
    (event,) = played.events_of(run)
    detail = event["detail"]
    assert (detail["reason"], detail["ok"]) == (TIME_REACHED, False)
    assert detail["counts"]["not_tried"] == detail["counts"]["records"] == 300
    assert detail["cost_usd"] > 0


def test_broken_run_is_told_by_the_name_of_its_error(played):
    (event,) = played.events_of("absent")
    assert event["detail-type"] == "Run broken"
    detail = event["detail"]
    assert detail["execution"].endswith(":absent-0")
    assert detail == {
        "execution": detail["execution"],
        "format": "aliquot/event/1",
        "stack": "rehearsal",
        "run": "absent",
        "reason": "broken",
        "ok": False,
        "error": "Undecodable",
    }
    assert played.list_executions()["absent-0"] == "FAILED"


def test_schedule_drops_a_request(played):
    found = played.s3.list_objects_v2(Bucket=played.inbox, Prefix="nightly/")["Contents"]
    names = [each["Key"] for each in found]
    assert re.fullmatch(r"nightly/\d{4}-\d\d-\d\dT[\d:]+Z\.accepted\.json", names[0])
    run = played.run_of(names[0].removesuffix(".accepted.json"))
    (event,) = played.events_of(run)
    assert event["detail"]["counts"]["records"] == 60


def test_published_run_starts_the_next_one(played):
    """The rows of the first are the dataset of the second."""
    first = played.run_of("july")
    second = played.run_of(f"chained/{first}-0")
    (event,) = played.events_of(second)
    assert event["detail"]["job"] == "brought:measure"
    assert [row["letters"] for row in played.rows(second)] == [len(row["name"]) for row in played.rows(first)]


def test_nothing_else_was_told(played):
    """No event is lost, and none is told twice."""
    runs = [each["detail"]["run"] for each in played.heard]
    assert len(runs) == len(set(runs))
    assert {f"{run}-0" for run in runs} == set(played.list_executions())


# ------------------------------------------------------------------------- what each role is seen to need

# granted, and never seen in a rehearsal: why it is needed nevertheless
UNSEEN = {
    "Reduce s3:GetObject": "of references/, the code of a job of one's own that has a summary",
    "Cut s3:ListBucket": "without it S3 says of an object that is gone that it may not be read",
    "any logs:CreateLogStream": "Lambda writes a function's log with the function's role",
    "any logs:PutLogEvents": "the same",
    "states xray:GetSamplingRules": "Step Functions sends its traces itself",
    "states xray:GetSamplingTargets": "the same",
    "any xray:PutTelemetryRecords": "Lambda's daemon sends the traces of functions",
    "any xray:PutTraceSegments": "the same",
    "states states:StartExecution": "a successor after 1,000 ticks, and the children of a distributed map",
    "states states:DescribeExecution": "Step Functions watches the children of a distributed map",
    "states states:StopExecution": "and ends them where one fails",
}


@pytest.fixture
def roles(played):
    """Each role's name, with what it may do and what was done with it."""
    return find_roles(played.stack)


def test_every_call_of_a_role_is_one_that_it_may_make(played, roles):
    """The same is held at the end of each module of tests/functional/cloud."""
    assert all(calls for _, calls in roles.values()), "each role was used"
    assert not list_missing(played.stack)


def test_everything_that_a_role_may_do_is_done(roles):
    """A right that no case uses is one too many, or a case is missing."""
    granted = {
        (caller, action, resource)
        for caller, (statements, _) in roles.items()
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        if resource is not None  # of a rung that is not there
    }
    unused = {
        (f"{caller} {action}", resource)
        for caller, action, resource in granted
        if not any(is_allowed([allow(action, resource)], *call) for call in roles[caller][1])
    }
    needed = {name.replace("any", caller) for name in UNSEEN for caller in roles}
    assert sorted(each for each in unused if each[0] not in needed) == []
    assert not {*UNSEEN} - {name for each, _ in unused for name in (each, f"any {each.split()[1]}")}


def allow(action, resource):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def as_list(value):
    return value if isinstance(value, list) else [value]


# ---------------------------------------------------------------------------- what docs promise to people


def list_blocks(project_root, name):
    page = (project_root / "docs" / name).read_text()
    return [json.loads(each) for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


def test_events_have_the_fields_that_are_described(played, project_root):
    _, published, broken = list_blocks(project_root, "events.md")
    for event in played.heard:
        shown = published if event["detail-type"] == "Run published" else broken
        assert set(event["detail"]) == set(shown)
        if shown is published:
            assert set(event["detail"]["result"]) == set(shown["result"])


def test_policy_for_people_who_submit_is_what_a_submission_needs(played):
    statements = read_policy_of_submitters(played.bucket)
    calls = {(each.action, each.resource) for each in played.orchestrator}
    described = {
        call for call in calls if call[0] == "cloudformation:DescribeStacks"
    }  # no ARN is in its request
    assert described
    assert {call for call in calls - described if not is_allowed(statements, *call)} == set()
    for statement in statements:
        for resource in as_list(statement["Resource"]):
            used = [call for call in calls if is_allowed([allow(statement["Action"], resource)], *call)]
            assert used or statement["Action"] == "cloudformation:DescribeStacks", resource
