"""A stack's bucket and queues on moto, in this process."""

import boto3
import pytest
from moto import mock_aws

REGION = "us-east-1"
BUCKET = "runs"


@pytest.fixture
def aws(monkeypatch):
    """Client maker; the bucket and the queues are there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        clients = {name: boto3.client(name, region_name=REGION) for name in ("s3", "sqs")}
        clients["s3"].create_bucket(Bucket=BUCKET)
        clients["sqs"].create_queue(QueueName="small", Attributes={"VisibilityTimeout": "0"})
        yield clients.__getitem__
