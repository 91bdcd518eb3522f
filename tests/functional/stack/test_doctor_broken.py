"""`aliquot doctor` on the real stack, rehearsed, and on the same broken in one place after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import Stack, rehearse
from orchestrator.stackcli import COMMANDS

ROOT = Path(__file__).parents[3]
WELL = [
    "credentials",
    "clock",
    "region",
    "stack",
    "concurrency",
    "memory",
    "code storage",
    "job crossref",
    "job exec",
    "job retro",
    "job screen",
    "job sql",
    "disk",
    "reserved",
    "recursion",
    "packages",
    "mappings",
    "visibility",
    "receives",
    "tmp",
    "permissions",
    "roles",
    "template",
    "drift",
    "queues",
    "dead letters",
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    layers = assemble_layers(ROOT, find_cache())
    with rehearse(ROOT / "template.yaml", code=layers) as stack:
        client = stack.client("lambda")
        for each in client.list_event_source_mappings()["EventSourceMappings"]:
            client.update_event_source_mapping(UUID=each["UUID"], Enabled=True)  # nothing is sent here
        yield stack


@dataclass
class Account:
    """What AWS answers that moto does not know; `loops` by function, `denied` by action."""

    stack: Stack
    n_left: int = 1000
    used_bytes: int = 10**9
    loops: dict[str, str] = field(default_factory=dict)
    denied: dict[str, set[str]] = field(default_factory=dict)
    answers: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        drift = {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "IN_SYNC"}
        self.answers |= {
            "GetAccountSettings": lambda _: {
                "AccountLimit": {
                    "ConcurrentExecutions": 1000,
                    "UnreservedConcurrentExecutions": self.n_left,
                    "TotalCodeSize": 80 * 10**9,
                },
                "AccountUsage": {"TotalCodeSize": self.used_bytes},
            },
            "DetectStackDrift": lambda _: {"StackDriftDetectionId": "1"},
            "DescribeStackDriftDetectionStatus": lambda _: drift,
            "GetFunctionRecursionConfig": self._find_loops,
            "SimulatePrincipalPolicy": self._simulate,
            "ListRequestedServiceQuotaChangeHistoryByQuota": lambda _: {
                "RequestedQuotas": [{"DesiredValue": 1000.0, "Status": "PENDING"}]
            },
        }

    def _find_loops(self, given: dict[str, Any]) -> dict[str, str]:
        deployed = {each.name: each for each in self.stack.functions.values()}[given["FunctionName"]]
        told = "Allow" if deployed.allows_loops else "Terminate"
        return {"RecursiveLoop": self.loops.get(deployed.logical, told)}

    def _simulate(self, given: dict[str, Any]) -> dict[str, Any]:
        denied = {
            action
            for who, actions in self.denied.items()
            if who in given["PolicySourceArn"]
            for action in actions
        }
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": "implicitDeny" if action in denied else "allowed",
                }
                for action in given["ActionNames"]
                for resource in given["ResourceArns"]
            ]
        }


@pytest.fixture
def account(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, whose answers a test may change."""
    from botocore.client import BaseClient

    found, call = Account(stack), BaseClient._make_api_call

    def answer(self: Any, name: str, given: dict[str, Any]) -> Any:
        return found.answers[name](given) if name in found.answers else call(self, name, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    return found


@dataclass(frozen=True)
class Line:
    level: str
    subject: str
    text: str


def ask_doctor() -> tuple[int, list[Line]]:
    """The status, and every line."""
    said = CliRunner().invoke(
        click.Group(commands={each.name: each for each in COMMANDS}), ["doctor", "--on", "aws:rehearsal"]
    )
    assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
    lines = [Line(each[:4].strip(), each[6:19].strip(), each) for each in said.output.splitlines()]
    return said.exit_code, lines


def find_trouble(subject: str, level: str) -> str:
    """The one line that is not well, but for the template's; it has to be about this, and be so grave."""
    status, lines = ask_doctor()
    (line,) = [each for each in lines if each.level != "ok" and each.subject != "template"]
    assert (line.level, line.subject) == (level, subject), line.text
    assert status == (level == "fail")
    return line.text


def queue_url(stack: Stack) -> str:
    return str(json.loads(stack.outputs["Queues"])["small"])


@pytest.fixture
def set_queue(stack: Stack) -> Iterator[Callable[[str, str], None]]:
    """Sets an attribute of the small rung's queue until the test is over."""
    sqs, url, before = stack.client("sqs"), queue_url(stack), dict[str, str]()

    def change(name: str, value: str) -> None:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
        before.setdefault(name, found)
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})

    yield change
    sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@pytest.fixture
def mapping(stack: Stack) -> Iterator[dict[str, Any]]:
    """The mapping of the small rung, put back as it was."""
    client = stack.client("lambda")
    arn = stack.client("sqs").get_queue_attributes(QueueUrl=queue_url(stack), AttributeNames=["QueueArn"])
    (found,) = client.list_event_source_mappings(EventSourceArn=arn["Attributes"]["QueueArn"])[
        "EventSourceMappings"
    ]
    yield found
    client.update_event_source_mapping(UUID=found["UUID"], Enabled=True, BatchSize=found["BatchSize"])


@pytest.mark.usefixtures("account")
def test_stack_as_it_is_deployed_is_well():
    """But for its template: SAM's part of it has been done."""
    status, lines = ask_doctor()
    assert {each.text for each in lines if each.level != "ok" and each.subject != "template"} == set()
    assert status == 0
    assert list(dict.fromkeys(each.subject for each in lines)) == WELL


@pytest.mark.usefixtures("account")
def test_queue_that_hides_tasks_too_short_is_found(stack, set_queue):
    set_queue("VisibilityTimeout", "200")
    assert f"--queue-url {queue_url(stack)} --attributes VisibilityTimeout=900" in find_trouble(
        "visibility", "warn"
    )
    set_queue("VisibilityTimeout", "30")
    find_trouble("visibility", "fail")


@pytest.mark.usefixtures("account")
def test_queue_that_gives_tasks_up_early_is_found(stack, set_queue):
    dead = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs["DeadLetterQueue"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    set_queue("RedrivePolicy", json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2}))
    assert "after 2 receives" in find_trouble("receives", "warn")


@pytest.mark.usefixtures("account")
def test_mapping_that_is_switched_off_or_takes_many_is_found(stack, mapping):
    client = stack.client("lambda")
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    assert f"--uuid {mapping['UUID']} --enabled" in find_trouble("mappings", "fail")
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True, BatchSize=10)
    assert "--batch-size 1" in find_trouble("mappings", "fail")


@pytest.mark.usefixtures("account")
def test_reserved_concurrency_is_found(stack):
    client, name = stack.client("lambda"), stack.functions["SmallWorker"].name
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    try:
        line = find_trouble("reserved", "warn")
    finally:
        client.delete_function_concurrency(FunctionName=name)
    assert "Concurrency=5" in line
    assert f"delete-function-concurrency --function-name {name}" in line


@pytest.mark.parametrize("function", ["SmallWorker", "Tally", "Bury"])
def test_loops_that_lambda_would_end_are_found(account, stack, function):
    account.loops[function] = "Terminate"
    name = stack.functions[function].name
    assert f"--function-name {name} --recursive-loop Allow" in find_trouble("recursion", "fail")


def test_reference_that_fits_no_worker_is_found(account):
    """Its size is told by the listing alone: 3 GiB are not put here."""
    account.answers["ListObjectsV2"] = lambda _: {
        "Contents": [{"Key": f"references/{'0' * 64}", "Size": 3 << 30}]
    }
    assert "--parameter TmpMiB=6144" in find_trouble("tmp", "fail")


def test_missing_right_is_found_of_people_and_of_roles(account):
    account.denied = {":root": set(), "user": {"s3:PutObject"}, "role/": set()}
    account.answers["GetCallerIdentity"] = lambda _: {
        "Arn": "arn:aws:iam::123456789012:user/ada",
        "Account": "123456789012",
    }
    line = find_trouble("permissions", "fail")
    assert "s3:PutObject on arn:aws:s3:::" in line
    assert "put-user-policy --user-name ada" in line
    account.denied = {"WorkerRole": {"sqs:SendMessage"}}
    assert "SmallWorker may not sqs:SendMessage" in find_trouble("roles", "fail")


def test_clock_that_goes_wrong_is_found(account):
    """AWS's clock is read off its answer."""
    account.answers["GetCallerIdentity"] = lambda _: {
        "Arn": "arn:aws:iam::123456789012:root",
        "Account": "123456789012",
        "ResponseMetadata": {"HTTPHeaders": {"date": "Sun, 22 Nov 2020 12:00:00 GMT"}},
    }
    assert "set-ntp true" in find_trouble("clock", "fail")


def test_clock_that_has_requests_refused_is_told_beside_the_credentials(account):
    """AWS calls that a wrong signature, which is what nobody would look for in a clock."""
    from botocore.exceptions import ClientError

    def refuse(_: dict[str, Any]) -> Any:
        error = {"Code": "SignatureDoesNotMatch", "Message": "Signature expired"}
        headers = {"date": "Sun, 22 Nov 2020 12:00:00 GMT"}
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPHeaders": headers}}, "GetCallerIdentity")

    account.answers["GetCallerIdentity"] = refuse
    status, lines = ask_doctor()
    assert status == 1
    assert [(each.level, each.subject) for each in lines] == [("fail", "credentials"), ("fail", "clock")]


def test_account_without_room_is_found(account):
    account.n_left = 10
    line = find_trouble("concurrency", "warn")
    assert "1,000 were asked for: pending" in line
    assert "request-service-quota-increase" in line
    account.n_left, account.used_bytes = 1000, 79 * 10**9
    assert "may fail" in find_trouble("code storage", "warn")


def test_other_releases_job_is_found(stack, account):
    """Versions are outputs of the template."""
    describe = stack.client("cloudformation").describe_stacks(StackName="rehearsal")
    for each in describe["Stacks"][0]["Outputs"]:
        if each["OutputKey"] == "Versions":
            each["OutputValue"] = json.dumps({**json.loads(each["OutputValue"]), "rdkit": "2020.1"})
    account.answers["DescribeStacks"] = lambda _: describe
    status, lines = ask_doctor()
    found = {each.subject: each for each in lines if each.level != "ok" and each.subject != "template"}
    assert (status, set(found)) == (1, {"job crossref", "job retro", "job screen"})
    assert all(
        each.level == "fail" and "rdkit is 2020.1 on the stack" in each.text for each in found.values()
    )


def test_what_may_not_be_asked_is_a_warning_each(account):
    """A user may submit runs, and look at neither functions nor policies."""
    from botocore.exceptions import ClientError

    def refuse(_: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "any")

    refused = ("GetAccountSettings", "DetectStackDrift", "GetFunction", "ListStackResources")
    account.answers |= dict.fromkeys(refused, refuse)
    status, lines = ask_doctor()
    assert status == 0
    warned = {each.subject for each in lines if each.level == "warn"}
    assert warned == {"concurrency", "functions", "template", "drift"}
