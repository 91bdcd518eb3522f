"""The process in which a job draws for its run's report: `python -m aliquot.drawing`.

    standard input: a job's spec and what it may see of the run --its `pictures`--> standard output: pictures

A process of its own, since a job's packages (RDKit) stay out of the orchestrator, and what they break is
lost with it. Owns the two forms. Imports `loading` and `job`. When it is wrong, reports have no pictures.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from aliquot.job import Glimpse, Job
from aliquot.loading import JobSpec, load_job, make_options

MOST_PICTURES = 80
MOST_BYTES = 2_000_000  # of all of them


def draw(spec: JobSpec, seen: Mapping[str, Any]) -> list[list[str]]:
    """A job's pictures, as many as a report holds; raises what the job raises."""
    job = load_job(spec)
    assert job.pictures is not None  # noqa: S101 - the caller has looked
    glimpse = Glimpse(
        options=make_options(job, spec.options),
        rows=seen["rows"],
        records={int(number): _make_record(job, record) for number, record in seen["records"].items()},
        tables=seen["tables"],
        failures=seen["failures"],
    )
    drawn, n_bytes = [], 0
    for picture in islice(job.pictures(glimpse), MOST_PICTURES):
        n_bytes += len(picture.svg)
        if n_bytes > MOST_BYTES:
            break
        drawn.append([str(each) for each in picture])
    return drawn


def _make_record(job: Job, fields: Mapping[str, Any]) -> Any:
    return fields if job.reads is None else job.reads(**fields)


def main() -> None:
    """Draw what is asked for; an error is the answer's `error`."""
    answer: dict[str, Any] = {}
    fd = os.dup(1)
    os.dup2(2, 1)  # what the job prints
    asked = json.load(sys.stdin)
    try:
        answer["pictures"] = draw(JobSpec.from_plain(asked["spec"]), asked["seen"])
    except Exception as err:  # noqa: BLE001 - the boundary to the job's code
        answer["error"] = f"{type(err).__name__}: {err}"[:500]
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
