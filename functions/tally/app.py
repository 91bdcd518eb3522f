"""One tally of a run, called by the state machine: what is answered, what to send, how long to wait.

    {"run": ID, "state": of the last tally, null at first}
      -> {"run", "state", "phase": "running" | "settling" | "done", "wait_s", "epoch", "groups_key"}

It reads keys and numbers, never a record, so its errors may go to the state machine as they are.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from aliquot.cloud import Cloud

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
cloud = Cloud.from_environment(os.environ, boto3.client)


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """The run's next state."""
    metrics.add_metric("Tallies", MetricUnit.Count, 1)
    answer = cloud.tick(event)
    logger.info("tally", run=event["run"], phase=answer["phase"], wait_s=answer["wait_s"])
    return answer
