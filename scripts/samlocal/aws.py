"""S3 and SQS as containers see them, served by moto in this process, and runs put into them.

Uses the project's own code for all that lies in the bucket. When it is wrong, functions work on other objects
than those of a stack.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer

from aliquot.aws import S3Store
from aliquot.carried import PREPARED, REFERENCES
from aliquot.cutting import cut_chunks
from aliquot.host import HostLimits
from aliquot.launch import Opened, ZygoteLauncher
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec
from aliquot.page import Page
from orchestrator.request import Request, make_manifest, make_request
from orchestrator.submit import submit_chunks
from samlocal import ROOT, Missing, run

EXAMPLES = ROOT / "examples" / "crossref"
BUCKET, QUEUE, REGION = "runs", "small-tasks", "us-east-1"
INBOX, MACHINE = "inbox", "settle"
MACHINE_ARN = f"arn:aws:states:{REGION}:{DEFAULT_ACCOUNT_ID}:stateMachine:{MACHINE}"
KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
SETTINGS = {"record_timeout_s": 60.0, "window": 8, "max_failed": "5%", "ending": "parquet"}


@dataclass(frozen=True)
class Aws:
    """A bucket and queues in moto.

    Args:
        endpoint: moto's address.
        seen_endpoint: the same as containers see it.
        queues: URL of each rung's queue, as containers see it.
    """

    endpoint: str
    seen_endpoint: str
    queues: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, **KEYS)

    def store(self, prefix: str) -> S3Store:
        """The objects under a prefix of the bucket."""
        return S3Store(self.client("s3"), BUCKET, prefix)

    def ledger(self, name: str) -> Ledger:
        """A run's ledger."""
        return Ledger(self.store(f"runs/{name}/"))

    def receive(self) -> list[dict[str, Any]]:
        """What waits in the workers' queue, taken out of it."""
        sqs, found = self.client("sqs"), []
        url = self.queues["small"].replace(self.seen_endpoint, self.endpoint)
        while said := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += said
            for message in said:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found


@contextlib.contextmanager
def serve_aws(image: str) -> Iterator[Aws]:
    """Serve moto with the bucket and the queue of the stack."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request
    host, name = find_meeting_place(image)
    port = find_port(host)
    server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
    server.start()
    try:
        aws = Aws(f"http://{host}:{port}", f"http://{name}:{port}", {})
        aws.client("s3").create_bucket(Bucket=BUCKET)
        aws.client("sqs").create_queue(QueueName=QUEUE)
        aws.queues["small"] = f"{aws.seen_endpoint}/{DEFAULT_ACCOUNT_ID}/{QUEUE}"
        yield aws
    finally:
        server.stop()


def find_meeting_place(image: str) -> tuple[str, str]:
    """The address on which this process and containers meet, and its name in containers.

    SAM CLI 1.170 leaves containers on Docker's bridge whatever `--docker-network host` says (its `Container`
    passes no network mode), so 127.0.0.1 is the container's own there.
    """
    if sys.platform != "linux":
        return "127.0.0.1", "host.docker.internal"
    asked = run(["docker", "run", "--rm", "--entrypoint", "cat", image, "/proc/net/route"])
    for _, destination, gateway, *_ in map(str.split, asked.stdout.splitlines()):
        if destination == "00000000":
            address = str(IPv4Address(bytes.fromhex(gateway)[::-1]))  # written as the processor has it
            return address, address
    raise Missing(f"containers have no way to this machine: {asked.stdout} {asked.stderr}")


def find_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def submit_run(aws: Aws, name: str, request: Request) -> Ledger:
    """Put a run as `aliquot run --on aws:` would: references, what `prepare` wrote, manifest, chunks."""
    for value in request.options.values():
        if isinstance(value, dict) and "sha256" in value:
            aws.store(REFERENCES).put(value["sha256"], Path(value["path"]).read_bytes())
    ledger = aws.ledger(name)
    with tempfile.TemporaryDirectory() as folder:
        opened = prepare(request, folder)
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            ledger.store.put(f"{PREPARED}{path.relative_to(folder).as_posix()}", path.read_bytes())
    ledger.begin({**make_manifest(request, SETTINGS), "versions": dict(opened.versions)})
    for _ in submit_chunks(ledger, cut_chunks(request.read()), is_repeatable=True):
        pass
    return ledger


def prepare(request: Request, folder: str) -> Opened:
    """Run the job's `prepare` in a host, as every run does, and tell with which versions it opens."""
    page = Page.create()
    spec = JobSpec(request.known.address, (), request.options, folder)
    launcher = ZygoteLauncher(spec, HostLimits(60.0, 2000), page)
    try:
        launcher.prepare()
        return launcher.open()
    finally:
        launcher.close()
        page.close()


def make_crossref(dataset: Path) -> Request:
    """The job of this stack over a file."""
    return make_request("crossref", str(dataset), {"templates": str(EXAMPLES / "templates.csv")}, {}, ())


def write_reactions(path: Path, n_reactions: int) -> Path:
    """Write so many reactions of the sample, from its beginning again where it ends."""
    lines = (EXAMPLES / "reactions.rsmi").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[number % len(lines)] for number in range(n_reactions)), encoding="utf-8")
    return path


def list_names(published: dict[str, Any]) -> list[str]:
    """The files that a pointer names, below its prefix."""
    return [file["name"] for file in published["files"]]
