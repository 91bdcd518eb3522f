"""One run on a stack, reached: its ledger, its result, the stack's references, its executions.

Owns which prefixes of the bucket they are. Clients are arguments. When it is wrong, one run reads another's
objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aliquot.aws import S3Store
from aliquot.carried import REFERENCES
from aliquot.cloud import RESULTS, RUNS
from aliquot.ledger import Ledger
from aliquot.reducer import read_published
from orchestrator.aws.executions import Executions
from orchestrator.aws.folder import CloudAddress

FETCHED = "fetched"


@dataclass(frozen=True)
class Link:
    """The way to AWS: clients of S3 and Step Functions."""

    s3: Any
    states: Any


@dataclass(frozen=True)
class Published:
    """What a run published last: the epoch, why it ended, and the files under a prefix of its result."""

    epoch: int
    prefix: str
    reason: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class CloudRun:
    """A run on a stack, and the way there."""

    address: CloudAddress
    link: Link

    @cached_property
    def objects(self) -> S3Store:
        """The run's own objects."""
        return self._store(f"{RUNS}{self.address.run}/")

    @cached_property
    def ledger(self) -> Ledger:
        """The run's ledger, which is made of them."""
        return Ledger(self.objects)

    @cached_property
    def results(self) -> S3Store:
        """What the run published."""
        return self._store(f"{RESULTS}{self.address.run}/")

    @cached_property
    def references(self) -> S3Store:
        """The stack's references and packages, by digest."""
        return self._store(REFERENCES)

    @cached_property
    def executions(self) -> Executions:
        """What drives the run."""
        return Executions(self.link.states, self.address.state_machine, self.address.run)

    def find_published(self) -> Published | None:
        """What was published last, None where nothing was."""
        said = read_published(self.results)
        if said is None:
            return None
        files = tuple(file["name"] for file in said["files"])
        return Published(said["epoch"], said["prefix"], said["reason"], files)

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self.link.s3, self.address.bucket, prefix, self.address.encryption)
