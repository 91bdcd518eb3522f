"""What users say of a run on a stack, and what is refused before anything is sent there."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aliquot.errors import BadOption, FolderInUse, UnknownJob
from aliquot.keys import is_name
from orchestrator.api import cancel, resume, watch
from orchestrator.aws.folder import CloudAddress, find_address, name_run, read_address, write_address
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.site import check_code, check_needs
from orchestrator.aws.target import Target
from orchestrator.catalog import KnownJob, find_job
from orchestrator.explain import explain_run
from orchestrator.request import make_request
from orchestrator.stack.outputs import StackOutputs

STACK = StackOutputs("prod", "us-east-1", "bucket", {}, "letters", "arn", {"jobs": {"crossref": 1}}, "arm64")


@pytest.mark.parametrize("on", ["foo", "aws:", "aws", "s3://bucket", "", "AWS:prod"])
def test_unknown_places_are_refused_with_those_that_there_are(on):
    with pytest.raises(BadOption, match=r"local, aws:STACK .* or rehearsal"):
        Target(on)


def test_profile_and_region_need_a_stack():
    """Silently ignored, they would leave a user sure that the run is in another account."""
    assert Target("aws:prod", "lab", "eu-west-1").stack == "prod"
    for on in ("local", "rehearsal"):
        with pytest.raises(BadOption, match="--profile"):
            Target(on, "lab")
        with pytest.raises(BadOption, match="--region"):
            Target(on, None, "eu-west-1")


def test_run_in_another_region_than_the_user_says_is_refused(tmp_path):
    write_address(tmp_path, CloudAddress("prod", "eu-west-1", None, "bucket", "june", "arn", "token"))
    assert read_address(tmp_path, "watch", "eu-west-1").run == "june"
    for command in (resume, watch, cancel, explain_run):
        with pytest.raises(BadOption, match="is in eu-west-1, not in us-east-1"):
            command(tmp_path, region="us-east-1")


@pytest.mark.parametrize(
    ("concurrency", "asked", "window"), [(500, None, 500), (5000, None, 1000), (0, None, 1000), (500, 40, 40)]
)
def test_window_is_the_stacks_unless_it_is_chosen(concurrency, asked, window):
    assert CloudSettings(asked).fit(replace(STACK, concurrency=concurrency)).window == window


def test_record_timeout_beyond_the_stacks_is_refused():
    """A record that outlives its function would come back for ever; the message names the way out."""
    allowed = replace(STACK, record_timeout_s=60.0)
    assert CloudSettings(record_timeout_s=60).fit(allowed)
    with pytest.raises(BadOption, match=r"90 s are more than the 60 s .*'prod'.* RecordTimeout"):
        CloudSettings(record_timeout_s=90).fit(allowed)


def test_budget_has_to_pay_for_cutting_where_the_stack_cuts():
    """Otherwise the run begins, and ends before anything is cut."""
    stack = replace(STACK, record_timeout_s=60.0)
    assert CloudSettings(budget_usd=0.02).fit(stack)
    assert CloudSettings(budget_usd=0.06).fit(stack, is_cut=True)
    with pytest.raises(
        BadOption, match=r"\$0\.02 cannot pay for cutting the dataset, one task .*\(\$0\.0504\)"
    ):
        CloudSettings(budget_usd=0.02).fit(stack, is_cut=True)


@pytest.mark.parametrize(
    "job", ["crossref", "my_module:conformers", "/home/me/my jobs.py:f", "a:<locals>.é", "x" * 200, "a:"]
)
def test_run_ids_fit_into_messages_and_names_of_executions(job):
    run = name_run(job, "4f1d09" + "0" * 26, lambda: datetime(2026, 11, 22, tzinfo=UTC))
    assert is_name(run)
    assert len(f"{run}-9999-999") <= 80
    assert run.startswith("20261122-")
    assert run.endswith("-4f1d09")


def test_address_is_read_as_it_was_written(tmp_path):
    manifest = {"job": "crossref"}
    address = CloudAddress("prod", "us-east-1", None, "b", "r", "arn", "t", "key", manifest=manifest)
    assert find_address(tmp_path) is None
    write_address(tmp_path, address)
    assert read_address(tmp_path, "watch") == address
    assert address.encryption == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}
    (tmp_path / "cloud.json").write_text('{"format": "aliquot/cloud/9"}')
    with pytest.raises(FolderInUse, match="format 'aliquot/cloud/9'"):
        find_address(tmp_path)
    (tmp_path / "cloud.json").write_text('{"format": "aliquot/cloud/1", "stack":')
    with pytest.raises(FolderInUse, match="damaged"):
        find_address(tmp_path)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A request of a function, or of a job, with `code` or without."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "carried_job.py").write_text("def f(record):\n    return record\n")
    (tmp_path / "data.csv").write_text("id\n1\n")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "carried_job", raising=False)

    def make_it(job, code=None):
        given = None if code is None else tmp_path / code
        return make_request(job, str(tmp_path / "data.csv"), {}, {}, (), given)

    return make_it


def test_code_is_refused_where_the_stack_takes_none(make):
    request = make("carried_job:f", "code")
    with pytest.raises(BadOption, match="AllowCode=true"):
        check_code(STACK, request)
    check_code(replace(STACK, allow_code=True), request)


def test_job_that_the_stack_does_not_have_is_refused(make):
    request = make("carried_job:f")
    with pytest.raises(UnknownJob, match=r"has the jobs crossref alone: send its code along, --code FOLDER"):
        check_code(STACK, request)
    installed = replace(request, known=KnownJob(find_job("crossref").job, "mine.job:job"))
    check_code(STACK, installed)
    with pytest.raises(UnknownJob, match=r"'Jobs=crossref=mine.job:job@\d+,\S+' --parameter JobLayer=ARN`"):
        check_code(replace(STACK, versions={}), installed)


def test_option_whose_package_the_workers_lack_is_refused_with_what_to_do(make):
    """onnxruntime has no room in the layers of a stack; one that was given it says so by `Jobs`."""
    request = replace(
        make("carried_job:f"), known=find_job("retro"), options={"policy": {"sha256": "0" * 64}}
    )
    with pytest.raises(BadOption, match=r"--policy: needs onnxruntime, .*WorkerImageUri or JobLayer.*Jobs="):
        check_needs(STACK, request)
    check_needs(replace(STACK, versions={"onnxruntime": "1.32.0"}), request)
    check_needs(STACK, replace(request, options={"policy": None}))


def test_address_of_carried_code_holds_wherever_it_lies(make, tmp_path):
    """A path of this machine would mean nothing in a function."""
    request = make(f"{tmp_path}/code/carried_job.py:f", "code")
    assert request.identity["job"] == "carried_job:f"
    assert request.known.search_path == (str(tmp_path / "code"),)


@pytest.mark.parametrize(
    ("job", "code", "phrase"),
    [
        ("carried_job:f", "nowhere", "is not a folder"),
        ("crossref", "code", "is for MODULE:FUNCTION"),
        ("json:loads", "code", "the job's module was found at"),
    ],
)
def test_code_that_is_not_the_jobs_is_refused(make, job, code, phrase):
    with pytest.raises(BadOption, match=phrase):
        make(job, code)
