#!/usr/bin/env python3
"""Run every function with its file in events/ in SAM's containers, then a small run through `start-lambda`.

    python scripts/sam_local.py [--image lambda-python:3.13] [--only events | time | run] [--reactions 6000]

S3 and SQS are moto's, served by this process where only containers reach it. The run that events/ name is put
there with the project's own code, so that each answer, and each object and message that a function leaves,
can be checked. The second part times a cold and some warm invocations of the worker. The third ticks, works,
merges and publishes a run of examples/crossref as queue and state machine would, and compares its tables with
those of a local run.

Needs Docker, Python 3.13 (for `sam build`) and a Lambda base image of it; `sam` is installed into
build/sam-venv where it is not on PATH. Ends with status 1 where a check fails, 2 where something is missing.
"""

from __future__ import annotations

import argparse

from samlocal import CheckFailed, Missing, say
from samlocal.aws import serve_aws
from samlocal.events import check_events
from samlocal.sam import IMAGE, build_stack, find_tools, validate_template, write_template
from samlocal.timing import time_worker
from samlocal.whole import check_whole_run


def main() -> int:
    """Read the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default=IMAGE, help="a Lambda base image of Python 3.13")
    parser.add_argument("--only", choices=["events", "time", "run"])
    parser.add_argument("--reactions", type=int, default=6000, help="of the run through start-lambda")
    given = parser.parse_args()
    try:
        tools = find_tools(given.image)
        validate_template(tools)
        build_stack(tools)
        with serve_aws(tools.image) as aws:
            template = write_template(aws)
            if given.only in (None, "events"):
                check_events(tools, template, aws)
            if given.only in (None, "time"):
                time_worker(tools, template, aws)
            if given.only in (None, "run"):
                check_whole_run(tools, template, aws, given.reactions)
    except Missing as err:
        say(f"sam-local: {err}")
        return 2
    except CheckFailed as err:
        say(f"FAILED  {err}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
