"""Traces as X-Ray's daemon would get them: they hold where time went, and nothing of a user's."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MARKER = "CC(=O)Oc1ccccc1C(=O)O-marker"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

# the SDK decides as it is imported whether it runs in Lambda, so each handler gets a process of its own
CALL = """
import importlib.util, json, sys
import boto3
from moto import mock_aws

path, marker = sys.argv[1:]

class Context:
    function_name, memory_limit_in_mb, aws_request_id = "f", 1769, "r"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    def get_remaining_time_in_millis(self):
        return 150_000

class Failing:
    def __getattr__(self, name):
        def fail(*_):
            raise ValueError(marker)
        return fail

with mock_aws():
    boto3.client("s3").create_bucket(Bucket="run-bucket")
    spec = importlib.util.spec_from_file_location("app", path)
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    record = {"messageId": "m", "receiptHandle": marker, "body": marker, "eventSource": "aws:sqs"}
    record |= {"attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}}
    record |= {"eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:small", "awsRegion": "us-east-1"}
    event = {"Records": [record], "run": "june", "step": "plan", "epoch": 0, "group": 0}
    for failing in (False, True):
        if failing:
            app.cloud = app.intake = Failing()
        try:
            app.handler(event, Context())
        except Exception as err:
            print(type(err).__name__)
"""


@pytest.fixture
def daemon(monkeypatch):
    """A socket in the place of X-Ray's daemon."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{bound.getsockname()[1]}")
        bound.setblocking(False)
        yield bound


def read_segments(daemon):
    """What has arrived, without the header of each datagram."""
    found = []
    while True:
        try:
            _, _, body = daemon.recv(1 << 16).partition(b"\n")
        except BlockingIOError:
            return found
        found.append(json.loads(body))


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("function", ["worker", "bury", "reduce", "cut", "intake"])
def test_no_text_of_a_task_or_an_error_is_traced(daemon, monkeypatch, function):
    folder = ROOT / "functions" / function
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(folder))
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, "-c", CALL, str(folder / "app.py"), MARKER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    segments = read_segments(daemon)
    assert [each["name"] for each in segments].count("## handler") == 2, segments
    assert MARKER not in json.dumps(segments) + done.stdout
