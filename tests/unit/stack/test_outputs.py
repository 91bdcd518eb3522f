"""What a stack says of itself, as CloudFormation gives it, and the rule of equal versions."""

import json
import re
from pathlib import Path

import pytest

from aliquot import __version__
from aliquot.errors import BadOption
from aliquot.job import Job, Stage
from aliquot.loading import NoOptions
from orchestrator.rehearsal.template import load_template
from orchestrator.stack import outputs as module
from orchestrator.stack.errors import NoSuchStack, VersionSkew
from orchestrator.stack.outputs import is_ours, list_skew, parse_place, read_outputs, refuse_skew

ROOT = Path(__file__).parents[3]
VERSIONS = {
    "aliquot": __version__,
    "python": "3.13",
    "rdkit": "2026.9.1",
    "numpy": "2.4.6",
    "jobs": {"look": 3},
}
GIVEN = {
    "Bucket": "runs-1",
    "Queues": '{"small": "https://sqs/small", "medium": "https://sqs/medium"}',
    "DeadLetterQueue": "https://sqs/dead",
    "StateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:prod-settle",
    "Versions": json.dumps(VERSIONS),
    "Architecture": "arm64",
    "AllowCode": "false",
    "Concurrency": "500",
    "KmsKeyArn": "",
}


def describe(description="Aliquot: runs", status="CREATE_COMPLETE", **given):
    pairs = {name: value for name, value in {**GIVEN, **given}.items() if value is not None}
    found = [{"OutputKey": name, "OutputValue": value} for name, value in pairs.items()]
    return {"StackName": "prod", "Description": description, "StackStatus": status, "Outputs": found}


def make_job(name="look", version=3, needs=("rdkit", "numpy")):
    return Job(
        name, version=version, options=NoOptions, stages=(Stage("call", lambda *_: iter),), needs=needs
    )


OWN = {"python": "3.11", "rdkit": "2026.9.1", "numpy": "2.4.6"}


def test_outputs_become_fields():
    found = read_outputs(describe(AllowCode="true", RecordTimeout="240"), "us-east-1")
    assert (found.name, found.region, found.bucket) == ("prod", "us-east-1", "runs-1")
    assert list(found.queues) == ["small", "medium"]
    assert found.versions == VERSIONS
    assert (found.allow_code, found.concurrency, found.record_timeout_s) == (True, 500, 240.0)


def test_jobs_of_ones_own_are_held_to_their_versions():
    """What a stack was given counts as what it came with, and never takes its place."""
    own = "mine=my.job:job@2,look=other:job@9,torch==2.9,numpy==1.0"
    found = read_outputs(describe(Jobs=own), "us-east-1")
    assert found.versions["jobs"] == {"look": 3, "mine": 2}
    assert (found.versions["numpy"], found.versions["torch"]) == ("2.4.6", "2.9")
    mine = make_job("mine", 3, ("torch",))
    assert list_skew(found, mine, {"torch": "2.9"}) == ["job mine is 2 on the stack and 3 here"]


def test_outputs_of_earlier_stacks_have_their_defaults():
    found = read_outputs(describe(Concurrency=None, KmsKeyArn=None), "us-east-1")
    assert (found.record_timeout_s, found.concurrency, found.kms_key_arn) == (60.0, 0, "")


def test_pollers_are_ten_workers_each():
    assert read_outputs(describe(Concurrency="100 pollers"), "us-east-1").concurrency == 1000


def test_outputs_that_are_read_are_in_the_template():
    """A name that only one of the two knows would make every stack a foreign one."""
    template = load_template(ROOT / "template.yaml")
    assert set(module.NEEDED) | {"Concurrency", "KmsKeyArn"} <= set(template["Outputs"])
    assert template["Description"].startswith(module.DESCRIPTION)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (describe(description="A web shop", Versions=None), "is not Aliquot's .it has no output Versions"),
        (describe(Versions=None), "another release .* run `aliquot deploy` again"),
        ({**describe(status="CREATE_IN_PROGRESS"), "Outputs": []}, "not ready .CREATE_IN_PROGRESS.: wait"),
        ({**describe(status="ROLLBACK_COMPLETE"), "Outputs": []}, "not made whole .* `aliquot destroy`"),
    ],
)
def test_stack_without_our_outputs_is_refused_with_its_reason(described, said):
    with pytest.raises(NoSuchStack, match=said):
        read_outputs(described, "us-east-1")


def test_stack_is_ours_by_outputs_or_description():
    assert is_ours(describe(description="renamed by hand"))
    assert is_ours({"StackName": "prod", "Description": "Aliquot: runs"})
    assert not is_ours({"StackName": "shop"})


def test_place_is_aws_and_a_name():
    assert parse_place("aws:prod") == "prod"
    for wrong in ("prod", "aws:", "local", "rehearsal"):
        with pytest.raises(BadOption, match="aws:STACK"):
            parse_place(wrong)


def test_equal_versions_are_no_skew():
    """Python's own is not compared: no row depends on it."""
    refuse_skew(read_outputs(describe(), "us-east-1"), make_job(), OWN)


def test_zeros_in_a_version_are_no_skew():
    """RDKit spells its own version otherwise than pip."""
    assert not list_skew(read_outputs(describe(), "us-east-1"), make_job(), {**OWN, "rdkit": "2026.09.1"})


@pytest.mark.parametrize(
    ("job", "own", "said"),
    [
        (make_job(), {**OWN, "rdkit": "2025.3.1"}, "rdkit is 2026.9.1 on the stack and 2025.3.1 here"),
        (make_job(), {**OWN, "aliquot": "0.0.9"}, f"aliquot is {__version__} on the stack and 0.0.9 here"),
        (make_job(version=4), OWN, "job look is 3 on the stack and 4 here"),
        (make_job(needs=("scipy",)), {"scipy": "1.0"}, "scipy is absent on the stack and 1.0 here"),
    ],
)
def test_skew_names_both_versions(job, own, said):
    outputs = read_outputs(describe(), "us-east-1")
    assert list_skew(outputs, job, own) == [said]
    with pytest.raises(VersionSkew, match=re.escape(said)) as caught:
        refuse_skew(outputs, job, own)
    assert "rdkit==2026.9.1" in str(caught.value) or "rdkit" not in job.needs
    assert "aliquot deploy --stack prod" in str(caught.value)


def test_only_what_the_job_needs_is_compared():
    """A function of one's own runs whatever RDKit there is, and its code travels with the run."""
    job = make_job("mine:function", needs=())
    assert list_skew(read_outputs(describe(), "us-east-1"), job, {"rdkit": "other"}) == []
