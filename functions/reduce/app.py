"""Merges one group of a settled roster, does an item of an exchange, or publishes a run's result.

    {"run", "epoch", "group": int}           a Parquet part and a partial summary
    {"run", "epoch", "leg", "part": int}     sorted runs of a part of a settled leg's rows
    {"run", "epoch", "leg", "partition": n}  the groups of a range of keys, as chunks of the next leg
    {"run", "epoch", "state"}                what is of all groups, and the pointer that readers follow

Rows pass through here, so an error's text may hold them: what is not the core's own goes on as a
`ReduceFailed`, which names the type and the line and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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


def choose(event: dict[str, Any]) -> tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The metric that counts such events, and what answers them."""
    if "group" in event:
        return "Groups", cloud.reduce_group
    return ("Exchanged", cloud.exchange) if "leg" in event else ("Published", cloud.publish)


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """What was written."""
    name, does = choose(event)
    metrics.add_metric(name, MetricUnit.Count, 1)
    try:
        answer = does(event)
    except (StoreError, UnreadableOutcome):  # the state machine tells them apart; they name keys only
        raise
    except Exception as err:  # noqa: BLE001 - the handler is a boundary
        failed = ReduceFailed.of(err)
        logger.error("not merged", run=tell_run(event), error=failed.error, where=failed.where)  # noqa: TRY400 - its text may hold records
        raise failed from None
    logger.info(name.lower(), run=event["run"], group=event.get("group"))
    return answer
