"""What a doctor makes of figures, without AWS."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.stack.checks.account import judge_concurrency, judge_memory
from orchestrator.stack.checks.deployed import check_drift, check_status, list_differences
from orchestrator.stack.checks.waiting import judge_waiting
from orchestrator.stack.machine import Machine, judge_machine, read_machine
from orchestrator.stack.outputs import StackOutputs
from orchestrator.stack.parameters import read_template

ROOT = Path(__file__).parents[3]
OUTPUTS = StackOutputs("prod", "us-east-1", "runs", {"small": "url"}, "dead", "arn", concurrency=500)
MACHINE = Machine((3, 13, 0), "linux", 4, 16000, True, "2026.9.1", "1.44", (("/tmp", 50 << 30),))  # noqa: S108


@pytest.mark.parametrize(
    ("limit", "n_left", "level", "said"),
    [
        (1000, 1000, "ok", "up to 500"),
        (1000, 100, "warn", "--parameter Concurrency=100"),
        (10, 10, "warn", "L-B99A9384"),
    ],
)
def test_concurrency_is_what_the_account_leaves(limit, n_left, level, said):
    found = judge_concurrency(OUTPUTS, limit, n_left)
    assert found.level == level
    assert said in str(found)


def test_memory_of_a_new_account_is_hinted_at():
    assert "refused functions of 3,538 MB" in str(judge_memory(OUTPUTS, 10))
    assert "Rungs=all" in str(judge_memory(OUTPUTS, 1000))
    larger = replace(OUTPUTS, queues={"small": "", "medium": ""})
    assert "beyond 3,008 MB are allowed" in str(judge_memory(larger, 10))


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_COMPLETE", "warn"),
        ("UPDATE_ROLLBACK_FAILED", "fail"),
    ],
)
def test_status_decides(status, level):
    assert check_status({"StackName": "prod", "StackStatus": status}).level == level


def test_tasks_without_a_run_are_left_over():
    assert judge_waiting({"small": 3}, 1).level == "ok"
    assert judge_waiting({"small": 0}, 0).level == "ok"
    assert judge_waiting({"small": 3}, 0).level == "warn"


def test_template_that_sam_packaged_is_the_same():
    """What `sam build` and `sam deploy` write into a template: seen with SAM 1.170."""
    own = read_template(ROOT)
    packaged = copy.deepcopy(own)
    for name, resource in packaged["Resources"].items():
        for place in ("CodeUri", "ContentUri", "DefinitionUri"):
            if place in resource["Properties"]:
                resource["Properties"][place] = f"s3://bucket/{name}"
        resource.setdefault("Metadata", {})["SamResourceId"] = name
    assert list_differences(packaged, own) == []


def test_template_of_another_release_is_told_by_what_differs():
    own = read_template(ROOT)
    other = copy.deepcopy(own)
    other["Outputs"]["Versions"]["Value"] = "{}"
    other["Resources"]["SmallWorker"]["Properties"]["Timeout"] = 60
    del other["Resources"]["Bury"]
    assert list_differences(other, own) == ["Outputs", "Bury", "SmallWorker"]


class Drifting:
    """CloudFormation's answers about drift; moto has none."""

    region_name = "us-east-1"

    def __init__(self, *answers, drifted=()):
        self.answers, self.drifted = list(answers), list(drifted)

    def client(self, _name):
        return self

    def detect_stack_drift(self, **_):
        return {"StackDriftDetectionId": "1"}

    def describe_stack_drift_detection_status(self, **_):
        return self.answers.pop(0)

    def describe_stack_resource_drifts(self, **_):
        return {"StackResourceDrifts": self.drifted}


def test_drift_is_waited_for_and_named():
    slept = []
    done = {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "DRIFTED"}
    drifted = [{"LogicalResourceId": "SmallTasks", "StackResourceDriftStatus": "MODIFIED"}]
    session = Drifting({"DetectionStatus": "DETECTION_IN_PROGRESS"}, done, drifted=drifted)
    found = check_drift("prod", session, slept.append)
    assert (found.level, len(slept)) == ("warn", 1)
    assert "SmallTasks (modified)" in found.said


def test_stack_in_sync_is_well_and_a_failed_detection_is_no_verdict():
    done = {"DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "IN_SYNC"}
    assert check_drift("prod", Drifting(done), lambda _: None).level == "ok"
    failed = {"DetectionStatus": "DETECTION_FAILED", "DetectionStatusReason": "no right to read X"}
    found = check_drift("prod", Drifting(failed), lambda _: None)
    assert (found.level, "no right to read X" in found.said) == ("warn", True)


def test_machine_with_all_is_well():
    assert {each.level for each in judge_machine(MACHINE)} == {"ok"}


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"platform": "win32"}, "fail", "WSL 2"),
        ({"free_mib": 2100}, "warn", "--workers 2"),
        ({"rdkit": ""}, "warn", 'pip install "aliquot[chem]"'),
        ({"free_disk_bytes": (("/tmp", 1 << 30),)}, "warn", "TMPDIR"),  # noqa: S108 - only spelt
    ],
)
def test_what_a_machine_lacks_is_said_with_its_remedy(change, level, said):
    worst = [each for each in judge_machine(replace(MACHINE, **change)) if each.level != "ok"]
    assert [(each.level, said in each.remedy) for each in worst] == [(level, True)]


def test_this_machine_can_be_read(tmp_path):
    found = read_machine(tmp_path)
    assert found.n_cores >= 1
    assert dict(found.free_disk_bytes)[str(tmp_path)] > 0
