"""Merges one group of a settled stage's roster, or publishes the parts as the run's result.

    {"run", "epoch", "group": int}  a Parquet part and a partial summary
    {"run", "epoch", "state"}       what is of all groups, and the pointer that readers follow

Rows pass through here, so an error's text may hold them: what is not the core's own goes on as a
`ReduceFailed`, which names the type and the line and nothing else.
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
from aliquot.ledger import UnreadableOutcome
from aliquot.notes import tell_run
from aliquot.withheld import Withheld

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
cloud = Cloud.from_environment(os.environ, boto3.client)


class ReduceFailed(Withheld):
    """A merge failed in a way that is not foreseen."""


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """What was written."""
    is_group = "group" in event
    metrics.add_metric("Groups" if is_group else "Published", MetricUnit.Count, 1)
    try:
        answer = cloud.reduce_group(event) if is_group else cloud.publish(event)
    except (StoreError, UnreadableOutcome):  # the state machine tells them apart; they name keys only
        raise
    except Exception as err:  # noqa: BLE001 - the handler is a boundary
        failed = ReduceFailed.of(err)
        logger.error("not merged", run=tell_run(event), error=failed.error, where=failed.where)  # noqa: TRY400 - its text may hold records
        raise failed from None
    logger.info("merged" if is_group else "published", run=event["run"], group=event.get("group"))
    return answer
