"""Takes dead letters: tasks that ended their environment each time that they were tried.

What is open of one is sent again in halves, until a single record is left, which becomes a tombstone. The
text of a message or an error is not logged.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from aliquot.cloud import Cloud
from aliquot.errors import Undecodable
from aliquot.withheld import locate

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
cloud = Cloud.from_environment(os.environ, boto3.client)


def bury(record: SQSRecord) -> None:
    """Send one dead letter's gaps again; what is raised has it delivered again."""
    try:
        n_sent = cloud.bury(record.body)
    except Undecodable:
        logger.warning("a dead letter that is no task was filed under unclaimed/")
        metrics.add_metric("Unclaimed", MetricUnit.Count, 1)
    except Exception as err:
        logger.error("dead letter not buried", error=type(err).__name__, where=locate(err))  # noqa: TRY400 - its text may hold records
        metrics.add_metric("DeadLettersLeft", MetricUnit.Count, 1)
        raise
    else:
        logger.info("dead letter", sent=n_sent)
        metrics.add_metric("DeadLetters", MetricUnit.Count, 1)


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The dead letters to deliver again."""
    return dict(process_partial_response(event, bury, processor, context))
