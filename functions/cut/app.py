"""Cuts a dataset that lies in buckets into a run's chunks, a step at a time.

    {"run", "step": "plan" | "number" | "seal", "epoch"}
      -> {"epoch", "next": the step that follows, or "done", "parts_key": list of items to hand out before it}
    {"run", "step": "count" | "cut", "epoch", "parts": [first, end], "round"}, an item
      -> {"again": whether the same item has to be handed out once more}

Records pass through here, so an error's text may hold them: what is not the core's own goes on as a
`CutFailed`, which names the type and the line and nothing else. What is wrong with a dataset ends the run's
epoch and stands in the ledger.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from aliquot.cloud import Cloud
from aliquot.errors import StoreError
from aliquot.notes import tell_run
from aliquot.withheld import Withheld

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
cloud = Cloud.from_environment(os.environ, boto3.client)


class CutFailed(Withheld):
    """A step failed in a way that is not foreseen."""


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What follows."""
    metrics.add_metric("CutSteps", MetricUnit.Count, 1)
    try:
        answer = cloud.cut(event, context.get_remaining_time_in_millis() / 1000)
    except StoreError:  # the state machine tries again; it names keys only
        raise
    except Exception as err:  # noqa: BLE001 - the handler is a boundary
        failed = CutFailed.of(err)
        step = tell_run(event, "step")
        logger.error("not cut", run=tell_run(event), step=step, error=failed.error, where=failed.where)  # noqa: TRY400 - its text may hold records
        raise failed from None
    logger.info("step", run=event["run"], step=event["step"], parts=event.get("parts"))
    return answer
