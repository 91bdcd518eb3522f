"""What a doctor makes of what AWS says of accounts, functions, queues and policies, without AWS."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.stack.checks.account import judge_clock, judge_concurrency, judge_storage, read_date_s
from orchestrator.stack.checks.delivery import DEAD_LETTERS, MappingFacts, QueueFacts, judge_delivery
from orchestrator.stack.checks.functions import (
    FunctionFacts,
    judge_functions,
    judge_references,
)
from orchestrator.stack.checks.permissions import (
    ROLES,
    SUBMITTER,
    Principal,
    find_principal,
    judge_role,
    judge_submitter,
    spell_calls,
)
from orchestrator.stack.outputs import StackOutputs
from orchestrator.stack.parameters import read_template

ROOT = Path(__file__).parents[3]
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/tasks"
OUTPUTS = StackOutputs("prod", "eu-west-1", "bucket", {"small": URL}, "dead", "arn", concurrency=500)
WORKER = FunctionFacts("SmallWorker", "prod-SmallWorker-1", 150.0, 2048, 1000, (40_000_000,), loops="Allow")
TALLY = FunctionFacts("Tally", "prod-Tally-1", 300.0, 512, 1000, (9_000_000,), loops="Allow")
MAPPING = MappingFacts("6f3e", "arn:aws:lambda:eu-west-1:1:function:w", "Enabled", 1, True)
QUEUE = QueueFacts("small", URL, 900, "arn:aws:sqs:eu-west-1:1:dead", 5, (MAPPING,), 150.0)
MIB = 1 << 20


def worst(findings):
    """The findings that are not well."""
    return [each for each in findings if each.level != "ok"]


def test_stack_as_it_ships_is_well():
    assert not worst(judge_functions([WORKER, TALLY]))
    dead = QueueFacts(DEAD_LETTERS, URL, 360, "arn", 0, (replace(MAPPING, batch_size=10),), 60.0)
    assert not worst(judge_delivery("prod", [QUEUE, dead]))
    assert [each.subject for each in judge_delivery("prod", [QUEUE])] == [
        "mappings",
        "visibility",
        "receives",
    ]


@pytest.mark.parametrize(
    ("change", "level", "subject", "remedy"),
    [
        (
            {"reserved": 0},
            "fail",
            "reserved",
            "delete-function-concurrency --function-name prod-SmallWorker-1",
        ),
        ({"reserved": 40}, "warn", "reserved", "--parameter Concurrency=40"),
        ({"loops": "Terminate"}, "fail", "recursion", "prod-SmallWorker-1 --recursive-loop Allow"),
        ({"layer_bytes": (60_000_000,)}, "warn", "packages", "--parameter WorkerImageUri="),
    ],
)
def test_function_that_was_changed_is_told_with_the_command_that_undoes_it(change, level, subject, remedy):
    (found,) = worst(judge_functions([replace(WORKER, **change), TALLY]))
    assert (found.level, found.subject) == (level, subject)
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("change", "level", "subject", "remedy"),
    [
        ({"mappings": ()}, "fail", "mappings", "aliquot deploy --stack prod"),
        ({"mappings": (MAPPING, MAPPING)}, "fail", "mappings", "delete-event-source-mapping"),
        ({"mappings": (replace(MAPPING, state="Disabled"),)}, "fail", "mappings", "--uuid 6f3e --enabled"),
        (
            {"mappings": (replace(MAPPING, reports_items=False),)},
            "warn",
            "mappings",
            "ReportBatchItemFailures",
        ),
        ({"mappings": (replace(MAPPING, batch_size=10),)}, "fail", "mappings", "--batch-size 1"),
        ({"hidden_s": 899}, "warn", "visibility", "VisibilityTimeout=900"),
        ({"hidden_s": 149}, "fail", "visibility", "VisibilityTimeout=900"),
        ({"most_receives": 4}, "warn", "receives", "maxReceiveCount"),
        ({"most_receives": 0}, "fail", "receives", "maxReceiveCount"),
    ],
)
def test_queue_that_was_changed_is_told_with_the_command_that_undoes_it(change, level, subject, remedy):
    (found,) = worst(judge_delivery("prod", [replace(QUEUE, **change)]))
    assert (found.level, found.subject) == (level, subject)
    assert remedy in found.remedy


def test_redrive_is_spelt_as_the_command_line_takes_it():
    """JSON within JSON: who copies it must not have to mend it."""
    (found,) = worst(judge_delivery("prod", [replace(QUEUE, most_receives=1)]))
    (text,) = re.findall(r"--attributes '(.*)'", found.remedy)
    policy = json.loads(json.loads(text)["RedrivePolicy"])
    assert policy == {"deadLetterTargetArn": QUEUE.dead_letters_arn, "maxReceiveCount": "5"}


@pytest.mark.parametrize(
    ("size_mib", "level", "remedy"),
    [
        (1024, "ok", ""),
        (1500, "warn", "--parameter TmpMiB=3072"),
        (2048, "fail", "--parameter TmpMiB=4096"),
        (9000, "fail", "--parameter TmpMiB=10240"),
        (10240, "fail", "split references/b"),
    ],
)
def test_largest_reference_has_to_leave_room_in_tmp(size_mib, level, remedy):
    found = judge_references("prod", {"references/a": MIB, "references/b": size_mib * MIB}, 2048)
    assert found.level == level
    assert remedy in found.remedy
    assert judge_references("prod", {}, 512).level == "ok"


@pytest.mark.parametrize(
    ("ahead_s", "level", "said"),
    [(2, "ok", ""), (-90, "warn", "90 s behind"), (400, "fail", "400 s ahead of"), (-300, "fail", "refused")],
)
def test_clock_may_go_wrong_by_minutes(ahead_s, level, said):
    found = judge_clock(ahead_s)
    assert found.level == level
    assert said in found.said


def test_date_of_an_answer_is_read_where_there_is_one():
    headers = {"date": "Sun, 22 Nov 2026 12:00:00 GMT"}
    assert read_date_s({"ResponseMetadata": {"HTTPHeaders": headers}}) == 1_795_348_800.0
    assert read_date_s({"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}}) is None
    assert read_date_s({}) is None


def test_short_account_is_told_what_it_asked_for():
    found = judge_concurrency(OUTPUTS, 10, 10, "1,000 were asked for: pending")
    assert "(1,000 were asked for: pending)" in found.said
    assert "--desired-value 1000`" in found.remedy
    assert "--desired-value 1400`" in judge_concurrency(OUTPUTS, 1000, 100).remedy


def test_room_for_code_may_run_out():
    assert judge_storage(10, 100).level == "ok"
    assert "may fail" in judge_storage(90, 100).remedy


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        ("arn:aws:iam::1:user/lab/ada", "arn:aws:iam::1:user/lab/ada"),
        ("arn:aws-cn:sts::1:assumed-role/lab/session", "arn:aws-cn:iam::1:role/lab"),
        ("arn:aws:iam::1:root", None),
    ],
)
def test_session_is_judged_by_its_role(caller, principal):
    found = find_principal(caller)
    assert (found.arn if found else None) == principal


def test_what_is_denied_is_named_with_who_mends_it():
    assert judge_submitter("arn:aws:iam::1:user/ada", []).level == "ok"
    found = judge_submitter("arn:aws:iam::1:user/ada", [("s3:PutObject", "arn:aws:s3:::b/runs/any")])
    assert "s3:PutObject on arn:aws:s3:::b/runs/any" in found.said
    assert "put-user-policy --user-name ada" in found.remedy
    role = judge_submitter("arn:aws:iam::1:role/lab", [("s3:PutObject", "x")])
    assert "put-role-policy --role-name lab" in role.remedy


def test_role_that_is_held_back_is_named():
    function = replace(WORKER, role="arn:aws:iam::1:role/path/prod-WorkerRole")
    (found,) = judge_role("prod", function, [("sqs:SendMessage", "tasks")])
    assert "get-role --role-name prod-WorkerRole" in found.remedy
    assert not judge_role("prod", function, [])


def match(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def test_calls_of_people_are_those_that_the_page_allows():
    """What a doctor looks for beyond the page would be missed by all who follow it, and the reverse."""
    page = (ROOT / "docs/security.md").read_text()
    text = re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0].replace("STACK", "prod")
    allowed = [
        (action, resource.replace("BUCKET", "bucket"))
        for each in json.loads(text)["Statement"]
        for action in [each["Action"]]
        for resource in ([each["Resource"]] if isinstance(each["Resource"], str) else each["Resource"])
        if action != "cloudformation:DescribeStacks"  # asked by then
    ]
    spelt = spell_calls(SUBMITTER, OUTPUTS, Principal("aws", "123456789012", "arn"))
    asked = [(action, resource) for action, resources in spelt.items() for resource in resources]
    matched = [
        [(action, pattern) for action, pattern in allowed if action == call and match(pattern, resource)]
        for call, resource in asked
    ]
    assert all(matched)
    assert {each for found in matched for each in found} == set(allowed)


def test_calls_of_roles_are_of_functions_that_the_template_has():
    functions = [
        name for name, each in read_template(ROOT)["Resources"].items() if each["Type"].endswith("::Function")
    ]
    assert all(any(name.endswith(end) for name in functions) for end in ROLES)
