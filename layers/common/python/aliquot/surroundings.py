"""What a stack tells its functions by their environment variables.

Owns the variables' names (`Environment` in template.yaml) and what holds where one is not set. Imports
`own_jobs` only. When it is wrong, a worker goes by limits that its function does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aliquot.own_jobs import parse_own_jobs

LEAST_TMP_MIB = 512  # as every function has it
SLICE_S = 30.0  # as template.yaml has it, and whoever reckons with slices


@dataclass(frozen=True)
class Surroundings:
    """What a stack tells its functions.

    Args:
        bucket: of runs.
        queues: URL of each rung's queue, the lowest first.
        rung, n_hosts, memory_mib, slice_s, timeout_s: of this worker.
        jobs: the allow-list, address by name: the stack's, and those that it was given.
        encryption: arguments of every put.
        allows_code: whether runs may bring their own code.
        lease_s: after which no worker that began before can be at work.
        stack: its name.
        tmp_mib: of its /tmp.
    """

    bucket: str
    queues: Mapping[str, str]
    rung: str
    n_hosts: int
    memory_mib: int
    slice_s: float
    timeout_s: float
    jobs: Mapping[str, str]
    encryption: Mapping[str, str]
    allows_code: bool = False
    lease_s: int = 180
    stack: str = ""
    tmp_mib: int = LEAST_TMP_MIB

    @property
    def next_rung(self) -> str:
        """The rung above this worker's, empty where there is none."""
        rungs = list(self.queues)
        return "".join(rungs[rungs.index(self.rung) + 1 :][:1])

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Surroundings:
        """From a function's environment variables."""
        return cls(
            bucket=environ["ALIQUOT_BUCKET"],
            queues=json.loads(environ["ALIQUOT_QUEUES"]),
            rung=environ.get("ALIQUOT_RUNG", "small"),
            n_hosts=int(environ.get("ALIQUOT_HOSTS", "1")),
            memory_mib=int(environ.get("ALIQUOT_MEMORY_MIB", "1400")),
            slice_s=float(environ.get("ALIQUOT_SLICE_S", SLICE_S)),
            timeout_s=float(environ.get("ALIQUOT_TIMEOUT_S", "150")),
            jobs={
                **parse_own_jobs(environ.get("ALIQUOT_OWN_JOBS", "")).addresses,
                **json.loads(environ.get("ALIQUOT_JOBS", "{}")),
            },
            encryption=json.loads(environ.get("ALIQUOT_ENCRYPTION", "{}")),
            allows_code=environ.get("ALIQUOT_ALLOW_CODE") == "true",
            lease_s=int(environ.get("ALIQUOT_LEASE_S", "180")),
            stack=environ.get("ALIQUOT_STACK", ""),
            tmp_mib=int(environ.get("ALIQUOT_TMP_MIB", LEAST_TMP_MIB)),
        )
