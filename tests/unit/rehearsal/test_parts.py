"""The pure parts of the rehearsal, each rule alone."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path

import pytest

from orchestrator.rehearsal import errors
from orchestrator.rehearsal.bus import finish_event, shape_event
from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.faults import Dice, Faults
from orchestrator.rehearsal.lineage import count_hops, extend_header
from orchestrator.rehearsal.mapping import choose_failed
from orchestrator.rehearsal.policies import is_allowed, list_statements
from orchestrator.rehearsal.pool import merge_layers
from orchestrator.rehearsal.requests import AwsRequest
from orchestrator.rehearsal.template import fill_parameters, load_template
from orchestrator.rehearsal.transform import place_code, transform_template


@pytest.mark.parametrize(
    "error",
    [
        errors.UnsupportedTemplate(["a", "b"]),
        errors.PackageTooLarge("f", 300, 250),
        errors.DeployFailed("r", "why"),
        errors.InvokeRefused("Code", 429, "words"),
        errors.StillBusy(3.0, ["one message"]),
    ],
)
def test_errors_pickle_and_tell_their_fields(error):
    assert isinstance(error, errors.RehearsalError)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


def test_short_tags_become_long_ones(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(
        """
        AWSTemplateFormatVersion: 2010-09-09
        Resources:
          A:
            Type: X
            Properties:
              a: !Ref B
              b: !GetAtt B.Arn
              c: !GetAtt [B, Arn]
              d: !If [C, !Sub "${B}", !Ref "AWS::NoValue"]
              e: !Join [",", [x, !Ref B]]
        """
    )
    template = load_template(path)
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template["Resources"]["A"]["Properties"] == {
        "a": {"Ref": "B"},
        "b": {"Fn::GetAtt": ["B", "Arn"]},
        "c": {"Fn::GetAtt": ["B", "Arn"]},
        "d": {"Fn::If": ["C", {"Fn::Sub": "${B}"}, {"Ref": "AWS::NoValue"}]},
        "e": {"Fn::Join": [",", ["x", {"Ref": "B"}]]},
    }


def test_file_without_resources_is_no_template(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("a: 1")
    with pytest.raises(errors.UnsupportedTemplate, match="no Resources"):
        load_template(path)


def test_parameters_are_spelled_as_cloudformation_does():
    template = {"Parameters": {"A": {"Default": True}, "B": {"Default": 3}, "C": {"Default": ["x", "y"]}}}
    assert fill_parameters(template, {"B": "4"}) == {"A": "true", "B": "4", "C": "x,y"}


def test_code_of_sam_functions_is_placed_under_their_names():
    worker = {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b"}}
    inline = {"Type": "AWS::Serverless::Function", "Properties": {"InlineCode": "x"}}
    template = {
        "Globals": {"Function": {"CodeUri": "src"}},
        "Resources": {"Worker": worker, "Inline": inline},
    }
    placed = place_code(template)
    assert placed["Resources"]["Worker"]["Properties"]["CodeUri"]["Key"] == "Worker"
    assert "CodeUri" not in placed["Resources"]["Inline"]["Properties"]
    assert "CodeUri" not in placed["Globals"]["Function"]
    assert "CodeUri" not in worker["Properties"], "the user's template is left as it was"


def test_what_sam_refuses_is_told_in_its_words(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    broken = {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b", "Events": "none"}}
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Broken": broken}}
    with pytest.raises(errors.UnsupportedTemplate, match="Broken"):
        transform_template(template, {})


def test_other_macros_are_refused():
    with pytest.raises(errors.UnsupportedTemplate, match="AWS::LanguageExtensions"):
        transform_template({"Transform": ["AWS::LanguageExtensions"], "Resources": {}}, {})


def test_lineage_counts_each_function_of_a_chain_apart():
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"""
    header = None
    for _ in range(3):
        header = extend_header(extend_header(header, "arn:a"), "arn:b")
    header = extend_header(header, "arn:a")
    assert (count_hops(header, "arn:a"), count_hops(header, "arn:b"), count_hops(header, "arn:c")) == (
        4,
        3,
        0,
    )
    assert count_hops("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "arn:a") == 0


@pytest.mark.parametrize(
    ("response", "failed"),
    [
        (None, set()),
        ("", set()),
        ({}, set()),
        ({"other": 1}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, {"a"}),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "x"}]}, {"a", "b"}),
        ({"batchItemFailures": ["a"]}, {"a", "b"}),
        ({"batchItemFailures": "a"}, {"a", "b"}),
        ("done", {"a", "b"}),
    ],
)
def test_failed_messages_follow_from_the_answer(response, failed):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    assert choose_failed(response, {"a", "b"}) == failed


def test_policies_match_actions_without_case_and_resources_with_it():
    statements = list_statements(
        [
            {"Statement": {"Effect": "Allow", "Action": ["s3:get*"], "Resource": "arn:aws:s3:::b/*"}},
            {
                "Statement": [
                    {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/secret"}
                ]
            },
        ]
    )
    assert is_allowed(statements, "s3:GetObject", "arn:aws:s3:::b/x")
    assert not is_allowed(statements, "s3:GetObject", "arn:aws:s3:::B/x")
    assert not is_allowed(statements, "s3:GetObject", "arn:aws:s3:::b/secret")
    assert not is_allowed(statements, "s3:PutObject", "arn:aws:s3:::b/x")


def test_faults_hit_the_same_places_for_the_same_seed_in_any_order():
    names = [str(number) for number in range(200)]

    def throw(order):
        dice = Dice(Faults(seed=9, duplicate=0.25))
        return {name for name in order if dice.is_hit("duplicate", name)}

    assert throw(names) == throw(reversed(names))
    assert 25 <= len(throw(names)) <= 75
    assert throw(names) != {
        name for name in names if Dice(Faults(seed=8, duplicate=0.25)).is_hit("duplicate", name)
    }


def test_faults_stop_at_their_limit():
    dice = Dice(Faults(kill=1.0, limit=3))
    assert [dice.is_hit("kill", str(number)) for number in range(5)] == [True] * 3 + [False] * 2
    assert dice.hits == {"kill": 3}


def test_clock_wakes_sleepers_that_it_is_moved_past():
    clock, woken = Clock(), threading.Event()

    def sleep() -> None:
        clock.sleep(3600)
        woken.set()

    threading.Thread(target=sleep, daemon=True).start()
    ends = time.monotonic() + 5
    while clock.next_wake is None and time.monotonic() < ends:
        time.sleep(0.005)
    clock.advance(3500)
    assert not woken.wait(0.3)
    clock.advance(101)
    assert woken.wait(5)
    assert clock.next_wake is None


def sign(service, region="us-east-1"):
    return {
        "authorization": f"AWS4-HMAC-SHA256 Credential=KEY/20261122/{region}/{service}/aws4_request, Signed"
    }


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "action", "resource"),
    [
        ("PUT", "/b/k%20x", sign("s3"), b"", "s3:PutObject", "arn:aws:s3:::b/k x"),
        ("GET", "/b?list-type=2", sign("s3"), b"", "s3:ListBucket", "arn:aws:s3:::b"),
        ("POST", "/b/k?uploads", sign("s3"), b"", "s3:PutObject", "arn:aws:s3:::b/k"),
        (
            "GET",
            "/b/k?X-Amz-Credential=KEY%2F2%2Feu-west-1%2Fs3%2Faws4_request",
            {},
            b"",
            "s3:GetObject",
            "arn:aws:s3:::b/k",
        ),
        (
            "POST",
            "/",
            {**sign("sqs"), "x-amz-target": "AmazonSQS.SendMessageBatch"},
            b'{"QueueUrl": "https://h/1/q"}',
            "sqs:SendMessage",
            "arn:aws:sqs:us-east-1:123456789012:q",
        ),
        (
            "POST",
            "/2015-03-31/functions/f/invocations",
            sign("lambda"),
            b"{}",
            "lambda:InvokeFunction",
            "arn:aws:lambda:us-east-1:123456789012:function:f",
        ),
        (
            "POST",
            "/",
            sign("sts"),
            b"Action=GetCallerIdentity&Version=2011-06-15",
            "sts:GetCallerIdentity",
            "*",
        ),
    ],
)
def test_requests_tell_the_right_that_they_need(method, target, headers, body, action, resource):
    """https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html"""
    request = AwsRequest(method, target, headers, body)
    assert (request.access_key, request.action, request.resource) == ("KEY", action, resource)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_merged_layers_read_like_lambdas_opt(tmp_path):
    """https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html"""
    one = write(tmp_path / "one", {"python/a/x.py": "1", "python/a/y.py": "1", "bin/tool": "1"})
    two = write(tmp_path / "two", {"python/a/x.py": "2", "python/b.py": "2"})
    merge_layers([one, two], tmp_path / "opt")
    read = {
        str(path.relative_to(tmp_path / "opt")): path.read_text()
        for path in (tmp_path / "opt").glob("*/*/*.py")
    }
    assert read == {"python/a/x.py": "2", "python/a/y.py": "1"}
    assert (tmp_path / "opt/python/b.py").read_text() == "2"
    assert (tmp_path / "opt/bin").is_symlink()


EVENT = {"source": "s", "detail": {"key": "a", "size": 3}}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, EVENT),
        ({"Input": '{"fixed": 1}'}, {"fixed": 1}),
        ({"InputPath": "$.detail.key"}, "a"),
        ({"InputPath": "$"}, EVENT),
        (
            {"InputTransformer": {"InputPathsMap": {"k": "$.detail.key"}, "InputTemplate": '{"got": "<k>"}'}},
            {"got": "a"},
        ),
    ],
)
def test_targets_get_what_their_input_asks_for(target, expected):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html"""
    assert shape_event(EVENT, target) == expected


def test_events_get_an_id_and_a_time_of_their_own():
    first, second = (finish_event({"id": "same", "time": 0.0}) for _ in range(2))
    assert first["id"] != second["id"]
    assert first["time"] == "1970-01-01T00:00:00Z"
