"""A stack rehearsed for a module's tests, and a user's folder from which the real command talks to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet
import pytest

from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import Stack, rehearse
from tests.functional.desk import Desk
from tests.functional.rights import list_missing, list_missing_of_submitters

ROOT = Path(__file__).parents[3]

JOBS = """
import helpers

def one(record):
    return {"id": record["id"], "n": helpers.count(record)}

def every_third(record):
    number = int(record["id"].lstrip("r"))
    if number % 3 == 0:
        raise ValueError(f"no {number}")
    return {"number": number}
"""


class CloudDesk(Desk):
    """With jobs in two modules, which travel together, and runs whose address lies in their folder."""

    files: ClassVar = {
        "jobs.py": JOBS,
        "helpers.py": "def count(record):\n    return len(record['smiles'])\n",
    }
    patience_s = 120

    def read(self, name: str, out: str = "out") -> pa.Table:
        """A table beside the result."""
        return pyarrow.parquet.read_table(self.folder / out / f"{name}.parquet")

    def invoice(self, out: str = "out") -> dict[str, Any]:
        """What the run cost."""
        return json.loads((self.folder / out / "invoice.json").read_text())

    def address(self, out: str = "out") -> dict[str, Any]:
        """Where the run is, once that is decided; empty before."""
        path = self.folder / out / "cloud.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[CloudDesk]:
    desk = CloudDesk(tmp_path)
    yield desk
    desk.end_all()


class Cloud:
    """A rehearsed stack, which tests let run or hold still, and what lies in its bucket."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.bucket = stack.outputs["Bucket"]
        self._drain: Drain | None = None

    def go(self) -> None:
        """Deliver from now on."""
        if self._drain is None:
            self._drain = Drain(self.stack).__enter__()

    def hold(self) -> None:
        """Deliver nothing more, once what is under way has ended."""
        if self._drain is not None:
            self._drain.__exit__()
            self._drain.check()
            self._drain = None

    def list_keys(self, prefix: str) -> list[str]:
        """The keys of the bucket under a prefix."""
        pages = self.stack.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in found for each in page.get("Contents", ())]

    def list_executions(self, run: str) -> list[str]:
        """The executions that drove a run."""
        arn = self.stack.outputs["StateMachineArn"]
        found = self.stack.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
        return sorted(each["name"] for each in found if each["name"].startswith(run))


@pytest.fixture(scope="module")
def module_cloud() -> Iterator[Cloud]:
    layers = assemble_layers(ROOT, find_cache())
    parameters = {"AllowCode": "true", "DataBuckets": "arn:aws:s3:::datasets"}
    with rehearse(ROOT / "template.yaml", parameters=parameters, code=layers, concurrency=2) as stack:
        cloud = Cloud(stack)
        yield cloud
        cloud.hold()
        # moto refuses nothing: what no role allows passes here, and fails in AWS
        assert not list_missing(stack)
        assert not list_missing_of_submitters(stack, ["datasets"])


@pytest.fixture
def cloud(module_cloud: Cloud) -> Iterator[Cloud]:
    """The module's stack, at work."""
    module_cloud.go()
    yield module_cloud
    module_cloud.hold()


@pytest.fixture
def still(module_cloud: Cloud) -> Cloud:
    """The module's stack, delivering nothing until it is told to."""
    return module_cloud
