"""The endpoint that all clients talk to: clients that break off, and what it says in a refusal."""

from __future__ import annotations

import os
import socket
import urllib.parse

import boto3
import pytest

from orchestrator.rehearsal.gateway import reply_error


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 9\r\n\r\nhalf",
        b"Content-Length: 9\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ],
)
def test_request_that_breaks_off_is_not_carried_out(bench, said):
    """S3 never adds partial objects: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"""
    stack = bench({"Bucket": {"Type": "AWS::S3::Bucket"}})
    s3, bucket = boto3.client("s3"), stack.outputs["Bucket"]
    s3.put_object(Bucket=bucket, Key="there", Body=b"before")
    address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    for key in ("there", "new"):
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            client.sendall(f"PUT /{bucket}/{key} HTTP/1.1\r\nHost: x\r\n".encode() + said)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["there"]
    assert s3.get_object(Bucket=bucket, Key="there")["Body"].read() == b"before"


def test_refusal_has_a_request_id():
    """Without one moto's state machine broke at a throttled function, where Step Functions tries again."""
    assert reply_error(429, "TooManyRequestsException", "Rate Exceeded.").headers["x-amzn-requestid"]
